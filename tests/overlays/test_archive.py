"""The archive: the same bytes for the same result, and what busybox makes of it on a node."""

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from muster.overlays.archive import pack
from muster.overlays.library import Overlays
from muster.overlays.render import Laid, Renderer

from .conftest import Write


def item(
    path: str, kind: str = "file", mode: int = 0o644, content: bytes = b"", link: str = "", owner: int = 0
) -> Laid:
    return Laid(path, kind, mode, owner, owner, "both", "node", "a", f"files/{path}", content, link)


LAID = [
    item("etc/hosts", content=b"new\n"),
    item("etc/new/deep/file", mode=0o640, content=b"x"),
    item("etc/motd", "whiteout", 0o600),
    item("etc/localtime", "symlink", 0o777, link="/usr/share/zoneinfo/UTC"),
    item("etc/was-a-link", content=b"file now\n"),
    item("root/.ssh", "directory", 0o700),
    item("root/.ssh/authorized_keys", mode=0o600, content=b"key\n"),
    item("lib/inside", content=b"through the image's own link\n"),
    item("tmp/set-id", mode=0o4755, content=b"x"),
    item("etc/" + "a" * 200 + "/" + "b" * 200, content=b"long"),
    item("etc/größe", content=b"utf-8"),
]


def test_the_same_result_gives_the_same_bytes() -> None:
    data = pack(LAID)
    assert pack(list(reversed(LAID))) == data
    assert data[4:8] == bytes(4), "no time in the gzip header"
    assert b"root" not in gzip.decompress(pack([item("x")])), "owners are numbers only"


def test_bytes_do_not_depend_on_where_and_when(
    tmp_path: Path, write: Write, context: dict[str, object], renderer: Renderer
) -> None:
    digests = set()
    for site in ("one", "two"):
        file = write(f"{site}/a/files/etc/x.j2", "{{ node.name }}\n")
        os.utime(file, (len(site) + hash(site) % 1000, 1_000_000 + hash(site) % 1000))
        rendered = Overlays(tmp_path / site, shipped=tmp_path / "none", renderer=renderer).render(["a"], context)
        assert (rendered.sha256, rendered.size) == (hashlib.sha256(rendered.data).hexdigest(), len(rendered.data))
        digests.add(rendered.sha256)
    assert len(digests) == 1


def test_a_golden_digest() -> None:
    """Nodes compare digests over releases: the tar inside may change only knowingly."""
    plain = gzip.decompress(pack(LAID))
    assert hashlib.sha256(plain).hexdigest() == "b332052400468671b5833f93be6465a273ca2058dd0327527cee55b19f1d049d"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root as an image has it: modes that matter, symlinks in the way."""
    root = tmp_path / "root"
    for folder, mode in (("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("usr/lib", 0o755)):
        (root / folder).mkdir(parents=True)
        (root / folder).chmod(mode)
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/hosts").write_text("a much longer old file\n")
    (root / "etc/motd").write_text("old\n")
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    (root / "etc/was-a-link").symlink_to(tmp_path / "outside")
    return root


@pytest.mark.skipif(not shutil.which("busybox"), reason="needs busybox")
def test_busybox_lays_it_over_an_image(tmp_path: Path, image: Path) -> None:
    archive = tmp_path / "overlay.tar.gz"
    archive.write_bytes(pack(LAID))
    subprocess.run(["busybox", "tar", "-xzpf", archive], cwd=image, check=True, umask=0o022)
    modes = {path: (image / path).stat().st_mode & 0o7777 for path in ("root", "tmp", "etc", "etc/new", "etc/new/deep")}
    assert modes == {"root": 0o700, "tmp": 0o1777, "etc": 0o755, "etc/new": 0o755, "etc/new/deep": 0o755}
    for laid in LAID:
        if laid.kind == "file":
            assert (image / laid.path).read_bytes() == laid.content
            assert (image / laid.path).stat().st_mode & 0o7777 == laid.mode
    assert (image / "root/.ssh").stat().st_mode & 0o7777 == 0o700
    assert (image / "etc/localtime").readlink() == Path("/usr/share/zoneinfo/UTC")
    assert (image / "etc/.wh.motd").stat().st_size == 0
    assert (image / "usr/lib/inside").exists()
    assert (image / "lib").is_symlink()
    assert not (image / "etc/was-a-link").is_symlink()
    assert not (tmp_path / "outside").exists()
    assert (image / "etc/hosts").stat().st_mtime == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_busybox_sets_owners(tmp_path: Path) -> None:
    archive = tmp_path / "overlay.tar.gz"
    archive.write_bytes(pack([item("x", owner=1234)]))
    subprocess.run(["busybox", "tar", "-xzpf", archive], cwd=tmp_path, check=True)
    state = (tmp_path / "x").stat()
    assert (state.st_uid, state.st_gid) == (1234, 1234)
