"""Overlays as the controller uses them: names and a context in, the bytes that a node unpacks out."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from muster.overlays.archive import pack
from muster.overlays.compose import Composition, compose, known_overlays
from muster.overlays.render import Laid, Renderer

SHIPPED = Path(__file__).parent / "shipped"
CACHE_BYTES = 64 << 20

Moment = Literal["boot", "runtime"]


@dataclass(frozen=True)
class Rendered:
    """One node's overlay: the archive, its SHA-256 in hex, its size in bytes, and what is in it."""

    sha256: str
    size: int
    data: bytes
    entries: tuple[Laid, ...]


class Overlays:
    """The overlays of a controller: the shipped ones under those of `site` (/etc/muster/overlays). Any thread may ask.

    Sources are read anew at each call and judged by their content, never by a time: an edit is seen by the next call.
    """

    def __init__(self, site: Path, *, shipped: Path = SHIPPED, renderer: Renderer | None = None) -> None:
        self._layers = (shipped, site)
        self._renderer = renderer or Renderer()
        self._cache = _Cache(CACHE_BYTES)

    def names(self) -> tuple[str, ...]:
        """All overlays there are, shipped and the site's."""
        return known_overlays(self._layers)

    def render(self, names: Sequence[str], context: Mapping[str, object], *, moment: Moment = "boot") -> Rendered:
        """The overlays `names`, later over earlier, for the node that `context` describes, as laid at `moment`.

        Raises NotFoundError for an unknown overlay, OverlayError for one that cannot be read or rendered.
        """
        composition = compose(names, self._layers)
        key = _key(composition, context, moment)
        return self._cache.get(key, lambda: self._render(composition, context, moment))

    def close(self) -> None:
        """End the render workers."""
        self._renderer.close()

    def _render(self, composition: Composition, context: Mapping[str, object], moment: Moment) -> Rendered:
        laid = self._renderer.render(composition, context)
        chosen = tuple(item for item in laid if item.when in (moment, "both"))
        data = pack(chosen)
        return Rendered(hashlib.sha256(data).hexdigest(), len(data), data, chosen)


def _key(composition: Composition, context: Mapping[str, object], moment: Moment) -> str:
    said = json.dumps(context, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{composition.digest}\n{moment}\n{said}".encode()).hexdigest()


class _Cache:
    """The results used last, up to a number of bytes; several who ask for one key at once wait for one rendering."""

    def __init__(self, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._room = most_bytes
        self._kept: OrderedDict[str, Rendered] = OrderedDict()
        self._running: dict[str, Future[Rendered]] = {}

    def get(self, key: str, make: Callable[[], Rendered]) -> Rendered:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future()
        return running.result() if running else self._make(key, make, mine)

    def _make(self, key: str, make: Callable[[], Rendered], future: Future[Rendered]) -> Rendered:
        try:
            rendered = make()
        except BaseException as error:
            future.set_exception(error)
            with self._lock:
                del self._running[key]
            raise
        future.set_result(rendered)
        with self._lock:
            del self._running[key]
            self._keep(key, rendered)
        return rendered

    def _keep(self, key: str, rendered: Rendered) -> None:
        self._kept[key] = rendered
        self._room -= rendered.size
        while self._room < 0 and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._room += dropped.size
