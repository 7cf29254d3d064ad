"""From a tree to a version: what it says, that it is the same again, and when it is refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host.clock import SystemClock
from muster.host.files import locked
from muster.images import transfer, verity
from muster.images.build import Workshop, lock_file
from muster.images.initramfs import SegmentReport
from muster.images.pack import Options, Packed, pack
from muster.images.progress import silent
from muster.model.errors import ConflictError, RequestError
from muster.store.blobs import Blobs

RELEASE = "6.1.0-40-amd64"
FAST = Options(level=3)


def segment(tree: Path, release: str, out: Path) -> SegmentReport:
    """A fixed modules segment: these trees hold no real modules."""
    out.write_bytes(f"modules of {release} in {tree.name}".encode())
    return SegmentReport((), (), ("bnx2: bnx2/bnx2-mips-09-6.2.1b.fw",), 0, out.stat().st_size)


@pytest.fixture
def workshop(tree: Path, tmp_path: Path) -> Workshop:
    """A workshop whose image `x` is the hand-made tree."""
    (tmp_path / "images/x").mkdir(parents=True)
    tree.rename(tmp_path / "images/x/tree")
    return Workshop(tmp_path / "images", tmp_path / "cache", SystemClock())


@pytest.fixture
def root(workshop: Workshop) -> Path:
    return workshop.images / "x/tree"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def make(workshop: Workshop, blobs: Blobs, options: Options = FAST) -> Packed:
    return pack(workshop, "x", blobs, options, silent, segment=segment)


def test_a_version_says_what_it_is(workshop: Workshop, blobs: Blobs) -> None:
    packed = make(workshop, blobs)
    version = packed.version
    assert (version.image, version.distribution, version.architecture) == ("x", "debian 12", "x86_64")
    assert version.kernel_release == RELEASE
    assert blobs.path(version.kernel.sha256).read_bytes() == b"kernel " * 1000
    assert blobs.path(version.packages.sha256).read_text() == "bash 5.2-1\nzlib1g 1:1.2\n"
    assert (version.features.init, version.features.network, version.features.time) == ("systemd", "networkd", "none")
    assert version.name == f"x@{transfer.digest(packed.document())[:12]}"
    assert packed.warnings == (
        "1 firmware files that the network and storage drivers name are not in the image: "
        "bnx2: bnx2/bnx2-mips-09-6.2.1b.fw",
    )
    for blob in version.blobs:
        blobs.verify(blob)
    verity.verify(blobs.path(version.root.sha256), version.verity)


def test_the_same_tree_elsewhere_is_the_same_version(workshop: Workshop, blobs: Blobs, tmp_path: Path) -> None:
    first = make(workshop, blobs).version
    shutil.rmtree(tmp_path / "cache")
    second = make(workshop, Blobs(tmp_path / "other"))
    assert second.version == first
    assert not second.reused


def test_an_unchanged_tree_is_not_packed_again(workshop: Workshop, blobs: Blobs, tmp_path: Path) -> None:
    first = make(workshop, blobs)
    other = Blobs(tmp_path / "other")
    again = make(workshop, other)
    assert again.reused
    assert again.version == first.version
    for blob in again.version.blobs:
        other.verify(blob)


def change_text(root: Path) -> None:
    """Same length and times: only the content tells."""
    before = (root / "etc/passwd").stat()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/SH\n")
    os.utime(root / "etc/passwd", ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        change_text,
        lambda root: (root / "etc/passwd").chmod(0o600),
        lambda root: os.setxattr(root / "etc/passwd", "user.note", b"1"),
        lambda root: (root / "etc/new").symlink_to("x"),
        lambda root: os.link(root / "etc/passwd", root / "etc/second"),
    ],
    ids=["content", "mode", "xattr", "link", "hard link"],
)
def test_a_changed_tree_is_another_version(
    workshop: Workshop, root: Path, blobs: Blobs, change: Callable[[Path], object]
) -> None:
    first = make(workshop, blobs)
    change(root)
    second = make(workshop, blobs)
    assert not second.reused
    assert second.version.root != first.version.root


def test_a_damaged_cache_is_not_believed(workshop: Workshop, blobs: Blobs, tmp_path: Path) -> None:
    first = make(workshop, blobs).version
    shutil.copytree(tmp_path / "cache", tmp_path / "apart")
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "apart").rename(tmp_path / "cache")
    for file in (tmp_path / "cache").rglob(first.root.sha256):
        file.write_bytes(b"rot")
    again = make(workshop, blobs)
    assert not again.reused
    assert again.version == first


def test_a_blob_that_the_store_lost_comes_back_from_the_cache(workshop: Workshop, blobs: Blobs) -> None:
    version = make(workshop, blobs).version
    blobs.path(version.root.sha256).unlink()
    assert make(workshop, blobs).reused
    blobs.verify(version.root)


def test_secrets_are_refused_unless_allowed(workshop: Workshop, root: Path, blobs: Blobs) -> None:
    (root / "etc/shadow").write_text("root:$y$j9T$x$y:19000:0:99999:7:::\n")
    with pytest.raises(RequestError, match="etc/shadow: password hashes of root"):
        make(workshop, blobs)
    assert not blobs.folder.exists()
    assert make(workshop, blobs, Options(level=3, allow_secrets=True)).version


def test_a_tree_whose_files_point_at_the_host_tells_nothing_of_it(workshop: Workshop, root: Path, blobs: Blobs) -> None:
    (root / "usr/lib/os-release").unlink()
    (root / "etc/os-release").symlink_to("/../../../../../../etc/debian_version")
    (root / "var/lib/dpkg/status").unlink()
    (root / "var/lib/dpkg/status").symlink_to("../../../../../../../../var/lib/dpkg/status-old")
    packed = make(workshop, blobs)
    assert packed.version.distribution == "unknown"
    assert "no package database: the package list is empty" in packed.warnings


def test_a_tree_that_is_being_worked_on_is_refused(workshop: Workshop, blobs: Blobs) -> None:
    with (
        locked(lock_file(workshop.folder("x"))),
        pytest.raises(ConflictError, match="another build or pack of image x"),
    ):
        make(workshop, blobs)


def test_an_image_without_a_tree_says_how_to_make_one(workshop: Workshop, blobs: Blobs) -> None:
    with pytest.raises(RequestError, match="image y has no tree"):
        pack(workshop, "y", blobs, FAST, silent, segment=segment)


def test_what_a_killed_pack_left_is_removed(workshop: Workshop, blobs: Blobs) -> None:
    left = workshop.images / "x/.packing/root"
    left.parent.mkdir()
    left.write_bytes(b"half")
    make(workshop, blobs)
    assert not left.parent.exists()


@pytest.mark.root
def test_acls_that_get_lost_are_named(workshop: Workshop, root: Path, blobs: Blobs) -> None:
    acl = b"\x02\0\0\0" + bytes.fromhex(
        "01000700ffffffff02000400e803000004000500ffffffff10000700ffffffff20000500ffffffff"
    )
    os.setxattr(root / "etc", "system.posix_acl_access", acl)
    assert any("lost on 1 paths: etc" in warning for warning in make(workshop, blobs).warnings)
