"""What a machine started with, told to it on its kernel's command line: so that anybody can ask it later."""

import hashlib

from muster.model.objects import Blob, Version


def content(version: Version, node_segment: Blob) -> str:
    """16 hex that change with the kernel, the drivers or our part of the initramfs."""
    parts = (version.kernel, version.modules, node_segment)
    return hashlib.sha256("\n".join(blob.sha256 for blob in parts).encode()).hexdigest()[:16]
