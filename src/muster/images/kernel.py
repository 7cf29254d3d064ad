"""Which kernels a tree holds, and the newest of them by a comparison of versions, never of strings."""

import re
from functools import cmp_to_key
from itertools import takewhile, zip_longest

from muster.images.tree import Tree
from muster.model.errors import RequestError

_RELEASE = re.compile(r"[A-Za-z0-9._+~-]{1,128}")


def kernels(tree: Tree) -> dict[str, str]:
    """Kernel release to path in the tree, for every kernel that has its modules beside it."""
    found: dict[str, str] = {}
    for release in tree.names("lib/modules"):
        for path in (f"boot/vmlinuz-{release}", f"lib/modules/{release}/vmlinuz"):
            if _RELEASE.fullmatch(release) and release not in found and tree.is_file(path):
                found[release] = path
    return found


def choose(tree: Tree, wanted: str | None = None) -> tuple[str, str]:
    """Release and path of the kernel to pack: the wanted one, else the newest.

    RequestError when there is none, or two flavours of the newest version and nobody said which.
    """
    found = kernels(tree)
    if wanted is not None:
        if wanted not in found:
            raise RequestError(f"no kernel {wanted!r}", where=str(tree.root), hint=f"there are: {_list(found)}")
        return wanted, found[wanted]
    if not found:
        raise RequestError(
            "no kernel: neither boot/vmlinuz-RELEASE nor lib/modules/RELEASE/vmlinuz with lib/modules/RELEASE",
            where=str(tree.root),
            hint="name one in the recipe, such as `kernel: linux-image-amd64`",
        )
    order = sorted(found, key=cmp_to_key(compare))
    rivals = [release for release in order if _number(release) == _number(order[-1])]
    if len(rivals) > 1:
        raise RequestError(
            f"several flavours of the newest kernel: {_list(rivals)}", hint="choose with --kernel RELEASE"
        )
    return order[-1], found[order[-1]]


def compare(left: str, right: str) -> int:
    """Negative, 0 or positive as `left` is older, equal or newer: deb-version(7)'s order, `-rc` before the release."""
    for a, b in zip_longest(_pieces(left), _pieces(right), fillvalue=("", 0)):
        if (order := _compare_words(a[0], b[0]) or a[1] - b[1]) != 0:
            return order
    return 0


def _pieces(version: str) -> list[tuple[str, int]]:
    version = version.replace("-rc", "~rc")
    return [(word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", version) if word or digits]


def _compare_words(left: str, right: str) -> int:
    ranks = zip_longest(map(_rank, left), map(_rank, right), fillvalue=0)
    return next((a - b for a, b in ranks if a != b), 0)


def _rank(character: str) -> int:
    """`~` before the end, the end before letters, letters before all else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _number(release: str) -> str:
    """The release without its flavour: 6.1.0-50 of 6.1.0-50-cloud-amd64."""
    first, *rest = release.split("-")
    return "-".join([first, *takewhile(lambda part: part[:1].isdigit() or part.startswith("rc"), rest)])


def _list(releases: list[str] | dict[str, str]) -> str:
    return ", ".join(releases) or "none"
