"""How long one boot takes, by step, for BIOS and UEFI: one machine at a time in a lab. Needs root.

python -m bench.boot [--runs 3] [--image debian12-tiny] [--markdown]
"""

import argparse
from collections.abc import Sequence

from bench import text, timeline
from bench.rig import Rig, running
from bench.timeline import Boot

FIRMWARE = {"n1": "BIOS", "n2": "UEFI"}
MEMORY = 1024
HASH = "read a _ </proc/uptime; /run/muster/bin/busybox sha256sum /run/muster/ram/root.squashfs >/dev/null; "
HASH += 'read b _ </proc/uptime; echo "$a $b"'


def boot(rig: Rig, name: str, kinds: dict[str, str]) -> tuple[Boot, float]:
    """One boot from power-on to ready, and the seconds that the ready node takes to hash its image; then off."""
    address = str(rig.node(name)["address"])
    power = rig.power_on(name)
    trace = rig.until_ready(name, power)
    log = rig.ssh(address, timeline.MARK_SCRIPT)
    before, after = rig.ssh(address, HASH).split()
    found = timeline.cut(power, rig.requests(address, power), trace, log, kinds)
    rig.power_off(name)
    return found, float(after) - float(before)


def kinds_of(rig: Rig) -> dict[str, str]:
    """What each blob of the image's version is, by sha256."""
    version = rig.document("image", "show", rig.image)
    words = {"kernel": "kernel", "modules": "modules segment", "root": "image"}
    return {version[key]["sha256"]: word for key, word in words.items()}


def markdown(title: str, boots: dict[str, list[Boot]], hashes: Sequence[float]) -> str:
    """The steps, then the bytes."""
    head = ("step, seconds", *boots)
    rows = [(step, *(text.spread([b.steps[step] for b in runs]) for runs in boots.values())) for step in _steps(boots)]
    rows += [
        ("**power-on to ready**", *(text.spread([b.total for b in runs]) for runs in boots.values())),
        (
            "**ours: hello to handover without download**",
            *(text.spread([b.ours for b in runs]) for runs in boots.values()),
        ),
        ("of download: nginx is sending", *(text.spread([b.sending for b in runs]) for runs in boots.values())),
    ]
    note = f"The same node, idle, hashes its image with the same program in {text.spread(hashes)} s."
    return "\n\n".join([title, text.table(head, rows), note, _bytes(boots)])


def _steps(boots: dict[str, list[Boot]]) -> list[str]:
    return list(next(iter(boots.values()))[0].steps)


def _bytes(boots: dict[str, list[Boot]]) -> str:
    """Of the last run of each firmware: they differ in the number of reports only."""
    last = {firmware: runs[-1].sent for firmware, runs in boots.items()}
    kinds = list(dict.fromkeys(kind for sent in last.values() for kind in sent))
    rows = [(kind, *(text.size(sent.get(kind, 0)) for sent in last.values())) for kind in kinds]
    rows.append(("**in all**", *(text.size(sum(sent.values())) for sent in last.values())))
    return text.table(("bytes of HTTP answers", *last), rows)


def measure(image: str, runs: int) -> str:
    """Boot both machines in turn, `runs` times each; the figures as Markdown."""
    boots: dict[str, list[Boot]] = {firmware: [] for firmware in FIRMWARE.values()}
    hashes = []
    with running(image, firmware="bios,uefi", memory=[MEMORY]) as rig:
        kinds = kinds_of(rig)
        where = text.machine(rig.accelerator)
        for _ in range(runs):
            for name, firmware in FIRMWARE.items():
                found, seconds = boot(rig, name, kinds)
                boots[firmware].append(found)
                hashes.append(seconds)
                print(f"{firmware}: ready after {found.total:.1f} s, ours {found.ours:.2f} s", flush=True)
    title = f"{where}. Machines of 1 CPU and {MEMORY} MiB, image {image}, {runs} boots each: median (least to most)."
    return markdown(title, boots, hashes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.boot", description="One boot by steps, BIOS and UEFI.")
    parser.add_argument("--runs", type=int, default=3, help="boots of each machine (3)")
    parser.add_argument("--image", default="debian12-tiny", help="recipe of the image (debian12-tiny)")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    figures = measure(options.image, options.runs)
    print(figures)
    if options.markdown:
        text.keep("boot", figures)


if __name__ == "__main__":
    main()
