"""The rendered dnsmasq files, and a real dnsmasq that answers DHCP and TFTP in a namespace."""

import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from wait import until

from muster.boot import ipxe_static
from muster.host import files, process
from muster.model.errors import ConflictError, MusterError, RequestError
from muster.services import dnsmasq, loaders
from muster.services.child import confined
from muster.services.dnsmasq import DhcpHost, DhcpNetwork, needs_restart
from muster.services.prepare import Account

M1, M2, M3 = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
STRANGER = "52:54:00:00:99:01"
A11, A12, A13, A14 = (IPv4Address(f"10.77.0.{last}") for last in (11, 12, 13, 14))
POOL = (IPv4Address("10.77.0.200"), IPv4Address("10.77.0.203"))
BOOT = DhcpNetwork(
    "boot",
    "muster0",
    IPv4Network("10.77.0.0/24"),
    IPv4Address("10.77.0.1"),
    router=IPv4Address("10.77.0.254"),
    nameservers=(IPv4Address("10.77.0.2"), IPv4Address("10.77.0.3")),
    domain="cluster.example",
    pool=POOL,
    lease=600,
)
RELAYED = DhcpNetwork("rack2", None, IPv4Network("10.88.0.0/16"), IPv4Address("10.77.0.1"))


def host(name: str, address: IPv4Address, *macs: str) -> DhcpHost:
    return DhcpHost(macs, address, name)


N1, N2 = host("n1", A11, M1), host("n2", A12, M2)


def test_configuration(golden):
    golden(
        "dnsmasq.conf",
        dnsmasq.render_config([RELAYED, BOOT], 9898, Path("/var/lib/muster/dnsmasq"), Path("/var/lib/muster/tftp")),
    )
    golden("hosts", dnsmasq.render_hosts([N2, host("bond", A13, M3, "0c:42:a1:00:00:01"), N1, host("none", A14)]))
    golden("boot.ipxe", ipxe_static.render(9898))


def test_clashing_hosts_are_refused():
    with pytest.raises(ConflictError, match="n1 and n2"):
        dnsmasq.render_hosts([N1, host("n2", A11, M2)])
    with pytest.raises(ConflictError, match=M1):
        dnsmasq.render_hosts([N1, host("n2", A12, M1)])


def test_networks_that_cannot_work_are_refused():
    with pytest.raises(RequestError):
        dnsmasq.render_config([], 9898, Path("/d"), Path("/t"))
    outside = DhcpNetwork("x", "e", IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1"), pool=POOL)
    with pytest.raises(RequestError, match="network x"):
        dnsmasq.render_config([outside], 9898, Path("/d"), Path("/t"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([N1], [N1], False),
        ([], [N1, N2], False),
        ([N1], [N1, N2], False),
        ([N1], [host("renamed", A11, M1)], False),
        ([N1], [host("n1", A11, M1, M3)], False),
        ([N1, N2], [N1], True),
        ([N1], [host("n1", A11, M3)], True),
        ([N1], [host("n1", A13, M1)], True),
        ([N1, N2], [host("n1", A12, M1), host("n2", A11, M2)], True),
        ([], [host("n1", POOL[0], M1)], True),
    ],
)
def test_when_a_reload_is_not_enough(before, after, expected):
    assert needs_restart(before, after, [POOL]) is expected


def test_loader_files(tmp_path):
    source, tftp = tmp_path / "ipxe", tmp_path / "tftp"
    source.mkdir()
    tftp.mkdir()
    (source / loaders.BIOS).write_bytes(b"bios")
    with pytest.raises(MusterError, match=r"snponly\.efi(.|\n)*apt-get install ipxe"):
        loaders.install(tftp, 9898, source=source)
    (source / loaders.UEFI).write_bytes(b"uefi")
    loaders.install(tftp, 9898, source=source)
    assert {path.name for path in tftp.iterdir()} == {loaders.BIOS, loaders.UEFI, loaders.SCRIPT}
    inode = (tftp / loaders.UEFI).stat().st_ino
    loaders.install(tftp, 9898, source=source)
    assert (tftp / loaders.UEFI).stat().st_ino == inode, "unchanged files stay"


class Wire:
    """Two namespaces joined by a wire: dnsmasq in one, clients in the other. It runs without root."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.hosts: list[DhcpHost] = []
        self._stack = stack
        self._server, self._client = self._namespace(), self._namespace()
        self._in(
            self._server, "ip", "link", "add", "muster0", "type", "veth", "peer", "name", "c0", "netns", self._client
        )
        self._in(self._server, "ip", "address", "add", "10.77.0.1/24", "dev", "muster0")
        self._in(self._client, "ip", "address", "add", "10.77.0.250/24", "dev", "c0")
        for namespace, name in ((self._server, "lo"), (self._server, "muster0"), (self._client, "c0")):
            self._in(namespace, "ip", "link", "set", name, "up")
        for name in ("tftp", "dnsmasq"):
            (folder / name).mkdir()
        loaders.install(folder / "tftp", 9898)
        text = dnsmasq.render_config([BOOT], 9898, folder / "dnsmasq", folder / "tftp")
        (folder / "dnsmasq/dnsmasq.conf").write_text(text)
        (folder / "dnsmasq/hosts").write_text("")
        self.start()

    def _namespace(self) -> str:
        holder = process.start(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        until(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink())
        until(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n")
        return str(holder.pid)

    def _in(self, namespace: str, *argv: object) -> str:
        return process.run(["nsenter", "-t", namespace, "-n", *map(str, argv)]).text

    def start(self) -> None:
        argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={self.folder}/dnsmasq/dnsmasq.conf"]
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            wrapped = confined(argv, Account(4711, 4711), ("net_bind_service", "net_raw", "net_admin"))
            self.process = process.start(["nsenter", "-t", self._server, "-n", *wrapped], stderr=log)
        until(lambda: b"started, version" in self.log.read_bytes())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        until(lambda: "dnsmasq" not in self._in(self._server, "ss", "-lunp"))

    def declare(self, *hosts: DhcpHost) -> bool:
        """New hosts as the app brings them in; whether that took a restart."""
        restart = needs_restart(self.hosts, hosts, [POOL])
        self.hosts = list(hosts)
        files.write_atomic(self.folder / "dnsmasq/hosts", dnsmasq.render_hosts(hosts).encode())
        if restart:
            self.stop()
            self.start()
        else:
            pid = self.process.pid
            for _ in range(2):
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
            reads = self.log.read_bytes().count(b"dnsmasq/hosts")
            os.kill(pid, signal.SIGHUP)
            until(lambda: self.log.read_bytes().count(b"dnsmasq/hosts") > reads)
        return restart

    def renew(self, mac: str, address: object) -> str:
        """What a client that holds `address` is told: the kind of answer, which comes to that address."""
        self._in(self._client, "ip", "address", "add", f"{address}/32", "dev", "c0")
        try:
            return self.ask(mac, f"renew:{address}")["type"]
        finally:
            self._in(self._client, "ip", "address", "delete", f"{address}/32", "dev", "c0")

    def ask(self, mac: str, mode: str = "get", *options: str) -> dict:
        client = Path(__file__).with_name("dhcp_client.py")
        return json.loads(self._in(self._client, sys.executable, client, "c0", mac, mode, *options))

    def tftp(self, name: str) -> bytes:
        return process.run(
            ["nsenter", "-t", self._client, "-n", "curl", "-s", f"tftp://10.77.0.1/{name}"], check=False
        ).stdout


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-dnsmasq-")))
        folder.chmod(0o755)
        made = Wire(stack, folder)
        stack.callback(made.stop)
        yield made


@pytest.mark.root
def test_a_known_node_is_answered_at_once(wire):
    assert wire.declare(N1, N2) is False
    answer = wire.ask(M2)
    assert (answer["type"], answer["address"], answer["next_server"]) == ("ack", str(A12), "10.77.0.1")
    assert answer["seconds"] < 0.5
    options = {int(number): bytes.fromhex(value) for number, value in answer["options"].items()}
    assert options[1] == socket.inet_aton("255.255.255.0")
    assert options[3] == socket.inet_aton("10.77.0.254")
    assert options[6] == socket.inet_aton("10.77.0.2") + socket.inet_aton("10.77.0.3")
    assert (options[12], options[15]) == (b"n2", b"cluster.example")
    assert int.from_bytes(options[51]) == 600


@pytest.mark.root
def test_unknown_machines_share_the_pool(wire):
    got = [wire.ask(f"52:54:00:00:99:{number:02x}") for number in range(5)]
    addresses = [answer["address"] for answer in got if answer["type"] == "ack"]
    assert len(set(addresses)) == len(addresses) == 4
    assert all(POOL[0] <= IPv4Address(address) <= POOL[1] for address in addresses)
    assert got[0]["seconds"] < 0.5, "no ping before the offer"
    assert got[4]["type"] == "none", "the pool is used up"


@pytest.mark.root
def test_an_unknown_machine_becomes_a_node(wire):
    pooled = wire.ask(STRANGER)["address"]
    assert wire.declare(N1, host("new", A13, STRANGER)) is False
    assert wire.renew(STRANGER, pooled) == "nak"
    assert wire.ask(STRANGER)["address"] == str(A13)


@pytest.mark.root
def test_a_changed_address(wire):
    wire.declare(N1)
    wire.ask(M1)
    wire.declare(host("n1", A13, M1))
    assert wire.renew(M1, A11) == "nak"
    assert wire.ask(M1)["address"] == str(A13)


@pytest.mark.root
def test_a_changed_mac_on_the_same_address(wire):
    wire.declare(N1)
    assert wire.ask(M1)["address"] == str(A11)
    assert wire.declare(host("n1", A11, M3)) is True
    assert wire.ask(M3)["address"] == str(A11)
    assert wire.renew(M1, A11) == "nak"


@pytest.mark.root
def test_swapped_addresses(wire):
    wire.declare(N1, N2)
    wire.ask(M1)
    wire.ask(M2)
    wire.declare(host("n1", A12, M1), host("n2", A11, M2))
    assert (wire.ask(M1)["address"], wire.ask(M2)["address"]) == (str(A12), str(A11))


@pytest.mark.root
def test_a_removed_node_is_unknown(wire):
    wire.declare(N1, N2)
    wire.ask(M1)
    wire.declare(N2)
    assert wire.renew(M1, A11) == "nak"
    assert IPv4Address(wire.ask(M1)["address"]) >= POOL[0]
    wire.declare(N2, host("n3", A11, M3))
    assert wire.ask(M3)["address"] == str(A11)


@pytest.mark.root
def test_a_second_mac_of_the_same_node_takes_the_address_over(wire):
    wire.declare(N1)
    wire.ask(M1)
    assert wire.declare(host("n1", A11, M1, M3)) is False
    assert wire.ask(M3)["address"] == str(A11)


@pytest.mark.root
def test_a_pool_address_given_to_a_node(wire):
    pooled = IPv4Address(wire.ask(STRANGER)["address"])
    assert wire.declare(host("n1", pooled, M1)) is True
    assert wire.ask(M1)["address"] == str(pooled)
    assert wire.renew(STRANGER, pooled) == "nak"


@pytest.mark.root
def test_a_restart_forgets_nothing_that_a_node_needs(wire):
    wire.declare(N1)
    wire.ask(M1)
    pooled = wire.ask(STRANGER)["address"]
    wire.stop()
    wire.start()
    assert wire.renew(M1, A11) == "ack"
    assert wire.renew(STRANGER, pooled) == "ack"


@pytest.mark.root
def test_the_loader_fits_the_firmware(wire):
    wire.declare(N1)
    pxe, http = b"PXEClient".hex(), b"HTTPClient:Arch:00016".hex()
    ipxe = f"77={b'iPXE'.hex()}"

    def file(answer):
        option = bytes.fromhex(answer["options"].get("67", "")).rstrip(b"\0").decode()
        return answer["file"] or option

    for mac in (M1, STRANGER):
        assert file(wire.ask(mac, "get", f"60={pxe}", "93=0000")) == "undionly.kpxe"
        assert file(wire.ask(mac, "get", f"60={pxe}", "93=0007")) == "snponly.efi"
        assert file(wire.ask(mac, "get", f"60={pxe}", "93=0009")) == "snponly.efi"
        assert file(wire.ask(mac, "get", f"60={pxe}", "93=0000", ipxe)) == "boot.ipxe"
        assert file(wire.ask(mac, "get", f"60={pxe}", "93=0007", "175=b10101")) == "boot.ipxe"
        answer = wire.ask(mac, "get", f"60={http}", "93=0010")
        assert file(answer) == "http://10.77.0.1:9898/boot/files/snponly.efi"
        assert bytes.fromhex(answer["options"]["60"]) == b"HTTPClient"
        assert file(wire.ask(mac)) == "", "an operating system is told no loader"


@pytest.mark.root
def test_tftp(wire):
    assert wire.tftp("snponly.efi") == Path("/usr/lib/ipxe/snponly.efi").read_bytes()
    assert wire.tftp("boot.ipxe").decode() == ipxe_static.render(9898)
    assert wire.tftp("../dnsmasq/hosts") == b""
    assert wire.tftp("/etc/passwd") == b""
