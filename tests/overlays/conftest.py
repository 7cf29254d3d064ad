"""A context as the controller makes it, overlays on disk in two layers, and one pool of workers for the whole run."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from muster.overlays.library import Overlays
from muster.overlays.render import Renderer

CONTEXT: dict[str, object] = {
    "node": {
        "name": "n1",
        "fqdn": "n1.cluster",
        "interfaces": [
            {"name": "eth0", "mac": "52:54:00:00:00:01", "boot": True},
            {"name": "eth1", "mac": "52:54:00:00:00:02", "boot": False},
        ],
        "labels": {"rack": "r1"},
    },
    "cluster": {"name": "c1", "nodes": []},
    "image": {"name": "debian", "features": {"network": "networkd"}},
}


@pytest.fixture
def context() -> dict[str, object]:
    return copy.deepcopy(CONTEXT)


@pytest.fixture(scope="session")
def renderer() -> Iterator[Renderer]:
    pool = Renderer()
    yield pool
    pool.close()


@pytest.fixture
def overlays(tmp_path: Path, renderer: Renderer) -> Overlays:
    """Overlays over `tmp_path/shipped` and `tmp_path/site`."""
    return Overlays(tmp_path / "site", shipped=tmp_path / "shipped", renderer=renderer)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("site/a/files/etc/motd", "text", mode)` makes a file of an overlay and its folders."""

    def make(path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    return make
