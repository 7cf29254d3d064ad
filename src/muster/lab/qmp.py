"""One command over QEMU's control socket (QMP: greeting, qmp_capabilities, command; events in between are skipped)."""

import asyncio
import json
from pathlib import Path
from typing import Literal

from muster.model.errors import MusterError

Command = Literal["quit", "system_reset"]
TIME_LIMIT = 3.0


async def execute(path: Path, command: Command) -> None:
    """MusterError when QEMU refuses, or does not answer within 3 s."""
    try:
        async with asyncio.timeout(TIME_LIMIT):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                await reader.readline()
                for step in ("qmp_capabilities", command):
                    writer.write(json.dumps({"execute": step}).encode() + b"\n")
                    await writer.drain()
                    await _result(reader, step)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        raise MusterError(f"QEMU does not answer to {command}: {error}", where=str(path)) from error


async def _result(reader: asyncio.StreamReader, step: str) -> None:
    while line := await reader.readline():
        answer = json.loads(line)
        if "return" in answer:
            return
        if "error" in answer:
            raise MusterError(f"QEMU refused {step}: {answer['error'].get('desc', '')}")
    if step != "quit":
        raise MusterError(f"QEMU went away at {step}")
