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

WARNING = "warning"
"""Something of a stage is not as wanted; the boot goes on, and its stage and state are as before."""

STATUSES = ("start", "progress", "done", "failed", WARNING)
