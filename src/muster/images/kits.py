"""Kits: programs of this machine's own packages, with the libraries they load, for nodes that need them to make a root.

A kit is a gzip tar (busybox unpacks it) of `kit/bin/PROGRAM` and `kit/lib/LIBRARY`; the loader among the libraries
starts the programs: `kit/lib/ld-linux-x86-64.so.2 --library-path kit/lib kit/bin/dmsetup`. Same files, same bytes.
"""

import gzip
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from muster.host import process
from muster.model.errors import CommandError, NotFoundError
from muster.model.kits import KITS, packages

SYSTEM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Looked through after PATH, which often lacks sbin."""
LEVEL = 6
"""Of gzip: 9 gains half a percent, and makes the first start wait for it."""

_PLAIN_ENVIRONMENT = {"LC_ALL": "C", "LD_LIBRARY_PATH": "", "LD_PRELOAD": ""}


def files(kit: str) -> dict[str, Path]:
    """What a kit holds, by its names in the archive. NotFoundError when a program is missing here."""
    found: dict[str, Path] = {}
    for program in KITS[kit]:
        path = shutil.which(program.name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")
        if path is None:
            raise NotFoundError(f"{program.name} is missing", hint=f"apt-get install {packages(kit)}")
        found[f"kit/bin/{program.name}"] = Path(path).resolve()
        found.update((f"kit/lib/{name}", library) for name, library in _libraries(Path(path)))
    return found


def make(contents: Mapping[str, Path], out: Path) -> Path:
    """Write the archive of these files (names to paths)."""
    with (
        out.open("wb") as file,
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, path in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o755
            with path.open("rb") as data:
                archive.addfile(member, data)
    return out


def _libraries(program: Path) -> Iterator[tuple[str, Path]]:
    """Name and place of each shared library that ldd(1) tells of, the loader too; none for a static program."""
    done = process.run(["ldd", program], env=_PLAIN_ENVIRONMENT, check=False)
    for line in done.text.splitlines():
        words = line.split()
        if words[1:4] == ["=>", "not", "found"]:
            raise CommandError(f"the library {words[0]} is missing", where=str(program), hint=f"ldd {program}")
        if words[1:2] == ["=>"]:
            yield words[0], _for_any_processor(Path(words[2]))
        elif words[0].startswith("/") and len(words) == 2:
            yield Path(words[0]).name, Path(words[0]).resolve()


def _for_any_processor(library: Path) -> Path:
    """Not the build for processors like this machine's (`DIR/glibc-hwcaps/x86-64-v3/NAME`) but the plain one."""
    special = library.parent.parent
    return (special.parent / library.name if special.name == "glibc-hwcaps" else library).resolve()
