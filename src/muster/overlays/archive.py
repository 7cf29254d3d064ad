"""A result as bytes: a tar.gz that is the same for the same result, for `busybox tar -xzp` in the node's new root.

What busybox 1.35 does was tried: a directory entry sets the mode of an existing directory (0700 /root would become
0755), a missing parent is made with 0777 less the umask (022 in an init), a file takes the place of an existing symlink
without following it, a symlink does not take the place of a directory (an error). So no directory is in the archive
unless it was declared.
Deletions are OCI whiteouts, empty files `.wh.NAME` beside what goes:
https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
"""

import tarfile
import zlib
from collections.abc import Iterable

from muster.overlays.paths import WHITEOUT
from muster.overlays.render import Laid

COMPRESSION = 6
_GZIP = 16 + zlib.MAX_WBITS
_TYPES = {
    "file": tarfile.REGTYPE,
    "whiteout": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "directory": tarfile.DIRTYPE,
}


def pack(laid: Iterable[Laid]) -> bytes:
    """The archive: names sorted, all times 0, owners as numbers; zlib's gzip header has no time and no name."""
    return members(laid) + END


def members(laid: Iterable[Laid]) -> bytes:
    """The archive without its end: such parts one after the other, and END, are an archive too (RFC 1952, 2.2).

    Of two entries of one name the later one stays.
    """
    plain = bytearray()
    for item in sorted(laid, key=lambda item: item.path):
        plain += _member(item).tobuf(tarfile.GNU_FORMAT) + item.content + bytes(-len(item.content) % tarfile.BLOCKSIZE)
    return _compressed(plain)


def _compressed(plain: bytes | bytearray) -> bytes:
    deflate = zlib.compressobj(COMPRESSION, zlib.DEFLATED, _GZIP)
    return deflate.compress(plain) + deflate.flush()


END = _compressed(bytes(2 * tarfile.BLOCKSIZE))


def _member(item: Laid) -> tarfile.TarInfo:
    member = tarfile.TarInfo(_whiteout(item.path) if item.kind == "whiteout" else item.path)
    member.type = _TYPES[item.kind]
    member.mode = item.mode
    member.uid = item.uid
    member.gid = item.gid
    member.size = len(item.content)
    member.linkname = item.link
    member.mtime = 0
    return member


def _whiteout(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{WHITEOUT}{name}"
