"""Switches a UEFI machine back on its way when its firmware has given up.

edk2 tries each network boot once (60 s by PXE, 60 s by HTTP) and then sits in its shell for ever; firmware
of servers begins again. SeaBIOS does so by itself (`reboot-timeout`).
"""

from dataclasses import dataclass
from pathlib import Path

GIVEN_UP = b"UEFI Interactive Shell"
"""edk2's shell says this first, ShellPkg/Application/Shell; with -nodefaults nothing else can boot."""

MAX_READ = 1 << 16


@dataclass
class ConsoleWatch:
    """Looks at what a console log gained since the last look."""

    log: Path
    offset: int = 0

    def firmware_gave_up(self) -> bool:
        """Whether the shell came up since the last call; of a long gain only the last 64 KiB are read."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(min(self.offset, size), size - MAX_READ))
                gained = file.read(MAX_READ)
        except FileNotFoundError:
            return False
        self.offset = max(0, size - len(GIVEN_UP))
        if GIVEN_UP not in gained:
            return False
        self.offset = size
        return True
