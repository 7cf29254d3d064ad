"""What a render worker cannot do even if a template gets out of the sandbox: run as real code in a confined process."""

import json
import signal
import subprocess
import sys

import pytest

ATTEMPTS = [
    "open('/etc/shadow').read()",
    "open('/etc/hostname').read()",
    "open('/tmp/muster-worker-was-here', 'w')",
    "os.listdir('/')",
    "os.stat('/etc')",
    "socket.socket()",
    "os.pipe()",
    "os.fork()",
    "os.execv('/bin/busybox', ['busybox', 'id'])",
    "exec('assert os.system(\"echo hello\") == 0')",
    "os.kill(os.getppid(), 0)",
    "os.setuid(0)",
    "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))",
    "exec('assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0')",
    "time.sleep(0.01)",
    "bytearray(300 << 20)",
    "os.environ['SECRET_OF_THE_SERVER']",
]
ALLOWED = ["os.write(1, b'')", "bytearray(30 << 20)", "time.process_time()"]

CONFINED = """
import ctypes, json, os, resource, socket, sys, time
from muster.overlays import worker
attempts = json.loads(sys.argv[1])
worker.warm_up()
worker.confine()
results = {}
for attempt in attempts:
    try:
        eval(attempt)
    except BaseException as error:
        results[attempt] = f"refused: {error!r}"
    else:
        results[attempt] = "done"
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    """What came of each attempt, all made by one confined process."""
    argv = [sys.executable, "-c", CONFINED, json.dumps(ATTEMPTS + ALLOWED)]
    env = {"SECRET_OF_THE_SERVER": "s3cret", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20, env=env)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_refused(results: dict[str, str], attempt: str) -> None:
    assert results[attempt].startswith("refused"), results[attempt]


@pytest.mark.parametrize("attempt", ALLOWED)
def test_what_rendering_needs_still_works(results: dict[str, str], attempt: str) -> None:
    assert results[attempt] == "done"


@pytest.mark.tools
def test_the_kernel_ends_a_worker_that_nobody_ends() -> None:
    """Were the server killed while a template holds a worker in one endless operation, this bound would remain."""
    program = "from muster.overlays import worker; worker.CPU_OF_A_LIFE = 1; worker.confine()\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)
    assert done.returncode == -signal.SIGKILL
