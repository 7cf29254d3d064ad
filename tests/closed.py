"""Tests whose programs run as another user need a clone that this user can read."""

import pytest

from muster.lab import reach

needs_open_clone = pytest.mark.skipif(
    bool(reach.closed_above(reach.needed())),
    reason="this clone, or its .venv, lies below a folder that only root may enter",
)
