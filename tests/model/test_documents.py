"""Words of the command line and documents of files become objects, or an error that says what is wrong."""

import pytest

from muster.model.documents import assign, document, made, parse
from muster.model.errors import RequestError
from muster.model.objects import Node
from tests.cluster import NETWORK, node

NODE = parse({"kind": "node", "name": "n1", "interfaces": [{"name": "eth0", "mac": "52:54:00:00:00:01"}]})


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(RequestError) as caught:
        parse(node("n1", root="floppy", colour="red", interfaces=[{"name": "eth0", "mac": "52:54"}]))
    message = str(caught.value)
    assert "node n1" in message and "root" in message and "colour" in message and "interfaces.0.mac" in message


@pytest.mark.parametrize("text", [{}, {"kind": "rack", "name": "r"}, {"kind": ["node"]}, {"kind": "node"}])
def test_no_object(text: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        parse(text)


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ({"image": "debian"}, "image", "debian"),
        ({"overlays": "base, site"}, "overlays", ["base", "site"]),
        (
            {"kernel_arguments": "console=tty0 console=ttyS0,115200"},
            "kernel_arguments",
            ["console=tty0", "console=ttyS0,115200"],
        ),
        ({"labels.rack": "r1", "labels.a.b": "c"}, "labels", {"rack": "r1", "a.b": "c"}),
        ({"serial_console.speed": "9600"}, "serial_console", {"speed": 9600}),
        (
            {"var.on": "disk", "disk.scratch": "scratch", "disk.make.swap_size": "8g"},
            "disk",
            {"scratch": "scratch", "make": {"swap_size": "8g"}},
        ),
        ({"image": "debian@live"}, "image", "debian@live"),
        (
            {"power.driver": "lab", "power.password.secret": "bmc"},
            "power",
            {"driver": "lab", "password": {"secret": "bmc"}},
        ),
        (
            {"interfaces.eth0.address": "10.0.0.1/24", "interfaces.eth1.dhcp": "yes"},
            "interfaces",
            [{"name": "eth0", "mac": "52:54:00:00:00:01", "address": "10.0.0.1/24"}, {"name": "eth1", "dhcp": True}],
        ),
    ],
)
def test_assign(words: dict[str, str], field: str, value: object) -> None:
    assert document(assign(NODE, words))[field] == value


def test_an_empty_value_unsets_and_leaves_nothing_behind() -> None:
    full = assign(NODE, {"image": "debian", "labels.rack": "r1", "power.password.secret": "bmc", "overlays": "base"})
    words = {"image": "", "labels.rack": "", "power.password.secret": "", "overlays": ""}
    assert document(assign(full, words)) == document(NODE)
    assert document(assign(full, {"power.user": "", "serial_console.speed": ""})) == document(full)


@pytest.mark.parametrize(
    "words",
    [
        {"name": "n2"},
        {"kind": "profile"},
        {"colour": "red"},
        {"image.x": "y"},
        {"interfaces.mac": "52:54:00:00:00:01"},
        {"interfaces.eth0.colour": "red"},
        {"interfaces.eth1.mac": "52:54:00:00:00:01"},
        {"interfaces.eth0.mac": "01:00:5e:00:00:01"},
        {"interfaces.eth0.mac": "00:00:00:00:00:00"},
        {"labels": "r1"},
        {"power.password.colour": "red"},
        {"image": "debian@lively"},
        {"tmp": "tmpfs"},
        {"tmp.on": "disk", "tmp.size": "1g"},
        {"disk.path": "scratch"},
        {"disk.path": "/scratch/../etc"},
        {"disk.path": "/usr"},
        {"disk.path": "/run/scratch"},
        {"disk.scratch": "two words"},
        {"disk.make.disk": "/dev/sda"},
        {"disk.make.swap_size": "10%"},
    ],
)
def test_refused_words(words: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        assign(NODE, words)


@pytest.mark.parametrize(
    "argument",
    [
        "muster.server=http://evil",
        "BOOTIF=01-00",
        "a b",
        "a;b",
        "a|b",
        "a&&b",
        "a$b",
        "${net0/mac}",
        "a\nb",
        "'",
        '"',
        "a#b",
        "\\",
        "",
    ],
)
def test_kernel_arguments_cannot_smuggle(argument: str) -> None:
    with pytest.raises(RequestError):
        parse(node("x1", kernel_arguments=[argument]))


@pytest.mark.parametrize("name", ["", "n1\n", "N1", "n_1", "-n", "n1.example", "..", "n/1", "n" * 64])
def test_names_that_are_no_host_names(name: str) -> None:
    with pytest.raises(RequestError):
        parse({"kind": "node", "name": name})


def test_a_network_is_made_from_words_like_anything_else() -> None:
    words = {k: str(v) for k, v in NETWORK.items() if k not in ("kind", "name")}
    found = document(made("network", "lab", {**words, "nameservers": "10.77.0.1,10.77.0.2"}))
    assert found["nameservers"] == ["10.77.0.1", "10.77.0.2"]
    with pytest.raises(RequestError):
        made("network", "lab", {**words, "kind": "node"})


def test_two_addresses_that_differ_by_prefix_length_only_are_one() -> None:
    interfaces = [{"name": "a", "address": "10.0.0.1/24"}, {"name": "b", "address": "10.0.0.1/16"}]
    with pytest.raises(RequestError, match="same address"):
        parse(node("x1", interfaces=interfaces))


def test_text_that_looks_like_numbers_survives() -> None:
    found = parse(node("x1", machine={"board_serial": "00012345"}, labels={"rack": "007"}))
    assert isinstance(found, Node) and found.machine is not None
    assert (found.machine.board_serial, found.labels) == ("00012345", {"rack": "007"})


def test_a_password_that_was_written_down_is_not_repeated() -> None:
    for refused in (
        lambda: parse(node("x1", power={"password": "hunter2"})),
        lambda: assign(NODE, {"power.password": "hunter2"}),
    ):
        with pytest.raises(RequestError, match="a secret is named here") as caught:
            refused()
        assert "hunter2" not in str(caught.value)


def test_what_was_given_is_shown_shortly_and_without_control_characters() -> None:
    with pytest.raises(RequestError) as caught:
        parse({"kind": "node", "name": "x\x1b[2J", "image": "X" * 5000, "a\x1b[2J": "b"})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


def test_a_network_lends_no_tree_to_unknown_machines() -> None:
    with pytest.raises(RequestError, match="discovery_image"):
        parse({**NETWORK, "discovery_image": "debian@live"})
