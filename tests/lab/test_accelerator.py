"""KVM is used when something booted under it, and only then."""

import json
from pathlib import Path

import pytest

from muster.lab import accelerator
from muster.lab.accelerator import Probe
from muster.model.errors import RequestError


def test_a_guest_that_speaks_works() -> None:
    assert accelerator.works(Probe(("sh", "-c", "echo Kernel panic; sleep 60"), b"Kernel panic"), limit=5)


def test_a_guest_that_hangs_does_not_and_is_ended_in_time() -> None:
    assert not accelerator.works(Probe(("sleep", "60"), b"Kernel panic"), limit=0.2)


def test_a_guest_that_ends_at_once_does_not() -> None:
    assert not accelerator.works(Probe(("sh", "-c", "echo failed to set MSR; exit 1"), b"Kernel panic"), limit=5)


def test_without_qemu_it_does_not() -> None:
    assert not accelerator.works(Probe(("/nonexistent/qemu",), b"x"), limit=5)


def test_the_newest_kernel_is_tried_else_the_firmware(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz-6.1"
    kernel.touch()
    assert str(kernel) in accelerator.probe_for([kernel]).argv
    assert "-kernel" not in accelerator.probe_for([]).argv


def test_the_answer_is_kept_until_the_next_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(accelerator.VARIABLE, raising=False)
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "no-kvm")
    cache = tmp_path / "cache/kvm.json"
    assert accelerator.choose(cache=cache) == "tcg"
    kept = json.loads(cache.read_text())
    assert kept == {"boot": accelerator.BOOT_ID.read_text().strip(), "works": False}
    cache.write_text(json.dumps({**kept, "works": True}))
    assert accelerator.choose(cache=cache) == "kvm"
    cache.write_text(json.dumps({"boot": "another", "works": True}))
    assert accelerator.choose(cache=cache) == "tcg"
    cache.write_text("{")
    assert accelerator.choose(cache=cache) == "tcg"


def test_the_environment_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.VARIABLE, "kvm")
    assert accelerator.choose(cache=tmp_path / "x") == "kvm"
    monkeypatch.setenv(accelerator.VARIABLE, "hvf")
    with pytest.raises(RequestError, match="hvf"):
        accelerator.choose(cache=tmp_path / "x")
