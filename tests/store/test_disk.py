"""A full or a read-only disk: writing says so and changes nothing, reading and booting go on, room is found again."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from muster.controller import node_plan, node_report
from muster.controller.answer_boot import answer_boot
from muster.controller.context import Context
from muster.controller.objects import apply
from muster.host import process
from muster.model import urls
from muster.model.errors import EXIT_OUR_FAULT, StoreError
from muster.model.objects import Node
from muster.overlays.render import Renderer
from tests import cluster
from tests.cluster import MAC, SERVER, hello, node
from tests.server.test_api import Api, put

pytestmark = pytest.mark.root
Mounted = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """`mounted("-t", "tmpfs", ...)` is a folder with a file system of its own."""
    folder = tmp_path / "disk"

    def mount(*words: str | Path) -> Path:
        folder.mkdir()
        process.run(["mount", *words, folder])
        return folder

    yield mount
    process.run(["umount", folder])


@contextmanager
def controller_on(folder: Path, renderer: Renderer) -> Iterator[Context]:
    context = cluster.cluster(folder / "controller", renderer, cluster.FakeClock())
    try:
        yield context
    finally:
        cluster.close(context)


def fill(folder: Path) -> Path:
    """No byte of room is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return path


def boot(context: Context, number: int) -> None:
    """Node n1 from its loader to ready; a stage report and a heartbeat with it."""
    script = answer_boot(context.world, {"mac": MAC["n1"]}, SERVER, context.node_segment)
    assert "kernel" in script
    plan = cluster.plan_values(node_plan.hello(context, hello(boot=number), SERVER))
    assert plan["action"] == "run" and plan["node"] == "n1"
    request = node_plan.authorize(context, plan["boot"], plan["token"])
    assert node_plan.overlay(context, request).size > 0
    node_report.report(context, request, b"stage\tdownload\nstatus\tdone\nuptime\t3.5\n")
    node_report.heartbeat(context, request, b"state\tready\nuptime\t9\n", SERVER)
    found = context.boots.of_node("n1")
    assert found is not None and found.boot == plan["boot"] and found.state(context.clock.now()) == "ready"


def until_refused(api: Api, context: Context) -> str:
    """Change n2 until the disk takes no more; what the refusal says. The world is then as it was acknowledged."""
    for number in range(1000):
        domain = f"d{number}.example"
        before = context.world
        answer = put(api, node("n2", domain=domain, labels={f"k{n}": "v" * 200 for n in range(number % 20)}))
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["exit_status"]) == (503, EXIT_OUR_FAULT)
            assert context.world is before
            return str(answer.json()["error"])
        assert context.world.get(Node, "n2").domain == domain
    raise AssertionError("the disk is never full")


def test_a_full_disk(mounted: Mounted, overlay_workers: Renderer) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    with controller_on(folder, overlay_workers) as context:
        api = Api(context, os.getuid())
        boot(context, 1)
        filler = fill(folder)
        error = until_refused(api, context)
        assert "nothing was changed" in error and "full" in error and "hint: " in error and "store.db" in error
        for number in range(2, 30):
            boot(context, number)
        assert api.get("/api/1/objects/node/n1").status_code == 200
        assert api.get(urls.API_STATUS).status_code == 200
        assert api.get(urls.API_CHANGES).json()[-1]["revision"] == context.world.revision
        acknowledged = context.world
        filler.unlink()
        assert put(api, node("n3")).status_code == 200, "room again: it goes on without a restart"
        boot(context, 40)
        assert [r.stage for r in context.boots.timeline(context.boots.by_node()["n1"].boot)][-1] == "ready"
    with controller_on(folder, overlay_workers) as context:
        assert context.world.revision == acknowledged.revision + 1
        assert context.world.get(Node, "n2") == acknowledged.get(Node, "n2")


def test_started_on_a_full_disk(mounted: Mounted, overlay_workers: Renderer) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    with controller_on(folder, overlay_workers) as context:
        boot(context, 1)
        before = context.world
    filler = fill(folder)
    with controller_on(folder, overlay_workers) as context:
        assert context.world == before
        assert context.boots.by_node()["n1"].stage == "ready", "who was ready is known"
        boot(context, 2)
        assert context.store.history("node", "n1")
        with pytest.raises(StoreError, match="nothing was changed"):
            context.store.change(lambda world: apply(world, [node("n3")]), who="x")
        filler.unlink()
        context.store.change(lambda world: apply(world, [node("n3")]), who="x")
        boot(context, 3)
        assert context.store.history("node", "n3")
        assert context.boots.timeline(context.boots.by_node()["n1"].boot)
    with controller_on(folder, overlay_workers) as context:
        assert ("node", "n3") in context.world.objects


def test_a_disk_that_turned_read_only_under_us(tmp_path: Path, mounted: Mounted, overlay_workers: Renderer) -> None:
    """As after an error of the file system; the kernel lets such a one be written again only once it was unmounted."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    process.run(["mkfs.ext4", "-q", image])
    folder = mounted("-o", "loop,errors=remount-ro", image)
    with controller_on(folder, overlay_workers) as context:
        api = Api(context, os.getuid())
        boot(context, 1)
        device = Path(process.run(["findmnt", "-no", "SOURCE", folder]).text.strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
        error = until_refused(api, context)
        assert "nothing was changed" in error and "read-only" in error and "hint: " in error
        for number in range(2, 10):
            boot(context, number)
        assert api.get(urls.API_STATUS).status_code == 200
        acknowledged = context.world
    process.run(["umount", folder])
    process.run(["fsck.ext4", "-p", image], check=False)
    process.run(["mount", "-o", "loop", image, folder])
    with controller_on(folder, overlay_workers) as context:
        assert context.world == acknowledged
        boot(context, 20)
        context.store.change(lambda world: apply(world, [node("n3")]), who="x")
