"""The driver `lab` against a lab that answers nonsense; tests/lab/test_live.py has it against a real one."""

from pathlib import Path

import pytest

from muster.model.errors import MusterError, UnreachableError
from muster.power import lab


def test_an_answer_that_is_no_state_is_not_taken_for_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ({}, {"power": {}}, {"power": {"n1": "maybe"}}, {"power": {"n2": "on"}}):
        monkeypatch.setattr(lab, "ask", lambda *_, answer=answer, **__: answer)
        with pytest.raises(MusterError, match="not a power state"):
            lab.power_state("/run/muster-lab/x/lab.sock", "n1")


def test_a_lab_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        lab.set_power(str(tmp_path / "lab.sock"), "n1", "on")
