"""The documentation names things that exist."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ONE_BOOT = (ROOT / "docs/one-boot.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(muster[\w.]*:\w+)`", ONE_BOOT))))
def test_one_boot_names_code_that_exists(name: str) -> None:
    module, _, attribute = name.partition(":")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(src/muster/node/[\w.-]+)`", ONE_BOOT))))
def test_one_boot_names_files_that_exist(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs/dependencies.md").read_text()
    declared = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.S | re.M)
    assert declared is not None
    for name in re.findall(r'"([a-z0-9]+)', declared[1]):
        assert re.search(rf"\b{name}\b", reasons, re.IGNORECASE), f"{name} is not in docs/dependencies.md"


def test_every_debian_package_that_setup_installs_has_its_reason() -> None:
    reasons = (ROOT / "docs/dependencies.md").read_text()
    block = re.search(r'^packages="(.*?)"', (ROOT / "scripts/setup").read_text(), re.S | re.M)
    assert block is not None
    assert not [name for name in block[1].split() if not re.search(rf"^\| .*\b{name}\b.* \|.*\|$", reasons, re.M)]


def test_the_readme_names_only_commands_that_exist() -> None:
    from muster.cli.main import COMMANDS

    words = re.findall(r"^\s+muster ([a-z]+)", (ROOT / "README.md").read_text(), re.M)
    assert words and set(words) <= set(COMMANDS)
