"""The command line against the real app: uvicorn on a unix socket, as the daemon serves administrators."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from muster import daemon
from muster.cli.main import main
from muster.controller.context import Context
from muster.host.paths import Paths
from muster.server.api import api_app
from muster.settings import Settings


@dataclass(frozen=True)
class Said:
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str


Muster = Callable[..., Said]


@pytest.fixture
def muster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Muster:
    """`muster("node", "list")` runs one command of the installation under `tmp_path`."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--prefix", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return run


@pytest.fixture
def serving(tmp_path: Path, controller: Context) -> Iterator[Context]:
    """The app of `controller` listens on the socket that `muster` asks."""
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    app = api_app(controller, "http://10.77.0.1:9898")
    server = daemon._server(app, Settings(("10.77.0.1:9898",), log_level="warning"), daemon._PeerProtocol)
    listening = daemon._unix_socket(paths.socket)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    yield controller
    server.should_exit = True
    thread.join()
    listening.close()
