"""What a boot was given, by content: what its loader loaded, and what its plan told it to make its root of.

Kept with the boot over restarts of the app, so that it can be said what a reboot would change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Loaded:
    """The SHA-256 of the files that the loader loaded."""

    kernel: str
    modules: str
    node: str


@dataclass(frozen=True)
class Laid:
    """An overlay: the SHA-256 of its bytes, and what it was made from as overlays.library.Sources."""

    sha256: str
    cluster: str
    own: str


@dataclass(frozen=True)
class Given:
    """What one plan gave. `plan`: its digest; `image`: NAME@VERSION or NAME@live; `parts`: see boot/parts.py."""

    plan: str
    image: str
    mode: str
    parts: Mapping[str, str]
    overlay: Laid


def loaded_of(document: object) -> Loaded | None:
    """From its document; None for anything else."""
    texts = _texts(document)
    return Loaded(**texts) if texts is not None and texts.keys() == Loaded.__annotations__.keys() else None


def given_of(document: object) -> Given | None:
    """From its document; None for anything else, such as what another release kept."""
    if not isinstance(document, dict) or document.keys() != Given.__annotations__.keys():
        return None
    parts, overlay = _texts(document["parts"]), _texts(document["overlay"])
    plain = _texts({key: document[key] for key in ("plan", "image", "mode")})
    if plain is None or parts is None or overlay is None or overlay.keys() != Laid.__annotations__.keys():
        return None
    return Given(**plain, parts=parts, overlay=Laid(**overlay))


def _texts(document: object) -> dict[str, Any] | None:
    """A map of texts, as it is."""
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        return None
    return document
