"""Debian for real, by mmdebstrap from the configured mirrors: the shipped demo recipe, built once and kept."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from muster.host import process
from muster.host.clock import SystemClock
from muster.images import fingerprint, leaks, software, verity
from muster.images.build import Built, Workshop, build
from muster.images.pack import Options, pack
from muster.images.progress import silent
from muster.images.recipe import SHIPPED, load
from muster.images.tree import Tree
from muster.model.errors import ConflictError
from muster.store.blobs import Blobs

pytestmark = pytest.mark.root
TINY = load(SHIPPED / "debian12-tiny.yaml")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("debian") / "images", shared_cache, SystemClock())


@pytest.fixture(scope="module")
def built(workshop: Workshop) -> Built:
    return build(workshop, TINY, fresh=False, progress=silent)


@pytest.fixture(scope="module")
def tree(built: Built) -> Tree:
    return Tree(built.tree)


def test_the_tree_is_a_whole_debian(tree: Tree) -> None:
    assert software.distribution(tree) == "debian 12"
    assert software.architecture(tree) == "x86_64"
    features = software.features(tree)
    assert (features.init, features.network, features.time) == ("systemd", "networkd", "none")
    names = {line.split()[0] for line in software.packages(tree)}
    assert {"systemd-sysv", "udev", "openssh-server", "iproute2", "login"} <= names
    assert "perl" not in names
    assert tree.glob("etc/systemd/system/multi-user.target.wants/ssh.service")


def test_nothing_names_this_build_or_this_machine(tree: Tree) -> None:
    leaks.refuse(tree)
    assert tree.read("etc/machine-id") == b""
    for gone in ("etc/hostname", "etc/resolv.conf", "var/log/journal", "etc/apt/apt.conf.d/99mmdebstrap"):
        assert not tree.exists(gone)
    assert not tree.glob("etc/ssh/ssh_host_*")
    assert not tree.glob("var/lib/apt/lists/*")
    assert not tree.glob("boot/initrd*")
    assert str(tree.root) not in Path("/proc/self/mountinfo").read_text()


def test_the_module_index_names_only_what_is_there(tree: Tree) -> None:
    (release,) = tree.names("lib/modules")
    index = (tree.read(f"lib/modules/{release}/modules.dep") or b"").decode()
    named = [line.partition(":")[0] for line in index.splitlines()]
    assert named
    assert not [module for module in named if not tree.is_file(f"lib/modules/{release}/{module}")]


def test_the_second_build_reuses_the_tree_and_gives_the_same(built: Built, workshop: Workshop, tmp_path: Path) -> None:
    other = Workshop(tmp_path / "images", workshop.cache, SystemClock())
    again = build(other, TINY, fresh=False, progress=silent)
    assert again.reused
    assert fingerprint.survey(Tree(again.tree)) == fingerprint.survey(Tree(built.tree))


def test_packed_it_is_small_and_whole(built: Built, workshop: Workshop, tmp_path: Path) -> None:
    assert built.tree.is_dir()
    packed = pack(workshop, TINY.name, blobs := Blobs(tmp_path / "blobs"), Options(level=3), silent)
    version = packed.version
    assert version.modules.size < 4e6
    assert version.root.size < 70e6
    verity.verify(blobs.path(version.root.sha256), version.verity)


def test_a_mount_in_the_tree_stops_a_build(workshop: Workshop, built: Built, tmp_path: Path) -> None:
    """Whoever works in a chroot has /dev bound there: deleting the tree would empty the machine's."""
    script = (
        "import sys; from pathlib import Path; from muster.images.build import refuse_mounts; "
        "refuse_mounts(Path(sys.argv[1]))"
    )
    shell = 'mount --bind "$1" "$2/mnt" && exec "$3" -c "$4" "$2"'
    argv = ["unshare", "--mount", "sh", "-c", shell, "-", str(tmp_path), str(built.tree), sys.executable, script]
    done = process.run(argv, check=False)
    assert done.status != 0
    assert ConflictError.__name__ in done.stderr.decode()
    assert workshop.images.exists()


def test_a_killed_build_leaves_no_process_no_mount_and_a_free_lock(tmp_path: Path) -> None:
    marker = str(tmp_path / "images")
    script = (
        "import sys; from pathlib import Path; from muster.host.clock import SystemClock; "
        "from muster.images.build import Workshop, build; from muster.images.recipe import SHIPPED, load; "
        "w = Workshop(Path(sys.argv[1]), Path(sys.argv[2]), SystemClock()); "
        "build(w, load(SHIPPED / 'debian12-tiny.yaml'), fresh=True, progress=lambda s, p=None: print(s, flush=True))"
    )
    child = process.start([sys.executable, "-c", script, marker, str(tmp_path / "cache")], stdout=-1)
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(b"extracting"):
            break
    assert users(marker)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 5
    while users(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert users(marker) == []
    assert marker not in Path("/proc/self/mountinfo").read_text()
    assert not (tmp_path / "images/debian12-tiny/tree").exists()


def users(marker: str) -> list[str]:
    """Programs that have this path on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in words and int(folder.name) != os.getpid():
            found.append(words)
    return found
