"""By what a machine is known, whatever its firmware says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.facts import MachineFacts, canonical_uuid

PLAIN = "33221100-5544-7766-8899-aabbccddeeff"
SWAPPED = "00112233-4455-6677-8899-aabbccddeeff"
WORTHLESS = [
    "",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "03000200-0400-0500-0006-000700080009",
    "Not Settable",
    "6ba7b810",
]


def test_both_byte_orders_of_a_uuid_are_one_machine() -> None:
    assert canonical_uuid(PLAIN) == canonical_uuid(SWAPPED) == SWAPPED
    assert MachineFacts(uuid=PLAIN).fingerprint == MachineFacts(uuid=SWAPPED.upper()).fingerprint


@given(st.uuids())
def test_the_byte_order_never_matters(uuid: object) -> None:
    text = str(uuid)
    first, second, third, *rest = text.split("-")
    swapped = "-".join([*(bytes.fromhex(part)[::-1].hex() for part in (first, second, third)), *rest])
    assert canonical_uuid(text) == canonical_uuid(swapped)


@pytest.mark.parametrize("uuid", WORTHLESS)
def test_a_worthless_uuid_tells_no_machine(uuid: str) -> None:
    assert MachineFacts(uuid=uuid).fingerprint is None


@pytest.mark.parametrize("serial", ["", "To Be Filled By O.E.M.", "Default string", "0", "None", "........"])
def test_a_worthless_serial_tells_no_machine(serial: str) -> None:
    assert MachineFacts(board_serial=serial, product="X").fingerprint is None


def test_without_uuid_the_board_counts_and_then_the_lowest_mac() -> None:
    macs = ("52:54:00:00:00:09", "52:54:00:00:00:01")
    board = MachineFacts(uuid=WORTHLESS[1], board_serial="S1", product="P1", macs=macs)
    assert board.fingerprint == MachineFacts(board_serial=" S1 ", product="P1").fingerprint
    assert board.fingerprint != MachineFacts(board_serial="S1", product="P2").fingerprint
    assert MachineFacts(macs=macs).fingerprint == MachineFacts(macs=macs[1:]).fingerprint
    assert MachineFacts().fingerprint is None


def test_kinds_of_facts_never_give_the_same_fingerprint() -> None:
    assert MachineFacts(board_serial=SWAPPED).fingerprint != MachineFacts(uuid=SWAPPED).fingerprint
