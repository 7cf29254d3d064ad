"""Whether KVM can be used here: found out by booting something, never by looking at /dev/kvm.

KVM can be there and hang: nested without hardware help, SeaBIOS runs while everything in 64-bit mode stands still.
So a Linux kernel is started under it, without any root, and has to come to its panic; where there is no kernel
at hand, edk2 has to come to its first line on the serial port. The answer is kept until the machine boots again.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muster.host import files, process
from muster.lab.plan import Accelerator
from muster.lab.qemu import ACCELERATION, OVMF_CODE
from muster.model.errors import CommandError, RequestError

VARIABLE = "MUSTER_LAB_ACCEL"
CACHE = Path("/var/cache/muster/lab-kvm.json")
DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_LIMIT = 8.0
POLL = 0.05


@dataclass(frozen=True)
class Probe:
    """What is started, and what it has to write on its serial port."""

    argv: tuple[str, ...]
    marker: bytes


def choose(*, cache: Path = CACHE) -> Accelerator:
    """kvm when it works, else tcg; MUSTER_LAB_ACCEL overrides. Takes up to 8 s at the first call after a boot."""
    forced = os.environ.get(VARIABLE, "")
    match forced:
        case "kvm" | "tcg":
            return forced
        case "":
            return "kvm" if _kvm_works(cache) else "tcg"
        case _:
            raise RequestError(f"{VARIABLE}={forced}: neither kvm nor tcg")


def probe_for(kernels: list[Path], accelerator: Accelerator = "kvm") -> Probe:
    """The newest kernel given, else edk2."""
    common = ("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-m", "256")
    shown = ("-vga", "none", "-display", "none", "-serial", "stdio", *ACCELERATION[accelerator])
    if kernels:
        newest = max(kernels, key=lambda kernel: kernel.stat().st_mtime)
        line = "console=ttyS0 earlyprintk=serial panic=-1"
        return Probe((*common, *shown, "-kernel", str(newest), "-append", line), b"Kernel panic - not syncing")
    flash = f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"
    return Probe((*common, "-machine", "q35", *shown, "-drive", flash), b"BdsDxe")


def works(probe: Probe, *, limit: float = TIME_LIMIT) -> bool:
    """Whether the marker comes within `limit` seconds; the machine is ended then."""
    with tempfile.TemporaryFile() as output:
        try:
            machine = process.start(probe.argv, stdout=output, stderr=output)
        except CommandError:
            return False
        try:
            return _comes(output.fileno(), probe.marker, lambda: machine.poll() is None, limit)
        finally:
            machine.kill()
            machine.wait()


def _comes(output: int, marker: bytes, running: Callable[[], bool], limit: float) -> bool:
    end = time.monotonic() + limit
    while True:
        still = running() and time.monotonic() < end
        if marker in os.pread(output, 1 << 20, 0):
            return True
        if not still:
            return False
        time.sleep(POLL)


def _kvm_works(cache: Path) -> bool:
    boot = BOOT_ID.read_text().strip()
    try:
        kept = json.loads(cache.read_text())
        if kept["boot"] == boot:
            return bool(kept["works"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = DEVICE.exists() and works(probe_for(sorted(Path("/boot").glob("vmlinuz-*"))))
    cache.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(cache, json.dumps({"boot": boot, "works": found}).encode())
    return found
