"""The lab's controller under its keeper: real processes, no lab around them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from muster.lab import keeper
from muster.lab.keeper import Keeper
from muster.lab.plan import Controller
from muster.model.errors import MusterError, RequestError

pytestmark = pytest.mark.tools
LISTENS = """
import socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
time.sleep(60)
"""
DEAF = f"""
import contextlib, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with contextlib.suppress(FileNotFoundError):
    os.unlink(sys.argv[1])
{LISTENS}
"""


def make(folder: Path, program: str, *, prepare: tuple[str, ...] = ()) -> Keeper:
    socket = str(folder / "api.sock")
    return Keeper(Controller(prepare, ("/usr/bin/python3", "-c", program, socket), socket), folder / "controller.log")


@contextlib.asynccontextmanager
async def kept(one: Keeper) -> AsyncIterator[None]:
    """The keeper at work; at the end nothing of it runs."""
    work = asyncio.create_task(one.keep())
    try:
        async with asyncio.timeout(10):
            await one.until_answered()
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        for handle in one.handles():
            handle.kill()
            handle.wait()


def test_one_that_is_deaf_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "STOP_TIME", 0.2)
    one = make(tmp_path, DEAF)

    async def play() -> None:
        async with kept(one):
            assert one.state == "running"
            await one.switch("stop")
            assert one.state == "stopped"
            await one.switch("start")
            assert one.state == "running"

    asyncio.run(play())


def test_one_that_comes_up_no_more_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's path is in its way: this program binds once only."""
    monkeypatch.setattr(keeper, "ANSWER_TIME", 1.0)
    one = make(tmp_path, LISTENS)

    async def play() -> None:
        async with kept(one):
            await one.switch("stop")
            with pytest.raises(MusterError, match="does not answer within 1 s"):
                await one.switch("start")
            assert b"in use" in one.log.read_bytes()
            Path(one.controller.socket).unlink()
            monkeypatch.setattr(keeper, "ANSWER_TIME", 10.0)
            await one.switch("start")

    asyncio.run(play())


def test_a_preparation_that_fails_is_the_end(tmp_path: Path) -> None:
    one = make(tmp_path, LISTENS, prepare=("sh", "-c", "exit 4"))
    with pytest.raises(MusterError, match="exit status 4 from sh -c exit 4"):
        asyncio.run(one.keep())


def test_other_actions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="pause"):
        asyncio.run(make(tmp_path, LISTENS).switch("pause"))
