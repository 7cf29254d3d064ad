"""What each root mode costs: time, bytes, RAM, reading; one image, one size of machine, beside the same tree on a disk.

    python -m bench.roots [--modes ram,tmpfs,nfs,live] [--image debian12-tiny] [--no-smallest] [--markdown]

Needs root. One BIOS machine at a time in a lab; a boot for each mode and, for the smallest machine, a few more.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import control, gauge, memory, text
from bench.control import Control
from bench.gauge import Gauge, Peak
from bench.rig import READY_SECONDS, Rig, running
from bench.smallest import smallest
from muster.model.errors import CommandError

MEMORY = 1024
SIZES = tuple(range(96, MEMORY, 16))
"""MiB of the machines that are tried; each is a machine of its own in the lab, off until then."""

TRY_SECONDS = 150.0
SETTLE = 15
MACHINE = "n1"
WATCHED = "watched"
KIB = 1024
NODE_GAVE_UP = re.compile(
    rf"{control.GAVE_UP.pattern}|image needs \d+ MiB of memory|image cannot be unpacked|Not enough space"
)

READY_SCRIPT = r"""
systemctl is-system-running --wait >/dev/null
systemctl show --property=FinishTimestampMonotonic --value
"""
READ_ALL = "find / -xdev -type f -exec cat {} + >/dev/null"
RATE_SCRIPT = r"""
read_all() { find /usr/bin /usr/lib -xdev -type f -exec cat {} + >/dev/null; }
timed() {
    read -r from _ </proc/uptime
    read_all
    read -r to _ </proc/uptime
    echo "$1 $from $to" | awk '{print $1 " " $3 - $2}'
}
find /usr/bin /usr/lib -xdev -type f -printf '%s\n' | awk '{s += $1} END {print "bytes " s}'
echo 3 >/proc/sys/vm/drop_caches
timed cold
timed warm
"""
OWN_SCRIPT = r"""
df -k --output=used /run/muster | awk 'NR == 2 {print "files " $1}'
agent=$(cat /run/muster/agent.pid)
for pid in $agent $(cat /proc/$agent/task/$agent/children); do
    awk '/^Pss_Anon:/ {print "agent " $2}' /proc/$pid/smaps_rollup
done
"""


@dataclass(frozen=True)
class Mode:
    """A row of the table: how nodes are told to hold the image."""

    title: str
    root: str
    live: bool = False


MODES = {
    "ram": Mode("`ram`", "ram"),
    "tmpfs": Mode("`tmpfs`", "tmpfs"),
    "nfs": Mode("`nfs`", "nfs"),
    "live": Mode("`nfs`, @live", "nfs", live=True),
}


@dataclass
class Figures:
    """One column. Seconds, bytes, and KiB for what is RAM; `smallest` in MiB. None: there is no such thing here."""

    title: str
    seconds: float = 0.0
    from_power: float | None = None
    peak: int = 0
    sent: int | None = None
    http: int | None = None
    sent_reading: int | None = None
    booted: memory.Figures = field(default_factory=dict)
    read: memory.Figures = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    own: float | None = None
    smallest: int | None = None

    @property
    def held(self) -> float:
        return memory.stays(self.booted)

    @property
    def held_after_reading(self) -> float:
        return memory.stays(self.read)


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    rig: Rig
    folder: Path
    gauge: Gauge
    control: Control
    address: str

    def look(self, found: Figures) -> None:
        """All that is read from inside a machine that is up; first what reading would change."""
        time.sleep(SETTLE)
        found.seconds = float(self.rig.ssh(self.address, READY_SCRIPT)) / 1e6
        found.booted = self._dropped()
        found.rates = memory.parse(self.rig.ssh(self.address, RATE_SCRIPT))
        before = self.rig.sent_to(MACHINE)
        self.rig.ssh(self.address, READ_ALL)
        found.sent_reading = self.rig.sent_to(MACHINE) - before
        found.read = self._dropped()

    def _dropped(self) -> memory.Figures:
        return memory.parse(self.rig.ssh(self.address, memory.DROP))


def of_mode(bench: Bench, mode: Mode) -> Figures:
    """One boot of the machine in this mode, then what can be read from it; then off."""
    rig = bench.rig
    choose(rig, mode)
    found = Figures(mode.title)
    before = rig.sent_to(MACHINE)
    power = rig.power_on(MACHINE)
    with gauge.watching(rig.folder / "nodes" / MACHINE / "qmp.sock", bench.gauge) as peak:
        trace = rig.until_ready(MACHINE, power)
    found.sent = rig.sent_to(MACHINE) - before
    found.http = sum(request.sent for request in rig.requests(bench.address, power))
    ready = [report for report in trace["reports"] if report["stage"] == "ready" and report["status"] == "done"]
    found.from_power = ready[-1]["at"] - power
    found.peak = _kib(peak)
    bench.look(found)
    found.own = sum(memory.parse(rig.ssh(bench.address, OWN_SCRIPT)).values())
    rig.power_off(MACHINE)
    return found


def of_control(bench: Bench) -> Figures:
    """The same of the disk."""
    found = Figures("disk (control)")
    with control.running(bench.control, MEMORY, gauge.ARGUMENTS):
        with gauge.watching(bench.control.monitor, bench.gauge) as peak:
            if not control.until_up(bench.control, READY_SECONDS):
                raise TimeoutError(f"the control does not come up:\n{bench.control.text()[-2000:]}")
            bench.rig.ssh(bench.address, READY_SCRIPT)
        found.peak = _kib(peak)
        bench.look(found)
    return found


def choose(rig: Rig, mode: Mode) -> None:
    """All nodes hold the image this way from their next boot on."""
    if mode.live:
        rig.muster("image", "live", rig.image)
    image = f"{rig.image}@live" if mode.live else rig.image
    rig.muster("profile", "set", "default", f"root={mode.root}", f"image={image}", "--yes")


def mode_works(rig: Rig, size: int) -> bool:
    """Whether a machine of `size` MiB comes up with what nodes boot now; none is left on."""
    name = next(m.name for m in rig.machines() if m.memory == size and m.name != MACHINE)
    log = rig.console(name)
    offset = log.stat().st_size if log.exists() else 0
    power = rig.power_on(name)
    deadline = time.monotonic() + TRY_SECONDS
    try:
        while time.monotonic() < deadline:
            said = log.read_bytes()[offset:].decode(errors="replace") if log.exists() else ""
            if NODE_GAVE_UP.search(said):
                return False
            if rig.is_ready(name, power):
                return True
            time.sleep(0.5)
        return False
    finally:
        rig.power_off(name)


def control_works(bench: Bench, size: int) -> bool:
    """As `mode_works`, of the disk."""
    with control.running(bench.control, size):
        return control.until_up(bench.control, TRY_SECONDS) and _answers(bench)


def _answers(bench: Bench) -> bool:
    try:
        return float(bench.rig.ssh(bench.address, READY_SCRIPT)) > 0
    except CommandError:
        return False


@contextmanager
def prepared(image: str) -> Iterator[Bench]:
    """The lab, and everything that a first boot has to tell for the others."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        running(image, firmware="bios", memory=[MEMORY, *SIZES]) as rig,
    ):
        rig.muster("profile", "add", WATCHED, f"kernel_arguments={' '.join(gauge.ARGUMENTS)}")
        rig.muster("node", "set", MACHINE, f"profiles={WATCHED}", "--yes")
        address = str(rig.node(MACHINE)["address"])
        rig.until_ready(MACHINE, rig.power_on(MACHINE))
        made = control.prepare(rig, MACHINE, Path(folder))
        found = gauge.parse(rig.ssh(address, gauge.SCRIPT))
        rig.power_off(MACHINE)
        yield Bench(rig, Path(folder), found, made, address)


def measure(image: str, modes: Sequence[str], *, least: bool) -> str:
    """Everything, as Markdown; `least`: the smallest machines, too."""
    columns: list[Figures] = []
    with prepared(image) as bench:
        size = int(bench.rig.document("image", "show", image)["root"]["size"])
        where = text.machine(bench.rig.accelerator)
        columns.append(of_control(bench))
        columns[-1].smallest = smallest(SIZES, _guess(columns[-1]), partial(control_works, bench)) if least else None
        for word in modes:
            columns.append(of_mode(bench, MODES[word]))
            columns[-1].smallest = (
                smallest(SIZES, _guess(columns[-1]), partial(mode_works, bench.rig)) if least else None
            )
            print(columns[-1], flush=True)
    machine = f"{where}. One machine of 1 CPU and {MEMORY} MiB, BIOS, one boot of each."
    return "\n\n".join(
        [f"{machine} Image {image}: {text.size(size)} compressed.", markdown(columns, size / KIB), parts(columns)]
    )


def markdown(columns: Sequence[Figures], image: float) -> str:
    """The table. The first column is the control, `image` the compressed image in KiB."""
    plain = columns[0]
    rows = [
        ("kernel start to systemd running, s", *(f"{c.seconds:.1f}" for c in columns)),
        ("power-on to ready, s", *(_or_dash(c.from_power, "{:.1f}") for c in columns)),
        ("bytes to the machine until ready", *(_bytes(c.sent) for c in columns)),
        ("of them answers by HTTP", *(_bytes(c.http) for c in columns)),
        ("bytes to the machine while all files are read", *(_bytes(c.sent_reading) for c in columns)),
        ("RAM that cannot be dropped, after boot, MiB", *(_mib(c.held) for c in columns)),
        ("**beyond the control**", "", *(f"**{_mib(c.held - plain.held)}**" for c in columns[1:])),
        ("and beyond the compressed image", "", *(_mib(c.held - plain.held - image) for c in columns[1:])),
        ("RAM that cannot be dropped, all files read, MiB", *(_mib(c.held_after_reading) for c in columns)),
        (
            "**beyond the control**",
            "",
            *(f"**{_mib(c.held_after_reading - plain.held_after_reading)}**" for c in columns[1:]),
        ),
        ("peak during boot of what the kernel could not take back, MiB", *(_mib(c.peak) for c in columns)),
        ("cold reads, MiB/s", *(_rate(c, "cold") for c in columns)),
        ("warm reads, MiB/s", *(_rate(c, "warm") for c in columns)),
        ("smallest machine that becomes ready, MiB", *(_or_dash(c.smallest, "{}") for c in columns)),
        ("what our own tools hold, MiB", *(_or_dash(c.own and c.own / KIB, "{:.2f}") for c in columns)),
    ]
    return text.table(("", *(column.title for column in columns)), rows)


def parts(columns: Sequence[Figures]) -> str:
    """Where the RAM is that stays when all files were read; the columns after the first as what they have more."""
    plain, *others = [
        [("files in RAM (tmpfs)", column.read["dropped.Shmem"]), *memory.software(column.read)] for column in columns
    ]
    rows = [
        (name, _mib(size), *(f"{(other[place][1] - size) / KIB:+.1f}" for other in others))
        for place, (name, size) in enumerate(plain)
    ]
    return text.table(("of that, all files read, MiB", *(column.title for column in columns)), rows)


def _guess(found: Figures) -> int:
    """MiB of the smallest machine: what was held at the peak, the kernel's text, and a little that must be free."""
    return found.peak // KIB + 48


def _kib(peak: Peak) -> int:
    if peak.pages is None:
        raise LookupError("the machine's counters were never seen: where its kernel keeps them is not known")
    return peak.pages * gauge.PAGE // KIB


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _bytes(value: int | None) -> str:
    return "-" if value is None else text.size(value)


def _mib(kib: float) -> str:
    return f"{kib / KIB:.1f}"


def _rate(found: Figures, kind: str) -> str:
    return f"{found.rates['bytes'] / text.MIB / found.rates[kind]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.roots", description="What each root mode costs.")
    parser.add_argument("--modes", default=",".join(MODES), help=f"of {','.join(MODES)} (all)")
    parser.add_argument("--image", default="debian12-tiny", help="recipe of the image (debian12-tiny)")
    parser.add_argument("--no-smallest", action="store_true", help="leave out the smallest machine: many boots")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    found = measure(options.image, options.modes.split(","), least=not options.no_smallest)
    print(found)
    if options.markdown:
        text.keep("roots", found)


if __name__ == "__main__":
    main()
