"""Answers IPv6 router solicitations on the lab's segment with "there is no router here".

iPXE 1.0 (Debian 12) asks for an IPv6 router on every boot and waits 13 s for an answer before it goes
on with its IPv4 lease. An advertisement with lifetime 0 and without prefixes ends that wait and gives
nobody an address or a route.
"""

import contextlib
import socket
import struct

SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"

NO_ROUTER = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)
"""RFC 4861, 4.2: type, code, checksum (the kernel's), hop limit, flags, lifetime, reachable and retransmission time."""


def opened(interface: str) -> socket.socket:
    """A socket that hears the solicitations on an interface; non-blocking. OSError when IPv6 is not there."""
    index = socket.if_nametoindex(interface)
    heard = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
    group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    heard.setblocking(False)
    return heard


def answer(heard: socket.socket, interface: str) -> None:
    """Take one packet from the socket; a solicitation is answered to all nodes. A lost answer is asked for again."""
    with contextlib.suppress(OSError):
        packet, sender = heard.recvfrom(2048)
        if packet and packet[0] == SOLICITATION and sender[3] == socket.if_nametoindex(interface):
            heard.sendto(NO_ROUTER, (ALL_NODES, 0, 0, sender[3]))
