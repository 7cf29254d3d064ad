"""The steps of one boot on the node, in order; the node reports each by these words."""

STAGES = (
    "modules",
    "network",
    "hello",
    "plan",
    "download",
    "verify",
    "root",
    "overlay",
    "handover",
    "ready",
)
WAIT = "wait"
"""Reported while the plan says to wait: an unknown machine, a node without image."""

STATUSES = ("start", "progress", "done", "warning", "failed")
"""`warning`: something is not as it was asked for, and the boot goes on."""
