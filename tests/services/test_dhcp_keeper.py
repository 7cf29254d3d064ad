"""dnsmasq hears of every change, also of those whose teller was killed between writing and telling."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from wait import until

from muster.host import files
from muster.services import dnsmasq, keeper
from muster.services.dhcp_keeper import DhcpKeeper, DnsmasqFiles, Tables

NETWORK = dnsmasq.DhcpNetwork("boot", "eth1", IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1"))
N1 = dnsmasq.DhcpHost(("52:54:00:00:00:01",), IPv4Address("10.77.0.11"), "n1")
N2 = dnsmasq.DhcpHost(("52:54:00:00:00:02",), IPv4Address("10.77.0.12"), "n2")


class KilledError(BaseException):
    """The app ends here."""


class App:
    """One life after the other of the app's keeper, over the same folder."""

    def __init__(self, folder: Path) -> None:
        self.files = DnsmasqFiles(folder, folder / "tftp", 9898)
        self.tables = Tables((NETWORK,), (N1,))
        self.told: list[str] = []
        self.keeper: DhcpKeeper | None = None
        self.dies = False

    def tell(self, command: str) -> None:
        if self.dies:
            raise KilledError
        self.told.append(command)

    def start(self, *, dies: bool = False) -> list[str]:
        """What a new life tells at its start."""
        self.told, self.dies = [], dies
        keeper = DhcpKeeper(self.files, lambda: self.tables, self.tell)
        if dies:
            with pytest.raises(KilledError):
                keeper.start()
        else:
            keeper.start()
            self.keeper = keeper
        return self.told

    def stop(self) -> None:
        if self.keeper is not None:
            self.keeper.close()
            self.keeper = None

    def change(self, tables: Tables) -> None:
        self.tables = tables
        assert self.keeper is not None
        self.keeper.poke()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(tmp_path)
    yield made
    made.stop()


def test_the_first_start_and_an_added_host(app: App) -> None:
    assert app.start() == ["restart dnsmasq"]
    app.change(Tables((NETWORK,), (N1, N2)))
    until(lambda: app.told[1:] == ["reload dnsmasq"])


def test_a_new_start_without_changes_leaves_dnsmasq_alone(app: App) -> None:
    app.start()
    app.stop()
    assert app.start() == []


def test_a_change_written_by_a_killed_app_is_told_by_the_next_one(app: App) -> None:
    app.start()
    app.stop()
    app.tables = Tables((NETWORK,), (N1, N2))
    app.start(dies=True)
    assert app.start() == ["restart dnsmasq"]


def test_a_change_that_could_not_be_written_whole_is_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.start()
    real, calls = files.write_atomic, list[Path]()

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if path.name == dnsmasq.CONFIG:
            raise OSError(28, "No space left on device")
        real(path, data)

    wider = dnsmasq.DhcpNetwork("boot", "eth1", NETWORK.subnet, NETWORK.server, lease=60)
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(keeper, "write_atomic", full)
    app.change(Tables((wider,), (N1, N2)))
    until(lambda: dnsmasq.CONFIG in [path.name for path in calls])
    monkeypatch.setattr(keeper, "write_atomic", real)
    until(lambda: app.told[1:] == ["restart dnsmasq"])


def test_without_networks_dnsmasq_is_stopped_and_begins_anew_with_the_next(app: App) -> None:
    app.start()
    app.change(Tables((), ()))
    until(lambda: app.told[1:] == ["stop dnsmasq"])
    assert not (app.files.folder / dnsmasq.CONFIG).exists()
    app.change(Tables((NETWORK,), (N1,)))
    until(lambda: app.told[2:] == ["restart dnsmasq"])


def test_one_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    app = App(tmp_path)
    DhcpKeeper(app.files, lambda: app.tables, app.tell).close()
    assert app.told == []
