"""What an image's software is, read from its files; `features` is what overlays must know of it."""

import re
import shlex

from muster.images.tree import Tree
from muster.model.errors import RequestError
from muster.model.objects import Features

MACHINES = {62: "x86_64", 183: "aarch64"}
"""ELF e_machine (elf.h) of the architectures we boot."""


def distribution(tree: Tree) -> str:
    """`debian 12`, from os-release(5); `unknown` without one."""
    data = tree.read("etc/os-release") or tree.read("usr/lib/os-release") or b""
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", data.decode(errors="replace"), re.MULTILINE))
    words = [" ".join(shlex.split(values.get(key, ""))) for key in ("ID", "VERSION_ID")]
    return " ".join(word for word in words if word)[:128] or "unknown"


def architecture(tree: Tree) -> str:
    """From the ELF header of the tree's shell. RequestError when it has none or is of an architecture unknown here."""
    for path in ("bin/sh", "bin/busybox", "sbin/init"):
        if not tree.is_file(path):
            continue
        header = (tree.read(path) or b"")[:20]
        if header[:4] == b"\x7fELF":
            number = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
            if number not in MACHINES:
                raise RequestError(f"{path}: ELF machine {number} is not one we boot", where=str(tree.root))
            return MACHINES[number]
    raise RequestError("no shell, busybox or init that is an ELF program", where=str(tree.root))


def packages(tree: Tree) -> list[str]:
    """`name version` of every installed package, sorted, from dpkg's or apk's own database; empty without one."""
    status = tree.read("var/lib/dpkg/status")
    if status is not None:
        return sorted(_dpkg(status.decode(errors="replace")))
    installed = tree.read("lib/apk/db/installed") or tree.read("usr/lib/apk/db/installed") or b""
    return sorted(" ".join(pair) for pair in re.findall(r"^P:(.+)\nV:(.+)$", installed.decode(), re.MULTILINE))


def _dpkg(status: str) -> list[str]:
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").split()[-1:] == ["installed"]:
            found.append(f"{fields['Package']} {fields.get('Version', '')}".rstrip())
    return found


def features(tree: Tree) -> Features:
    """What will run on the node; a network or time service counts when it is enabled."""
    return Features(
        init=_init(tree), network=_network(tree), resolved=_enabled(tree, "systemd-resolved"), time=_time(tree)
    )


def _init(tree: Tree) -> "str":
    name = (tree.resolve("sbin/init") or "").rpartition("/")[2]
    if name == "systemd":
        return "systemd"
    if name.startswith("runit"):
        return "runit"
    if name == "openrc-init" or tree.exists("sbin/openrc"):
        return "openrc"
    return "other"


def _network(tree: Tree) -> str:
    if _enabled(tree, "systemd-networkd"):
        return "networkd"
    ifupdown = tree.exists("sbin/ifup") and (
        _enabled(tree, "networking") or tree.exists("etc/runlevels/boot/networking") or _init(tree) != "systemd"
    )
    return "ifupdown" if ifupdown else "none"


def _time(tree: Tree) -> str:
    if any(_enabled(tree, name) for name in ("chrony", "chronyd")) or tree.exists("etc/runlevels/default/chronyd"):
        return "chrony"
    return "timesyncd" if _enabled(tree, "systemd-timesyncd") else "none"


def _enabled(tree: Tree, unit: str) -> bool:
    """Whether a systemd unit is wanted by something (systemd.unit(5), [Install]) or a SysV link starts it."""
    wanted = tree.glob(f"etc/systemd/system/*.wants/{unit}.service")
    links = tree.glob(f"etc/rc[S2345].d/S[0-9][0-9]{unit}") if _init(tree) != "systemd" else []
    return bool(wanted or links)
