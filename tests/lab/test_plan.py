"""What a lab is made of, before anything is started."""

from pathlib import Path
from typing import Any

import pytest

from muster.lab import plan, register
from muster.lab.plan import Lab, Machine
from muster.model.errors import MusterError, RequestError


def machines(
    nodes: int = 2,
    unknown: int = 0,
    firmware: tuple[str, ...] = ("bios", "uefi"),
    nic: tuple[str, ...] = ("virtio-net-pci",),
    memory: tuple[int, ...] = (1024,),
    cpus: int = 1,
    disk: tuple[int | None, ...] = (None,),
) -> tuple[Machine, ...]:
    return plan.plan_machines(
        nodes=nodes, unknown=unknown, firmware=firmware, nic=nic, memory=memory, cpus=cpus, disk=disk
    )


def lab(folder: Path = Path("/var/lib/muster-lab/default")) -> Lab:
    return Lab("default", folder, "tcg", machines(unknown=1), plan.muster_controller(folder / "controller"))


def test_lists_are_gone_through_machine_by_machine() -> None:
    found = machines(nodes=3, unknown=1, nic=("virtio-net-pci", "e1000"), memory=(512, 1024, 2048), disk=(2048, None))
    assert [(m.name, m.firmware, m.nic, m.memory, m.disk, m.known) for m in found] == [
        ("n1", "bios", "virtio-net-pci", 512, 2048, True),
        ("n2", "uefi", "e1000", 1024, None, True),
        ("n3", "bios", "virtio-net-pci", 2048, 2048, True),
        ("u1", "uefi", "e1000", 512, None, False),
    ]


def test_every_machine_has_facts_of_its_own_that_never_change() -> None:
    found = machines(nodes=64, unknown=64)
    for fact in ("name", "mac", "uuid", "serial"):
        assert len({getattr(machine, fact) for machine in found}) == 128
    assert (found[1].mac, found[1].uuid, found[1].serial, found[1].address) == (
        "52:54:00:4d:00:02",
        "6d757374-6572-4c61-8062-5254004d0002",
        "LAB-N2",
        "10.77.0.12",
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nodes": 65}, "--nodes 65"),
        ({"firmware": ("coreboot",)}, "coreboot"),
        ({"nic": ("virtio,script=/bin/sh",)}, "virtio,script"),
        ({"memory": (8,)}, "--memory 8"),
        ({"memory": ()}, "at least one"),
        ({"cpus": 0}, "--cpus 0"),
        ({"disk": (0,)}, "--disk 0m"),
        ({"disk": (plan.MAX_DISK + 1,)}, "1m to"),
        ({"disk": ()}, "at least one"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        machines(**wrong)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-x", "a" * 33])
def test_a_lab_name_is_one_plain_word(name: str) -> None:
    with pytest.raises(RequestError):
        plan.folder_of(name, None)


def test_description_survives_its_text() -> None:
    assert plan.from_text(plan.to_text(lab()), "lab.json") == lab()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}'])
def test_damaged_description_is_not_absent(text: str) -> None:
    with pytest.raises(MusterError, match=r"lab\.json: damaged"):
        plan.from_text(text, "lab.json")


def test_socket_paths_that_the_kernel_refuses_are_refused_before() -> None:
    plan.check_paths(lab())
    with pytest.raises(RequestError, match="too long"):
        plan.check_paths(lab(Path("/tmp") / ("x" * 80)))


def test_nodes_are_registered_unknown_machines_are_not() -> None:
    network, *nodes = register.documents(lab(), None)
    assert network["pool"] == "10.77.0.100-10.77.0.199"
    assert [node["name"] for node in nodes] == ["n1", "n2"]
    assert nodes[0] == {
        "kind": "node",
        "name": "n1",
        "machine": {"uuid": "6d757374-6572-4c61-8062-5254004d0001"},
        "interfaces": [{"name": "eth0", "mac": "52:54:00:4d:00:01", "address": "10.77.0.11/24"}],
        "power": {"driver": "lab", "address": "/var/lib/muster-lab/default/lab.sock"},
        "kernel_arguments": ["console=ttyS0"],
    }


def test_an_image_is_what_all_nodes_and_unknown_machines_boot() -> None:
    network, profile, *_ = register.documents(lab(), "debian:stable")
    assert network["discovery_image"] == "debian:stable"
    assert profile == {"kind": "profile", "name": "default", "image": "debian:stable"}
