"""What a render worker cannot do even if a template gets out of the sandbox: run as real code in a confined process."""

import signal
import subprocess
import sys

import pytest

CONFINED = """
import ctypes, os, resource, socket, time
from muster.overlays import worker
{before}
worker.warm_up()
worker.confine()
try:
    {attempt}
except BaseException as error:
    print("refused", type(error).__name__)
else:
    print("done")
"""


def confined(attempt: str, before: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", CONFINED.format(attempt=attempt, before=before)],
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
        "os.kill(os.getppid(), 0)",
        "os.setuid(0)",
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))",
        "exec('assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0')",
        "os.stat('/etc')",
        "time.sleep(0.01)",
        "bytearray(300 << 20)",
        "os.environ['SECRET_OF_THE_SERVER']",
    ],
)
def test_refused(attempt: str) -> None:
    assert confined(attempt).startswith("refused")


def test_reading_stdin_and_writing_stdout_still_work() -> None:
    assert confined("os.write(1, b'')") == "done"


def test_the_kernel_ends_a_worker_that_nobody_ends() -> None:
    """Were the server killed while a template holds a worker in one endless operation, this bound would remain."""
    assert confined("exec('while True: pass')", "worker.CPU_OF_A_LIFE = 1") == f"status -{signal.SIGKILL:d}"
