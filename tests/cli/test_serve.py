"""`muster serve` refuses what could only fail later."""

import sys
import tempfile
from pathlib import Path

import pytest

from muster.model.errors import RequestError
from muster.services import prepare


def test_a_program_that_the_services_user_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as closed:
        environment = Path(closed) / "venv"
        environment.mkdir()
        monkeypatch.setattr(sys, "prefix", str(environment))
        with pytest.raises(RequestError) as refused:
            prepare.refuse_unreadable_program("4711")
    assert refused.value.where == closed and "make install" in refused.value.hint
