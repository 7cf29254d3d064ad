"""What the lab's root answers on DIR/lab.sock: one JSON object a line there, one back.

  {"verb": "status"}                                       -> {"state", "message", "controller",
                                                               "power": {node: on|off}}
  {"verb": "state", "nodes": [..]}                         -> {"power": {node: on|off}}
  {"verb": "power", "nodes": [..], "action": "cycle"}      -> {"power": {node: on|off}}
  {"verb": "controller", "action": "stop"}                 -> {"controller"}, as status says it   (root only)
  {"verb": "stop"}                                         -> {"state": "stopping"}   (root only)
  anything wrong                                           -> {"error", "hint"}

The socket belongs to the controller's user, which switches machines through the power driver `lab`.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from muster.lab.plan import CONTROLLER_USER
from muster.model.errors import MusterError, RequestError

MAX_QUESTION = 1 << 16
QUESTION_TIME = 10.0
MAX_CALLERS = 32

Answer = Callable[[dict[str, object], int], Awaitable[dict[str, object]]]
"""From a question and the user id of who asks it to the answer."""


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Listen on `path`, mode 0600, owned by the controller's user. At most 32 callers at a time, one question each."""
    slots = asyncio.Semaphore(MAX_CALLERS)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with slots:
            with contextlib.suppress(OSError, TimeoutError):
                writer.write(json.dumps(await _answered(reader, writer, answer)).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), QUESTION_TIME)
        writer.close()

    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, CONTROLLER_USER, -1)
    return await asyncio.start_unix_server(handle, sock=listening, limit=MAX_QUESTION)


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> dict[str, object]:
    try:
        question = json.loads(await asyncio.wait_for(reader.readline(), QUESTION_TIME))
        if not isinstance(question, dict):
            raise RequestError("a question is a JSON object")
        return await answer(question, _user(writer))
    except TimeoutError:
        return {"error": f"no question within {QUESTION_TIME:g} s"}
    except ValueError as error:
        return {"error": f"not a question: {error}"}
    except MusterError as error:
        where = f"{error.where}: " if error.where else ""
        return {"error": where + error.message, "hint": error.hint}
    except OSError as error:
        return {"error": str(error)}


def _user(writer: asyncio.StreamWriter) -> int:
    """Who asks, from the kernel (SO_PEERCRED)."""
    connection: socket.socket = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])
