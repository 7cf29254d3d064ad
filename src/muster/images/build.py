"""Recipe to tree: made aside, finished, renamed into place; a tree made before of the same things is reused."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from muster.host import process
from muster.host.clock import Clock
from muster.host.files import locked
from muster.host.paths import LIVE_MARK
from muster.images.finish import finish
from muster.images.progress import Progress
from muster.images.recipe import Recipe
from muster.images.shelf import Shelf, code_digest, discard
from muster.images.sources import apt, debian
from muster.images.tree import Tree
from muster.model.errors import CommandError, ConflictError, RequestError

ARCHIVE = ".tar.zst"
MADE_BY = ("recipe.py", "tree.py", "finish.py", "sources/apt.py", "sources/debian.py")
"""The files of this package that shape a tree."""

_TAR = ("--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--zstd")


@dataclass(frozen=True)
class Built:
    """Where the tree lies, and whether it came from the cache."""

    tree: Path
    reused: bool


@dataclass(frozen=True)
class Workshop:
    """Where images are made: `images` holds NAME/tree, `cache` earlier trees."""

    images: Path
    cache: Path
    clock: Clock

    def folder(self, name: str) -> Path:
        """The folder of one image, made if missing."""
        folder = self.images / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.cache / "trees")


def lock_file(folder: Path) -> Path:
    """One build, edit or pack of an image at a time."""
    return folder / "lock"


def build(workshop: Workshop, recipe: Recipe, *, fresh: bool, progress: Progress) -> Built:
    """Make `images/NAME/tree` what the recipe says now. `fresh` looks at no earlier tree.

    ConflictError when the image is being worked on, something is mounted in its tree, or nodes may run on it.
    """
    folder = workshop.folder(recipe.name)
    with locked(lock_file(folder), holder=f"another build or pack of image {recipe.name}"):
        refuse_mounts(folder)
        _refuse_live(folder)
        aside = folder / ".building"
        discard(aside)
        try:
            reused = _make(workshop, recipe, aside, fresh=fresh, progress=progress)
            _put_in_place(aside, folder / "tree")
        finally:
            discard(aside)
    return Built(folder / "tree", reused)


def _make(workshop: Workshop, recipe: Recipe, target: Path, *, fresh: bool, progress: Progress) -> bool:
    """The tree at `target`, from the cache if it has this one; whether it had."""
    sources = apt.sources(recipe.source)
    family = _family(recipe, sources)
    state = apt.state(sources, apt.ARCHITECTURES[recipe.architecture])
    shelf = workshop.shelf
    entry = shelf.newest(family) if state is None else shelf.find(f"{family}-{state.digest[:24]}{ARCHIVE}")
    if entry is not None and not fresh and _restore(shelf, entry, target, progress):
        progress("reused the tree built earlier" + ("" if state else "; the package sources do not answer"), 1.0)
        return True
    if state is None:
        raise CommandError(
            f"the package sources do not answer: {', '.join(source.url for source in sources)}",
            hint="mirrors can be named in the recipe: source.mirrors",
        )
    started = workshop.clock.now()
    debian.bootstrap(recipe, sources, state.date, target, progress)
    progress("finishing the tree", None)
    finish(Tree(target), recipe, started)
    _keep(shelf, f"{family}-{state.digest[:24]}{ARCHIVE}", target, progress)
    return False


def _family(recipe: Recipe, sources: tuple[apt.Source, ...]) -> str:
    """The name of all trees of this recipe from these sources by this code, whatever the sources offer."""
    parts = [recipe.key, code_digest(MADE_BY), *map(repr, sources)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _restore(shelf: Shelf, entry: Path, target: Path, progress: Progress) -> bool:
    progress("unpacking the tree built earlier", None)
    target.mkdir()
    try:
        process.run(["tar", "--extract", "--file", str(entry), *_TAR, "--preserve-permissions", "-C", str(target)])
    except CommandError as error:
        progress(f"the tree built earlier is damaged, building anew ({error.message.splitlines()[-1]})", None)
        shelf.drop(entry.name)
        discard(target)
        return False
    return True


def _keep(shelf: Shelf, name: str, tree: Path, progress: Progress) -> None:
    progress("keeping a copy of the tree for the next build", None)
    shelf.drop(name)
    with shelf.put(name) as aside:
        argv = ["tar", "--create", "--file", str(aside), "--format=posix", "--sparse", "--sort=name", *_TAR]
        process.run([*argv, "-C", str(tree), "."], env={"ZSTD_CLEVEL": "1", "ZSTD_NBTHREADS": "2"})


def _put_in_place(new: Path, tree: Path) -> None:
    old = tree.with_name(".replaced")
    discard(old)
    if tree.exists():
        tree.rename(old)
    new.rename(tree)
    discard(old)


def refuse_mounts(folder: Path) -> None:
    """Deleting a tree must never reach through a mount into this machine (proc(5), mountinfo)."""
    below = f"{folder.resolve()}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point.startswith(below):
            raise ConflictError("something is mounted inside the image", where=point, hint=f"umount {point}")


def _refuse_live(folder: Path) -> None:
    """A build puts a new tree in place of the old one, which would be gone under the nodes that run on it."""
    if (folder / LIVE_MARK).is_file():
        raise ConflictError(
            f"nodes may run on the tree of image {folder.name}: a build would take it away from them",
            hint=f"muster image live {folder.name} --off, or build with another --name",
        )


def tree_of(workshop: Workshop, name: str) -> Tree:
    """The tree of an image. RequestError when there is none."""
    tree = workshop.images / name / "tree"
    if not tree.is_dir():
        raise RequestError(f"image {name} has no tree", where=str(tree), hint="muster image build RECIPE")
    return Tree(tree)
