"""What must not be published: every machine of the boot network may read a blob."""

import re
from collections.abc import Iterator

from muster.images.tree import Tree
from muster.model.errors import RequestError

PRIVATE_KEYS = (
    "etc/ssh/*",
    "etc/ssl/private/*",
    "etc/wireguard/*",
    "root/.ssh/*",
    "home/*/.ssh/*",
)
WHOLE_FILES = ("etc/munge/munge.key", "etc/krb5.keytab", "etc/ssh/ssh_host_*_key", "etc/corosync/authkey")
PASSWORDS = ("etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-", "etc/passwd")
_KEY_MARK = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|^\s*PrivateKey\s*=\s*\S", re.MULTILINE)
_LIMIT = 4 << 20


def refuse(tree: Tree) -> None:
    """RequestError naming every file that holds a private key or a password hash."""
    if found := sorted(set(secrets(tree))):
        raise RequestError(
            "the image holds secrets, and every machine of the boot network can read an image:\n  "
            + "\n  ".join(found),
            where=str(tree.root),
            hint="remove them and give them to nodes by an overlay, or pack with --allow-secrets",
        )


def secrets(tree: Tree) -> Iterator[str]:
    """One line per file that holds a secret: path and what it is. An empty file holds none."""
    for pattern in WHOLE_FILES:
        yield from (f"{path}: a key" for path in tree.glob(pattern) if _content(tree, path))
    for pattern in PRIVATE_KEYS:
        yield from (f"{path}: a private key" for path in tree.glob(pattern) if _KEY_MARK.search(_content(tree, path)))
    for path in PASSWORDS:
        if users := list(_hashed(_content(tree, path))):
            yield f"{path}: password hashes of {', '.join(users)}"


def _content(tree: Tree, path: str) -> bytes:
    return (tree.read(path, limit=_LIMIT) or b"") if tree.is_file(path) else b""


def _hashed(data: bytes) -> Iterator[str]:
    """Users whose second field is a hash (crypt(5)); `*`, `!`, `x` and the empty field are none, `!HASH` is one."""
    for line in data.decode(errors="replace").splitlines():
        user, _, rest = line.partition(":")
        if len(rest.partition(":")[0].lstrip("!*")) > 1:
            yield user
