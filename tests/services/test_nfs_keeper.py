"""The NFS service hears of every change, and goes when nobody needs it."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from wait import until

from muster.host.paths import Paths
from muster.services import nfs
from muster.services.nfs import Wanted
from muster.services.nfs_keeper import NfsKeeper

WANTED = Wanted((IPv4Network("10.77.0.0/24"),))
MORE = Wanted(WANTED.networks, ("debian12",))


class App:
    """One life after the other of the app's keeper, over the same folder."""

    def __init__(self, prefix: Path) -> None:
        self.paths = Paths(prefix)
        self.paths.run.mkdir(parents=True)
        self.wanted: Wanted | None = WANTED
        self.told: list[str] = []
        self._keepers: list[NfsKeeper] = []

    def start(self, *children: str) -> None:
        self.told = []
        self._keepers.append(NfsKeeper(self.paths, children, lambda: self.wanted, self.told.append))
        self._keepers[-1].start()

    def change(self, wanted: Wanted | None) -> None:
        self.wanted = wanted
        self._keepers[-1].poke()

    def asked(self) -> Wanted | None:
        return nfs.read(self.paths)

    def close(self) -> None:
        for keeper in self._keepers:
            keeper.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(tmp_path)
    yield made
    made.close()


def test_each_child_hears_of_a_change(app):
    app.start("one", "two")
    assert app.told == ["reload one", "reload two"]
    assert app.asked() == WANTED
    app.change(MORE)
    until(lambda: app.told[2:] == ["reload one", "reload two"])
    assert app.asked() == MORE


def test_what_changes_nothing_is_not_told(app):
    app.start("one")
    app.change(Wanted(WANTED.networks))
    app.change(MORE)
    until(lambda: len(app.told) == 2)
    assert app.asked() == MORE


def test_the_service_goes_with_its_last_user_and_comes_back(app):
    app.start("one")
    app.change(None)
    until(lambda: app.told[1:] == ["stop one"])
    assert app.asked() is None
    app.change(WANTED)
    until(lambda: app.told[2:] == ["reload one"])
    assert app.asked() == WANTED


def test_a_new_app_tells_what_a_killed_one_may_not_have(app):
    app.start("one")
    app.start("one")
    assert app.told == ["reload one"]
    app.wanted = None
    app.start("one")
    assert app.told == ["stop one"]
    assert app.asked() is None


def test_where_nobody_can_serve_nothing_is_asked_for(app):
    app.start()
    assert app.told == []
    assert app.asked() is None
