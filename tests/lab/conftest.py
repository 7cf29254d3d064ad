"""Labs for tests: short paths (a socket's path is bounded), a stand-in controller, gone at the end whatever happens."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from muster.lab import lifecycle, plan
from muster.lab.plan import Controller, Lab

STAND_IN = Path(__file__).parent / "stand_in.py"
PYTHON = "/usr/bin/python3"
MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab() -> Iterator[MakeLab]:
    """Describes a lab of small machines in a folder of its own; it is ended at the end of the test."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp") as base:
        made: list[Lab] = []
        # A copy, run by the system's Python: of a clone below a closed folder a lab sees only what Muster needs.
        stand_in = Path(shutil.copy(STAND_IN, base))

        def make(
            name: str = "one",
            *,
            nodes: int = 1,
            firmware: str = "bios",
            serve: tuple[str, ...] = (),
            disk: tuple[int | None, ...] = (None,),
        ) -> Lab:
            folder = Path(base) / name
            socket = str(folder / "controller/api.sock")
            controller = Controller((), serve or (PYTHON, str(stand_in), socket), socket)
            machines = plan.plan_machines(
                nodes=nodes, unknown=0, firmware=[firmware], nic=["virtio-net-pci"], memory=[64], cpus=1, disk=disk
            )
            made.append(Lab(name, folder, "tcg", machines, controller))
            return made[-1]

        yield make
        for lab in made:
            lifecycle.down(lab.folder)
