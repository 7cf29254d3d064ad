"""From a tree to a version: what it says, that it is the same again, and when it is refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host import process
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


def segment(tree: Path, release: str, out: Path, extra: Path) -> SegmentReport:
    """A fixed modules segment: these trees hold no real modules."""
    out.write_bytes(f"modules of {release} in {tree.name}".encode())
    extra.write_bytes(b"an NFS client")
    missing = ("bnx2: bnx2/bnx2-mips-09-6.2.1b.fw",)
    return SegmentReport((), (), missing, 0, out.stat().st_size, ("scratch on a local disk",))


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
        f"kernel {RELEASE} has no modules for: scratch on a local disk",
    )
    assert version.extra is not None and version.extra in version.blobs and version.acls is None
    assert blobs.path(version.extra.sha256).read_bytes() == b"an NFS client"
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


ODD = ("etc/two words", "etc/-x", "etc/back\\slash", "etc/new\nline", "etc/\u00e4")


def set_acls(root: Path) -> None:
    """On the root itself, a folder with a default, files of odd names, and a file that a pack leaves out."""
    (root / "tmp").mkdir()
    for name in (*ODD, "tmp/x"):
        (root / name).write_text("x")
        process.run(["setfacl", "-m", "user:1234:rw,group:4321:r", root / name])
    process.run(["setfacl", "-m", "user:1000:rwx", "--", root])
    process.run(["setfacl", "-m", "user:1000:rx,default:user:1001:rwx", root / "etc"])


def acls_of(root: Path) -> dict[str, list[tuple[str, bytes]]]:
    names = ("system.posix_acl_access", "system.posix_acl_default")
    found = {}
    for path in (root, *root.rglob("*")):
        has = os.listxattr(path, follow_symlinks=False)
        if held := [(name, os.getxattr(path, name)) for name in names if name in has]:
            found[str(path.relative_to(root))] = held
    return found


@pytest.mark.root
def test_acls_come_back_as_they_were(workshop: Workshop, root: Path, blobs: Blobs, tmp_path: Path) -> None:
    set_acls(root)
    packed = make(workshop, blobs)
    assert packed.version.acls is not None and packed.version.acls in packed.version.blobs
    assert not any("ACL" in warning for warning in packed.warnings)
    out = tmp_path / "out"
    process.run(["unsquashfs", "-no-progress", "-quiet", "-d", out, blobs.path(packed.version.root.sha256)])
    assert not acls_of(out)
    process.run(["setfacl", f"--restore={blobs.path(packed.version.acls.sha256)}"], cwd=out)
    wanted = acls_of(root)
    assert wanted.pop("tmp/x") and set(wanted) == {".", "etc", *ODD}
    assert acls_of(out) == wanted


@pytest.mark.root
def test_acls_change_the_version_and_not_its_root(workshop: Workshop, root: Path, blobs: Blobs) -> None:
    bare = make(workshop, blobs).version
    process.run(["setfacl", "-m", "user:1000:rx", root / "etc"])
    first = make(workshop, blobs)
    process.run(["setfacl", "-m", "user:1000:r", root / "etc"])
    second = make(workshop, blobs)
    assert not first.reused and not second.reused
    assert bare.root == first.version.root == second.version.root
    assert len({bare.acls, first.version.acls, second.version.acls}) == 3
    again = make(workshop, blobs)
    assert again.reused and again.version == second.version


@pytest.mark.root
def test_the_size_in_a_tmpfs_is_what_a_tmpfs_says(workshop: Workshop, root: Path, blobs: Blobs, tmp_path: Path) -> None:
    (root / "odd").write_bytes(b"x" * 5001)
    os.link(root / "odd", root / "odd-again")
    with (root / "holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    (root / "zeros").write_bytes(bytes(1 << 20))
    (root / "long-link").symlink_to("x" * 200)
    (root / "tmp").mkdir()
    (root / "tmp/left-out").write_bytes(b"x" * 100_000)
    version = make(workshop, blobs).version
    mounted = tmp_path / "tmpfs"
    mounted.mkdir()
    process.run(["mount", "-t", "tmpfs", "tmpfs", mounted])
    try:
        process.run(["unsquashfs", "-no-progress", "-quiet", "-f", "-d", mounted, blobs.path(version.root.sha256)])
        status = os.statvfs(mounted)
        assert version.sizes["unpacked"] == (status.f_blocks - status.f_bfree) * status.f_frsize
    finally:
        process.run(["umount", mounted])
