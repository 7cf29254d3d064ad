"""The timeline of a boot for people: what each step took, which attempts failed, how long it was in all."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from muster.cli import output

COLUMNS = ("uptime", "took", "stage", "status", "message")
_COLOURS = {"failed": "red", "warning": "yellow"}
Report = dict[str, Any]


def text(found: dict[str, Any]) -> str:
    """What `muster node trace` shows of the controller's answer."""
    reports = found["reports"]
    head = f"node {found['node']}, boot {found['boot']}, kernel {found['kernel']}: {found['state']}\n\n"
    lines = output.listing(rows(reports), COLUMNS, "table").splitlines()
    marked = [lines[0], *(_marked(line, report) for line, report in zip(lines[1:], reports, strict=True))]
    return head + "\n".join([*marked, "", *summary(reports), *_now(found)]) + "\n"


def rows(reports: Sequence[Report]) -> list[dict[str, object]]:
    """Each report with the seconds since the one before it, by the node's own clock."""
    return [
        {**report, "uptime": f"{report['uptime']:.2f}", "took": f"{seconds:.2f}"}
        for report, seconds in zip(reports, took(reports), strict=True)
    ]


def took(reports: Sequence[Report]) -> list[float]:
    """Seconds between a report and the latest moment before it; a report that knows no time took none."""
    durations, latest = [], 0.0
    for report in reports:
        durations.append(max(0.0, report["uptime"] - latest))
        latest = max(latest, report["uptime"])
    return durations


def summary(reports: Sequence[Report]) -> list[str]:
    """Until it was ready (or until its last word): the whole, the longest stages, the attempts that failed."""
    ready = next((n for n, r in enumerate(reports, 1) if (r["stage"], r["status"]) == ("ready", "done")), None)
    counted = reports[:ready]
    if not counted:
        return ["nothing was reported"]
    stages: dict[str, float] = {}
    for report, seconds in zip(counted, took(counted), strict=True):
        stages[report["stage"]] = stages.get(report["stage"], 0.0) + seconds
    longest = sorted(stages.items(), key=lambda pair: -pair[1])[:3]
    words = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in longest if seconds)
    total = f"{'ready' if ready else 'not ready'} after {sum(stages.values()):.2f} s"
    failed = Counter(str(report["stage"]) for report in reports if report["status"] == "failed")
    attempts = ", ".join(f"{count} at {stage}" for stage, count in failed.items())
    return [total + (f"; longest: {words}" if words else ""), *([f"failed attempts: {attempts}"] if attempts else [])]


def _marked(line: str, report: Report) -> str:
    colour = _COLOURS.get(report["status"])
    return click.style(line, fg=colour) if colour else line


def _now(found: dict[str, Any]) -> list[str]:
    """How far a boot is that goes on."""
    return [f"now at {found['percent']} % of stage {found['stage']}"] if found["percent"] is not None else []
