"""What the tests of the services share: golden files and free ports."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(update_golden: bool) -> Callable[[str, str], None]:
    """`golden(NAME, TEXT)`: the rendered TEXT equals the reviewed file `golden/NAME`."""

    def compare(name: str, text: str) -> None:
        if update_golden:
            (GOLDEN / name).write_text(text)
        assert text == (GOLDEN / name).read_text()

    return compare


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Some TCP ports of loopback that nobody uses now."""

    def find(count: int) -> list[int]:
        sockets = [socket.socket() for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [int(each.getsockname()[1]) for each in sockets]
        for each in sockets:
            each.close()
        return ports

    return find
