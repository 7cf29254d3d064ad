"""The supervisor with its real children nginx and dnsmasq, in a namespace: killed in every way, nothing stays."""

import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from served import USER, Site
from wait import until

from muster.host import process
from muster.model.errors import MusterError
from muster.services import prepare

pytestmark = pytest.mark.root


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def serve(site: Site, log: Path) -> Iterator[object]:
    """A running one, all three children ready."""
    supervisor = site.start(log)
    try:
        until(lambda: site.states() == ["ready", "ready", "waiting"])
        site.declare_network()
        site.ask("/node/1/command/wake")  # no command, but the supervisor looks: one start, not a second one soon after
        until(lambda: site.states() == ["ready"] * 3)
        yield supervisor
    finally:
        supervisor.kill()
        supervisor.wait()
        until(lambda: site.processes() == [])


def test_no_web_framework_in_the_supervisor():
    unwanted = "{'pydantic', 'fastapi', 'starlette', 'asyncio'}"
    check = f"import sys, muster.services.supervise; print(sorted({unwanted} & set(sys.modules)))"
    assert process.run([sys.executable, "-c", check]).text == "[]\n"


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


@pytest.mark.usefixtures("serve")
def test_children_have_what_they_need_and_no_more(site, log):
    expected = {"app": 0, "nginx": 0, "dnsmasq": 1 << 10 | 1 << 12 | 1 << 13}
    for name, capabilities in expected.items():
        found = status_of(site.child(name)["pid"])
        assert set(found["Uid"].split()) == {str(USER)}
        assert found["Groups"].strip() == ""
        assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == capabilities
        assert found["NoNewPrivs"] == "1"
    assert site.ask("/node/1/hello") == "key ok"
    assert b"app: stand-in up\n" in log.read_bytes()
    assert b"dnsmasq: dnsmasq: started" in log.read_bytes() or b"dnsmasq: dnsmasq[" in log.read_bytes()


@pytest.mark.usefixtures("serve")
def test_owners_of_folders(site):
    def kind(path):
        found = path.stat()
        return found.st_uid, stat.S_IMODE(found.st_mode)

    paths = site.paths
    assert kind(paths.secrets) == (USER, 0o700)
    assert kind(paths.run / "nginx.conf") == (0, 0o640)
    assert kind(paths.tftp / "boot.ipxe") == (0, 0o644)
    assert kind(paths.images) == kind(paths.cache) == (0, 0o700)
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    for path in (paths.socket, paths.store, paths.blobs / "sha256/x", paths.dnsmasq / "hosts.new"):
        process.run([*as_user, "touch", path])
    for path in (paths.run / "serve.lock", paths.run / "nginx.conf", paths.images):
        assert process.run([*as_user, "mv", path, f"{path}.mine"], check=False).status, f"the user could move {path}"


@pytest.mark.usefixtures("serve")
@pytest.mark.parametrize("name", ["app", "nginx", "dnsmasq"])
def test_a_killed_child_comes_back_alone(site, name):
    before = {each: site.child(each)["pid"] for each in ("app", "nginx", "dnsmasq")}
    start = time.monotonic()
    os.kill(before[name], signal.SIGKILL)
    until(lambda: site.child(name)["starts"] >= 2)
    until(lambda: site.states() == ["ready"] * 3)
    assert time.monotonic() - start < 3
    after = {each: site.child(each)["pid"] for each in before}
    assert {each for each in before if before[each] != after[each]} == {name}
    assert site.ask("/node/1/hello") == "key ok"


def test_a_killed_supervisor_leaves_nothing_and_a_new_one_starts_at_once(site, serve, log):
    assert len(site.processes()) >= 10
    serve.kill()
    serve.wait()
    start = time.monotonic()
    again = site.start(log)
    try:
        until(lambda: json.loads((site.paths.run / "supervisor.json").read_text())["pid"] == again.pid)
        until(lambda: site.states() == ["ready"] * 3)
        assert time.monotonic() - start < 3
        assert site.ask("/node/1/hello") == "key ok"
    finally:
        again.kill()
        again.wait()
    until(lambda: site.processes() == [], seconds=2)


def test_killed_at_any_moment_of_its_start(site, log):
    for tenths in range(1, 9):
        supervisor = site.start(log)
        time.sleep(tenths * 0.06)
        supervisor.kill()
        supervisor.wait()
        until(lambda: site.processes() == [], seconds=2)


def test_a_second_one_names_the_first(site, serve, tmp_path):
    second = site.start(tmp_path / "second")
    assert second.wait(10) == 2
    text = (tmp_path / "second").read_text()
    assert f"process id {serve.pid}" in text
    assert "serve.lock" in text
    assert site.states() == ["ready"] * 3


def test_sigterm_ends_all_and_sighup_nothing(site, serve, log):
    serve.send_signal(signal.SIGHUP)
    site.ask("/node/1/hello")
    assert site.states() == ["ready"] * 3
    start = time.monotonic()
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(10) == 0
    assert time.monotonic() - start < 2
    assert site.processes() == []
    assert log.read_text().endswith("muster: all services ended\n")
    assert site.states() == ["stopped"] * 3


def test_a_child_that_does_not_listen_is_ended_too(site, serve):
    site.ask("/node/1/command/deaf")
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(10) == 0
    assert site.processes() == []


@pytest.mark.usefixtures("serve")
def test_what_the_app_may_command(site, log):
    pid = site.child("dnsmasq")["pid"]
    site.ask("/node/1/command/reload/dnsmasq")
    until(lambda: log.read_text().count("dnsmasq/hosts") == 2)
    assert site.child("dnsmasq")["pid"] == pid
    for line in ("restart/nginx", "stop/app", "reload", "format/dnsmasq", "reload/dnsmasq/now"):
        site.ask(f"/node/1/command/{line}")
        until(lambda line=line: f"ignored from app: '{line.replace('/', ' ')}'" in log.read_text())
    site.ask("/node/1/command/restart/dnsmasq")
    until(lambda: site.child("dnsmasq")["starts"] == 2 and site.states() == ["ready"] * 3)
    assert site.child("dnsmasq")["pid"] != pid
    site.ask("/node/1/command/stop/dnsmasq")
    until(lambda: site.states() == ["ready", "ready", "stopped"])
    site.ask("/node/1/command/restart/dnsmasq")
    until(lambda: site.states() == ["ready"] * 3)


@pytest.mark.usefixtures("serve")
def test_the_access_log_is_bounded(site):
    current, older = site.paths.nginx / "access.log", site.paths.nginx / "access.log.1"
    site.inside("curl", "-s", "-o", "/dev/null", f"http://10.77.0.1:9898/{'x' * 500}?[1-40]")
    until(lambda: site.ask("/node/1/command/wake") and older.exists())
    until(lambda: current.exists() and site.ask("/after") and b"/after" in current.read_bytes())
    assert site.child("nginx")["starts"] == 1


@pytest.mark.usefixtures("serve")
def test_a_child_that_cannot_run_is_tried_more_and_more_slowly(site):
    (site.paths.dnsmasq / "dnsmasq.conf").write_text("nonsense\n")
    starts = site.child("dnsmasq")["starts"]
    site.ask("/node/1/command/restart/dnsmasq")
    until(lambda: site.child("dnsmasq")["starts"] >= starts + 3, seconds=30)
    assert site.child("dnsmasq")["last_exit"] != 0
    assert site.states()[:2] == ["ready", "ready"]
    site.declare_network()
    until(lambda: site.states() == ["ready"] * 3, seconds=30)


def test_a_state_file_that_cannot_be_written_ends_nothing(site, serve, log):
    state = site.paths.run / "supervisor.json"
    dnsmasq_pid = site.child("dnsmasq")["pid"]
    state.unlink()
    state.mkdir()
    os.kill(dnsmasq_pid, signal.SIGKILL)
    until(lambda: f"cannot write {state}" in log.read_text())
    assert serve.poll() is None
    assert site.ask("/node/1/hello") == "key ok"
    state.rmdir()


def test_the_lock_is_never_somebody_elses_file(site, log):
    victim = site.paths.prefix / "victim"
    victim.write_text("precious\n")
    site.paths.run.mkdir(parents=True)
    (site.paths.run / "serve.lock").symlink_to(victim)
    supervisor = site.start(log)
    until(lambda: supervisor.poll() is not None or site.states())
    supervisor.kill()
    assert supervisor.wait() == 1
    assert victim.read_text() == "precious\n"
    assert "precious" not in log.read_text()


def test_the_token_key_goes_through_no_symlink(site):
    owner = prepare.prepare(site.paths, str(USER))
    victim = site.paths.prefix / "victim"
    victim.mkdir()
    site.paths.secrets.rmdir()
    site.paths.secrets.symlink_to(victim)
    with pytest.raises(MusterError, match="a folder of our own"):
        prepare.token_key(site.paths, owner)
    assert list(victim.iterdir()) == []
