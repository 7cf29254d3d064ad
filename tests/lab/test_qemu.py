"""The QEMU command of each kind of machine, as a person can review it: one argument with its value a line."""

from pathlib import Path

import pytest

from muster.lab import network, plan
from muster.lab.plan import Accelerator
from muster.lab.qemu import Places, arguments

GOLDEN = Path(__file__).parent / "golden"


def shown(argv: list[str]) -> str:
    return "".join(f"\n{word}" if word.startswith("-") else f" {word}" for word in argv).strip() + "\n"


def compare(path: Path, text: str, update: bool) -> None:
    if update:
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000"])
def test_command(firmware: str, nic: str, accelerator: Accelerator, update_golden: bool) -> None:
    (machine,) = plan.plan_machines(nodes=1, unknown=0, firmware=[firmware], nic=[nic], memory=[1024], cpus=1)
    places = Places(Path("/var/lib/muster-lab/default/nodes/n1"), network.tap_of(machine))
    text = shown(arguments(machine, places, accelerator))
    compare(GOLDEN / f"{firmware}-{nic}-{accelerator}.txt", text, update_golden)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_command_with_a_disk(firmware: str, update_golden: bool) -> None:
    (machine,) = plan.plan_machines(
        nodes=1, unknown=0, firmware=[firmware], nic=["virtio-net-pci"], memory=[1024], cpus=1, disk=[2048]
    )
    places = Places(Path("/var/lib/muster-lab/default/nodes/n1"), network.tap_of(machine))
    compare(GOLDEN / f"{firmware}-disk-tcg.txt", shown(arguments(machine, places, "tcg")), update_golden)


def test_a_comma_in_the_folder_is_no_new_option() -> None:
    (machine,) = plan.plan_machines(nodes=1, unknown=0, firmware=["uefi"], nic=["e1000"], memory=[64], cpus=1, disk=[1])
    joined = " ".join(arguments(machine, Places(Path("/tmp/a,b"), "tap-n1"), "tcg"))
    assert "/tmp/a,,b/console.sock" in joined
    assert "/tmp/a,,b/disk0.img" in joined
    assert "/tmp/a,b" not in joined


def test_names_inside_the_lab() -> None:
    machines = plan.plan_machines(nodes=1, unknown=1, firmware=["bios"], nic=["e1000"], memory=[64], cpus=1)
    expected = "127.0.0.1 localhost\n10.77.0.1\tcontroller\n10.77.0.11\tn1\n"
    assert network.hosts(machines, "127.0.0.1 localhost") == expected


def test_network_commands(update_golden: bool) -> None:
    machines = plan.plan_machines(nodes=1, unknown=1, firmware=["bios"], nic=["e1000"], memory=[64], cpus=1)
    text = "".join(" ".join(command) + "\n" for command in network.commands(machines))
    compare(GOLDEN / "network.txt", text, update_golden)
