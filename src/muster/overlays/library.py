"""Overlays as the controller uses them: names and a context in, the bytes that a node unpacks out."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

from muster.overlays.archive import END, members, pack
from muster.overlays.compose import Composition, compose, known_overlays
from muster.overlays.render import Laid, Renderer, node_name, refuse_buried
from muster.overlays.uses import Uses, narrowed, uses

SHIPPED = Path(__file__).parent / "shipped"
CACHE_BYTES = 64 << 20

Moment = Literal["boot", "runtime"]


@dataclass(frozen=True)
class Rendered:
    """One node's overlay: the archive, its SHA-256 in hex, its size in bytes, what is in it and of what it was made."""

    sha256: str
    size: int
    data: bytes
    entries: tuple[Laid, ...]
    sources: "Sources"


@dataclass(frozen=True)
class Sources:
    """Of what an overlay is made, cheaply compared: `cluster` is the SHA-256 of the part that all nodes share, `own` a
    digest of templates and context of the node's part. Equal ones give equal bytes; so may others.
    """

    cluster: str
    own: str


@dataclass(frozen=True)
class ClusterFacts:
    """What templates see as `cluster`, with its digest: made once for a state of the cluster, used for every node."""

    data: Mapping[str, object]
    digest: str

    @classmethod
    def of(cls, data: Mapping[str, object]) -> "ClusterFacts":
        said = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return cls(data, hashlib.sha256(said.encode()).hexdigest())


@dataclass(frozen=True)
class Part:
    """The entries of one scope and their bytes, an archive without end."""

    entries: tuple[Laid, ...]
    data: bytes

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        return len(self.data) + sum(len(item.content) for item in self.entries)


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

    def render(
        self,
        names: Sequence[str],
        context: Mapping[str, object],
        *,
        moment: Moment = "boot",
        cluster: ClusterFacts | None = None,
    ) -> Rendered:
        """The overlays `names`, later over earlier, for the node that `context` describes, as laid at `moment`.

        `cluster` is `context["cluster"]` for callers that ask for many nodes. Files of scope cluster see it and the
        image, and are rendered once for all nodes; the others see all but the list of nodes.
        Raises NotFoundError for an unknown overlay, OverlayError for one that cannot be read or rendered.
        """
        composed = self.composed(names, moment)
        shared = composed.shared(context, cluster)
        sources = Sources(shared.sha256, composed.own_sources(context))
        return _joined(shared, composed.own(context), sources, node_name(context))

    def composed(self, names: Sequence[str], moment: Moment = "boot") -> "Composed":
        """These overlays as their sources are now, for those who ask of many nodes. Errors as in `render`."""
        composition = compose(names, self._layers)
        return Composed(self, composition.of_scope("cluster"), composition.of_scope("node"), moment)

    def close(self) -> None:
        """End the render workers."""
        self._renderer.close()

    def part(
        self, composition: Composition, context: Mapping[str, object], moment: Moment, facts: ClusterFacts | None
    ) -> Part:
        """The entries of one scope. The cluster's facts stand in the key by their digest: they can be large."""
        key = _key(composition, context, moment, facts.digest if facts else "")
        whole = {**context, "cluster": facts.data} if facts else context
        return self._cache.get(key, lambda: self._render(composition, whole, moment))

    def _render(self, composition: Composition, context: Mapping[str, object], moment: Moment) -> Part:
        if not composition.entries:
            return Part((), b"")
        laid = self._renderer.render(composition, context)
        chosen = tuple(item for item in laid if item.when in (moment, "both"))
        return Part(chosen, members(chosen))


@dataclass(frozen=True)
class Composed:
    """Some overlays, read once: what all nodes share of them, and what each has its own."""

    _overlays: Overlays
    _of_cluster: Composition
    _of_node: Composition
    _moment: Moment

    @cached_property
    def digest(self) -> str:
        """Changes with every source."""
        return hashlib.sha256(f"{self._of_cluster.digest}\n{self._of_node.digest}".encode()).hexdigest()

    def shared(self, context: Mapping[str, object], cluster: ClusterFacts | None) -> Part:
        """The files of scope cluster, rendered once for all nodes of an image; of `context` they see that alone."""
        facts = cluster or ClusterFacts.of(cast(Mapping[str, object], context.get("cluster", {})))
        return self._overlays.part(self._of_cluster, {"image": context.get("image")}, self._moment, facts)

    def own(self, context: Mapping[str, object]) -> Part:
        """The files of scope node, rendered."""
        return self._overlays.part(self._of_node, _own_context(context), self._moment, None)

    def own_sources(self, context: Mapping[str, object]) -> str:
        """A digest of what the node's own part is made from, as far as its templates look; nothing is rendered."""
        if not self._of_node.entries:
            return ""
        return _key(self._of_node, narrowed(_own_context(context), self._uses), self._moment, "")

    @cached_property
    def _uses(self) -> Uses:
        return uses(self._of_node)


def _own_context(context: Mapping[str, object]) -> dict[str, object]:
    """All but the list of nodes."""
    cluster = cast(Mapping[str, object], context.get("cluster", {}))
    return {**context, "cluster": {key: value for key, value in cluster.items() if key != "nodes"}}


def _key(composition: Composition, context: Mapping[str, object], moment: Moment, facts: str) -> str:
    said = json.dumps(context, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{composition.digest}\n{moment}\n{facts}\n{said}".encode()).hexdigest()


def _joined(shared: Part, own: Part, sources: Sources, node: str) -> Rendered:
    """Both parts in one archive; where they meet, the node's own wins and the archive is made anew."""
    laid = {item.path: item for item in (*shared.entries, *own.entries)}
    refuse_buried(laid, node)
    entries = tuple(laid[path] for path in sorted(laid))
    meets = len(entries) < len(shared.entries) + len(own.entries)
    data = pack(entries) if meets else shared.data + own.data + END
    return Rendered(hashlib.sha256(data).hexdigest(), len(data), data, entries, sources)


class _Cache:
    """The results used last, up to a number of bytes; several who ask for one key at once wait for one rendering."""

    def __init__(self, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._room = most_bytes
        self._kept: OrderedDict[str, Part] = OrderedDict()
        self._running: dict[str, Future[Part]] = {}

    def get(self, key: str, make: Callable[[], Part]) -> Part:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future()
        return running.result() if running else self._make(key, make, mine)

    def _make(self, key: str, make: Callable[[], Part], future: Future[Part]) -> Part:
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

    def _keep(self, key: str, rendered: Part) -> None:
        self._kept[key] = rendered
        self._room -= rendered.size
        while self._room < 0 and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._room += dropped.size
