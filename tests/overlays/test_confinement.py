"""What a render worker cannot do even if a template gets out of the sandbox: run as real code in a confined process."""

import subprocess
import sys

import pytest

CONFINED = """
import os, socket, ctypes, time
from muster.overlays import worker
worker.warm_up()
worker.confine()
try:
    {attempt}
except BaseException as error:
    print("refused", type(error).__name__)
else:
    print("done")
"""


def confined(attempt: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CONFINED.format(attempt=attempt)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={"SECRET_OF_THE_SERVER": "s3cret", "PATH": "/usr/bin:/bin"},
    )
    return done.stdout.strip() or f"status {done.returncode}"


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/shadow').read()",
        "open('/etc/hostname').read()",
        "open('/tmp/muster-worker-was-here', 'w')",
        "os.listdir('/')",
        "socket.socket()",
        "os.pipe()",
        "os.fork()",
        "os.execv('/bin/busybox', ['busybox', 'id']) if not os.fork() else None",
        "exec('assert os.system(\"echo hello\") == 0')",
        "os.setuid(0) if os.getuid() else os.fork()",
        "os.kill(os.getppid(), 0) if os.getuid() == 65534 else os.fork()",
        "bytearray(300 << 20)",
        "os.environ['SECRET_OF_THE_SERVER']",
    ],
)
def test_refused(attempt: str) -> None:
    assert confined(attempt).startswith("refused")


def test_reading_stdin_and_writing_stdout_still_work() -> None:
    assert confined("os.write(1, b'')") == "done"


def test_the_kernel_ends_what_ignores_the_clock() -> None:
    """RLIMIT_CPU is the second line behind the timer's exception."""
    assert (
        confined("worker.CPU_GRACE = -1; worker.limit_cpu(); worker.stop_clock(); exec('while True: pass')")
        == "status -24"
    )
