"""What one child says is passed on by lines, and commands nobody's terminal."""

import os

from muster.services.child import Child
from muster.services.prepare import Account
from muster.services.running import Running


def test_control_characters_of_a_child_are_shown_as_question_marks() -> None:
    heard: list[tuple[str, str]] = []
    running = Running(Child("nginx", ("nginx",)), Account(1, 1), lambda name, line: heard.append((name, line)))
    running.output, writing = os.pipe()
    os.write(writing, "GET /\x1b]0;owned\x07 \u202etxt\tn\u00e4\xff\r\nsecond".encode())
    os.close(writing)
    running.read()
    running.read()
    assert heard == [("nginx", "GET /?]0;owned? ?txt\tn\u00e4\u00ff"), ("nginx", "second")]
    assert running.output is None
