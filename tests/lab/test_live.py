"""Real labs: real namespaces, real QEMU that gets as far as its firmware."""

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host import files, process
from muster.host.ask import ask, listener
from muster.lab import keeper, lifecycle, overview
from muster.lab.plan import CONTROLLER_USER, Lab
from muster.model.errors import ConflictError, MusterError, RequestError, UnreachableError
from muster.power import lab as driver

pytestmark = pytest.mark.root
MakeLab = Callable[..., Lab]


def root_of(lab: Lab) -> int:
    return listener(lab.socket, timeout=2)


def members(lab: Lab) -> set[int]:
    """Every live process of the lab, found by its network namespace; unshare(1) above its root is one."""
    namespace = Path(f"/proc/{root_of(lab)}/ns/net").readlink()
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _namespace(entry) == namespace}


def _namespace(entry: Path) -> Path | None:
    try:
        return (entry / "ns/net").readlink()
    except OSError:
        return None


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(true: Callable[[], bool], limit: float = 10) -> bool:
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_up_registers_boots_and_down_leaves_nothing(make_lab: MakeLab) -> None:
    before = mounts()
    lab = make_lab(nodes=2)
    lifecycle.up(lab)
    posted = json.loads((lab.folder / "controller/api.sock.posted").read_text())
    assert [document["name"] for document in posted["documents"]] == ["lab", "n1", "n2"]
    rows = overview.rows(lab)
    assert [(row["node"], row["power"], row["state"]) for row in rows] == [("n1", "on", "ready"), ("n2", "on", "")]
    assert wait_for(lambda: b"SeaBIOS" in lab.console_log("n2").read_bytes())
    assert not Path("/sys/class/net/tap-n1").exists()
    running = members(lab)
    assert len(running) == 5
    assert lifecycle.down(lab.folder)
    assert not any(alive(pid) for pid in running)
    assert not lab.folder.exists()
    assert mounts() == before
    assert not lifecycle.down(lab.folder)


@pytest.mark.parametrize("victim", ["root", "unshare"])
def test_nothing_of_a_killed_lab_is_left_and_the_next_up_cleans_up(make_lab: MakeLab, victim: str) -> None:
    lab = make_lab()
    lifecycle.up(lab)
    running = members(lab)
    root = root_of(lab)
    os.kill(root if victim == "root" else parent(root), signal.SIGKILL)
    assert wait_for(lambda: not any(alive(pid) for pid in running), 3)
    with pytest.raises(UnreachableError):
        lifecycle.status(lab)
    lifecycle.up(lab)
    assert lifecycle.status(lab).power == {"n1": "on"}


def test_a_lab_that_does_not_answer_is_ended_nevertheless(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "ANSWER_TIME", 0.3)
    lab = make_lab()
    lifecycle.up(lab, power=False)
    running = members(lab)
    os.kill(root_of(lab), signal.SIGSTOP)
    assert lifecycle.down(lab.folder)
    assert not any(alive(pid) for pid in running)
    assert not lab.folder.exists()


def test_two_labs_at_once_do_not_meet(make_lab: MakeLab) -> None:
    one, two = make_lab("one"), make_lab("two")
    lifecycle.up(one, power=False)
    lifecycle.up(two, power=False)
    assert not members(one) & members(two)
    with pytest.raises(ConflictError, match="a lab runs here"):
        lifecycle.up(one)
    lifecycle.down(one.folder)
    assert lifecycle.status(two).state == "ready"


def test_power(make_lab: MakeLab) -> None:
    lab = make_lab(firmware="uefi")
    lifecycle.up(lab, power=False)
    address = str(lab.socket)
    assert driver.power_state(address, "n1") == "off"
    with pytest.raises(RequestError, match="it is off"):
        driver.set_power(address, "n1", "reset")
    driver.set_power(address, "n1", "on")
    driver.set_power(address, "n1", "on")
    assert driver.power_state(address, "n1") == "on"
    first = members(lab)
    driver.set_power(address, "n1", "reset")
    assert members(lab) == first
    driver.set_power(address, "n1", "cycle")
    assert len(members(lab)) == len(first)
    assert members(lab) != first
    driver.set_power(address, "n1", "off")
    driver.set_power(address, "n1", "off")
    assert driver.power_state(address, "n1") == "off"
    with pytest.raises(RequestError, match="no node 'n9'"):
        driver.set_power(address, "n9", "on")


def test_a_machine_that_dies_is_off_and_can_be_switched_on(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab)
    (qemu,) = (pid for pid in members(lab) if Path(f"/proc/{pid}/comm").read_text().startswith("qemu"))
    os.kill(qemu, signal.SIGKILL)
    assert wait_for(lambda: driver.power_state(str(lab.socket), "n1") == "off")
    driver.set_power(str(lab.socket), "n1", "on")
    assert driver.power_state(str(lab.socket), "n1") == "on"


def test_the_controllers_user_switches_machines_and_does_not_stop_the_lab(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    lab.folder.parent.chmod(0o755)
    assert _as_controller(lambda: driver.set_power(str(lab.socket), "n1", "on")) == ""
    assert "only root" in _as_controller(lambda: ask(lab.socket, {"verb": "stop"}, timeout=2))
    assert lifecycle.status(lab).power == {"n1": "on"}
    assert "Permission denied" in _as_controller(lambda: ask(lab.socket, {"verb": "status"}, timeout=2), 64998)


def _as_controller(act: Callable[[], object], user: int = CONTROLLER_USER) -> str:
    """Do something as another user in a process of its own; returns what went wrong."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(user)
            act()
        except MusterError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b'{"verb": "power"}\n', b"x" * 100_000])
def test_bad_questions_are_refused_and_the_lab_lives(make_lab: MakeLab, line: bytes) -> None:
    import socket

    lab = make_lab()
    lifecycle.up(lab, power=False)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(lab.socket))
        connection.sendall(line)
        assert b'"error"' in connection.recv(4096)
    assert lifecycle.status(lab).state == "ready"


def test_a_controller_that_dies_is_started_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    (first,) = (pid for pid in members(lab) if "stand_in" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(first, signal.SIGKILL)
    assert wait_for(lambda: not alive(first))
    assert wait_for(lambda: overview.rows(lab)[0]["state"] == "ready", 5)
    assert first not in members(lab)


def test_a_stopped_controller_stays_stopped_until_it_is_started(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab)
    lifecycle.switch_controller(lab, "stop")
    assert not [pid for pid in members(lab) if "stand_in" in Path(f"/proc/{pid}/cmdline").read_text()]
    lifecycle.switch_controller(lab, "stop")
    time.sleep(2 * keeper.RESTART_DELAY)
    assert lifecycle.status(lab).controller == "stopped"
    status = [sys.executable, "-m", "muster.cli.main", "lab", "status", "--dir", str(lab.folder)]
    assert b"the controller is stopped" in process.run(status).stderr
    assert lifecycle.status(lab).power == {"n1": "on"}
    lifecycle.switch_controller(lab, "start")
    assert overview.rows(lab)[0]["state"] == "ready"
    lifecycle.switch_controller(lab, "start")
    assert lifecycle.status(lab).controller == "running"
    assert process.run(status).stderr == b""


def test_only_root_stops_the_controller(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    lab.folder.parent.chmod(0o755)
    stop: dict[str, object] = {"verb": "controller", "action": "stop"}
    assert "only root" in _as_controller(lambda: ask(lab.socket, stop, timeout=2))
    assert lifecycle.status(lab).controller == "running"


def test_a_disk_is_blank_takes_no_room_and_survives_power(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=2, disk=(2048, None))
    lifecycle.up(lab)
    disk = lab.machine_folder("n1") / "disk0.img"
    assert (disk.stat().st_size, disk.stat().st_blocks) == (2048 << 20, 0)
    assert not (lab.machine_folder("n2") / "disk0.img").exists()
    lifecycle.switch(lab, ["n1"], "off")
    with disk.open("r+b") as file:
        file.write(b"kept")
    lifecycle.switch(lab, ["n1"], "on")
    lifecycle.switch(lab, ["n1"], "cycle")
    with disk.open("rb") as file:
        assert file.read(5) == b"kept\0"


def test_a_controller_that_does_not_start_is_told_and_nothing_is_left(make_lab: MakeLab) -> None:
    lab = make_lab(serve=("sh", "-c", "echo port 9898 is taken >&2; exit 3"))
    with pytest.raises(MusterError, match="port 9898 is taken"):
        lifecycle.up(lab)
    assert not lab.folder.exists()


def test_run_is_inside_the_lab(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    found = process.run(
        lifecycle.inside(lab, ["sh", "-c", "ip -br address show br0; getent hosts n1; pwd; exit 7"]), check=False
    )
    assert found.status == 7
    assert "10.77.0.1/24" in found.text
    assert "10.77.0.11" in found.text
    assert str(Path.cwd()) in found.text


def test_console_shows_the_machine_and_outlives_a_power_cycle(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(
            sys.executable,
            [sys.executable, "-m", "muster.cli.main", "lab", "console", "n1", "--dir", str(lab.folder)],
        )
    try:
        assert "n1 is off" in _read_until(terminal, "waiting")
        lifecycle.switch(lab, ["n1"], "on")
        assert "SeaBIOS" in _read_until(terminal, "SeaBIOS")
        lifecycle.switch(lab, ["n1"], "cycle")
        assert "n1 was switched off" in _read_until(terminal, "switched off")
        assert "SeaBIOS" in _read_until(terminal, "SeaBIOS")
        os.write(terminal, b"\x1d")
        _read_until(terminal, "\0")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        os.close(terminal)
    assert lab.console_log("n1").read_bytes().count(b"SeaBIOS") == 2


def test_a_console_has_one_person_at_a_time(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    command = [sys.executable, "-m", "muster.cli.main", "lab", "console", "n1", "--dir", str(lab.folder)]
    with files.locked(lab.machine_folder("n1") / "console.lock"):
        refused = process.run(command, check=False, timeout=10)
    assert refused.status == 2
    assert f"another console (process id {os.getpid()}) holds it".encode() in refused.stderr


def _read_until(terminal: int, word: str, limit: float = 10) -> str:
    """What the terminal shows up to a word, or to its end."""
    end = time.monotonic() + limit
    shown = b""
    while word.encode() not in shown and time.monotonic() < end:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            break
    return shown.decode(errors="replace")


SOLICIT = """
import socket, struct, sys
index = socket.if_nametoindex("br0")
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.settimeout(5)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, index))
while (packet := s.recv(2048))[0] != 134:
    pass
print(packet.hex())
"""


def test_router_solicitations_are_answered_with_no_router(make_lab: MakeLab) -> None:
    lab = make_lab()
    lifecycle.up(lab, power=False)
    assert wait_for(lambda: "tentative" not in _inside(lab, ["ip", "-6", "address", "show", "br0"]))
    advertisement = bytes.fromhex(_inside(lab, [sys.executable, "-c", SOLICIT]))
    lifetime, options = advertisement[6:8], advertisement[16:]
    assert (lifetime, options) == (b"\0\0", b"")


def _inside(lab: Lab, command: list[str]) -> str:
    return process.run(lifecycle.inside(lab, command), timeout=10).text.strip()
