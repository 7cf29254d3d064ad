"""The control of bench.roots: the same tree installed on a disk, without anything of Muster in it.

An ext4 file system made of the image's tree with a node's /etc over it, started directly with the version's kernel and
an initramfs that mounts it and nothing more, in the lab's network with the card and address of a node that is off.
"""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.gauge import LISTENS, Monitor
from bench.rig import Rig
from muster.host import cpio, process
from muster.lab import lifecycle
from muster.lab.network import tap_of
from muster.lab.plan import read as read_lab
from muster.lab.qemu import ACCELERATION

MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
DISK_SIZE = 2 << 30
LOGIN = "login:"
GAVE_UP = re.compile(r"Kernel panic|Out of memory: Killed|System is deadlocked on memory")
FILES_OF_A_NODE = "tar -C / --one-file-system -cz etc root | base64 -w0"
INIT = r"""#!/bin/busybox sh
for name in proc sysfs devtmpfs; do
    /bin/busybox mkdir -p /mnt/$name
    /bin/busybox mount -t $name $name /mnt/$name
done
while read -r module; do /bin/busybox insmod "$module"; done </modules
until [ -b /mnt/devtmpfs/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mkdir /root
/bin/busybox mount -t ext4 /mnt/devtmpfs/vda /root
/bin/busybox mount -o move /mnt/proc /root/proc
/bin/busybox mount -o move /mnt/sysfs /root/sys
/bin/busybox mount -o move /mnt/devtmpfs /root/dev
exec /bin/busybox switch_root -c /dev/console /root /sbin/init
"""


@dataclass(frozen=True)
class Control:
    """What the control starts from, and the machine of the lab in whose place it stands. All in `folder`."""

    rig: Rig
    folder: Path
    name: str

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def monitor(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    def text(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""


def prepare(rig: Rig, name: str, folder: Path) -> Control:
    """Make kernel, initramfs and disk; node `name` is ready, and gives what its overlay made of /etc and /root."""
    made = Control(rig, folder, name)
    node = base64.b64decode(rig.ssh(str(rig.node(name)["address"]), FILES_OF_A_NODE))
    version = rig.document("image", "show", rig.image)
    source = rig.paths.images / rig.image / "tree"
    (folder / "kernel").symlink_to(rig.blob(version["kernel"]["sha256"]))
    with (folder / "initramfs").open("wb") as out:
        cpio.write(out, _entries(source, version["kernel_release"]))
    tree = folder / "tree"
    process.run(["cp", "--archive", "--reflink=auto", source, tree])
    process.run(["tar", "-C", tree, "-xz"], stdin=node)
    process.run(["mkfs.ext4", "-q", "-d", tree, made.disk, str(DISK_SIZE >> 10)])
    process.run(["rm", "-rf", tree])
    return made


def _entries(tree: Path, release: str) -> Iterator[cpio.Entry]:
    shown = process.run(["modprobe", "--dirname", tree, "--set-version", release, "--show-depends", "--all", *MODULES])
    paths = [line.split()[1] for line in shown.text.splitlines() if line.startswith("insmod ")]
    names = list(dict.fromkeys(paths))
    yield from (cpio.folder("bin"), cpio.folder("dev"), cpio.folder("lib"))
    yield cpio.characters("dev/console", 5, 1)
    yield cpio.file("bin/busybox", Path("/bin/busybox"), 0o755)
    yield cpio.file("init", INIT.encode(), 0o755)
    yield cpio.file("modules", "".join(f"/lib/{Path(name).name}\n" for name in names).encode())
    yield from (cpio.file(f"lib/{Path(name).name}", Path(name)) for name in names)


@contextmanager
def running(control: Control, memory: int, arguments: tuple[str, ...] = ()) -> Iterator[None]:
    """The machine, switched on with `memory` MiB; at the end of the block it is gone."""
    for left in (control.monitor, control.console):
        left.unlink(missing_ok=True)
    lab = read_lab(control.rig.folder)
    started = process.start(lifecycle.inside(lab, _qemu(control, memory, arguments)))
    try:
        deadline = time.monotonic() + LISTENS
        while not control.monitor.exists() and started.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        yield
    finally:
        if started.poll() is None:
            with Monitor(control.monitor) as monitor:
                monitor.quit()
        started.wait()


def _qemu(control: Control, memory: int, arguments: tuple[str, ...]) -> list[str]:
    """A BIOS machine as the lab makes it (muster.lab.qemu), but for where it starts from and its disk."""
    lab = read_lab(control.rig.folder)
    machine = lab.machine(control.name)
    return [
        "qemu-system-x86_64",
        *("-nodefaults", "-no-user-config", "-machine", "q35,graphics=off", *ACCELERATION[lab.accelerator]),
        *("-smp", str(machine.cpus), "-m", str(memory), "-uuid", machine.uuid, "-vga", "none", "-display", "none"),
        *("-serial", f"file:{control.console}"),
        *("-chardev", f"socket,id=qmp,path={control.monitor},server=on,wait=off", "-mon", "chardev=qmp,mode=control"),
        *("-netdev", f"tap,id=net0,ifname={tap_of(machine)},script=no,downscript=no"),
        *("-device", f"{machine.nic},netdev=net0,mac={machine.mac},romfile=", "-device", "virtio-rng-pci"),
        *("-drive", f"if=none,id=disk0,format=raw,cache=unsafe,file={control.disk}"),
        *("-device", "virtio-blk-pci,drive=disk0"),
        *("-kernel", str(control.folder / "kernel"), "-initrd", str(control.folder / "initramfs")),
        *("-append", " ".join(("console=ttyS0", *arguments)), "-no-reboot"),
    ]


def until_up(control: Control, seconds: float) -> bool:
    """Whether it came as far as a login within that time; False also as soon as it cannot any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        said = control.text()
        if LOGIN in said:
            return True
        if GAVE_UP.search(said):
            return False
        time.sleep(0.2)
    return False
