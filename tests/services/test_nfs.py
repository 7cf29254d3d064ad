"""Who serves NFS, what the app may ask for, and the configuration of nfs-ganesha."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from muster.host.paths import Paths
from muster.model.errors import MusterError, RequestError
from muster.services import ganesha, nfs
from muster.services.nfs import Export, KernelServer, Service, Wanted, choose

LAB = IPv4Network("10.77.0.0/24")
RACK = IPv4Network("10.88.0.0/16")
KERNEL = KernelServer(2049)
ROOTED = KernelServer(2049, "the kernel's NFS server shows only what lies below its root /srv (fsid=0)")


@pytest.mark.parametrize(
    ("setting", "port", "kernel", "installed", "expected"),
    [
        ("auto", 2049, None, True, Service("ganesha", 2049, "")),
        ("auto", 2050, None, True, Service("ganesha", 2050, "")),
        ("auto", 2049, KERNEL, True, Service("kernel", 2049, "")),
        ("auto", 2050, KERNEL, False, Service("kernel", 2049, "")),
        ("auto", 2050, ROOTED, True, Service("ganesha", 2050, "")),
        ("kernel", 2049, KERNEL, True, Service("kernel", 2049, "")),
        ("ganesha", 2050, KERNEL, True, Service("ganesha", 2050, "")),
    ],
)
def test_who_serves(setting, port, kernel, installed, expected):
    assert choose(setting, port, kernel, ganesha=installed) == expected
    assert Service.from_text(expected.to_text()) == expected


@pytest.mark.parametrize(
    ("setting", "kernel", "installed", "why"),
    [
        ("off", KERNEL, True, "nfs: off"),
        ("auto", None, False, "apt-get install nfs-ganesha nfs-ganesha-vfs"),
        ("auto", ROOTED, True, r"port 2049 is the kernel's.*root /srv.*nfs_port"),
        ("ganesha", KERNEL, True, "port 2049 is the kernel's.*nfs_port"),
        ("kernel", None, True, "does not run here.*systemctl start"),
        ("kernel", ROOTED, True, "root /srv"),
    ],
)
def test_nobody_serves_and_why(setting, kernel, installed, why):
    found = choose(setting, 2049, kernel, ganesha=installed)
    assert found.server is None
    assert Service.from_text(found.to_text()) == found
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found.reason)


def written(tmp_path: Path, text: str) -> Paths:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True, exist_ok=True)
    (paths.run / nfs.WANTED).write_text(text)
    return paths


def test_what_the_app_writes_is_read_back(tmp_path):
    wanted = Wanted((LAB, RACK), ("debian12", "rocky9.4"))
    assert nfs.read(written(tmp_path, nfs.render(wanted))) == wanted
    assert nfs.read(Paths(tmp_path / "elsewhere")) is None


@pytest.mark.parametrize(
    "line",
    ["network 10.77.0.1/24", "network *", "network fd00::/64", "live ../../root", "live a/b", "live ", "export /", "x"],
)
def test_the_app_cannot_ask_for_anything_else(tmp_path, line):
    with pytest.raises(RequestError) as caught:
        nfs.read(written(tmp_path, f"{nfs.render(Wanted((LAB,)))}{line}\n"))
    assert caught.value.where.endswith("nfs.wanted:3")


def test_the_app_cannot_have_another_file_read(tmp_path):
    paths = written(tmp_path, "")
    (tmp_path / "secret").write_text(nfs.render(Wanted((LAB,))))
    (paths.run / nfs.WANTED).unlink()
    (paths.run / nfs.WANTED).symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        nfs.read(paths)


def opened(paths: Paths, *images: str) -> None:
    for image in images:
        (paths.images / image / "tree").mkdir(parents=True)
        paths.live_mark(image).touch()


def test_a_tree_is_exported_only_once_root_opened_it(tmp_path):
    paths = Paths(tmp_path)
    opened(paths, "debian12")
    (paths.images / "rocky9/tree").mkdir(parents=True)
    blobs, *live = nfs.exports(paths, Wanted((LAB,), ("debian12", "rocky9", "absent")))
    assert (blobs.folder, blobs.seen, blobs.whole) == (paths.blobs / "sha256", nfs.blobs_folder(paths), False)
    assert [(each.folder, each.seen, each.whole) for each in live] == [
        (paths.images / "debian12/tree", nfs.live_folder(paths, "debian12"), True)
    ]


def test_an_export_keeps_its_number_whatever_comes_and_goes(tmp_path):
    paths = Paths(tmp_path)
    names = [f"image{number}" for number in range(300)]
    opened(paths, *names)
    every = {each.seen.name: each.number for each in nfs.exports(paths, Wanted((LAB,), tuple(names)))}
    assert len(set(every.values())) == len(every) == 301
    assert all(0 < number <= 65535 for number in every.values())
    alone = {name: nfs.exports(paths, Wanted((LAB,), (name,)))[1].number for name in names}
    assert sum(alone[name] != every[name] for name in names) <= 3, "two rarely meet"


def test_the_configuration_of_ganesha(golden):
    exports = [
        Export(Path("/var/lib/muster/blobs/sha256"), Path("/var/lib/muster/blobs/sha256"), 1, (LAB, RACK)),
        Export(
            Path("/var/lib/muster/images/debian12/tree"), Path("/run/muster/nfs/debian12"), 4711, (LAB,), whole=True
        ),
    ]
    plugins = Path("/usr/lib/x86_64-linux-gnu/ganesha")
    golden("ganesha.conf", ganesha.render("10.77.0.1", 2049, Path("/run/muster/ganesha/10.77.0.1"), plugins, exports))
    with pytest.raises(RequestError, match="no network"):
        ganesha.render("10.77.0.1", 2049, Path("/r"), plugins, [Export(Path("/a"), Path("/a"), 1, ())])


def test_nodes_mount_on_addresses_of_version_4():
    assert ganesha.addresses(["10.77.0.1:80", "[fd00::1]:80", "10.88.0.1:80"]) == ["10.77.0.1", "10.88.0.1"]
    assert ganesha.addresses(["10.77.0.1:80", "0.0.0.0:80"]) == ["0.0.0.0"]


def test_a_folder_that_would_change_the_meaning_of_the_file_is_refused(tmp_path):
    with pytest.raises(RequestError, match="not usable"):
        nfs.exports(Paths(tmp_path / 'a"b'), Wanted((LAB,)))


def test_a_system_without_mtab_is_told_what_to_do(tmp_path, monkeypatch):
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    (paths.run / nfs.WANTED).write_text(nfs.render(Wanted((LAB,))))
    monkeypatch.setattr(ganesha, "installed", lambda: tmp_path)
    monkeypatch.setattr(ganesha, "MTAB", tmp_path / "mtab")
    with pytest.raises(MusterError, match=r"exports nothing without .*mtab"):
        ganesha.write(paths, "10.77.0.1", 2049)
