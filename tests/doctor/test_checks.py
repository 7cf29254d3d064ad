"""What the doctor says of a controller that is well, and of everything that can be wrong with it."""

import http.server
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from muster import settings
from muster.boot import ipxe_static
from muster.cli.main import main
from muster.controller import images
from muster.doctor import checks, contents, machine, mirrors, network, nfs, services
from muster.doctor.finding import Check, Finding, Look, Patient
from muster.host import process
from muster.host.paths import Paths
from muster.images import kits
from muster.model.errors import StoreError
from muster.model.kits import KITS
from muster.model.objects import Version
from muster.model.world import World
from muster.services import loaders
from muster.services.prepare import Account
from muster.store.blobs import Blobs
from tests.cluster import node, published, version_document, world_of

NET: dict[str, object] = {
    "kind": "network",
    "name": "boot",
    "subnet": "127.0.0.0/8",
    "address": "127.0.0.1",
    "interface": "lo",
}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A controller as `muster init` and a first `muster serve` leave it, on loopback."""
    paths = Paths(tmp_path)
    for path in (paths.etc, paths.run, paths.blobs, paths.tftp, paths.dnsmasq, paths.cache):
        path.mkdir(parents=True)
    paths.secrets.mkdir(mode=0o700)
    (paths.secrets / "token-key").write_bytes(b"k" * 32)
    (paths.secrets / "token-key").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
    found = settings.Settings((f"127.0.0.1:{ports[0]}",), ports[1])
    settings.write_default(paths.config, found)
    return Patient(paths, found, Account(os.getuid(), os.getgid()), world_of(NET), offline=True)


def bad(look: Look, patient: Patient) -> list[Finding]:
    return [finding for finding in look(patient) if finding.level != "ok"]


def test_every_check_has_a_name_of_its_own_and_words_for_being_well() -> None:
    assert len({check.name for check in checks.CHECKS}) == len(checks.CHECKS)
    assert all(check.fine for check in checks.CHECKS)


def test_a_wrong_line_of_the_configuration_is_named(patient: Patient) -> None:
    assert not bad(services.configuration, replace(patient))
    patient.paths.config.write_text("listen: [nonsense]\n")
    (found,) = bad(services.configuration, patient)
    assert found.where.endswith("muster.yaml:1") and found.level == "problem"


def test_what_cannot_be_checked_says_why_and_the_rest_goes_on(patient: Patient) -> None:
    def breaks(_patient: Patient) -> Iterator[Finding]:
        raise StoreError("the disk burns", where="here")
        yield

    lacking = replace(patient, world=None)
    made = checks.examine(
        lacking, [Check("a", breaks, "-"), *[c for c in checks.CHECKS if c.name in ("nodes", "disk")]]
    )
    said = {result.check: result.finding for result in made}
    assert said["a"].level == "problem" and "the disk burns" in said["a"].message
    assert said["nodes"].level == "warning" and "the store" in said["nodes"].message
    assert said["disk"].level in ("ok", "warning")


def test_another_network_namespace_is_said_and_not_judged(patient: Patient) -> None:
    results = list(checks.examine(replace(patient, same_network=False), [c for c in checks.CHECKS if c.network]))
    assert [r.finding.where for r in results] == ["network namespace"]


@pytest.mark.parametrize(
    ("free", "inodes", "level"),
    [(100e6, 1000, "problem"), (1e9, 1000, "warning"), (1e12, 1, "warning"), (1e12, 900, "ok")],
)
def test_space(free: float, inodes: int, level: str) -> None:
    found = os.statvfs_result((1, 1, 2 * 10**12, int(free), int(free), 1000, inodes, inodes, 0, 255))
    assert machine.judge_space(Path("/var"), found).level == level


def test_addresses_and_interfaces_that_are_not_there(patient: Patient) -> None:
    assert not bad(network.interfaces, patient)
    gone = NET | {"name": "gone", "interface": "nowhere9"}
    other = {"kind": "network", "name": "other", "subnet": "192.0.2.0/24", "address": "192.0.2.1", "interface": "lo"}
    listening = replace(patient.settings or settings.Settings(()), listen=("192.0.2.7:9898",))
    found = bad(network.interfaces, replace(patient, settings=listening, world=world_of(gone, other)))
    assert ["192.0.2.7" in found[0].message, "no such interface" in found[1].message] == [True, True]
    assert "192.0.2.1" in found[2].message and "ip address add 192.0.2.1/24 dev lo" in found[2].hint


def test_who_holds_a_port_of_ours(patient: Patient) -> None:
    assert patient.settings is not None
    quiet = replace(patient, world=World())
    assert not bad(network.ports, quiet)
    with socket.create_server(("127.0.0.1", patient.settings.app_port)):
        (found,) = bad(network.ports, quiet)
    assert found.where == f"tcp {patient.settings.app_port}" and str(os.getpid()) in found.message


def test_ours_is_told_by_the_prefix_of_its_files() -> None:
    mine, other = Patient(Paths(), None, None, None), Patient(Paths(Path("/lab")), None, None, None)
    for command in (
        "/usr/bin/python3 -m muster.daemon --prefix /",
        "nginx: master process nginx -e stderr -p /run/muster/nginx -c /run/muster/nginx.conf",
        "dnsmasq --keep-in-foreground --conf-file=/var/lib/muster/dnsmasq/dnsmasq.conf",
    ):
        holder = network.Holder(1, command)
        assert network.is_ours(mine, holder) and not network.is_ours(other, holder)


def test_nodes_with_larger_frames_than_the_controller(patient: Patient) -> None:
    assert not bad(network.mtu, patient)
    jumbo = node("x", interfaces=[{"name": "eth0", "address": "127.0.0.9/8", "mtu": 65520}], profiles=[])
    tiny = world_of(NET, jumbo)
    mtu = network.links()["lo"].mtu
    assert bool(bad(network.mtu, replace(patient, world=tiny))) is (mtu < 65520)


def test_loaders(patient: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert patient.settings is not None
    package = tmp_path / "ipxe"
    package.mkdir()
    monkeypatch.setattr(loaders, "IPXE", package)
    for name in (loaders.BIOS, loaders.UEFI):
        (package / name).write_bytes(name.encode())
    assert len(bad(services.loader_files, patient)) == 3
    loaders.install(patient.paths.tftp, patient.settings.port, source=package)
    assert not bad(services.loader_files, patient)
    (patient.paths.tftp / loaders.UEFI).write_bytes(b"old")
    (patient.paths.tftp / loaders.SCRIPT).write_text(ipxe_static.render(1))
    assert [f.level for f in bad(services.loader_files, patient)] == ["warning", "problem"]


@pytest.mark.skipif(shutil.which("nginx") is None or shutil.which("dnsmasq") is None, reason="needs nginx, dnsmasq")
def test_the_services_own_judgement_of_their_files(patient: Patient) -> None:
    assert not bad(services.nginx_configuration, patient)
    assert patient.settings is not None
    nowhere = replace(patient, settings=replace(patient.settings, listen=("192.0.2.7:9898",)))
    assert "192.0.2.7:9898" in bad(services.nginx_configuration, nowhere)[0].message
    assert not bad(services.dnsmasq_configuration, patient)
    (patient.paths.dnsmasq / "dnsmasq.conf").write_text("port=0\nnonsense=1\n")
    assert "line 2" in bad(services.dnsmasq_configuration, patient)[0].message


def test_a_controller_that_does_not_run(patient: Patient) -> None:
    assert [f.message for f in bad(services.services, patient)] == ["it does not run"]
    assert bad(services.answers, patient)[0].level == "problem"


def test_a_child_that_fails(patient: Patient) -> None:
    children = [
        {"name": "app", "state": "ready", "pid": 1, "starts": 1, "last_exit": None},
        {"name": "nginx", "state": "failed", "pid": None, "starts": 9, "last_exit": 1},
        {"name": "dnsmasq", "state": "ready", "pid": 3, "starts": 4, "last_exit": -9},
    ]
    (patient.paths.run / "supervisor.json").write_text(json.dumps({"pid": 1, "children": children}))
    lock = patient.paths.run / "serve.lock"
    lock.touch()
    holder = process.start(["flock", lock, "sh", "-c", "echo held; exec sleep 60"], stdout=-1)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        found = {f.where: f.level for f in services.services(patient)}
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout:
            holder.stdout.close()
    assert found == {"app": "ok", "nginx": "problem", "dnsmasq": "warning"}


def test_secrets_that_others_may_read(patient: Patient) -> None:
    assert not bad(contents.secrets, patient)
    (patient.paths.secrets / "bmc").write_text("x")
    (patient.paths.secrets / "bmc").chmod(0o640)
    assert "0640" in bad(contents.secrets, patient)[0].message
    assert len(bad(contents.secrets, replace(patient, owner=Account(4711, 4711)))) >= (0 if os.getuid() == 0 else 2)


def test_blobs_missing_short_and_rotten(patient: Patient) -> None:
    blobs = Blobs(patient.paths.blobs)
    version_document(blobs=blobs)
    well = replace(patient, world=published(World()))
    assert well.world is not None and not bad(contents.blobs, well)
    version = next(iter(well.world.all(Version)))
    blobs.path(version.root.sha256).write_bytes(b"x" * version.root.size)
    assert not bad(contents.blobs, well), "only the length is looked at"
    assert "hash" in bad(contents.blobs, replace(well, deep=True))[0].message
    blobs.path(version.root.sha256).write_bytes(b"x")
    blobs.remove(version.kernel.sha256)
    (found,) = bad(contents.blobs, well)
    assert "is missing" in found.message and "has 1 bytes" in found.message and "muster image pack debian" in found.hint


@pytest.mark.tools
def test_kits_not_built_lost_and_without_their_programs(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {found.message for found in bad(contents.kits, patient)} == {"not built yet: nodes that need it wait"}
    for name in KITS:
        blob = Blobs(patient.paths.blobs).put_bytes(name.encode())
        (patient.paths.state / f"kit-{name}.json").write_text(json.dumps({"key": "", **blob.model_dump()}))
    assert not bad(contents.kits, patient)
    Blobs(patient.paths.blobs).remove(blob.sha256)
    (lost,) = bad(contents.kits, patient)
    assert (lost.where, lost.level) == (f"kit {name}", "problem") and "is missing" in lost.message
    monkeypatch.setattr(kits, "SYSTEM_FOLDERS", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert {found.hint for found in bad(contents.kits, patient)} >= {"apt-get install dmsetup", "apt-get install acl"}


def test_nodes_that_share_a_machine_to_switch_or_lie_in_no_network(patient: Patient) -> None:
    power = {"driver": "lab", "address": "/run/x", "user": "m1"}
    lost = [{"name": "eth0", "address": "192.0.2.5/24"}]
    world = world_of(NET, node("a", power=power, interfaces=lost), node("b", power=power), node("c"))
    messages = " ".join(f.message for f in bad(contents.nodes, replace(patient, world=world)))
    assert "several nodes have it: a, b" in messages and "no image is set: a, b, c" in messages
    assert "no address in any network: a" in messages


@pytest.fixture
def mirror() -> Iterator[str]:
    """A package mirror on loopback that has one suite."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if "/good/" in self.path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_mirrors(patient: Patient, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mirrors, "_opener", mirrors.urllib.request.build_opener)
    recipes = patient.paths.etc / "recipes"
    recipes.mkdir()
    text = "name: x\nsource: {{kind: debian, suite: {suite}, mirrors: ['{mirror}']}}\n"
    (recipes / "a.yaml").write_text(text.format(suite="good", mirror=mirror))
    (recipes / "b.yaml").write_text(text.format(suite="old", mirror=mirror))
    (recipes / "c.yaml").write_text(text.format(suite="good", mirror="http://127.0.0.1:9"))
    (recipes / "d.yaml").write_text("name: [\n")
    found = bad(mirrors.reachable, replace(patient, offline=False))
    levels = [(f.level, f.where.rpartition("/")[0]) for f in found if f.level == "warning"]
    assert levels == [("warning", f"{mirror}/dists/old"), ("warning", "http://127.0.0.1:9/dists/good")]
    assert [f.where for f in found if f.level == "problem"] == [f"{recipes}/d.yaml:2"]
    assert not bad(mirrors.reachable, patient)


@pytest.mark.tools
def test_the_command_works_without_a_controller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "yaml", "name", "table"):
        with pytest.raises(SystemExit) as ended:
            main(["--prefix", str(tmp_path), "doctor", "--offline", "-o", form])
        said = capsys.readouterr().out
        assert ended.value.code == 1 and "configuration" in said
    rows = json.loads(_json(tmp_path, capsys))
    assert all(row["hint"] for row in rows if row["level"] != "ok"), "every finding says what to do"


def _json(prefix: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["--prefix", str(prefix), "doctor", "--offline", "-o", "json"])
    return capsys.readouterr().out


def test_what_keeps_nodes_from_mounting_is_named(patient: Patient) -> None:
    assert patient.settings is not None
    assert not bad(nfs.answers, patient)
    needing = replace(patient, world=world_of(NET, {"kind": "profile", "name": "p", "root": "nfs"}))
    off = replace(needing, settings=replace(patient.settings, nfs="off"))
    (found,) = bad(nfs.answers, off)
    assert found.level == "problem" and "nfs: off" in found.message
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = replace(needing, settings=replace(patient.settings, nfs="ganesha", nfs_port=stranger.getsockname()[1]))
        stranger.settimeout(10)
        closing = threading.Thread(target=lambda: stranger.accept()[0].close())
        closing.start()
        held, mute = bad(nfs.answers, taken)
        closing.join()
    assert held.where == f"tcp {taken.settings and taken.settings.nfs_port}" and "held by" in held.message
    assert mute.where.startswith("network boot: 127.0.0.1 port") and "ganesha does not serve it" in mute.message


def test_a_tree_that_root_did_not_open_is_named(patient: Patient) -> None:
    assert patient.settings is not None
    world = world_of({"kind": "profile", "name": "p", "root": "nfs"}, based_on=published(World()))
    _, changes = images.live(world, "debian", on=True)
    closed = replace(patient, settings=replace(patient.settings, nfs="ganesha"), world=world.with_changes(changes, 9))
    assert [found.where for found in bad(nfs.answers, closed)] == ["image debian"]
    patient.paths.live_mark("debian").parent.mkdir(parents=True)
    patient.paths.live_mark("debian").touch()
    assert not bad(nfs.answers, closed)
