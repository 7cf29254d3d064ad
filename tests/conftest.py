"""Options that all rooms' tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.controller.context import Context
from muster.overlays.render import Renderer
from tests import cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write expected files anew; review the diff")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def shared_cache() -> Path:
    """What is costly to make and may serve every test and the next run: image trees and versions."""
    folder = Path(os.environ.get("MUSTER_CACHE", "/var/cache/muster"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def overlay_workers() -> Iterator[Renderer]:
    """One pool of render workers for the whole run."""
    pool = Renderer()
    yield pool
    pool.close()


@pytest.fixture
def clock() -> cluster.FakeClock:
    return cluster.FakeClock()


@pytest.fixture
def controller(tmp_path: Path, overlay_workers: Renderer, clock: cluster.FakeClock) -> Iterator[Context]:
    """A controller over real stores that knows n1, n2, the image debian and the network lab."""
    context = cluster.cluster(tmp_path / "controller", overlay_workers, clock)
    yield context
    cluster.close(context)
