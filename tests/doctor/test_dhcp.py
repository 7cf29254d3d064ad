"""Another DHCP server on the wire is found, our own is not reported; offers are parsed without trust."""

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.doctor import dhcp
from muster.host import process

MAC, XID = b"\x02\x00\x00\x00\x00\x01", b"abcd"


def offer(**change: bytes) -> bytes:
    """An OFFER of 10.0.0.9 by 10.0.0.2 to MAC."""
    options = change.get("options", b"\x35\x01\x02\x36\x04\x0a\x00\x00\x02\xff")
    head = struct.pack(">BBBB4sHH", 2, 1, 6, 0, change.get("xid", XID), 0, 0x8000) + bytes(4) + b"\x0a\x00\x00\x09"
    body = head + bytes(8) + change.get("mac", MAC) + bytes(10 + 64) + b"pxe.0".ljust(128, b"\0") + b"\x63\x82\x53\x63"
    udp = struct.pack(">HHHH", 67, 68, 0, 0)
    ip = b"\x45" + bytes(8) + b"\x11" + bytes(2) + b"\x0a\x00\x00\x03" + b"\xff" * 4
    return bytes(12) + b"\x08\x00" + ip + udp + body + options


def test_an_offer_is_read() -> None:
    assert dhcp.parse(offer(), MAC, XID) == dhcp.Offer("10.0.0.2", "10.0.0.9", "pxe.0")
    unnamed = dhcp.parse(offer(options=b"\x35\x01\x02\xff"), MAC, XID)
    assert unnamed is not None and unnamed.server == "10.0.0.3", "without option 54 it is who sent it"


def test_anything_else_is_nothing() -> None:
    assert dhcp.parse(offer(xid=b"wxyz"), MAC, XID) is None
    assert dhcp.parse(offer(mac=b"\x02\x00\x00\x00\x00\x02"), MAC, XID) is None
    assert dhcp.parse(offer(options=b"\x35\x01\x05\xff"), MAC, XID) is None
    whole = offer()
    for size in range(len(whole)):
        dhcp.parse(whole[:size], MAC, XID)
    for at in range(len(whole)):
        dhcp.parse(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :], MAC, XID)


@pytest.fixture
def wire() -> Iterator[str]:
    """Two ends of a cable: `boot0` (10.77.0.1) in the namespace whose name this is, `far0` in NAME-far."""
    name = f"muster-doctor-{os.getpid()}"
    commands = f"""
        ip netns add {name}
        ip netns add {name}-far
        ip -n {name} link add boot0 type veth peer name far0 netns {name}-far
        ip -n {name} address add 10.77.0.1/24 dev boot0
        ip -n {name}-far address add 10.77.0.66/24 dev far0
        ip -n {name} link set boot0 up
        ip -n {name}-far link set far0 up
        ip -n {name} link set lo up"""
    try:
        for line in commands.strip().splitlines():
            process.run(line.split())
        yield name
    finally:
        for each in (name, f"{name}-far"):
            process.run(["ip", "netns", "delete", each], check=False)


def serving(namespace: str, interface: str, pool: str) -> process.Handle:
    """A real dnsmasq; it has said that it started."""
    words = ["--port=0", "--log-facility=-", "--pid-file=", "--leasefile-ro", "--no-ping", "--conf-file=/dev/null"]
    words += [f"--dhcp-range={pool},10m", f"--interface={interface}", "--bind-interfaces", "--dhcp-boot=evil.0"]
    argv = ["ip", "netns", "exec", namespace, "dnsmasq", "--keep-in-foreground", *words]
    reading, writing = os.pipe()
    server = process.start(argv, stderr=writing, stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert any("DHCP" in line for line in said), "dnsmasq ended"
    return server


def asked(namespace: str) -> list[list[str]]:
    """What the check says, run inside the namespace as the command would be."""
    program = (
        "import json\n"
        "from muster.doctor.dhcp import rogue\n"
        "from muster.doctor.finding import Patient\n"
        "from muster.host.paths import Paths\n"
        "from tests.cluster import world_of\n"
        "net = dict(kind='network', name='boot', subnet='10.77.0.0/24', address='10.77.0.1', interface='boot0')\n"
        "found = rogue(Patient(Paths(), None, None, world_of(net)))\n"
        "print(json.dumps([[f.level, f.where, f.message] for f in found]))"
    )
    argv = ["ip", "netns", "exec", namespace, sys.executable, "-c", program]
    answer: list[list[str]] = json.loads(process.run(argv, cwd=Path(__file__).parents[2], timeout=20).text)
    return answer


@pytest.mark.root
def test_a_rogue_server_is_named_and_ours_is_not(wire: str) -> None:
    servers = [serving(wire, "boot0", "10.77.0.100,10.77.0.110")]
    try:
        start = time.monotonic()
        assert asked(wire) == [["ok", "boot0", "no other DHCP server answered within 3 s"]]
        assert time.monotonic() - start < 6
        servers.append(serving(f"{wire}-far", "far0", "10.77.0.200,10.77.0.210"))
        ((level, where, message),) = asked(wire)
        assert (level, where) == ("problem", "boot0")
        assert "10.77.0.66" in message and "10.77.0.2" in message and "evil.0" in message
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def test_only_ipv4_over_ethernet_is_looked_at() -> None:
    assert dhcp.parse(bytes(400), MAC, XID) is None
    assert socket.inet_ntoa(offer()[26:30]) == "10.0.0.3"
