"""Another DHCP server on the wire: one question to everybody from a machine that does not exist; who offers is named.

The question goes out on a packet socket (packet(7)), so the host's own server does not hear it; it asks as a
PXE client does (RFC 4578), so that servers which name only a loader answer too. Formats: RFC 2131, RFC 2132.
"""

import ipaddress
import os
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from muster.doctor.finding import Finding, Patient, ok, problem, warning
from muster.doctor.network import links, own_addresses

PATIENCE = 3.0
"""Seconds in which a server must answer; the question is repeated once, after half of them."""

_MAGIC = b"\x63\x82\x53\x63"
_END, _PAD, _TYPE, _SERVER = 255, 0, 53, 54
_DISCOVER, _OFFER = 1, 2
_QUESTION = (
    bytes([_TYPE, 1, _DISCOVER, 55, 6, 1, 3, 6, 54, 66, 67])
    + b"\x3c\x09PXEClient"
    + bytes([93, 2, 0, 0, 94, 3, 1, 2, 1, _END])
)
_UDP_AT, _BOOTP_AT, _OPTIONS_AT = 34, 42, 42 + 240
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1


@dataclass(frozen=True)
class Offer:
    """What a server offered: itself, the address, the boot file (both may be empty)."""

    server: str
    address: str
    file: str


def rogue(patient: Patient) -> Iterator[Finding]:
    """Ask on every interface on which we are the DHCP server."""
    if not patient.leased:
        return
    if os.geteuid() != 0:
        yield warning("DHCP", "not looked for another server: only root may ask", "sudo muster doctor")
        return
    present = links()
    ours = own_addresses(present)
    names = sorted({n.interface for n in patient.leased if n.interface in present and present[n.interface].up})
    with ThreadPoolExecutor(max_workers=16) as pool:
        for name, offers in zip(names, pool.map(offers_on, names), strict=True):
            others = sorted({(o.server, o.address, o.file) for o in offers if o.server not in ours})
            if not others:
                yield ok(name, f"no other DHCP server answered within {PATIENCE:g} s")
            for server, address, file in others:
                gave = f"address {address}" if address != "0.0.0.0" else "no address"
                boots = f" and boot file {file}" if file else ""
                hint = f"switch it off or take it out of this network; its MAC: ip neigh show {server}"
                yield problem(name, f"another DHCP server, {server}, offers {gave}{boots}", hint)


def offers_on(interface: str, patience: float = PATIENCE) -> list[Offer]:
    """Every offer that comes back on an interface within `patience` seconds."""
    mac = bytes([0x02 | secrets.randbits(8) & 0xFC]) + secrets.token_bytes(5)
    transaction = secrets.token_bytes(4)
    question = _frame(mac, transaction)
    found: dict[Offer, None] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as link:
        link.bind((interface, 0))
        member = struct.pack("iHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
        link.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
        for _ in range(2):
            link.send(question)
            end = time.monotonic() + patience / 2
            while (left := end - time.monotonic()) > 0:
                link.settimeout(left)
                try:
                    offer = parse(link.recv(2048), mac, transaction)
                except TimeoutError:
                    break
                if offer is not None:
                    found[offer] = None
    return list(found)


def parse(frame: bytes, mac: bytes, transaction: bytes) -> Offer | None:
    """The offer in an Ethernet frame, if it is one to this client; anything else, however broken, is None."""
    head = frame[_BOOTP_AT:_OPTIONS_AT]
    if len(frame) < _OPTIONS_AT or frame[12:15] != b"\x08\x00\x45" or frame[23] != socket.IPPROTO_UDP:
        return None
    if frame[_UDP_AT : _UDP_AT + 4] != struct.pack(">HH", 67, 68) or head[4:8] != transaction or head[28:34] != mac:
        return None
    options = dict(_options(frame[_OPTIONS_AT:]))
    if head[236:240] != _MAGIC or options.get(_TYPE) != bytes([_OFFER]):
        return None
    named = options.get(_SERVER, b"")
    server = named if len(named) == 4 else frame[26:30]
    file = options.get(67, b"") or head[108:236].split(b"\0")[0]
    return Offer(_address(server), _address(head[16:20]), file.rstrip(b"\0").decode("ascii", errors="replace"))


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        size = data[at + 1]
        yield data[at], data[at + 2 : at + 2 + size]
        at += 2 + size


def _frame(mac: bytes, transaction: bytes) -> bytes:
    """A broadcast DISCOVER; the flag asks for a broadcast answer."""
    fixed = struct.pack(">BBBB4sHH16s6s202x", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac)
    body = fixed + _MAGIC + _QUESTION
    udp = struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"", b"\xff" * 4)
    total = sum(struct.unpack(">10H", head))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return b"\xff" * 6 + mac + b"\x08\x00" + head[:10] + struct.pack(">H", checksum) + head[12:] + udp


def _address(data: bytes) -> str:
    return str(ipaddress.IPv4Address(data))
