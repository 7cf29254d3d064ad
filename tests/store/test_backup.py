"""A backup, made while it is written to, makes the same controller elsewhere; a hostile one makes nothing."""

import json
import os
import random
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from muster import daemon
from muster.controller import node_plan
from muster.controller.node_context import machine_id
from muster.controller.objects import apply
from muster.daemon import Daemon
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.images import initramfs, kits
from muster.model.errors import ConflictError, DeniedError, MusterError, NotFoundError, RequestError, StoreError
from muster.model.objects import Version
from muster.model.world import Change
from muster.services.nfs import Service
from muster.settings import Settings, write_default
from muster.store.archive import MANIFEST, Manifest
from muster.store.backup import backup
from muster.store.database import Store
from muster.store.restore import restore
from tests.cluster import NETWORK, SERVER, hello, node, plan_values, version_document

Build = Callable[[Paths], Daemon]


def prepared(prefix: Path) -> Paths:
    """What `muster init` makes, and an overlay of the site's own."""
    paths = Paths(prefix)
    for folder in (paths.etc / "overlays/site/files/etc", paths.run, paths.blobs, paths.secrets, paths.dnsmasq):
        folder.mkdir(parents=True)
    (paths.secrets / "token-key").write_bytes(random.randbytes(32))
    (paths.secrets / "token-key").chmod(0o600)
    write_default(paths.config, Settings(("10.77.0.1:9898",)))
    (paths.etc / "overlays/site/files/etc/motd").write_text("hello\n")
    (paths.etc / "overlays/site/files/etc/link").symlink_to("/etc/motd")
    return paths


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """The app of a prefix, in this process."""
    monkeypatch.setattr(initramfs, "node_segment", lambda path, **_: _written(path))
    monkeypatch.setattr(kits, "files", lambda _kit: {})
    monkeypatch.setattr(kits, "make", lambda _files, path: _written(path))
    built: list[Daemon] = []

    def make(paths: Paths) -> Daemon:
        built.append(daemon.build(paths, SystemClock(), lambda _command: None, Service()))
        return built[-1]

    yield make
    for each in built:
        each.context.overlays.close()
        each.context.boots.close()
        each.context.store.close()


def _written(path: Path) -> Path:
    path.write_bytes(b"node segment")
    return path


def fill(paths: Paths, build: Build) -> Daemon:
    app = build(paths)
    version = Version.model_validate(version_document())
    documents = [NETWORK, {"kind": "profile", "name": "compute"}, node("n1"), node("n2")]
    app.context.store.change(lambda _w: (None, [Change("version", version.name, None, version)]), who="test")
    app.context.store.change(lambda world: apply(world, documents), who="test")
    return app


def save(paths: Paths, file: Path, *, secrets: bool = True) -> Manifest:
    return backup(paths, file, secrets=secrets, release="0.1.0", now=1000.0)


def lay(file: Path, paths: Paths, *, force: bool = False) -> Manifest:
    return restore(file, paths, lambda _config: (os.getuid(), os.getgid()), SystemClock(), force=force)


@pytest.mark.parametrize("secrets", [True, False])
def test_the_same_controller_on_another_machine(tmp_path: Path, build: Build, secrets: bool) -> None:
    app = fill(prepared(tmp_path / "old"), build)
    plan = plan_values(node_plan.hello(app.context, hello(), SERVER))
    made = save(app.paths, tmp_path / "saved", secrets=secrets)
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o600
    assert made.secrets == secrets and made.versions == tuple(v.name for v in app.context.world.all(Version))
    assert any(e.path.startswith("secrets/") for e in made.entries) == secrets

    paths = Paths(tmp_path / "new")
    lay(tmp_path / "saved", paths)
    if not secrets:
        (paths.secrets / "token-key").write_bytes(b"n" * 32)
    paths.blobs.mkdir()
    again = build(paths)
    assert again.context.world == app.context.world and again.settings == app.settings
    assert again.context.store.changes(0) == app.context.store.changes(0)
    assert machine_id(again.context.site, "n1") == machine_id(app.context.site, "n1")
    overlay = paths.etc / "overlays/site/files/etc"
    assert (overlay / "motd").read_text() == "hello\n" and (overlay / "link").readlink() == Path("/etc/motd")
    if secrets:
        assert node_plan.authorize(again.context, plan["boot"], plan["token"]).boot.node == "n1"
        assert stat.S_IMODE((paths.secrets / "token-key").stat().st_mode) == 0o600
    else:
        with pytest.raises(DeniedError):
            node_plan.authorize(again.context, plan["boot"], plan["token"])
    assert not [p for p in (*paths.state.iterdir(), *paths.etc.parent.iterdir()) if p.name.startswith(".")]


def test_it_is_of_one_moment_while_it_is_written_to(tmp_path: Path, build: Build) -> None:
    app, stop = fill(prepared(tmp_path / "old"), build), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            documents = [node(f"a{number}"), node(f"b{number}")]
            app.context.store.change(lambda world, d=documents: apply(world, d), who="x")  # both or none
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(5):
        save(app.paths, tmp_path / f"{number}")
    stop.set()
    writer.join()
    for number in range(5):
        lay(tmp_path / f"{number}", Paths(tmp_path / f"new{number}"))
        (tmp_path / f"new{number}/var/lib/muster/blobs").mkdir()
        names = {name for kind, name in build(Paths(tmp_path / f"new{number}")).context.world.objects if kind == "node"}
        assert {n[1:] for n in names if n[0] == "a"} == {n[1:] for n in names if n[0] == "b"}


def test_an_existing_controller_is_kept(tmp_path: Path, build: Build) -> None:
    first, second = fill(prepared(tmp_path / "one"), build), build(prepared(tmp_path / "two"))
    second.context.store.change(lambda world: apply(world, [node("mine")]), who="x")
    save(first.paths, tmp_path / "saved")
    before = {p: p.stat().st_mtime_ns for p in second.paths.state.iterdir()}
    with pytest.raises(ConflictError, match=r"store\.db: is there already"):
        lay(tmp_path / "saved", second.paths)
    assert {p: p.stat().st_mtime_ns for p in second.paths.state.iterdir()} == before
    second.context.store.close()
    lay(tmp_path / "saved", second.paths, force=True)
    assert build(second.paths).context.world == first.context.world
    (kept,) = second.paths.state.glob("store.db.before-restore-*")
    kept.rename(tmp_path / "kept.db")
    store = Store(tmp_path / "kept.db", SystemClock())
    assert ("node", "mine") in store.world.objects
    store.close()


def test_this_machines_own_addresses_stay(tmp_path: Path, build: Build) -> None:
    app = fill(prepared(tmp_path / "old"), build)
    save(app.paths, tmp_path / "saved")
    paths = Paths(tmp_path / "new")
    paths.etc.mkdir(parents=True)
    write_default(paths.config, Settings(("10.88.0.1:9898",)))
    lay(tmp_path / "saved", paths)
    paths.blobs.mkdir()
    assert build(paths).settings.listen == ("10.88.0.1:9898",)


@pytest.fixture
def saved(tmp_path: Path, build: Build) -> Path:
    app = fill(prepared(tmp_path / "old"), build)
    save(app.paths, tmp_path / "saved")
    return tmp_path / "saved"


@dataclass
class Evil:
    """An archive to be forged: its manifest, and its members' bytes by name."""

    manifest: dict[str, Any]
    members: dict[str, bytes]


Forge = Callable[[Evil], None]


def rewritten(saved: Path, change: Forge) -> Path:
    """The archive, forged."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(Evil(manifest, members))
    evil = saved.with_name("evil")
    with zipfile.ZipFile(evil, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(manifest))
        for name, data in members.items():
            archive.writestr(name, data)
    return evil


def renamed(to: str) -> Forge:
    def change(evil: Evil) -> None:
        entry = next(e for e in evil.manifest["entries"] if e["path"].endswith("motd"))
        evil.members[to] = evil.members.pop(entry["path"])
        entry["path"] = to

    return change


def below_a_link(evil: Evil) -> None:
    evil.manifest["entries"].append({"path": "etc/away", "type": "link", "target": "/tmp"})
    renamed("etc/away/motd")(evil)


def grown(evil: Evil) -> None:
    evil.members["site"] += b"x" * 5_000_000


def other_bytes(evil: Evil) -> None:
    evil.members["site"] = bytes(reversed(evil.members["site"]))


def endless(evil: Evil) -> None:
    next(e for e in evil.manifest["entries"] if e["path"] == "site")["size"] = 1 << 60


def unlisted(evil: Evil) -> None:
    evil.members["etc/cron"] = b"x"


def twice(evil: Evil) -> None:
    evil.manifest["entries"].append(next(e for e in evil.manifest["entries"] if e["path"] == "site"))


def no_store(evil: Evil) -> None:
    evil.manifest["entries"] = [e for e in evil.manifest["entries"] if e["path"] != "store.db"]
    del evil.members["store.db"]


def store_is_a_link(evil: Evil) -> None:
    evil.manifest["entries"] = [e for e in evil.manifest["entries"] if e["path"] != "store.db"]
    evil.manifest["entries"].append({"path": "store.db", "type": "link", "target": "/etc/shadow"})
    del evil.members["store.db"]


def setuid(evil: Evil) -> None:
    next(e for e in evil.manifest["entries"] if e["path"].endswith("motd"))["mode"] = 0o4755


def newer(evil: Evil) -> None:
    evil.manifest["format"] = 2


HOSTILE = {
    "upwards": renamed("etc/../../../evil"),
    "absolute": renamed("/etc/evil"),
    "elsewhere": renamed("blobs/evil"),
    "secret upwards": renamed("secrets/.."),
    "dot": renamed("etc/./evil"),
    "no folder": renamed("etc/nowhere/evil"),
    "below a link": below_a_link,
    "grown": grown,
    "other bytes": other_bytes,
    "endless": endless,
    "unlisted": unlisted,
    "twice": twice,
    "no store": no_store,
    "store is a link": store_is_a_link,
    "setuid": setuid,
    "newer": newer,
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_makes_nothing(tmp_path: Path, saved: Path, change: Forge) -> None:
    paths = Paths(tmp_path / "new")
    with pytest.raises(RequestError):
        lay(rewritten(saved, change), paths)
    assert not [path for path in paths.prefix.rglob("*") if not path.is_dir()], "nothing was laid"
    lay(saved, paths)


def test_an_archive_of_an_unknown_version_of_zip_is_refused(tmp_path: Path, saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 6] = 255  # version needed to extract (APPNOTE.TXT, 4.3.12)
    (tmp_path / "later").write_bytes(data)
    with pytest.raises(RequestError, match="no backup of Muster"):
        lay(tmp_path / "later", Paths(tmp_path / "new"))


def test_damaged_bytes_are_refused_or_mean_nothing(tmp_path: Path, saved: Path) -> None:
    data, chance, refused = saved.read_bytes(), random.Random(1), 0
    whole = lay(saved, Paths(tmp_path / "whole"))
    for number in range(60):
        at, paths = chance.randrange(len(data)), Paths(tmp_path / f"new{number}")
        (tmp_path / "damaged").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        try:
            assert lay(tmp_path / "damaged", paths) == whole, "a date in zip's own headers, say"
            assert paths.store.read_bytes() == Paths(tmp_path / "whole").store.read_bytes()
        except MusterError:
            refused += 1
            assert not paths.store.exists()
    assert refused > 30
    (tmp_path / "damaged").write_bytes(data[: len(data) // 2])
    with pytest.raises(RequestError, match="no backup of Muster"):
        lay(tmp_path / "damaged", Paths(tmp_path / "new"))


@pytest.mark.usefixtures("saved")
def test_what_cannot_be_saved_or_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no store"):
        save(Paths(tmp_path / "nowhere"), tmp_path / "x")
    with pytest.raises(StoreError, match="no backup was made"):
        save(Paths(tmp_path / "old"), tmp_path / "no/such/folder/x")
    with pytest.raises(NotFoundError, match="no such file"):
        lay(tmp_path / "none", Paths(tmp_path / "new"))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
