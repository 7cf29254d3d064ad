"""One question over a unix socket: every way in which there is no good answer has its own words."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from muster.host.ask import ask, listener
from muster.model.errors import MusterError, RequestError, UnreachableError


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Somebody who reads one question and says `answer`."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        thread.join()


def test_question_and_answer(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b'{"power": {"n1": "on"}}\n') as heard:
        assert ask(tmp_path / "s", {"verb": "state"}, timeout=2) == {"power": {"n1": "on"}}
    assert heard == [b'{"verb": "state"}\n']


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (b'{"error": "no node n9", "hint": "n1"}\n', RequestError, "no node n9"),
        (b'{"power": ', UnreachableError, "cut off"),
        (b"", UnreachableError, "cut off"),
        (b"hello\n", MusterError, "not JSON"),
        (b"[]\n", MusterError, "not a JSON object"),
    ],
)
def test_no_good_answer(tmp_path: Path, answer: bytes, kind: type[MusterError], said: str) -> None:
    with answering(tmp_path / "s", answer), pytest.raises(kind, match=said):
        ask(tmp_path / "s", {}, timeout=2)


def test_nobody_and_silence(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no answer"):
        ask(tmp_path / "s", {}, timeout=0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(UnreachableError, match="timed out"):
            ask(tmp_path / "s", {}, timeout=0.2)
        assert listener(tmp_path / "s", timeout=0.2) == os.getpid()
    with pytest.raises(UnreachableError, match="nobody listens"):
        listener(tmp_path / "s", timeout=0.2)
