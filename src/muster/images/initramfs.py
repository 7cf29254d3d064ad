"""The two segments of the initramfs: `modules`, from an image's kernel, and `node`, from this release.

Each is a newc cpio, compressed by zstd and padded with zeros to 512 bytes; the same inputs give the same
bytes. The loader concatenates them (DESIGN section 2, step 4). Modules that only some roots need are `extra`:
a third cpio, by gzip, which busybox on the node unpacks.
"""

import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import IO

from muster.host import cpio, process
from muster.images import drivers
from muster.model.errors import RequestError

NODE = Path(__file__).parent.parent / "node"
ZSTD = ("zstd", "-19", "-T0", "-q", "-c")
"""For what the loader hands to the kernel."""
GZIP = ("gzip", "-9", "-n", "-c")
"""For what busybox unpacks, which knows no zstd."""
UNPACKERS = {".xz": ("xz", "-dc"), ".zst": ("zstd", "-dcq"), ".gz": ("gzip", "-dc")}
TABLES = ("modules.dep", "modules.alias", "modules.builtin")
"""What busybox's modprobe reads; the binary indexes of kmod are left out."""
LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
"""What depmod reads beside the modules."""


@dataclass(frozen=True)
class SegmentReport:
    """What went into a modules segment, with sizes in bytes; `missing_firmware` names firmware as `module: file`
    that a driver may ask for and the image does not hold, `lacking` what this kernel cannot do for a root."""

    modules: tuple[str, ...]
    firmware: tuple[str, ...]
    missing_firmware: tuple[str, ...]
    unpacked: int
    size: int
    lacking: tuple[str, ...] = ()


def modules_segment(tree: Path, release: str, out: Path, extra: Path | None = None) -> SegmentReport:
    """Write the modules segment for kernel `release` of an unpacked image, and to `extra` what only some roots need.

    The tables in the segment know both. Raises RequestError when the tree has no such kernel or its modules were
    never indexed.
    """
    source = _modules_folder(tree, release)
    chosen = choose(source)
    more = [name for name in choose(source, drivers.EXTRA) if name not in chosen]
    with tempfile.TemporaryDirectory(dir=out.parent) as bench:
        staged = Path(bench)
        folder = staged / "lib/modules" / release
        modules = [*_stage(source, chosen, folder)]
        extra_modules = [*_stage(source, more, folder)]
        _stage_lists(source, folder)
        process.run(["depmod", "-b", staged, release])
        names = _names_of_firmware(modules)
        found = {name: file for name in sorted(set(names)) if (file := _firmware(tree, name))}
        tables = [table for name in TABLES if (table := folder / name).is_file()]
        entries = [*_modules_entries(staged, [*modules, *tables]), *_firmware_entries(found.values())]
        _segment(_sorted(entries), out)
        if extra is not None:
            _compressed(_sorted(_modules_entries(staged, extra_modules)), extra, GZIP)
        unpacked = sum(e.data.stat().st_size for e in entries if isinstance(e.data, Path))
    missing = sorted(f"{module}: {name}" for name, users in names.items() if name not in found for module in users)
    return SegmentReport(
        tuple(PurePosixPath(name).name.partition(".")[0] for name in chosen),
        tuple(name for name, _ in found.values()),
        tuple(missing),
        unpacked,
        out.stat().st_size,
        tuple(what for module, what in drivers.NEEDED.items() if not _has(source, module)),
    )


def node_segment(out: Path, *, release: str, busybox: Path | None = None) -> Path:
    """Write the node segment of Muster `release`: busybox and the scripts of `muster/node`.

    Raises RequestError when there is no statically linked busybox.
    """
    _segment(_sorted(_node_entries(release, _static(busybox))), out)
    return out


def node_inputs() -> list[Path]:
    """The files whose contents, with the release, decide the node segment's bytes: for the caller's cache."""
    return [_static(None), *_scripts()]


def choose(source: Path, wanted: tuple[str, ...] = drivers.WANTED) -> list[str]:
    """The modules of a kernel (paths below its folder, in order) that patterns of `drivers` find,
    with all they depend on, softly too."""
    needs = _dependencies(source)
    aliases = {_module(name): name for name in needs}
    soft = _soft_dependencies(source)
    todo = [name for name in needs if _fits(name, wanted) and not _fits(name, drivers.UNWANTED)]
    chosen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in chosen:
            continue
        chosen.add(name)
        todo += needs[name]
        todo += [aliases[other] for other in soft.get(_module(name), ()) if other in aliases]
    return sorted(chosen)


def _modules_folder(tree: Path, release: str) -> Path:
    # usr/lib first: in an image /lib may be an absolute link, which would lead out of the tree
    for place in ("usr/lib/modules", "lib/modules"):
        folder = tree / place / release
        if (folder / "modules.dep").is_file():
            return folder
    raise RequestError(
        f"no indexed modules of kernel {release}",
        where=str(tree),
        hint=f"install the kernel's package in the image, or run: depmod -b {tree} {release}",
    )


def _dependencies(source: Path) -> dict[str, list[str]]:
    lines = (source / "modules.dep").read_text().splitlines()
    return {name: needs.split() for name, _, needs in (line.partition(":") for line in lines)}


def _soft_dependencies(source: Path) -> dict[str, list[str]]:
    file = source / "modules.softdep"
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines() if file.is_file() else ():
        words = line.split()
        if words[:1] == ["softdep"]:
            found.setdefault(words[1].replace("-", "_"), []).extend(
                word.replace("-", "_") for word in words[2:] if not word.endswith(":")
            )
    return found


def _module(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[0].replace("-", "_")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return bool(_pattern(patterns).fullmatch(name.removeprefix("kernel/").partition(".ko")[0]))


def _has(source: Path, module: str) -> bool:
    """Whether the kernel has it, as a module or built in."""
    builtin = source / "modules.builtin"
    names = [*_dependencies(source), *(builtin.read_text().splitlines() if builtin.is_file() else ())]
    return module in map(_module, names)


@cache
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    plain = (re.escape(p) for pattern in patterns for p in _alternatives(pattern))
    return re.compile("|".join(p.replace(r"\*\*", ".*").replace(r"\*", "[^/]*") for p in plain))


def _alternatives(pattern: str) -> Iterator[str]:
    """`a{b,c}d` is `abd` and `acd`."""
    parts = [part.split(",") if odd % 2 else [part] for odd, part in enumerate(re.split(r"[{}]", pattern))]
    return ("".join(words) for words in product(*parts))


def _stage(source: Path, chosen: Iterable[str], target: Path) -> Iterator[Path]:
    """Lay the modules out for depmod, uncompressed: the segment's own compression does better. Where each lies."""
    for name in chosen:
        file = source / name
        unpacker = UNPACKERS.get(file.suffix)
        place = target / (name.removesuffix(file.suffix) if unpacker else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if unpacker is None:
            shutil.copyfile(file, place)
        else:
            with place.open("wb") as out:
                process.run([*unpacker, file], stdout=out)
        yield place


def _stage_lists(source: Path, target: Path) -> None:
    for name in LISTS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _names_of_firmware(modules: Iterable[Path]) -> dict[str, list[str]]:
    """Each firmware file that the staged modules name, and the modules that name it."""
    found: dict[str, list[str]] = {}
    module = ""
    for line in process.run(["modinfo", *sorted(modules)]).text.splitlines():
        key, _, value = line.partition(":")
        if key == "filename":
            module = _module(value.strip())
        elif key == "firmware":
            found.setdefault(value.strip(), []).append(module)
    return found


def _firmware(tree: Path, name: str) -> tuple[str, Path] | None:
    """Name below /lib/firmware and place of a firmware file, compressed or not, within the image."""
    for folder in ("usr/lib/firmware", "lib/firmware"):
        for ending in ("", ".xz", ".zst"):
            file = (tree / folder / (name + ending)).resolve()
            if file.is_file() and file.is_relative_to(tree.resolve()):
                return name + ending, file
    return None


def _modules_entries(staged: Path, files: Iterable[Path]) -> Iterator[cpio.Entry]:
    return (cpio.file(str(file.relative_to(staged)), file) for file in files)


def _firmware_entries(found: Iterable[tuple[str, Path]]) -> Iterator[cpio.Entry]:
    return (cpio.file(f"lib/firmware/{name}", file) for name, file in found)


def _static(busybox: Path | None) -> Path:
    found = busybox or next((Path(p) for p in (shutil.which("busybox"),) if p), None)
    if found is None or b"/ld-" in found.read_bytes()[:4096]:
        raise RequestError("no statically linked busybox for the nodes", hint="apt-get install busybox-static")
    return found


def _scripts() -> list[Path]:
    return sorted(file for file in NODE.iterdir() if file.is_file() and not file.name.startswith(("_", ".")))


def _node_entries(release: str, busybox: Path) -> Iterator[cpio.Entry]:
    for name in ("dev", "etc", "newroot", "proc", "root", "run", "sys", "tmp"):
        yield cpio.folder(name)
    yield cpio.characters("dev/console", 5, 1)
    yield cpio.file("bin/busybox", busybox, 0o755)
    yield cpio.link("bin/sh", "busybox")
    # the kernel itself calls this path, for modules that it finds it needs
    yield cpio.link("sbin/modprobe", "../bin/busybox")
    yield cpio.file("etc/muster-release", f"{release}\n".encode())
    for script in _scripts():
        data = script.read_bytes()
        place = "init" if script.name == "init" else f"lib/muster/{script.name}"
        yield cpio.file(place, data, 0o755 if data.startswith(b"#!") else 0o644)


def _sorted(entries: Iterable[cpio.Entry]) -> list[cpio.Entry]:
    """In order, with the folders that the names imply."""
    named = {entry.name: entry for entry in entries}
    for name in list(named):
        for parent in PurePosixPath(name).parents:
            if parent.parts:
                named.setdefault(str(parent), cpio.folder(str(parent)))
    return [named[name] for name in sorted(named)]


def _segment(entries: list[cpio.Entry], out: Path) -> None:
    _compressed(entries, out, ZSTD)
    with out.open("r+b") as packed:
        _pad(packed)


def _compressed(entries: list[cpio.Entry], out: Path, by: tuple[str, ...]) -> None:
    with tempfile.TemporaryFile(dir=out.parent) as plain:
        cpio.write(plain, entries)
        plain.seek(0)
        with out.open("wb") as packed:
            process.run(by, stdin=plain, stdout=packed)
    out.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)


def _pad(file: IO[bytes]) -> None:
    file.seek(0, 2)
    file.write(bytes(-file.tell() % cpio.BLOCK))
