"""An administrator's day, end to end over the socket: what is said, and with which exit status."""

import getpass
import json
from pathlib import Path

import click
import pytest
import yaml

from muster.client import Client, ClientError
from muster.controller import node_plan
from muster.controller.context import Context
from muster.host.paths import Paths
from tests.cli.conftest import Muster
from tests.cluster import hello, node
from tests.golden import compare

SERVER = "http://10.77.0.1:9898"
GOLDEN = Path(__file__).parent / "golden"


def test_declare_change_show_remove(muster: Muster, serving: Context) -> None:
    words = ("profiles=compute", "labels.rack=r1", "kernel_arguments=quiet console=ttyS0,115200")
    assert muster("node", "add", "c[1-2]", *words).out == "add node c1\nadd node c2\n"
    shown = muster("node", "set", "@rack:r1", "image=debian:latest", "--dry-run")
    assert shown.out == "~ node c[1-2] (2 nodes)\n  + image: debian:latest\n"
    assert muster("node", "set", "c1", "image=debian:latest").out == "change node c1\n"
    assert muster("node", "set", "c1", "image=debian:latest").out == "nothing to change\n"
    shown = yaml.safe_load(muster("node", "show", "c1").out)
    assert shown["kernel_arguments"] == ["quiet", "console=ttyS0,115200"] and shown["labels"] == {"rack": "r1"}
    assert json.loads(muster("node", "show", "c2", "--effective", "-o", "json").out)["image"] == "debian"
    assert muster("node", "list", "c[1-2]", "-o", "name").out == "c1\nc2\n"
    assert muster("node", "delete", "c[1-2]").out == "delete node c1\ndelete node c2\n"
    assert muster("node", "list", "-o", "name").out == "n1\nn2\n"
    assert serving.store.history("node", "c1")[0].who == getpass.getuser(), "the kernel says who is on the socket"


def test_networks_and_profiles(muster: Muster, serving: Context) -> None:  # noqa: ARG001
    words = ("subnet=10.9.0.0/24", "address=10.9.0.1", "interface=eth1", "nameservers=10.9.0.2,10.9.0.3")
    assert muster("network", "add", "two", *words).status == 0
    assert yaml.safe_load(muster("network", "show", "two").out)["nameservers"] == ["10.9.0.2", "10.9.0.3"]
    assert muster("profile", "list", "compute", "-o", "name").out == "compute\n"
    assert muster("profile", "delete", "compute").status == 2


def test_adopt_and_follow(muster: Muster, serving: Context, update_golden: bool) -> None:
    node_plan.hello(serving, hello("stranger"), SERVER)
    node_plan.hello(serving, hello("n1"), SERVER)
    said = [muster("status"), muster("node", "pending")]
    machine = serving.boots.of_machine(next(name for kind, name in serving.world.objects if kind == "machine"))
    assert machine is not None
    said.append(muster("node", "adopt", machine.machine[:8], "n7", "profiles=compute"))
    said += [muster("node", "list"), muster("node", "trace", "n1"), muster("node", "explain", "n7")]
    assert [s.status for s in said] == [0] * len(said)
    compare(GOLDEN / "day/commands.txt", "\n".join(s.out for s in said), update_golden)


REFUSED = [
    (2, ("node", "show", "nobody"), "nobody"),
    (2, ("node", "add", "n1"), "exists"),
    (2, ("node", "set", "n1", "colour=red"), "no setting 'colour'"),
    (2, ("node", "set", "n1", "image"), "KEY=VALUE"),
    (2, ("node", "set", "n1", "image=a", "image=b"), "twice"),
    (2, ("node", "set", "n1", "authorized_keys=@/nowhere"), "/nowhere"),
    (2, ("node", "set", "n1", "kernel_arguments=muster.server=http://x"), "sets the kernel argument"),
    (2, ("node", "trace", "n1"), "no record"),
    (2, ("node", "adopt", "ffffffff", "n9"), "ffffffff"),
    (2, ("node", "frobnicate"), "frobnicate"),
    (2, ("frobnicate",), "frobnicate"),
    (2, ("node", "list", "-o", "xml"), "xml"),
    (2, ("apply",), "FILES"),
    (2, ("apply", "/nowhere.yaml"), "nowhere"),
    (1, ("node", "power", "n[1-2]", "on"), "n1: no power driver"),
]


def test_what_is_wrong_says_so_and_has_its_status(muster: Muster, serving: Context) -> None:
    before = serving.world
    for status, words, message in REFUSED:
        said = muster(*words)
        assert (said.status, message in said.err) == (status, True), (words, said)
    assert serving.world is before


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("kind: node\nname: [", "x.yaml:2"),
        ("- a\n- b\n", "x.yaml"),
        ("kind: node\nname: x9\ncolour: red\n", "colour"),
        ("\x00", "x.yaml"),
        ("kind: node\nname: x9\n---\nkind: node\nname: x8\nprofiles: [nowhere]\n", "no profile 'nowhere'"),
    ],
)
def test_a_bad_file_changes_nothing(muster: Muster, serving: Context, tmp_path: Path, text: str, where: str) -> None:
    before = serving.world
    file = tmp_path / "x.yaml"
    file.write_text(text)
    said = muster("apply", str(file))
    assert said.status == 2 and where in said.err, said
    assert serving.world is before


def test_a_file_is_applied_with_every_scalar_as_it_was_written(
    muster: Muster, serving: Context, tmp_path: Path
) -> None:
    file = tmp_path / "x.yaml"
    document = node("x9", machine={"board_serial": "00012345"}, labels={"on": "yes", "n": "1e3"})
    file.write_text(yaml.safe_dump(document).replace("'", "") + "---\n")
    assert muster("apply", "--dry-run", str(file)).out.startswith("+ node x9\n  + labels.n: 1e3\n")
    assert ("node", "x9") not in serving.world.objects
    assert muster("apply", str(file)).out == "add node x9\n"
    assert muster("apply", str(file)).out == "nothing to change\n"
    shown = yaml.load(muster("node", "show", "x9").out, Loader=yaml.BaseLoader)
    assert shown["machine"] == {"board_serial": "00012345"} and shown["labels"] == {"on": "yes", "n": "1e3"}


def test_no_controller_is_not_the_askers_fault(muster: Muster) -> None:
    said = muster("node", "list")
    assert said.status == 3 and "muster serve" in said.err and said.out == ""


def test_help_and_version(muster: Muster) -> None:
    assert muster("--help").status == 0 and muster("node", "--help").status == 0
    assert muster("version").out.startswith("muster ")


def test_a_command_that_returns_a_status_ends_with_it(muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.pass_context
    def ends_badly(context: click.Context) -> None:
        context.exit(3)

    monkeypatch.setattr("muster.cli.overview.version", ends_badly)
    assert muster("version").status == 3


def test_the_client_names_what_went_wrong(serving: Context, tmp_path: Path) -> None:
    client = Client(Paths(tmp_path).socket)
    with pytest.raises(ClientError) as caught:
        client.get("/api/1/objects/node/nobody")
    assert (caught.value.exit_status, caught.value.status) == (2, 404)
    assert client.get("/api/1/version") == {"version": "0.1.0", "revision": serving.world.revision}
