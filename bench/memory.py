"""What a ready node's RAM is used for, by parts, and what the agent costs. Needs root; one BIOS machine in a lab.

    python -m bench.memory [--seconds 150] [--image debian12-tiny] [--markdown]

The agent is watched for a time (three of its long polls), then the node's caches are dropped: what is left cannot be
dropped. Everything is read from the node's /proc over ssh.
"""

import argparse
from collections.abc import Mapping

from bench import text
from bench.rig import Rig, running

MEMORY = 1024
KIB = 1024

SCRIPT = r"""
agent=$(cat /run/muster/agent.pid)
kib() { awk -v p="$1" '/^'"$2"':/ {print p "." $1 " " $2}' "$3" | tr -d :; }
counts() {
    awk '/ctxt_switches/ {s += $2} END {print "switches." n " " s}' n="$1" /proc/$agent/status
    # utime stime cutime cstime, behind the name in parentheses
    sed 's/.*) //' /proc/$agent/stat | awk '{print "ticks." n " " $12 + $13 + $14 + $15}' n="$1"
}
counts before
sleep SECONDS
counts after
echo "hertz $(getconf CLK_TCK)"
for pid in $agent $(cat /proc/$agent/task/$agent/children); do
    for key in Rss Pss Pss_Anon; do kib "process.$(cat /proc/$pid/comm)" $key /proc/$pid/smaps_rollup; done
done
for place in run run/muster run/muster/ram run/muster/upper; do
    df -k --output=used /$place | awk -v p=/$place 'NR == 2 {print "used." p " " $1}'
done
meminfo() { awk -v n="$1" '{sub(":", "", $1); print n "." $1 " " $2}' /proc/meminfo; }
meminfo now
DROP
echo "reserve $(cat /proc/sys/vm/min_free_kbytes)"
echo "lower $(stat -c %s /run/muster/ram/root.squashfs)"
"""
DROP = r"""
sync
echo 3 >/proc/sys/vm/drop_caches
awk '{sub(":", "", $1); print "dropped." $1 " " $2}' /proc/meminfo
# free pages in the lists of each processor, which MemFree leaves out
awk '$1 == "count:" {s += $2} END {print "lists " s * 4}' /proc/zoneinfo
"""
"""For a shell on any machine: what is left when all that can be dropped is dropped; see `stays`."""

Figures = Mapping[str, float]


def figures(rig: Rig, seconds: int) -> Figures:
    """Power n1 on, wait until it is ready, and read it. Sizes in KiB, except `lower`, in bytes."""
    power = rig.power_on("n1")
    rig.until_ready("n1", power)
    script = SCRIPT.replace("SECONDS", str(seconds)).replace("DROP", DROP)
    return parse(rig.ssh(str(rig.node("n1")["address"]), script))


def parse(output: str) -> dict[str, float]:
    """`name number` lines; the numbers of one name are added (two processes of one name)."""
    found: dict[str, float] = {}
    for line in output.splitlines():
        name, number = line.rsplit(" ", 1)
        found[name] = found.get(name, 0) + float(number)
    return found


def parts(found: Figures) -> list[tuple[str, float]]:
    """Disjoint parts of MemTotal after dropping caches, in KiB, with what is left over as the last."""
    tmpfs = found["used./run/muster/ram"] + found["used./run/muster"] + found["used./run/muster/upper"]
    named = [
        ("image, compressed (tmpfs run/muster/ram)", found["used./run/muster/ram"]),
        ("agent's files, busybox above all (tmpfs run/muster)", found["used./run/muster"]),
        ("what the node wrote (upper layer)", found["used./run/muster/upper"]),
        ("/run of the image's software, and shared memory", found["dropped.Shmem"] - tmpfs),
    ]
    return [*named, *software(found)]


def software(found: Figures) -> list[tuple[str, float]]:
    """The parts that are in no tmpfs, of any machine; KiB. All of them and `dropped.Shmem` are what stays."""
    now = {key.removeprefix("dropped."): value for key, value in found.items() if key.startswith("dropped.")}
    named = [
        ("memory of processes (anonymous)", now["AnonPages"]),
        ("programs and files in use (page cache that stays)", now["Cached"] + now["Buffers"] - now["Shmem"]),
        ("kernel: slab", now["Slab"]),
        ("kernel: loaded drivers, stacks (vmalloc)", now["VmallocUsed"]),
        ("kernel: page tables, per CPU", now["PageTables"] + now["Percpu"]),
    ]
    others = stays(found) - now["Shmem"] - sum(size for _, size in named)
    return [*named, ("kernel: other", others)]


def markdown(title: str, found: Figures, seconds: int) -> str:
    """Parts, the sums, the agent."""
    return "\n\n".join([title, _parts_table(found), _sums(found), _agent(found, seconds)])


def _parts_table(found: Figures) -> str:
    rows = [(name, _mib(size)) for name, size in parts(found)]
    rows.append(("**cannot be dropped, in all**", f"**{_mib(stays(found))}**"))
    return text.table(("RAM in use after dropping caches", "MiB"), rows)


def _sums(found: Figures) -> str:
    lower, left = found["lower"] / KIB, stays(found)
    caches = found["now.Cached"] + found["now.Buffers"] - found["now.Shmem"] + found["now.SReclaimable"]
    rows = [
        ("given to the machine", _mib(MEMORY * KIB)),
        ("MemTotal (without kernel text and memory map)", _mib(found["now.MemTotal"])),
        ("MemAvailable when ready", _mib(found["now.MemAvailable"])),
        ("MemFree when ready", _mib(found["now.MemFree"])),
        ("the kernel's reserve, which MemAvailable leaves out (vm.min_free_kbytes)", _mib(found["reserve"])),
        ("caches when ready: page cache, reclaimable slab", _mib(caches)),
        ("cannot be dropped, times the compressed image", f"{left / lower:.2f}"),
        ("cannot be dropped, without the compressed image", _mib(left - lower)),
    ]
    return text.table(("sums", "MiB"), rows)


def _agent(found: Figures, seconds: int) -> str:
    wakes = (found["switches.after"] - found["switches.before"]) * 60 / seconds
    ticks = (found["ticks.after"] - found["ticks.before"]) * 60 / seconds / found["hertz"]
    rows = []
    for name in sorted({key.split(".")[1] for key in found if key.startswith("process.")}):
        values = (_mib(found[f"process.{name}.{key}"]) for key in ("Rss", "Pss", "Pss_Anon"))
        rows.append((name, *values))
    said = f"Watched for {seconds} s: the agent was put on the processor {wakes:.1f} times a minute and used "
    said += f"{ticks * 1000:.0f} ms of it a minute, its children's time included."
    return text.table(("agent, processes; MiB", "RSS", "PSS", "PSS anonymous"), rows) + "\n\n" + said


def stays(found: Figures) -> float:
    """What is neither free nor became free by dropping caches, in KiB."""
    return found["dropped.MemTotal"] - found["dropped.MemFree"] - found["lists"]


def _mib(kib: float) -> str:
    return f"{kib / KIB:.2f}"


def measure(image: str, seconds: int) -> str:
    """Everything, as Markdown."""
    with running(image, firmware="bios", memory=[MEMORY]) as rig:
        title = (
            f"{text.machine(rig.accelerator)}. One machine of 1 CPU and {MEMORY} MiB, BIOS, image {image}, mode `ram`."
        )
        return markdown(title, figures(rig, seconds), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="RAM of a ready node by parts.")
    parser.add_argument("--seconds", type=int, default=150, help="how long the agent is watched (150)")
    parser.add_argument("--image", default="debian12-tiny", help="recipe of the image (debian12-tiny)")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    found = measure(options.image, options.seconds)
    print(found)
    if options.markdown:
        text.keep("memory", found)


if __name__ == "__main__":
    main()
