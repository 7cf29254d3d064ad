"""The states of a node's boot, those first that want attention."""

NEVER = "never"
STATES = ("failed", "lost", "waiting", "booting", "stopping", "off", NEVER, "ready")
