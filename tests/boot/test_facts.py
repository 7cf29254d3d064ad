"""What machines say is parsed once, bounded, and whatever else it is, never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.boot.facts import HELLO_MAX_BYTES, HelloFacts, hello_facts, loader_facts, parse_lines
from muster.model.errors import RequestError
from tests.cluster import MAC, UUID, hello


def test_a_hello_is_read() -> None:
    facts = hello_facts(hello("n1"))
    assert facts.machine.uuid == UUID["n1"] and facts.machine.macs == (MAC["n1"],)
    assert facts.kernel == "6.1.0-1-amd64" and facts.architecture == "x86_64" and facts.bootif == MAC["n1"]
    assert [(s.stage, s.uptime) for s in facts.stages] == [("modules", 1.25), ("network", 2.5)]
    assert facts.inventory["product"] == ("Standard PC",)


def test_the_interface_it_booted_from_comes_first() -> None:
    body = hello("n1", more="").replace(b"interface\t", b"interface\taaa0 52:54:00:00:00:00 e1000 up\ninterface\t")
    assert hello_facts(body).machine.macs == (MAC["n1"], "52:54:00:00:00:00")


def test_interfaces_without_a_mac_of_their_own_tell_nothing() -> None:
    body = hello("n1", more="interface\tdummy0 00:00:00:00:00:00 dummy down\ninterface\tbroken\n")
    assert hello_facts(body).machine.macs == (MAC["n1"],)


def test_strange_characters_of_firmware_stop_no_boot() -> None:
    for odd in ("A\x0bB", "A\x85B", "A\u2028B", "A\x1cB", "A\x00B", "caf\xe9"):
        facts = hello_facts(hello("n1").replace(b"Standard PC", odd.encode()))
        assert facts.machine.product is not None and facts.machine.product.isprintable()
    assert hello_facts(hello("n1").replace(b"\n", b"\r\n")).machine.uuid == UUID["n1"]
    assert hello_facts(hello("n1").replace(b"Standard PC", b"caf\xe9")).machine.product == "caf?"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a hello"),
        (b"muster-hello\t2\n", "version 1"),
        (b"<html><body>login</body></html>", "line 1"),
        (b"muster-hello\t1\nkernel-boot\tx\n", "boot id"),
        (hello() + b"uuid\t1\n", "uuid is given twice"),
        (hello() + b"no tab here\n", "KEY TAB VALUE"),
        (hello() + b"UPPER\tx\n", "KEY TAB VALUE"),
        (hello() + b"x\t" + b"y" * HELLO_MAX_BYTES, "longer than"),
    ],
)
def test_a_bad_hello_says_what_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        hello_facts(body)


def test_a_flood_of_lines_is_cut() -> None:
    many = "".join(f"disk\tsd{i} 1 x\n" for i in range(2000))
    assert len(hello_facts(hello(more=many)).inventory["disk"]) == 512
    long = hello_facts(hello(more="note\t" + "x" * 5000 + "\n"))
    assert len(long.inventory["note"][0]) == 512


lines = st.lists(
    st.tuples(
        st.sampled_from(
            ["muster-hello", "kernel-boot", "uuid", "bootif", "interface", "stage", "disk", "kernel", "x-y"]
        ),
        st.one_of(st.text(max_size=40), st.sampled_from(["1", UUID["n1"], f"eth0 {MAC['n1']} e up", "modules 1.5"])),
    )
)


@given(st.one_of(st.binary(max_size=300), lines.map(lambda ls: "".join(f"{k}\t{v}\n" for k, v in ls).encode())))
def test_any_bytes_are_a_hello_or_a_refusal(body: bytes) -> None:
    try:
        facts = hello_facts(body)
    except RequestError:
        return
    assert isinstance(facts, HelloFacts)


@given(st.binary(max_size=400))
def test_added_bytes_never_change_who_it_is(more: bytes) -> None:
    try:
        facts = hello_facts(hello("n1") + more)
    except RequestError:
        return
    assert facts.machine.uuid == UUID["n1"] and facts.machine.macs[0] == MAC["n1"]


@given(
    st.dictionaries(st.sampled_from(["mac", "uuid", "product", "ip", "buildarch", "platform"]), st.text(max_size=400))
)
def test_any_query_of_a_loader_is_a_machine(query: dict[str, str]) -> None:
    facts = loader_facts(query)
    assert len(facts.machine.product or "") <= 128
    assert (facts.machine.product or "").isprintable() and facts.address.isprintable()


def test_only_some_keys_repeat() -> None:
    with pytest.raises(RequestError):
        parse_lines(b"a\t1\na\t2\n", limit=100)
    assert parse_lines(b"disk\t1\ndisk\t2\n", limit=100) == {"disk": ("1", "2")}


def test_a_long_command_line_is_kept_whole_and_no_part_of_the_inventory() -> None:
    line = "BOOT_IMAGE=x " + " ".join(f"argument{i}=1" for i in range(120))
    assert len(line) > 1500
    facts = hello_facts(hello(more=f"cmdline\t{line}\n"))
    assert facts.command_line == line and "cmdline" not in facts.inventory
    assert len(hello_facts(hello(more=f"cmdline\t{'x' * 9000}\n")).command_line) == 4096
