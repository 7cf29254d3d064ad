"""Tree to version: kernel, modules segment, squashfs with verity, package list, and the manifest naming them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from muster.host import process
from muster.host.files import locked
from muster.images import acls, fingerprint, initramfs, kernel, leaks, software, squashfs, verity
from muster.images.build import Workshop, lock_file, tree_of
from muster.images.progress import Progress
from muster.images.shelf import Shelf, code_digest, discard
from muster.images.transfer import digest, export_version, import_version
from muster.images.tree import Tree
from muster.model.errors import CommandError, RequestError
from muster.model.objects import Blob, Version
from muster.store.blobs import Blobs

MADE_BY = (
    "acls.py",
    "drivers.py",
    "fingerprint.py",
    "initramfs.py",
    "kernel.py",
    "pack.py",
    "software.py",
    "squashfs.py",
    "tree.py",
    "verity.py",
    "../host/cpio.py",
)
"""The source files that shape a version, from this folder."""

KEPT_VERSIONS = 4


@dataclass(frozen=True)
class Options:
    """How to pack. `level` is zstd's for the squashfs, `kernel` a release when the newest is not wanted."""

    level: int = 15
    kernel: str | None = None
    allow_secrets: bool = False


@dataclass(frozen=True)
class Packed:
    """A version whose blobs are stored; `warnings` are sentences for the person who packed it."""

    version: Version
    warnings: tuple[str, ...]
    reused: bool

    def document(self) -> dict[str, object]:
        """The manifest as plain data."""
        return self.version.manifest()


Segment = Callable[[Path, str, Path, Path], initramfs.SegmentReport]
"""As initramfs.modules_segment: tree, release, where the segment and where the extra modules go."""


def pack(
    workshop: Workshop,
    name: str,
    blobs: Blobs,
    options: Options,
    progress: Progress,
    *,
    segment: Segment = initramfs.modules_segment,
) -> Packed:
    """Publish the blobs of a version of image NAME; registering it is the caller's.

    A tree that was packed before, byte for byte, gives its earlier version again. RequestError for secrets in the
    tree or no single newest kernel; ConflictError while the image is being built or packed.
    """
    tree = tree_of(workshop, name)
    folder = workshop.folder(name)
    with locked(lock_file(folder), holder=f"another build or pack of image {name}"):
        if not options.allow_secrets:
            leaks.refuse(tree)
        progress("reading the tree", None)
        survey = fingerprint.survey(tree)
        warnings = _warnings(tree)
        shelf = Shelf(workshop.cache / "versions", KEPT_VERSIONS)
        key = _key(name, survey, options)
        if (version := _earlier(shelf, key, blobs)) is not None:
            progress("the tree is as it was when last packed: reused that version", 1.0)
            return Packed(version, warnings, reused=True)
        with _bench(folder) as bench:
            version, missing = _make(tree, name, survey, blobs, options, bench, progress, segment)
        with shelf.put(key) as aside:
            export_version(blobs, version, aside, link=True)
        return Packed(version, (*warnings, *missing), reused=False)


def _make(
    tree: Tree,
    name: str,
    survey: fingerprint.Survey,
    blobs: Blobs,
    options: Options,
    bench: Path,
    progress: Progress,
    segment: Segment,
) -> tuple[Version, tuple[str, ...]]:
    release, kernel_path = kernel.choose(tree, options.kernel)
    progress(f"kernel {release} and its modules segment", 0.1)
    report = segment(tree.root, release, bench / "modules", bench / "extra")
    progress(f"squashfs, zstd level {options.level}", 0.2)
    squashfs.make(tree, bench / "root", level=options.level)
    progress("verity hash tree", 0.9)
    table = verity.append(bench / "root")
    progress("storing the blobs", 0.95)
    content: dict[str, object] = {
        "image": name,
        "distribution": software.distribution(tree),
        "architecture": software.architecture(tree),
        "kernel_release": release,
        "kernel": blobs.put_bytes(tree.read(kernel_path) or b""),
        "modules": blobs.put_file(bench / "modules", move=True),
        "root": blobs.put_file(bench / "root", move=True),
        "verity": table,
        "packages": _package_list(tree, blobs),
        "features": software.features(tree),
        "extra": blobs.put_file(bench / "extra", move=True),
        "acls": blobs.put_bytes(acls.read(tree, survey.acl)) if survey.acl else None,
        "sizes": {"tree": survey.size, "unpacked": survey.unpacked},
    }
    return _named(content), (*_missing_firmware(report.missing_firmware), *_lacking(release, report.lacking))


def _named(content: dict[str, object]) -> Version:
    """The version whose name and digest follow from its content."""
    blank = Version.model_validate({**content, "name": f"{content['image']}@{'0' * 12}", "digest": "0" * 64})
    found = digest(blank.manifest())
    return blank.model_copy(update={"name": f"{blank.image}@{found[:12]}", "digest": found})


def _package_list(tree: Tree, blobs: Blobs) -> Blob:
    return blobs.put_bytes("".join(f"{line}\n" for line in software.packages(tree)).encode())


def _warnings(tree: Tree) -> tuple[str, ...]:
    return () if software.packages(tree) else ("no package database: the package list is empty",)


def _lacking(release: str, lacking: tuple[str, ...]) -> tuple[str, ...]:
    return (f"kernel {release} has no modules for: {', '.join(lacking)}",) if lacking else ()


def _missing_firmware(missing: tuple[str, ...]) -> tuple[str, ...]:
    if not missing:
        return ()
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    return (f"{len(missing)} firmware files that the network and storage drivers name are not in the image: {shown}",)


def _key(name: str, survey: fingerprint.Survey, options: Options) -> str:
    """All that shapes a version: name, tree, options, our code and the tools' versions."""
    tools = [
        process.run(argv, check=False).text.splitlines()[:1] for argv in (["mksquashfs", "-version"], ["zstd", "-V"])
    ]
    parts = (name, survey.fingerprint, options.level, options.kernel, code_digest(MADE_BY), tools)
    return fingerprint.of(parts)


def _earlier(shelf: Shelf, key: str, blobs: Blobs) -> Version | None:
    if (folder := shelf.find(key)) is None:
        return None
    try:
        return import_version(folder, blobs, link=True)
    except RequestError:
        shelf.drop(key)
        return None


@contextmanager
def _bench(folder: Path) -> Iterator[Path]:
    """A folder for files in the making, on the images' file system; what a killed pack left there goes first."""
    bench = folder / ".packing"
    discard(bench)
    try:
        bench.mkdir(mode=0o700)
        yield bench
    except OSError as error:
        raise CommandError(f"cannot pack: {error.strerror}", where=str(folder)) from error
    finally:
        discard(bench)
