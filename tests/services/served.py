"""A controller's services in a network namespace of their own: the real supervisor, a stand-in for the app."""

import json
import sys
import tempfile
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from wait import until

from muster import settings
from muster.host import process
from muster.host.paths import Paths
from muster.services import dnsmasq

USER = 4711
NETWORK = dnsmasq.DhcpNetwork("boot", "muster0", IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1"), pool=None)


class Site:
    """A prefix, a network namespace, and what runs in it."""

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-serve-")))
        folder.chmod(0o755)
        self.paths = Paths(folder)
        holder = process.start(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        stack.callback(holder.wait)
        stack.callback(holder.kill)
        until(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n")
        self.holder = holder.pid
        self.inside("ip", "link", "add", "muster0", "type", "veth", "peer", "name", "c0")
        self.inside("ip", "address", "add", "10.77.0.1/24", "dev", "muster0")
        for name in ("lo", "muster0", "c0"):
            self.inside("ip", "link", "set", name, "up")
        self.paths.etc.mkdir(parents=True)
        settings.write_default(self.paths.config, settings.Settings(("10.77.0.1:9898",), user=str(USER)))

    def inside(self, *argv: object, check: bool = True) -> str:
        return process.run(["nsenter", "-t", self.holder_text, "-n", *map(str, argv)], check=check).text

    @property
    def holder_text(self) -> str:
        return str(self.holder)

    def start(self, log: Path):
        program = Path(__file__).with_name("serve_program.py")
        argv = ["setpriv", "--pdeathsig", "KILL", "nsenter", "-t", self.holder_text, "-n", sys.executable, program]
        with log.open("ab") as output:
            return process.start([*map(str, argv), str(self.paths.prefix)], stdout=output, stderr=output)

    def declare_network(self) -> None:
        text = dnsmasq.render_config([NETWORK], 9898, self.paths.dnsmasq, self.paths.tftp)
        (self.paths.dnsmasq / "hosts").write_text("")
        (self.paths.dnsmasq / "dnsmasq.conf").write_text(text)

    def child(self, name: str) -> dict:
        state = json.loads((self.paths.run / "supervisor.json").read_text())
        return next(each for each in state["children"] if each["name"] == name)

    def states(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [self.child(name)["state"] for name in ("app", "nginx", "dnsmasq")]
        return []

    def ask(self, path: str) -> str:
        return self.inside("curl", "-s", "-m", "5", f"http://10.77.0.1:9898{path}", check=False)

    def processes(self) -> list[int]:
        """Everything in the namespace but its holder."""
        here = Path(f"/proc/{self.holder}/ns/net").readlink()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "ns/net").readlink() == here and int(folder.name) != self.holder:
                    found.append(int(folder.name))
        return found
