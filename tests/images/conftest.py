"""Small hand-made trees: enough of a root file system to be packed."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

RELEASE = "6.1.0-40-amd64"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62) + bytes(44)
OLD = 1_600_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a kernel, a shell, an init and a package database."""
    return make_tree(tmp_path / "tree")


def make_tree(root: Path) -> Path:
    files = {
        f"boot/vmlinuz-{RELEASE}": b"kernel " * 1000,
        f"usr/lib/modules/{RELEASE}/modules.dep": b"",
        "usr/bin/sh": ELF,
        "usr/lib/systemd/systemd": ELF,
        "usr/lib/os-release": b'ID=debian\nVERSION_ID="12"\n',
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
        "etc/shadow": b"root:*:19000:0:99999:7:::\ndaemon:!:19000::::::\n",
        "var/lib/dpkg/status": (
            b"Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\n\n"
            b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\n"
            b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
        ),
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for name in ("bin", "sbin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr/sbin").mkdir()
    (root / "usr/sbin/init").symlink_to("/lib/systemd/systemd")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    set_times(root)
    return root


@pytest.fixture
def settle() -> Callable[[Path], None]:
    """Gives every entry of a tree one old time: times are content of a pack."""
    return set_times


def set_times(root: Path) -> None:
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            os.utime(Path(folder) / name, (OLD, OLD), follow_symlinks=False)
    os.utime(root, (OLD, OLD))
