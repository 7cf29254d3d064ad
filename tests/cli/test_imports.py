"""A question answers fast because asking loads little."""

import sys

import pytest

from muster.host import process

HEAVY = ("pydantic", "fastapi", "starlette", "httpx", "uvicorn", "yaml", "jinja2", "ClusterShell", "rich", "sqlite3")


@pytest.mark.parametrize("modules", ["muster.client", "muster.cli.main, muster.cli.node, muster.cli.overview"])
def test_asking_loads_nothing_heavy(modules: str) -> None:
    program = f"import sys, {modules}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    assert process.run([sys.executable, "-c", program]).text.split() == []
