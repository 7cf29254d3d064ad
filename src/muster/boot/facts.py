"""What a machine says of itself: the loader in a query string, the initramfs in its hello. Parsed once, here.

Both come from the boot network and are not trusted: bounded, checked, and never more than a claim.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from muster.model import values
from muster.model.errors import RequestError
from muster.model.facts import MachineFacts
from muster.model.stages import STAGES

HELLO_MAX_BYTES = 64 * 1024
_REPEATED = ("interface", "disk", "stage")
_MAX_REPEATED = 512
_MAX_VALUE = 512
_MAX_VALUES = {"cmdline": 4096}
"""A kernel's command line: up to 4096 bytes (COMMAND_LINE_SIZE of asm/setup.h; 2048 on x86)."""
_OF_THIS_BOOT = ("muster-hello", "kernel-boot", "stage", "cmdline")
_CLEAN = re.compile(r"[^\x20-\x7e]")
_BOOT_ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class LoaderFacts:
    """What iPXE's GET carries (https://ipxe.org/cfg)."""

    machine: MachineFacts
    platform: str = ""
    architecture: str = ""
    address: str = ""

    @property
    def mac(self) -> str | None:
        return self.machine.macs[0] if self.machine.macs else None


@dataclass(frozen=True)
class StageTime:
    """A stage of this boot that ended before the first report; `uptime` in seconds since the kernel started."""

    stage: str
    uptime: float


@dataclass(frozen=True)
class HelloFacts:
    """What the initramfs posts: identity, the running kernel, and an inventory for people."""

    machine: MachineFacts
    kernel_boot: str
    kernel: str
    architecture: str
    bootif: str | None
    address: str
    stages: tuple[StageTime, ...]
    command_line: str = ""
    inventory: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def loader_facts(query: Mapping[str, str]) -> LoaderFacts:
    """From iPXE's query. Unreadable values count as absent: a strange machine is still an unknown machine."""
    macs = tuple(mac for mac in [_mac(query.get("mac", ""))] if mac)
    machine = MachineFacts(uuid=_uuid(query.get("uuid", "")), product=_text(query.get("product", "")), macs=macs)
    return LoaderFacts(
        machine,
        platform=_text(query.get("platform", "")) or "",
        architecture=_text(query.get("buildarch", "")) or "",
        address=_text(query.get("ip", "")) or "",
    )


def hello_facts(body: bytes) -> HelloFacts:
    """From a hello body (`key TAB value` lines). Raises RequestError naming the line."""
    lines = parse_lines(body, limit=HELLO_MAX_BYTES)
    first = {key: lines[key][0] for key in lines}
    if first.get("muster-hello") != "1":
        raise RequestError("not a hello of version 1", where="line 1")
    kernel_boot = first.get("kernel-boot", "").strip().lower()
    if not _BOOT_ID.match(kernel_boot):
        raise RequestError("kernel-boot is not a boot id of random(4)", where="kernel-boot")
    return HelloFacts(
        machine=machine_facts(lines),
        kernel_boot=kernel_boot,
        kernel=first.get("kernel", ""),
        architecture=first.get("architecture", ""),
        bootif=_mac(first.get("bootif", "")),
        address=first.get("address", ""),
        stages=tuple(_stage_times(lines.get("stage", ()))),
        command_line=first.get("cmdline", ""),
        inventory={key: lines[key] for key in sorted(lines) if key not in _OF_THIS_BOOT},
    )


def machine_facts(lines: Mapping[str, Sequence[str]]) -> MachineFacts:
    """Who the machine of a hello is, from its lines by key; the MAC that it booted from comes first."""
    first = {key: entries[0] for key, entries in lines.items() if entries}
    listed = (line.split(" ")[1] for line in lines.get("interface", ()) if " " in line)
    macs = (_mac(text) for text in (first.get("bootif", ""), *listed))
    return MachineFacts(
        uuid=_uuid(first.get("uuid", "")),
        board_serial=_text(first.get("board-serial", "")),
        product=_text(first.get("product", "")),
        macs=tuple(dict.fromkeys(mac for mac in macs if mac)),
    )


def parse_lines(body: bytes, *, limit: int, repeated: Sequence[str] = _REPEATED) -> dict[str, tuple[str, ...]]:
    """`key TAB value` lines as a map; only the `repeated` keys may be there more than once. Raises RequestError."""
    if len(body) > limit:
        raise RequestError(f"longer than {limit} bytes")
    found: dict[str, list[str]] = {}
    for number, line in enumerate(body.decode("utf-8", errors="replace").split("\n"), 1):
        key, tab, value = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not re.fullmatch(r"[a-z][a-z0-9.-]{0,31}", key):
            raise RequestError("a line is KEY TAB VALUE", where=f"line {number}")
        entries = found.setdefault(key, [])
        if entries and key not in repeated:
            raise RequestError(f"{key} is given twice", where=f"line {number}")
        if len(entries) < _MAX_REPEATED:
            entries.append(_CLEAN.sub("?", value.strip())[: _MAX_VALUES.get(key, _MAX_VALUE)].strip())
    return {key: tuple(entries) for key, entries in found.items()}


def _stage_times(lines: tuple[str, ...]) -> list[StageTime]:
    times = []
    for line in lines:
        name, _, uptime = line.partition(" ")
        if name in STAGES and re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", uptime):
            times.append(StageTime(name, float(uptime)))
    return times


def _mac(text: str) -> str | None:
    try:
        return values.mac(text)
    except ValueError:
        return None


def _uuid(text: str) -> str | None:
    try:
        return values.uuid(text)
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return _CLEAN.sub("?", text.strip())[:128].strip() or None
