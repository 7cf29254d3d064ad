"""Debian by mmdebstrap: packages of a suite, unpacked and configured into a folder."""

import os
import re
import tempfile
from pathlib import Path
from typing import IO

from muster.host import process
from muster.images.progress import Progress
from muster.images.recipe import Recipe
from muster.images.sources.apt import ARCHITECTURES, Source, settings
from muster.images.tree import Tree
from muster.model.errors import CommandError, RequestError

CONTAINED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Own mounts and processes: whatever ends this program ends them all, and no mount stays in the tree."""

DPKG_OPTIONS = ("force-unsafe-io", "path-exclude=/etc/kernel/postinst.d/initramfs-tools")
"""A tree that a crash leaves half-made is never used, so no fsync; nodes boot by our initramfs, so none is made."""

OURS = ("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap")
"""What mmdebstrap leaves of these options in the tree."""

HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_STEPS = 8
_STEP = re.compile(r"^I: (.*?)\.*$")


def bootstrap(recipe: Recipe, sources: tuple[Source, ...], epoch: int, target: Path, progress: Progress) -> None:
    """Make the tree at `target`, which must not exist. RequestError without root, CommandError when it fails.

    `epoch` (unix time) is what maintainer scripts take for today.
    """
    if os.geteuid() != 0:
        raise RequestError("building an image needs root", hint="sudo muster image build ...")
    architecture = ARCHITECTURES[recipe.architecture]
    with tempfile.TemporaryFile() as lines, tempfile.NamedTemporaryFile() as apt:
        lines.write("".join(f"{source.line(architecture)}\n" for source in sources).encode())
        lines.seek(0)
        apt.write(settings().encode())
        apt.flush()
        argv = ["mmdebstrap", "--mode=root", "--variant=essential", f"--architectures={architecture}"]
        argv += [f"--include={','.join(_packages(recipe))}", f"--hook-dir={HOOKS}", f"--aptopt={apt.name}"]
        argv += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
        _follow([*_container(), *argv, recipe.source.suite, str(target), "-"], lines, epoch, progress)
    for path in OURS:
        Tree(target).remove(path)


def _packages(recipe: Recipe) -> list[str]:
    """`usr-is-merged` spares the usrmerge program and the whole of Perl with it."""
    wanted = ["usr-is-merged", *recipe.packages, *([recipe.kernel] if recipe.kernel else [])]
    return list(dict.fromkeys(wanted))


def _container() -> list[str]:
    """Nothing of a build outlives us; without the right to namespaces at least its first process does not."""
    may = process.run([*CONTAINED, "true"], check=False).status == 0
    return ["setpriv", "--pdeathsig", "KILL", *(CONTAINED if may else [])]


def _follow(argv: list[str], sources: IO[bytes], epoch: int, progress: Progress) -> None:
    """Run mmdebstrap, each of its steps a progress line; CommandError carries the end of what it said."""
    reading, writing = os.pipe()
    env = {"SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C.UTF-8", "TMPDIR": tempfile.gettempdir()}
    child = process.start(argv, stdin=sources, stdout=writing, stderr=writing, env=env)
    os.close(writing)
    said: list[str] = []
    done = 0
    try:
        with os.fdopen(reading, errors="replace") as output:
            for line in output:
                said = [*said[-40:], line.rstrip()]
                if step := _STEP.match(line):
                    done += 1
                    progress(step.group(1), min(done / _STEPS, 1.0))
    except BaseException:
        child.kill()
        raise
    finally:
        status = child.wait()
    if status:
        raise CommandError("\n".join([f"exit status {status} from mmdebstrap", *said[-25:]]))
