"""A dm-verity hash tree behind a file's own data, everything about it fixed by that data."""

import re
import uuid
from pathlib import Path

from muster.host import process
from muster.host.files import sha256_file
from muster.images.squashfs import BLOCK
from muster.model.errors import CommandError
from muster.model.objects import Verity


def append(file: Path) -> Verity:
    """Append superblock and hash tree (veritysetup(8)) to a file of whole blocks; what the dm table needs comes back.

    Salt and UUID are derived from the data, so the same data gives the same tree.
    """
    salt, size = sha256_file(file)
    if size == 0 or size % BLOCK:
        raise CommandError(f"{size} bytes are no whole number of blocks of {BLOCK}", where=str(file))
    fixed = uuid.uuid5(uuid.NAMESPACE_OID, salt)
    argv = ["veritysetup", "format", "--hash", "sha256", "--salt", salt, "--uuid", str(fixed)]
    done = process.run([*argv, *_geometry(size), file, file])
    found = re.search(r"^Root hash:\s+([0-9a-f]{64})$", done.text, re.MULTILINE)
    if found is None:
        raise CommandError(f"no root hash in what veritysetup says:\n{done.text}")
    _pad(file)
    return Verity(
        data_blocks=size // BLOCK,
        hash_start_block=size // BLOCK + 1,
        root_hash=found.group(1),
        salt=salt,
        data_size=size,
    )


def verify(file: Path, verity: Verity) -> None:
    """Check every block against the root hash. CommandError when one differs."""
    process.run(["veritysetup", "verify", *_geometry(verity.data_size), file, file, verity.root_hash])


def _geometry(size: int) -> list[str]:
    blocks = ["--data-block-size", str(BLOCK), "--hash-block-size", str(BLOCK)]
    return [*blocks, "--data-blocks", str(size // BLOCK), "--hash-offset", str(size)]


def _pad(file: Path) -> None:
    with file.open("r+b") as writer:
        end = writer.seek(0, 2)
        writer.truncate(-(-end // BLOCK) * BLOCK)
