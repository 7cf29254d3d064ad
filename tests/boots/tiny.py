"""The `tiny` image: busybox and a kernel, for the faults of a boot. It boots in seconds and never needs a network.

Its init prints one line and sleeps; the kernel and its modules come from the test image's tree.
"""

import shutil
from pathlib import Path

NAME = "tiny"
STARTED = "tiny: init runs"
_INIT = f"""#!/bin/sh
/bin/busybox mount -t tmpfs tmp /tmp
echo "{STARTED}" >/dev/console
while :; do /bin/busybox sleep 3600; done
"""


def make_tree(tree: Path, source: Path) -> None:
    """A root tree at `tree`; kernel and modules are copied from the Debian tree `source`."""
    for folder in ("bin", "boot", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/lib", "var"):
        (tree / folder).mkdir(parents=True)
    shutil.copytree(source / "usr/lib/modules", tree / "usr/lib/modules", symlinks=True)
    (tree / "lib").symlink_to("usr/lib")
    for kernel in (source / "boot").glob("vmlinuz-*"):
        shutil.copy2(kernel, tree / "boot")
    shutil.copy2("/bin/busybox", tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    init = tree / "sbin/init"
    init.write_text(_INIT)
    init.chmod(0o755)
    (tree / "etc/os-release").write_text('ID=tiny\nVERSION_ID="1"\nPRETTY_NAME="tiny"\n')
