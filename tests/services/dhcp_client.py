"""A DHCP client on a raw socket, run as a program inside a network namespace; prints what it got as JSON.

usage: dhcp_client.py INTERFACE MAC MODE [OPTION=HEX ...]   MODE: discover | get | renew:ADDRESS
"""

import contextlib
import json
import socket
import struct
import sys
import time

PATIENCE = 1.2
MAGIC = b"\x63\x82\x53\x63"
TYPE, REQUESTED, SERVER, PARAMETERS, CLIENT_ID, END = 53, 50, 54, 55, 61, 255
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
NAMES = {OFFER: "offer", ACK: "ack", NAK: "nak"}


def packet(mac: bytes, options: dict[int, bytes], ciaddr: str = "0.0.0.0") -> bytes:
    """A broadcast Ethernet frame (RFC 2131)."""
    head = struct.pack(">BBBBIHH4s12x16s192x", 1, 1, 6, 0, 0x4D555354, 0, 0x8000, socket.inet_aton(ciaddr), mac)
    body = head + MAGIC + b"".join(bytes([n, len(v)]) + v for n, v in options.items()) + bytes([END])
    udp = struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(ciaddr), b"\xff" * 4)
    total = sum(struct.unpack(">10H", ip))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return b"\xff" * 6 + mac + b"\x08\x00" + ip[:10] + struct.pack(">H", checksum) + ip[12:] + udp


def parse(frame: bytes, mac: bytes) -> dict[str, object] | None:
    """An answer to `mac`, or None for any other frame."""
    if len(frame) < 282 or frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[36:38] != b"\x00\x44":
        return None
    dhcp = frame[42:]
    if dhcp[28:34] != mac:
        return None
    options: dict[int, bytes] = {}
    rest = dhcp[240:]
    while rest and rest[0] != END:
        if rest[0]:
            options[rest[0]] = options.get(rest[0], b"") + rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :] if rest[0] else rest[1:]
    return {
        "type": NAMES[options[TYPE][0]],
        "address": socket.inet_ntoa(dhcp[16:20]),
        "next_server": socket.inet_ntoa(dhcp[20:24]),
        "file": dhcp[108:236].split(b"\0")[0].decode(),
        "options": {number: value.hex() for number, value in options.items()},
    }


def ask(link: socket.socket, mac: bytes, options: dict[int, bytes], ciaddr: str = "0.0.0.0") -> dict[str, object]:
    """The first answer and how long it took; type `none` without one."""
    start = time.monotonic()
    link.send(packet(mac, options, ciaddr))
    while (left := start + PATIENCE - time.monotonic()) > 0:
        link.settimeout(left)
        with contextlib.suppress(TimeoutError):
            answer = parse(link.recv(2048), mac)
            if answer:
                return answer | {"seconds": time.monotonic() - start}
    return {"type": "none"}


def main(interface: str, mac_text: str, mode: str, *extra: str) -> None:
    mac = bytes.fromhex(mac_text.replace(":", ""))
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind((interface, 0))
    common = {PARAMETERS: bytes([1, 3, 6, 12, 15, 66, 67])}
    common |= {int(number): bytes.fromhex(value) for number, _, value in (each.partition("=") for each in extra)}
    if mode.startswith("renew:"):
        print(json.dumps(ask(link, mac, {TYPE: bytes([REQUEST])} | common, mode.partition(":")[2])))
        return
    answer = ask(link, mac, {TYPE: bytes([DISCOVER])} | common)
    if mode == "get" and answer["type"] == "offer":
        chosen = {
            TYPE: bytes([REQUEST]),
            REQUESTED: socket.inet_aton(str(answer["address"])),
            SERVER: bytes.fromhex(answer["options"][SERVER]),
        }
        answer = ask(link, mac, chosen | common)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
