"""Kits: programs that a node needs only for some roots, packed from this controller's own packages. The one list."""

from collections.abc import Mapping
from typing import NamedTuple

VERITY, UNPACK, ACL, DISK = "verity", "unpack", "acl", "disk"


class Program(NamedTuple):
    """The name of a program, and of the Debian package that holds it."""

    name: str
    package: str


KITS: Mapping[str, tuple[Program, ...]] = {
    VERITY: (Program("dmsetup", "dmsetup"),),
    UNPACK: (Program("unsquashfs", "squashfs-tools"), Program("getfattr", "attr"), Program("setfattr", "attr")),
    ACL: (Program("setfacl", "acl"),),
    DISK: (Program("sfdisk", "fdisk"), Program("mkfs.ext4", "e2fsprogs")),
}


def packages(kit: str) -> str:
    """The packages that hold its programs, as words of apt-get install."""
    return " ".join(sorted({program.package for program in KITS[kit]}))
