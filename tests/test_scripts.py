"""The scripts of the workshop do what their names say, also where the tree is no git repository."""

import shutil
from pathlib import Path

from muster.host import process

ROOT = Path(__file__).parents[1]


def test_shellcheck_finds_the_scripts_of_a_plain_folder(tmp_path: Path) -> None:
    for folder in ("scripts", "packaging", ".ci", "bench", "tests", "src/muster/node"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts/shellcheck", tmp_path / "scripts/shellcheck")
    (tmp_path / "src/muster/node/part.sh").write_text("# shellcheck shell=dash\nexit 0\n")
    script = tmp_path / ".ci/run"
    script.write_text("#!/bin/sh\nexit 0\n")
    assert process.run([tmp_path / "scripts/shellcheck"]).status == 0
    script.write_text("#!/bin/sh\ncd $1\n")
    assert b"SC2086" in process.run([tmp_path / "scripts/shellcheck"], check=False).stdout
