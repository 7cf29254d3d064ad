"""One boot cut into steps, from what the product says anyway: the timeline that the controller keeps, nginx's access
log, and the node's kernel log. Pure: a recorded boot gives the same steps again.

Three clocks meet here. The controller's (Unix time) stamps requests and reports; the node's uptime is in each report;
the kernel log has a clock of its own, some hundredths of a second off, which a mark written at a known uptime corrects.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.access_log import Request, first
from muster.model import stages, urls

HELLO_STAGES = ("modules", "network")
"""These are told with hello: their time of arrival is not that of their end."""

OURS = ("hello", "plan", "verify", "root", "overlay", "handover")
MARK = "bench: mark"
MARK_SCRIPT = f"read up _ </proc/uptime; echo '{MARK}' >/dev/kmsg; echo \"uptime $up\"; dmesg"
"""For a shell on the node: its uptime, then its kernel log, which ends with the mark of that moment."""

_INIT = r"Run /init as init process"
_OURS_BEGINS = r"muster: \S+ on "
_SYSTEMD = r"systemd\[1\]: systemd \S+ running in system mode"


@dataclass(frozen=True)
class Boot:
    """Seconds by step, in order; their sum is power-on to ready. `sending` is the part of the download in which
    nginx had bytes to send; `sent` is bytes by kind."""

    steps: Mapping[str, float]
    sending: float
    sent: Mapping[str, int]

    @property
    def ours(self) -> float:
        """Hello to hand-over without the download."""
        return sum(self.steps[stage] for stage in OURS)

    @property
    def total(self) -> float:
        return sum(self.steps.values())


def cut(
    power: float, requests: Sequence[Request], trace: Mapping[str, Any], log: str, kinds: Mapping[str, str]
) -> Boot:
    """The steps of a boot that was switched on at Unix time `power`; `log` is the output of MARK_SCRIPT and `kinds`
    names what each blob is by its sha256. Raises LookupError where the boot lacks a step."""
    done = _done(trace)
    kernel = _kernel_started(trace)
    init, ours, systemd = (_logged(log, pattern) for pattern in (_INIT, _OURS_BEGINS, _SYSTEMD))
    asked = first(requests, urls.BOOT_IPXE)
    hello = first(requests, urls.NODE_HELLO)
    loaded = max(r.ended for r in requests if urls.BLOBS in r.url and r.ended < hello.began)
    # each step ends at its moment, in Unix time
    ends = {
        "firmware, DHCP, loader": asked.began,
        "boot answer": asked.ended,
        "kernel and segments sent": loaded,
        "loader to kernel": kernel,
        "kernel to /init": kernel + init,
        "init": kernel + ours,
        **{stage: kernel + done[stage] for stage in stages.STAGES[:-1]},
        "init of the image starts": kernel + systemd,
        "systemd to ready": kernel + done["ready"],
    }
    steps = {}
    for step, end in ends.items():
        steps[step], power = end - power, end
    root = next(r for r in requests if kinds.get(_sha256(r)) == "image")
    return Boot(steps, root.took, _sent(requests, kinds))


def _done(trace: Mapping[str, Any]) -> dict[str, float]:
    """Uptime at the end of each stage; of a stage that was tried again, the last."""
    return {report["stage"]: report["uptime"] for report in trace["reports"] if report["status"] == "done"}


def _kernel_started(trace: Mapping[str, Any]) -> float:
    """Unix time at uptime zero: the report that travelled fastest tells it best."""
    return min(float(r["at"] - r["uptime"]) for r in trace["reports"] if r["stage"] not in HELLO_STAGES)


def _logged(log: str, pattern: str) -> float:
    """The uptime of the first line of the kernel log that the pattern finds."""
    uptime = re.search(r"^uptime ([\d.]+)$", log, re.M)
    if uptime is None:
        raise LookupError("no uptime before the kernel log")
    ahead = _stamp(log, re.escape(MARK)) - float(uptime[1])
    return _stamp(log, pattern) - ahead


def _stamp(log: str, pattern: str) -> float:
    found = re.search(rf"^\[ *([\d.]+)\] (?:{pattern})", log, re.M)
    if found is None:
        raise LookupError(f"the kernel log has no line {pattern!r}")
    return float(found[1])


def _sha256(request: Request) -> str:
    return request.url.rpartition("/")[2]


def _sent(requests: Sequence[Request], kinds: Mapping[str, str]) -> dict[str, int]:
    sent: dict[str, int] = {}
    for request in requests:
        kind = _kind(request, kinds)
        sent[kind] = sent.get(kind, 0) + request.sent
    return sent


def _kind(request: Request, kinds: Mapping[str, str]) -> str:
    if urls.BLOBS in request.url:
        return kinds.get(_sha256(request), "node segment")
    if request.url.startswith(urls.BOOT_IPXE):
        return "boot answer"
    last = request.url.partition("?")[0].rpartition("/")[2]
    return {"hello": "hello and plan", "plan": "hello and plan", "overlay": "overlay"}.get(last, "answers to reports")
