"""What goes wrong in a boot, tried for real: damaged images, a node without one, killed services, used tokens."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.boots import tiny
from tests.boots.conftest import RunningLab

pytestmark = [pytest.mark.root, pytest.mark.boot]
LAB_OPTIONS = ["--nodes", "3", "--unknown", "1", "--firmware", "bios", "--memory", "512,512,512,1024"]


@pytest.fixture(scope="module")
def cluster(lab: RunningLab) -> RunningLab:
    """n1 and n2 boot `tiny`; n3 is told to boot an image when a test says so."""
    images = lab.paths.images
    tiny.make_tree(images / tiny.NAME / "tree", images / "debian12-tiny/tree")
    lab.muster("image", "pack", tiny.NAME, "--compression-level", "3")
    lab.muster("node", "set", "n1,n2", f"image={tiny.NAME}")
    return lab


@pytest.fixture
def blob(cluster: RunningLab) -> Iterator[Path]:
    """The root blob of `tiny` as the controller serves it; whole again after the test."""
    shown = json.loads(cluster.muster("image", "show", tiny.NAME, "-o", "json"))
    path = cluster.paths.blobs / "sha256" / shown["root"]["sha256"]
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)
    path.chmod(0o644)


def failures(cluster: RunningLab, node: str) -> list[str]:
    return [r["message"] for r in cluster.trace(node)["reports"] if r["status"] == "failed"]


def expect_failure(cluster: RunningLab, node: str, words: str) -> None:
    """A message that was not there before comes on the console, and is in the timeline."""
    seen = cluster.console(node).count(words)
    cluster.until(lambda: cluster.console(node).count(words) > seen, f"{words!r} on the console", 90)
    cluster.until(lambda: any(words in text for text in failures(cluster, node)), f"{words!r} in the timeline", 20)


@contextmanager
def web_page_server(cluster: RunningLab) -> Iterator[None]:
    """In the block nginx answers for every blob as a portal would: status 200 and a page of HTML."""
    config = cluster.paths.run / "nginx.conf"
    true_text = config.read_text()
    portal = 'location /blobs/ { default_type text/html; return 200 "<html>Log in first</html>"; }'
    config.write_text(
        true_text.replace("        location ~ ", f"        {portal}\n        location ~ ", 1).replace(
            'location ~ "^/blobs/', 'location ~ "^/never/'
        )
    )
    reload_nginx(cluster)
    try:
        yield
    finally:
        config.write_text(true_text)
        reload_nginx(cluster)


def reload_nginx(cluster: RunningLab) -> None:
    cluster.lab("run", "--", "sh", "-c", "kill -HUP $(pgrep -o -x nginx)")


def test_each_kind_of_bad_blob_has_its_own_words_and_the_boot_goes_on(cluster: RunningLab, blob: Path) -> None:
    whole = blob.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    blob.write_bytes(whole[:middle])
    cluster.muster("node", "power", "n1", "cycle")
    expect_failure(cluster, "n1", "truncated on the server")
    blob.unlink()
    expect_failure(cluster, "n1", "the server answered 404")
    blob.write_bytes(flipped)
    expect_failure(cluster, "n1", "the bytes are damaged")
    with web_page_server(cluster):
        expect_failure(cluster, "n1", "answered with a web page (text/html)")
    assert tiny.STARTED not in cluster.console("n1")
    blob.write_bytes(whole)
    cluster.until_console("n1", tiny.STARTED, 90)
    cluster.until_ready("n1", seconds=60)


def test_a_node_without_image_waits_and_goes_on_when_it_gets_one(cluster: RunningLab) -> None:
    cluster.muster("profile", "set", "default", "image=")
    try:
        cluster.muster("node", "power", "n3", "on")
        cluster.until_console("n3", "waiting: node n3 has no image", 120)
        cluster.until(lambda: cluster.node("n3")["state"] == "waiting", "n3 waiting", 20)
        assert "n3 waiting: node n3 has no image" in cluster.muster("status")
        cluster.muster("node", "set", "n3", f"image={tiny.NAME}")
        cluster.until_console("n3", tiny.STARTED, 90)
        cluster.until_ready("n3", seconds=60)
        assert cluster.console("n3").count("Linux version") == 1, "it rebooted"
    finally:
        cluster.muster("profile", "set", "default", "image=debian12-tiny")
        cluster.lab("power", "n3", "off")


def pids(cluster: RunningLab, part: str) -> list[int]:
    """The processes of one service inside the lab, as the lab numbers them."""
    pattern = {
        "app": "^[^ ]*python[^ ]* -m muster.daemon",
        "nginx": "^nginx: master|^nginx -e",
        "dnsmasq": "^dnsmasq ",
        "supervisor": "^[^ ]*python[^ ]* -m muster.cli.main serve",
    }[part]
    said = cluster.lab("run", "--", "sh", "-c", f"pgrep -f '{pattern}' || true")
    return [int(word) for word in said.split()]


def kill(cluster: RunningLab, part: str) -> None:
    victims = pids(cluster, part)
    assert victims, f"no {part} runs"
    cluster.lab("run", "--", "sh", "-c", f"kill -KILL {' '.join(map(str, victims))}; true")


def alone(cluster: RunningLab) -> dict[str, int]:
    return {part: len(pids(cluster, part)) for part in ("app", "nginx", "dnsmasq", "supervisor")}


STAGE_SEEN = {
    "loader": "boot/1/ipxe... ok",
    "kernel": "Run /init",
    "network": "muster: network: eth0",
    "download": "muster: this is node",
    "running": tiny.STARTED,
}
"""What the console shows when a boot has come that far."""


def boot_with_kills(cluster: RunningLab, node: str, plan: dict[str, str]) -> None:
    """Cycle a node and kill a part at each stage named; it must become ready all the same."""
    console = cluster.folder / "nodes" / node / "console.log"
    before_boot = cluster.node(node)["boot"]
    offset = console.stat().st_size if console.exists() else 0

    def shown(text: str) -> bool:
        return console.exists() and text.encode() in console.read_bytes()[offset:]

    cluster.muster("node", "power", node, "cycle")
    for stage, part in plan.items():
        cluster.until(partial(shown, STAGE_SEEN[stage]), f"{node} at {stage}", 180)
        kill(cluster, part)
    cluster.until(lambda: cluster.node(node)["boot"] not in ("", before_boot), "a new boot", 180)
    cluster.until(lambda: shown(tiny.STARTED), f"{node} runs tiny", 180)
    cluster.until_ready(node, seconds=120)
    counts = alone(cluster)
    assert all(counts.values()) and counts["supervisor"] == 1 and counts["app"] == 1, counts


def test_a_boot_survives_the_death_of_every_service(cluster: RunningLab) -> None:
    plan = {"loader": "nginx", "kernel": "dnsmasq", "network": "app", "download": "supervisor", "running": "app"}
    boot_with_kills(cluster, "n2", plan)


@pytest.mark.soak
@pytest.mark.parametrize("part", ["app", "nginx", "dnsmasq", "supervisor"])
@pytest.mark.parametrize("stage", list(STAGE_SEEN))
def test_soak_every_part_at_every_stage(cluster: RunningLab, stage: str, part: str) -> None:
    boot_with_kills(cluster, "n2", {stage: part})


def test_serve_twice_names_the_first(cluster: RunningLab) -> None:
    status, said = cluster.refused(
        "lab", "run", "--name", cluster.name, "--", sys.executable, "-m", "muster.cli.main", "serve"
    )
    assert status == 2
    assert str(pids(cluster, "supervisor")[0]) in said


def ask(cluster: RunningLab, *words: str) -> tuple[str, str]:
    """curl inside the lab: status and body."""
    said = cluster.lab("run", "--", "curl", "--path-as-is", "-s", "-w", "\n%{http_code}", *words)
    body, _, status = said.rpartition("\n")
    return status, body


def token_of(cluster: RunningLab, node: str) -> tuple[str, str]:
    """Boot id and token, as somebody with root on that node could read them (here: from a hello like the node's)."""
    row: dict[str, Any] = cluster.node(node)
    uuid = json.loads(cluster.muster("node", "show", node, "-o", "json"))["machine"]["uuid"]
    boot_uuid = "0" * 8 + "-0000-4000-8000-" + row["mac"].replace(":", "")
    said = {"muster-hello": "1", "kernel-boot": boot_uuid, "kernel": "x", "architecture": "x86_64", "uuid": uuid}
    hello = "".join(f"{key}\t{value}\n" for key, value in (said | {"bootif": row["mac"]}).items())
    status, plan = ask(cluster, "--data-binary", hello, "http://10.77.0.1:9898/node/1/hello")
    assert status == "200", plan
    words = dict(line.split("\t", 1) for line in plan.splitlines())
    return words["boot"], words["token"]


def test_a_token_opens_its_own_boot_alone(cluster: RunningLab) -> None:
    boots = {node: token_of(cluster, node) for node in ("n1", "n2")}
    for owner, (_, token) in boots.items():
        for other, (boot, _) in boots.items():
            url = f"http://10.77.0.1:9898/node/1/{boot}/plan"
            status, body = ask(cluster, "-H", f"Authorization: Bearer {token}", url)
            assert (status == "200") == (owner == other), body
            if owner != other:
                assert "another boot" in body


@pytest.mark.parametrize(
    "path",
    [
        "/blobs/sha256/../../../secrets/token-key",
        "/blobs/sha256/..%2f..%2fsecrets%2ftoken-key",
        "/blobs/sha256/%2e%2e/%2e%2e/secrets/token-key",
        "/blobs/../store.db",
        "//etc/passwd",
        "/boot/files/../secrets/token-key",
        "/boot/files/%2e%2e/store.db",
        "/node/1/../../api/1/status",
        "/node/1/0123456789abcdef/overlay/../../../../etc/shadow",
        "/api/1/status",
        "/api/1/objects/node",
        "/docs",
        "/openapi.json",
    ],
)
def test_paths_lead_nowhere_else(cluster: RunningLab, path: str) -> None:
    status, body = ask(cluster, f"http://10.77.0.1:9898{path}")
    assert status in ("400", "403", "404", "405"), body
    assert len(body) < 200


@pytest.mark.soak
def test_soak_an_adopted_machine_with_another_kernel_reboots_once(cluster: RunningLab) -> None:
    cluster.muster("image", "build", "debian12")
    cluster.muster("image", "pack", "debian12")
    cluster.muster("network", "set", "lab", f"discovery_image={tiny.NAME}")
    cluster.lab("power", "u1", "on")
    cluster.until(lambda: len(cluster.rows("node", "pending")) == 1, "u1 pending")
    machine = cluster.rows("node", "pending")[0]["machine"]
    cluster.muster("node", "adopt", machine, "n9", "interfaces.eth0.address=10.77.0.19/24", "image=debian12")
    cluster.until_console("u1", "muster: starting anew: debian12@")
    cluster.until_ready("n9")
    assert cluster.console("u1").count("Linux version") == 2
    assert "cloud" not in cluster.ssh("10.77.0.19", "uname -r")
    cluster.lab("power", "u1", "off")
