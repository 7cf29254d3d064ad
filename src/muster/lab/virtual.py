"""One virtual machine while the lab runs: its QEMU process, switched as a machine's power is."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from muster.host import process
from muster.lab import qmp
from muster.lab.plan import Accelerator, Machine
from muster.lab.qemu import OVMF_VARIABLES, Places, arguments
from muster.model.errors import MusterError, RequestError

QUIT_TIME = 3.0
POLL = 0.02


@dataclass
class VirtualMachine:
    """Power operations wait for each other, so that two callers cannot start one machine twice."""

    machine: Machine
    places: Places
    accelerator: Accelerator
    qemu: process.Handle | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def state(self) -> Literal["on", "off"]:
        return "on" if self.qemu is not None and self.qemu.poll() is None else "off"

    async def power(self, action: str) -> None:
        """on, off, cycle or reset; RequestError for a reset while off, MusterError when QEMU does not start."""
        async with self.turn:
            match action:
                case "on":
                    await self._on()
                case "off":
                    await self._off()
                case "cycle":
                    await self._off()
                    await self._on()
                case "reset":
                    await self._reset()
                case _:
                    raise RequestError(f"not a power action: {action!r}", hint="on, off, cycle or reset")

    async def _on(self) -> None:
        if self.state == "on":
            return
        self._clear()
        with (self.places.folder / "qemu.log").open("wb") as log:
            self.qemu = process.start(
                arguments(self.machine, self.places, self.accelerator), stdout=log, stderr=log, own_session=True
            )
        while not self._listens():
            if self.qemu.poll() is not None:
                said = (self.places.folder / "qemu.log").read_text(errors="replace").strip()
                raise MusterError(f"QEMU ended with status {self.qemu.returncode}: {said}", where=self.machine.name)
            await asyncio.sleep(POLL)

    async def _off(self) -> None:
        if self.qemu is None or self.state == "off":
            return
        with contextlib.suppress(MusterError):
            await qmp.execute(self.places.qmp, "quit")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIT_TIME):
                while self.qemu.poll() is None:
                    await asyncio.sleep(POLL)
        if self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()

    async def _reset(self) -> None:
        if self.state == "off":
            raise RequestError("it is off: nothing to reset", where=self.machine.name)
        await qmp.execute(self.places.qmp, "system_reset")

    def _clear(self) -> None:
        """Sockets of the QEMU before; EFI variables and disk are kept for the life of the lab, as on metal."""
        for socket in (self.places.console, self.places.qmp):
            socket.unlink(missing_ok=True)
        if self.machine.firmware == "uefi" and not self.places.variables.exists():
            shutil.copyfile(OVMF_VARIABLES, self.places.variables)
        if self.machine.disk is not None and not self.places.disk.exists():
            _make_sparse(self.places.disk, self.machine.disk << 20)

    def _listens(self) -> bool:
        return self.places.qmp.exists() and self.places.console.exists()


def _make_sparse(disk: Path, size: int) -> None:
    """A blank disk: a file of `size` bytes that takes no room until something is written. MusterError: not possible."""
    try:
        with disk.open("xb") as file:
            file.truncate(size)
    except OSError as error:
        disk.unlink(missing_ok=True)
        raise MusterError(f"no disk of {size >> 20} MiB: {error.strerror}", where=str(disk)) from error
