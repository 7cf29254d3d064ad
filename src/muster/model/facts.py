"""By what a machine is recognised: its canonical facts, its fingerprint, and the node it belongs to.

Rules (tried on real and virtual firmware): the SMBIOS UUID comes in two byte orders (SMBIOS 2.6
section 7.2.1 swapped the first three fields), vendors leave it blank or at a default, so the smaller
order counts and worthless ones are skipped.
"""

import hashlib
import re
from dataclasses import dataclass, field

from muster.model import values

_WORTHLESS_UUIDS = {
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
}
_WORTHLESS_TEXT = re.compile(
    r"^(|0+|x+|none|null|unknown|n/?a|default string|not (specified|applicable|available)|to be filled by o\.?e\.?m\.?"
    r"|system serial number|base board serial number|0123456789|1234567890|\.+|-+)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MachineFacts:
    """What is known of a machine at some moment of its boot; None or empty where it is not known."""

    uuid: str | None = None
    board_serial: str | None = None
    product: str | None = None
    macs: tuple[str, ...] = field(default=())

    @property
    def canonical_uuid(self) -> str | None:
        return canonical_uuid(self.uuid)

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 in hex over the best fact there is; None when nothing identifies the machine."""
        if best := self.canonical_uuid:
            return _digest("uuid", best)
        if self.board_serial and not _WORTHLESS_TEXT.match(self.board_serial.strip()):
            return _digest("board", self.board_serial.strip(), (self.product or "").strip())
        if self.macs:
            return _digest("mac", min(self.macs))
        return None


def canonical_uuid(text: str | None) -> str | None:
    """The smaller of the UUID's two byte orders, or None for absent and worthless ones."""
    try:
        plain = values.uuid(text or "")
    except ValueError:
        return None
    if plain.strip("0-") == "" or plain.strip("f-") == "" or plain in _WORTHLESS_UUIDS:
        return None
    first, second, third, rest = plain[:8], plain[9:13], plain[14:18], plain[18:]
    swapped = "-".join(_swap(part) for part in (first, second, third)) + rest
    return min(plain, swapped)


def _swap(text: str) -> str:
    return bytes.fromhex(text)[::-1].hex()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
