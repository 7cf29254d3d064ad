"""Tokens: what lets one boot of one machine at its own node's data, and nothing else.

`1.MACHINE.BOOT.EXPIRY.MAC` where MAC is HMAC-SHA256 (RFC 2104) under the controller's key over the rest:
checking one writes nothing and survives any restart.
"""

import hmac
import re
from dataclasses import dataclass

from muster.model.errors import DeniedError

LIFETIME = 24 * 3600.0
"""Seconds; the heartbeat renews a token long before."""

_FORM = re.compile(r"^1\.([0-9a-f]{64})\.([0-9a-f]{16})\.([0-9]{1,12})\.([0-9a-f]{64})$")


@dataclass(frozen=True)
class Grant:
    """Whose data a token opens: the machine by its fingerprint, in this boot, until then (Unix seconds)."""

    machine: str
    boot: str
    expiry: int


def issue(key: bytes, machine: str, boot: str, now: float) -> str:
    """A token for one boot of one machine."""
    text = f"1.{machine}.{boot}.{int(now + LIFETIME)}"
    return f"{text}.{_mac(key, text)}"


def check(key: bytes, token: str, boot: str, now: float) -> Grant:
    """The grant of a token that was shown for `boot`. Raises DeniedError, saying which doubt it was."""
    form = _FORM.match(token)
    if form is None:
        raise DeniedError("no token, or not one of ours")
    text, _, mac = token.rpartition(".")
    if not hmac.compare_digest(_mac(key, text), mac):
        raise DeniedError("the token was not made by this controller")
    grant = Grant(form[1], form[2], int(form[3]))
    if grant.boot != boot:
        raise DeniedError("the token belongs to another boot")
    if now > grant.expiry:
        raise DeniedError("the token has expired")
    return grant


def _mac(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()
