"""What iPXE and the initramfs are told, as texts that a person can review: one folder is one case."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from muster.boot import ipxe, plan
from muster.boot.decide import Decision, Run, decide
from muster.boot.facts import LoaderFacts
from muster.boot.plan import BootKey, OverlayData
from muster.boot.roots import Asker, Supplies, equipped
from muster.model.documents import parse
from muster.model.facts import MachineFacts
from muster.model.objects import Blob
from muster.model.world import Change, World
from muster.services.nfs import Service
from tests.cluster import (
    KERNEL,
    MAC,
    NETWORK,
    PARTS,
    PROFILE,
    SERVER,
    STRANGER_MAC,
    STRANGER_UUID,
    SUPPLIES,
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
    supplies: Supplies = SUPPLIES


def with_root(image: str = "debian", parts: Iterable[str] = PARTS, **settings: object) -> World:
    """A world whose node n1 has these settings, and a version of these blobs to boot."""
    base = published(world_of({**PROFILE, "image": None}, NETWORK), parts=parts, live=True)
    return world_of(node("n1", image=image, **settings), based_on=base)


LIVE_IN_RAM = with_root("debian@live", root="nfs").with_changes(
    [Change("node", "n1", None, parse(node("n1", image="debian@live", root="tmpfs")))], 9
)
DISK = {"path": "/data", "make": {"disk": "serial:n1-disk0", "swap_size": "8g"}}
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
    Case("tmpfs-node", with_root(root="tmpfs", tmp={"on": "tmpfs"}, var={"on": "tmpfs", "size": "2g"}), N1),
    Case("nfs-node", with_root(root="nfs", upper_size="512m"), N1),
    Case("live-node", with_root("debian@live", (*PARTS, "acls"), root="nfs"), N1),
    Case("disk-node", with_root(tmp={"on": "disk"}, var={"on": "disk"}, disk=DISK), N1),
    Case("disk-that-is-there", with_root(disk={"swap": "old-swap"}), N1),
    Case("image-with-acls", with_root(parts=(*PARTS, "acls"), root="tmpfs"), N1),
    Case("controller-without-nfs", with_root(root="nfs"), N1, supplies=Supplies(None, SUPPLIES.kits, Service().reason)),
    Case("controller-without-kits", with_root(root="tmpfs"), N1, supplies=Supplies(SUPPLIES.nfs, {})),
    Case("version-without-extra", with_root(parts=set(PARTS) - {"extra"}, root="nfs"), N1),
    Case("old-version-on-a-disk", with_root(parts=set(PARTS) - {"extra"}, disk={"scratch": "data"}), N1),
    Case("live-not-by-nfs", LIVE_IN_RAM, N1),
]


def decision_of(case: Case) -> Decision:
    return decide(case.world, case.machine, "x86_64")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_boot_answer(case: Case, update_golden: bool) -> None:
    text = ipxe.render(decision_of(case), LoaderFacts(case.machine, "efi", "x86_64"), SERVER, SEGMENT)
    compare(GOLDEN / case.name / "answer.ipxe", text, update_golden)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case, update_golden: bool) -> None:
    decision = equipped(decision_of(case), case.supplies)
    overlay = OVERLAY if isinstance(decision, Run) else None
    asker = Asker("0123456789abcdef" * 4, case.kernel, SERVER)
    text = plan.render(decision, overlay, KEY, asker, case.supplies, 1_700_000_000.9)
    compare(GOLDEN / case.name / "plan", text, update_golden)


def test_no_folder_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {case.name for case in CASES}
