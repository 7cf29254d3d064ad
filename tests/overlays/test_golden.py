"""Every shipped overlay has cases beside it: `tests/CASE/context.yaml` gives `expected.txt` and `expected/`.

`pytest tests/overlays --update-golden` writes them anew; the diff is for a person to read.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from muster.overlays.library import SHIPPED, Overlays, Rendered
from muster.overlays.render import Laid, Renderer

CASES = sorted(file.parent for file in SHIPPED.glob("*/tests/*/context.yaml"))


@pytest.fixture
def shipped(tmp_path: Path, renderer: Renderer) -> Overlays:
    return Overlays(tmp_path / "none", renderer=renderer)


def render(shipped: Overlays, case: Path) -> Rendered:
    return shipped.render([case.parent.parent.name], yaml.safe_load((case / "context.yaml").read_text()))


def listing(entries: tuple[Laid, ...]) -> str:
    lines = (
        f"{item.mode:04o} {item.uid}:{item.gid} {item.kind} /{item.path}{' -> ' + item.link if item.link else ''}\n"
        for item in entries
    )
    return "".join(lines)


def files(entries: tuple[Laid, ...]) -> dict[str, str]:
    return {item.path: item.content.decode() for item in entries if item.kind == "file"}


def written(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def update(case: Path, rendered: Rendered) -> None:
    shutil.rmtree(case / "expected", ignore_errors=True)
    for path, text in files(rendered.entries).items():
        (case / "expected" / path).parent.mkdir(parents=True, exist_ok=True)
        (case / "expected" / path).write_text(text)
    (case / "expected.txt").write_text(listing(rendered.entries))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.parent.name}-{case.name}")
def test_golden(shipped: Overlays, case: Path, update_golden: bool) -> None:
    rendered = render(shipped, case)
    if update_golden:
        update(case, rendered)
    assert listing(rendered.entries) == (case / "expected.txt").read_text()
    assert files(rendered.entries) == written(case / "expected")


def test_every_shipped_overlay_has_cases(shipped: Overlays) -> None:
    assert {case.parent.parent.name for case in CASES} == set(shipped.names())


def case_named(name: str) -> Path:
    return SHIPPED / "base/tests" / name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_console_drop_in(shipped: Overlays, tmp_path: Path) -> None:
    """The drop-in over the distribution's own unit; only complaints about our file count."""
    unit = Path("/usr/lib/systemd/system/serial-getty@.service")
    if not unit.exists():
        pytest.skip("needs systemd's serial-getty@.service")
    drop_in = files(render(shipped, case_named("autologin")).entries)[
        "etc/systemd/system/serial-getty@ttyS0.service.d/50-muster.conf"
    ]
    copy = tmp_path / "serial-getty@ttyS0.service"
    copy.write_text(unit.read_text())
    folder = tmp_path / "serial-getty@ttyS0.service.d"
    folder.mkdir()
    (folder / "50-muster.conf").write_text(drop_in)
    checked = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert not [line for line in checked.stderr.splitlines() if "50-muster" in line or "ExecStart" in line]


@pytest.mark.skipif(not shutil.which("ifquery"), reason="needs ifupdown")
@pytest.mark.parametrize("name", ["ifupdown", "ifupdown-two-interfaces", "ifupdown-dhcp"])
def test_ifupdown_reads_the_interfaces(shipped: Overlays, tmp_path: Path, name: str) -> None:
    file = tmp_path / "interfaces"
    file.write_text(files(render(shipped, case_named(name)).entries)["etc/network/interfaces"])
    listed = subprocess.run(["ifquery", "-i", str(file), "-l"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["lo", "eth0"]
    asked = subprocess.run(["ifquery", "-i", str(file), "eth0"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
