"""The boot interface keeps its address when the image's own network manager starts: real managers in a namespace.

The veth pair stands for a NIC that the initramfs has brought up. It has no permanent MAC, so the match is by its MAC.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from muster.overlays.library import SHIPPED

NETWORKD = Path("/usr/lib/systemd/systemd-networkd")
NAMESPACE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eu", "-c"]
CASES = SHIPPED / "base/tests"

INITRAMFS = """
mount -t tmpfs tmpfs /run
mount -t sysfs -o ro sysfs /sys
ip link set lo up
ip link add eth0 type veth peer name wire
ip link set eth0 address 52:54:00:00:00:01
ip link set wire up
ip link set eth0 up
ip addr add 10.77.0.11/24 broadcast + dev eth0
ip route add default via 10.77.0.1
ip monitor address > "$1/monitor" &
"""

START_NETWORKD = """
mount -t tmpfs tmpfs /etc/systemd/network
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
cp "$1"/*.network /etc/systemd/network
/usr/lib/systemd/systemd-networkd &
networkd=$!
index=$(cat /sys/class/net/eth0/ifindex)
tries=0
until grep -qs "ADMIN_STATE=$2" "/run/systemd/netif/links/$index" || [ $tries = 80 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
sleep 0.5
cat "/run/systemd/netif/links/$index"
kill $networkd
wait $networkd || true
"""

START_IFUPDOWN = """
mkdir -p /run/network
ifup --no-scripts -a -i "$1/interfaces"
ifdown --no-scripts -a -i "$1/interfaces"
"""

RESULT = "ip -4 -o addr show dev eth0; ip route show default"


def run(script: str, folder: Path, *arguments: str) -> str:
    argv = [*NAMESPACE, INITRAMFS + script + RESULT, "sh", str(folder), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def changes(folder: Path) -> list[str]:
    return [line for line in (folder / "monitor").read_text().splitlines() if "10.77.0.11" in line]


pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")]


@pytest.mark.skipif(not NETWORKD.exists(), reason="needs systemd-networkd")
@pytest.mark.parametrize(("case", "state"), [("networkd-static", "configured"), ("networkd-dhcp", "configuring")])
def test_networkd_keeps_the_boot_address(tmp_path: Path, case: str, state: str) -> None:
    for file in (CASES / case / "expected/etc/systemd/network").glob("*.network"):
        (tmp_path / file.name).write_text(file.read_text().replace("PermanentMACAddress", "MACAddress"))
    shown = run(START_NETWORKD, tmp_path, state)
    assert f"ADMIN_STATE={state}" in shown
    assert "inet 10.77.0.11/24" in shown
    assert "default via 10.77.0.1" in shown
    assert not [line for line in changes(tmp_path) if "Deleted" in line]
    assert len(changes(tmp_path)) < 5, "set once, not again and again"


@pytest.mark.skipif(not shutil.which("ifup"), reason="needs ifupdown")
def test_ifupdown_keeps_the_boot_address(tmp_path: Path) -> None:
    shutil.copy(CASES / "ifupdown/expected/etc/network/interfaces", tmp_path)
    shown = run(START_IFUPDOWN, tmp_path)
    assert "inet 10.77.0.11/24" in shown
    assert "default via 10.77.0.1" in shown
    assert not [line for line in changes(tmp_path) if "Deleted" in line]
