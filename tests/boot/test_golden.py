"""What iPXE and the initramfs are told, as texts that a person can review: one folder is one case."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from muster.boot import ipxe, plan
from muster.boot.decide import Decision, Run, decide
from muster.boot.facts import LoaderFacts
from muster.boot.plan import BootKey, OverlayData
from muster.model.facts import MachineFacts
from muster.model.objects import Blob
from muster.model.world import World
from tests.cluster import (
    KERNEL,
    MAC,
    NETWORK,
    PROFILE,
    SERVER,
    STRANGER_MAC,
    STRANGER_UUID,
    UUID,
    node,
    published,
    world_of,
)
from tests.golden import compare

GOLDEN = Path(__file__).parent / "golden"
DECLARED = world_of(
    {**PROFILE, "image": None},
    NETWORK,
    {**PROFILE, "name": "loud", "kernel_arguments": ["mitigations=auto", "console=ttyS1,9600"], "image": None},
    node("n1"),
    node("n2", profiles=["loud"], upper_size="2g"),
    node("x3", interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:03"}]),
)
WORLD = world_of(PROFILE, node("n2", profiles=["loud"], image="debian", upper_size="2g"), based_on=published(DECLARED))
SEGMENT, OVERLAY, KEY = Blob(sha256="e" * 64, size=5), OverlayData("f" * 64, 1234), BootKey("0123456789abcdef", "TOKEN")


@dataclass(frozen=True)
class Case:
    name: str
    world: World
    machine: MachineFacts
    kernel: str = KERNEL


N1 = MachineFacts(UUID["n1"], macs=(MAC["n1"],))
CASES = [
    Case("known-node", WORLD, N1),
    Case("own-kernel-arguments", WORLD, MachineFacts(UUID["n2"], macs=(MAC["n2"],))),
    Case("nic-swapped", WORLD, MachineFacts(UUID["n1"], macs=(STRANGER_MAC,))),
    Case("unknown-machine", WORLD, MachineFacts(STRANGER_UUID, macs=(STRANGER_MAC,))),
    Case("machine-that-contradicts", WORLD, MachineFacts(STRANGER_UUID, macs=(MAC["n1"],))),
    Case("node-without-image", WORLD, MachineFacts(macs=("52:54:00:00:00:03",))),
    Case("nothing-published", DECLARED, N1),
    Case("other-kernel", WORLD, N1, kernel="6.1.0-0-cloud-amd64"),
]


def decision_of(case: Case) -> Decision:
    return decide(case.world, case.machine, "x86_64")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_boot_answer(case: Case, update_golden: bool) -> None:
    text = ipxe.render(decision_of(case), LoaderFacts(case.machine, "efi", "x86_64"), SERVER, SEGMENT)
    compare(GOLDEN / case.name / "answer.ipxe", text, update_golden)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case, update_golden: bool) -> None:
    decision = decision_of(case)
    overlay = OVERLAY if isinstance(decision, Run) else None
    text = plan.render(decision, overlay, KEY, SERVER, case.kernel, 1_700_000_000.9)
    compare(GOLDEN / case.name / "plan", text, update_golden)


def test_no_folder_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {case.name for case in CASES}
