"""The loader files that firmware fetches by TFTP or HTTP: iPXE's two binaries and the static script."""

from pathlib import Path

from muster.boot import ipxe_static
from muster.host import files
from muster.model.errors import MusterError

BIOS = "undionly.kpxe"
UEFI = "snponly.efi"
SCRIPT = "boot.ipxe"
IPXE = Path("/usr/lib/ipxe")


def install(tftp: Path, port: int, *, source: Path = IPXE) -> None:
    """Bring `tftp` up to date; `port` is the node-facing HTTP port. A file is replaced whole, and only if it differs.

    Raises MusterError when the loaders are not on this machine.
    """
    for name in (BIOS, UEFI):
        _replace(tftp / name, _loader(source / name))
    _replace(tftp / SCRIPT, ipxe_static.render(port).encode())


def _loader(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MusterError("loader not found", where=str(path), hint="apt-get install ipxe") from error


def _replace(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        files.write_atomic(path, data)
