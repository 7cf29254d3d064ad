"""Lets the lab's unprivileged controller read this program where only root can, such as a clone below /root.

Only in the lab's own mount namespace: a closed folder is covered by an empty one that everybody may pass,
and just the folders that the program needs are laid into it again.
"""

import stat
import sys
from collections.abc import Iterable
from pathlib import Path

import muster
from muster.host import process

TIME_LIMIT = 10.0


def needed() -> tuple[Path, ...]:
    """The folders this program runs from: the interpreter's environment and the package."""
    return (Path(sys.prefix), Path(muster.__file__).parent.parent)


def closed_above(folders: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """Each topmost folder that not everybody may pass, with the wanted `folders` below it."""
    found: dict[Path, tuple[Path, ...]] = {}
    for folder in folders:
        for ancestor in reversed(folder.parents):
            if not ancestor.stat().st_mode & stat.S_IXOTH:
                found[ancestor] = (*found.get(ancestor, ()), folder)
                break
    return found


def commands(closed: dict[Path, tuple[Path, ...]], bench: Path) -> list[list[str]]:
    """The mounts that open them, in order; `bench` is an empty folder to hold a folder while it is covered."""
    steps: list[list[str]] = []
    for cover, folders in closed.items():
        steps.append(["mount", "-t", "tmpfs", "-o", "mode=755", "muster-lab", str(bench)])
        for number, folder in enumerate(folders):
            steps.append(["mkdir", str(bench / str(number))])
            steps.append(["mount", "--bind", str(folder), str(bench / str(number))])
        steps.append(["mount", "-t", "tmpfs", "-o", "mode=755", "muster-lab", str(cover)])
        for number, folder in enumerate(folders):
            steps.append(["mkdir", "-p", str(folder)])
            steps.append(["mount", "--bind", str(bench / str(number)), str(folder)])
        steps.append(["umount", "--recursive", str(bench)])
    return steps


def open_up(bench: Path) -> None:
    """Do it, in this mount namespace. CommandError when a mount is refused."""
    closed = closed_above(needed())
    if not closed:
        return
    bench.mkdir(exist_ok=True)
    for command in commands(closed, bench):
        process.run(command, timeout=TIME_LIMIT)
