"""A lab for measuring: driven by the command line as an administrator would, and gone at the end, also on failure."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.access_log import Request, read
from muster.client import Client, ClientError
from muster.host import process
from muster.host.paths import Paths
from muster.lab import lifecycle
from muster.lab.network import tap_of
from muster.lab.plan import Machine
from muster.lab.plan import read as read_lab
from muster.model import urls

NAME = "bench"
READY_SECONDS = 240.0
POLL_SECONDS = 0.5
NOT_FOUND = 404
LOG_TAIL = 3000
LOG_FLUSH_SECONDS = 1.2
"""nginx writes its access log at most a second late."""


@dataclass(frozen=True)
class Rig:
    """One running lab. `key` opens its nodes, `image` is what they boot."""

    image: str
    key: Path

    @property
    def folder(self) -> Path:
        return Path("/var/lib/muster-lab") / NAME

    @property
    def paths(self) -> Paths:
        return Paths(self.folder / "controller")

    def muster(self, *words: str) -> str:
        """The output of one command. Raises CommandError with the line that can be pasted."""
        env = {
            "MUSTER_PREFIX": str(self.paths.prefix),
            "MUSTER_CACHE": os.environ.get("MUSTER_CACHE", "/var/cache/muster"),
        }
        return process.run([sys.executable, "-m", "muster.cli.main", *words], env=env, timeout=600).text

    def document(self, *words: str) -> Any:
        """What a command with `-o json` says."""
        return json.loads(self.muster(*words, "-o", "json"))

    @property
    def accelerator(self) -> str:
        """How the lab's machines run: kvm or tcg."""
        return read_lab(self.folder).accelerator

    def machines(self) -> tuple[Machine, ...]:
        """The lab's machines, in order."""
        return read_lab(self.folder).machines

    def blob(self, sha256: str) -> Path:
        """The controller's file of that blob."""
        return self.paths.blobs / "sha256" / sha256

    def sent_to(self, name: str) -> int:
        """Bytes of all frames that went to a machine since the lab began, by its tap's counter."""
        lab = read_lab(self.folder)
        asked = ["ip", "-json", "-statistics", "link", "show", "dev", tap_of(lab.machine(name))]
        (link,) = json.loads(process.run(lifecycle.inside(lab, asked)).text)
        return int(link["stats64"]["tx"]["bytes"])

    def console(self, name: str) -> Path:
        """The file of all that the machine ever said on its console."""
        return read_lab(self.folder).console_log(name)

    def node(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document("node", "list", name)[0]
        return found

    def power_on(self, name: str) -> float:
        """Switch a machine on; the Unix time at which QEMU had started, by the monitor's socket that it makes first."""
        self.muster("lab", "power", "--name", NAME, name, "on")
        return (self.folder / "nodes" / name / "qmp.sock").stat().st_mtime

    def power_off(self, name: str) -> None:
        self.muster("lab", "power", "--name", NAME, name, "off")

    def is_ready(self, name: str, since: float) -> bool:
        """Whether a boot that began after `since` (Unix time) is ready.

        Asked on the controller's socket: a command a poll would take the processor from the machine measured."""
        try:
            found = Client(self.paths.socket).get(urls.API_TRACE.format(node=name))
        except ClientError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return isinstance(found, dict) and found["state"] == "ready" and found["started"] > since

    def until_ready(self, name: str, since: float) -> dict[str, Any]:
        """The timeline of the boot that began after `since` (Unix time), once it is ready; TimeoutError else."""
        self._until(lambda: self.is_ready(name, since), name)
        found: dict[str, Any] = self.document("node", "trace", name)
        return found

    def requests(self, address: str, since: float) -> list[Request]:
        """What that address asked of the controller since a Unix time, in the order of the answers."""
        time.sleep(LOG_FLUSH_SECONDS)
        found = read((self.paths.nginx / "access.log").read_text())
        return [request for request in found if request.client == address and request.ended >= since]

    def ssh(self, address: str, script: str) -> str:
        """Run a shell script on a node, from inside the lab's network; its output."""
        options = ["-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"]
        return self.muster("lab", "run", "--name", NAME, "--", "ssh", *options, f"root@{address}", script)

    def _until(self, condition: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                tail = (self.folder / "nodes" / name / "console.log").read_text(errors="replace")[-2000:]
                raise TimeoutError(f"{name} is not ready after {READY_SECONDS:g} s; its console:\n{tail}")
            time.sleep(POLL_SECONDS)


@contextmanager
def running(image: str, *, firmware: str, memory: Sequence[int] = (1024,)) -> Iterator[Rig]:
    """A lab, switched off, image published: a machine for each firmware named (`bios,uefi` gives n1 and n2), and as
    many more as there are sizes of memory, each list gone through again and again."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "id_ed25519"
        process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        rig = Rig(image, key)
        nodes = max(len(firmware.split(",")), len(memory))
        options = ("--nodes", str(nodes), "--firmware", firmware, "--memory", ",".join(map(str, memory)))
        rig.muster("lab", "up", "--name", NAME, "--no-power", *options)
        try:
            rig.muster("image", "build", image)
            rig.muster("image", "pack", image)
            rig.muster("profile", "add", "default", f"image={image}", f"authorized_keys=@{key}.pub")
            yield rig
        except BaseException:
            # the lab takes its logs with it
            sys.stderr.write((rig.folder / "controller.log").read_text(errors="replace")[-LOG_TAIL:])
            raise
        finally:
            rig.muster("lab", "down", "--name", NAME)
