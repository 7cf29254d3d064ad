"""From a freshly installed tree to an image's tree: the recipe's own words, then everything that names one build."""

import os
import stat

from muster.host import process
from muster.images.recipe import Recipe
from muster.images.tree import Tree
from muster.model.errors import CommandError, RequestError

TRACES = (
    "etc/hostname",
    "etc/.pwd.lock",
    "etc/.updated",
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "etc/ssh/ssh_host_*",
    "root/.bash_history",
    "run/*",
    "tmp/*",
    "var/.updated",
    "var/backups/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/log/journal",
    "var/tmp/*",
)
"""Caches, locks, identities, secrets. Without /var/log/journal the journal stays in /run (journald.conf(5))."""

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
STUB = "../run/systemd/resolve/stub-resolv.conf"


def finish(tree: Tree, recipe: Recipe, started: float) -> None:
    """Apply the recipe's files, services and removals, then make the tree the same for every build.

    `started` (unix time) is when the build began. CommandError when a service cannot be enabled.
    """
    for path, text in recipe.files.items():
        tree.write(path, text.encode())
    for service in recipe.enable:
        _enable(tree, service)
    for pattern in recipe.remove:
        if tree.remove(pattern) and "lib/modules/" in pattern:
            _renumber_modules(tree)
    _forget(tree)
    _settle_times(tree, int(started))


def _enable(tree: Tree, service: str) -> None:
    """By the tree's own tools: they know its units and links."""
    if tree.exists("bin/systemctl"):
        argv, env = ["systemctl", "enable", service], {"SYSTEMD_OFFLINE": "1"}
    elif tree.exists("sbin/rc-update"):
        argv, env = ["rc-update", "add", service], {}
    elif tree.exists("usr/sbin/update-rc.d"):
        argv, env = ["update-rc.d", service, "defaults"], {}
    else:
        raise RequestError(f"cannot enable {service}: the image has no systemctl, rc-update or update-rc.d")
    try:
        process.run(["chroot", str(tree.root), *argv], env={**env, "PATH": PATH})
    except CommandError as error:
        raise CommandError(f"cannot enable the service {service}: {error.message}") from error


def _renumber_modules(tree: Tree) -> None:
    """Let modules.dep and its like name only modules that are still there."""
    for release in tree.names("lib/modules"):
        process.run(["chroot", str(tree.root), "depmod", release], env={"PATH": PATH})


def _forget(tree: Tree) -> None:
    for pattern in TRACES:
        tree.remove(pattern)
    for path, status in list(tree.walk()):
        if path.startswith("var/log/") and not stat.S_ISDIR(status.st_mode):
            (tree.root / path).unlink()
    if tree.exists("etc/machine-id"):
        tree.write("etc/machine-id", b"", mode=0o444)
    tree.remove("etc/resolv.conf")
    if tree.glob("etc/systemd/system/*.wants/systemd-resolved.service"):
        (tree.make_folder("etc") / "resolv.conf").symlink_to(STUB)


def _settle_times(tree: Tree, started: int) -> None:
    """Whatever was written during the build gets the newest time that came with a package.

    Package files keep theirs: byte-compiled Python compares them (PEP 552).
    """
    entries = list(tree.walk())
    newest = max((int(status.st_mtime) for _, status in entries if status.st_mtime < started), default=0)
    for path, status in entries:
        if status.st_mtime >= started:
            os.utime(tree.root / path, (newest, newest), follow_symlinks=False)
