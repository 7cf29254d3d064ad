"""The POSIX ACLs of a tree, which a squashfs cannot hold, as text for `setfacl --restore` (getfacl(1), setfacl(1))."""

from collections.abc import Sequence

from muster.host import process
from muster.images.tree import Tree

AT_ONCE = 500
"""Paths of one command line."""


def read(tree: Tree, paths: Sequence[str]) -> bytes:
    """The ACLs of these paths, in their order, owners by number; the names in it are relative to the tree's root."""
    found = b""
    for start in range(0, len(paths), AT_ONCE):
        some = [path or "." for path in paths[start : start + AT_ONCE]]
        argv = ["getfacl", "--numeric", "--physical", "--", *some]
        found += process.run(argv, cwd=tree.root, env={"LC_ALL": "C"}).stdout
    return found
