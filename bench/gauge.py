"""How much RAM a booting machine holds at its peak, read from outside: QEMU's monitor looks at the counters in which
the guest's kernel keeps its pages. Nothing runs in the machine for it, so nothing is changed by looking.

The counters are those of /proc/vmstat (mm/vmstat.c: vm_zone_stat, vm_node_stat). Their addresses come from a boot
before, from /proc/kallsyms, and hold for the next one because both boot with `nokaslr`.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ARGUMENTS = ("nokaslr", "sysctl.vm.percpu_pagelist_high_fraction=100000")
"""For the kernel: its data where it was linked to lie, and next to no free pages in lists of a processor, which no
counter would show as free."""

ZONE, NODE = "vm_zone_stat", "vm_node_stat"
SCRIPT = f"grep -E ' ({ZONE}|{NODE})$' /proc/kallsyms; cut -d' ' -f1 /proc/vmstat; grep MemTotal: /proc/meminfo"
"""For a shell on a machine of the same kernel and size."""

KERNEL_MAP = 0xFFFFFFFF80000000
"""Where the kernel maps physical address zero (Documentation/x86/x86_64/mm.rst)."""

PAGE = 4096
WORD = 8
EVERY = 0.05
LISTENS = 5.0


@dataclass(frozen=True)
class Gauge:
    """Physical addresses of the two lists of counters, places in the second, and the RAM they are about, in pages."""

    zones: int
    nodes: int
    file: tuple[int, int]
    slab: int
    total: int

    def held(self, free: int, nodes: Sequence[int]) -> int | None:
        """Pages that were neither free nor could be had by dropping caches; None when these are no counters (yet)."""
        droppable = nodes[self.file[0]] + nodes[self.file[1]] + nodes[self.slab]
        if min(free, *nodes) < 0 or not 0 < free + droppable <= self.total:
            return None
        return self.total - free - droppable


def parse(said: str) -> Gauge:
    """From the output of SCRIPT. Raises LookupError when the kernel does not tell (an unprivileged reader, another
    kernel)."""
    found = dict(
        reversed(line.split()[::2]) for line in said.splitlines() if len(line.split()) == 3 and ":" not in line
    )
    total = re.search(r"^MemTotal: +(\d+) kB$", said, re.M)
    names = [line for line in said.splitlines() if re.fullmatch(r"\w+", line)]
    if total is None or not int(found.get(ZONE, "0"), 16):
        raise LookupError(f"no addresses of the kernel's counters in: {said[:200]}")
    first = names.index("nr_inactive_anon")
    places = [names.index(n) - first for n in ("nr_inactive_file", "nr_active_file", "nr_slab_reclaimable")]
    return Gauge(
        zones=int(found[ZONE], 16) - KERNEL_MAP,
        nodes=int(found[NODE], 16) - KERNEL_MAP,
        file=(places[0], places[1]),
        slab=places[2],
        total=int(total[1]) * 1024 // PAGE,
    )


@dataclass
class Peak:
    """The most that was seen since the least, in pages: a kernel that begins counts its RAM as free bit by bit, and
    holds least when it has done that."""

    pages: int | None = None
    least: int | None = None

    def see(self, held: int | None) -> None:
        if held is None:
            return
        if self.least is None or held < self.least:
            self.least = self.pages = held
        self.pages = max(self.pages or 0, held)


@contextmanager
def watching(monitor: Path, gauge: Gauge) -> Iterator[Peak]:
    """Look at the machine every 0.05 s while the block runs. The monitor takes one caller at a time: it is ours."""
    peak, over = Peak(), threading.Event()
    thread = threading.Thread(target=_watch, args=(monitor, gauge, peak, over), daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _watch(monitor: Path, gauge: Gauge, peak: Peak, over: threading.Event) -> None:
    """Ends with the machine, too."""
    count = max(*gauge.file, gauge.slab) + 1
    with suppress(OSError), Monitor(monitor) as asked:
        while not over.wait(EVERY):
            (free,) = asked.words(gauge.zones, 1)
            peak.see(gauge.held(free, asked.words(gauge.nodes, count)))


class Monitor:
    """QEMU's control socket (QMP), for reading a machine's physical memory."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LISTENS)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> "Monitor":
        self._lines.readline()
        self._execute("qmp_capabilities")
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def words(self, address: int, count: int) -> list[int]:
        """`count` signed numbers of 8 bytes. Raises OSError when the machine is gone."""
        said = self._execute("human-monitor-command", {"command-line": f"xp /{count}gx {address:#x}"})
        found = [int(word, 16) for line in said.splitlines() for word in line.partition(":")[2].split()]
        if len(found) != count:
            raise OSError(f"not {count} words: {said}")
        return [word - (1 << 64) if word >> 63 else word for word in found]

    def quit(self) -> None:
        """End the machine at once, as its power switch would."""
        with suppress(OSError):
            self._execute("quit")

    def _execute(self, command: str, arguments: dict[str, str] | None = None) -> str:
        question = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        end = time.monotonic() + LISTENS
        while (line := self._lines.readline()) and time.monotonic() < end:
            answer = json.loads(line)
            if "return" in answer:
                return str(answer["return"])
            if "error" in answer:
                raise OSError(f"QEMU refused {command}: {answer['error'].get('desc', '')}")
        raise OSError(f"QEMU does not answer to {command}")
