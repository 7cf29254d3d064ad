"""The QEMU command of one machine: pure, so that a golden file can hold it.

No screen: a node boots from its network card and speaks on its serial console. A disk is there to be used, not to
boot from; `serial` names it in /dev/disk/by-id, since the letter of /dev/vdX promises nothing.
A BIOS machine uses the card's own iPXE ROM. A UEFI machine with a virtio card has that ROM taken away, so
that the firmware's own network stack fetches the loader, as on metal; edk2 drives no other card without its
ROM, so with those it is the ROM's iPXE that asks.
"""

from dataclasses import dataclass
from pathlib import Path

from muster.lab.plan import Accelerator, Machine

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
RETRY_MILLISECONDS = 5000
EDK2_DRIVES = "virtio-net"

ACCELERATION: dict[Accelerator, tuple[str, ...]] = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "max"),
}


@dataclass(frozen=True)
class Places:
    """Where a machine's files lie; each is made by QEMU except `variables` and `disk`."""

    folder: Path
    tap: str

    @property
    def console(self) -> Path:
        return self.folder / "console.sock"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def variables(self) -> Path:
        return self.folder / "efi-variables.fd"

    @property
    def disk(self) -> Path:
        return self.folder / "disk0.img"


def arguments(machine: Machine, places: Places, accelerator: Accelerator) -> list[str]:
    """The whole command, program first."""
    uefi = machine.firmware == "uefi"
    without_rom = ",romfile=" if uefi and machine.nic.startswith(EDK2_DRIVES) else ""
    return [
        "qemu-system-x86_64",
        *("-name", machine.name, "-nodefaults", "-no-user-config"),
        *("-machine", "q35" if uefi else "q35,graphics=off"),
        *ACCELERATION[accelerator],
        *("-smp", str(machine.cpus), "-m", str(machine.memory)),
        *("-uuid", machine.uuid, "-smbios", f"type=1,manufacturer=Muster,product=lab,serial={machine.serial}"),
        *("-vga", "none", "-display", "none"),
        *_sockets(places),
        *(_uefi(places) if uefi else _bios()),
        *("-netdev", f"tap,id=net0,ifname={places.tap},script=no,downscript=no"),
        *("-device", f"{machine.nic},netdev=net0,mac={machine.mac},bootindex=0{without_rom}"),
        *("-device", "virtio-rng-pci"),
        *(_disk(places, f"{machine.name}-disk0") if machine.disk is not None else ()),
    ]


def _sockets(places: Places) -> list[str]:
    """Console: a socket, and all of its output in a file also while nobody is attached. QMP: power."""
    console = f"path={_escaped(places.console)},server=on,wait=off,logfile={_escaped(places.console_log)},logappend=on"
    return [
        *("-chardev", f"socket,id=console,{console}", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,path={_escaped(places.qmp)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
    ]


def _bios() -> list[str]:
    """SeaBIOS; graphics=off above makes it and iPXE speak on the serial port. It tries again for ever."""
    return ["-boot", f"order=n,reboot-timeout={RETRY_MILLISECONDS}"]


def _uefi(places: Places) -> list[str]:
    """edk2 with variables of its own; without IPv6 PXE it does not wait a minute for that first."""
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={_escaped(places.variables)}"),
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"),
    ]


def _disk(places: Places, serial: str) -> list[str]:
    """The file holds what the machine wrote also when QEMU is killed: its pages are the host's. So fsync, which would
    keep them through a crash of the host, is left out. A serial has at most 20 bytes (VIRTIO_BLK_ID_BYTES)."""
    drive = f"if=none,id=disk0,format=raw,discard=unmap,cache=unsafe,file={_escaped(places.disk)}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk0,serial={serial}"]


def _escaped(path: Path) -> str:
    """A comma inside a value is written twice (qemu(1))."""
    return str(path).replace(",", ",,")
