"""The tree of an image as nodes mount it while it is edited: root opens it to them, and closes it again.

The mark in the image's folder is root's word: without it nothing exports the tree, whatever the controller's store
says. While it is there no build takes the tree away.
"""

from muster.host.files import locked, write_atomic
from muster.host.paths import LIVE_MARK
from muster.images import leaks
from muster.images.build import Workshop, lock_file, tree_of
from muster.model.errors import RequestError


def open_tree(workshop: Workshop, name: str, release: str, *, allow_secrets: bool) -> bool:
    """Let nodes mount the tree of image NAME, booted with kernel `release`; False when they may already.

    RequestError for secrets in the tree, or when it lacks the modules of that kernel; ConflictError while the image
    is being built or packed.
    """
    tree = tree_of(workshop, name)
    folder = workshop.folder(name)
    with locked(lock_file(folder), holder=f"another build or pack of image {name}"):
        if not allow_secrets:
            leaks.refuse(tree)
        if not tree.names(f"lib/modules/{release}"):
            raise RequestError(
                f"the tree of image {name} has no modules of kernel {release}, which nodes would boot it with",
                where=str(tree.root / "lib/modules"),
                hint=f"muster image pack {name} publishes the kernel that the tree has now",
            )
        if (folder / LIVE_MARK).is_file():
            return False
        write_atomic(folder / LIVE_MARK, b"")
    return True


def close_tree(workshop: Workshop, name: str) -> None:
    """Let nobody mount it any more."""
    (workshop.images / name / LIVE_MARK).unlink(missing_ok=True)
