"""A token opens one boot's data until it expires; every other one is refused in words of its own."""

import pytest

from muster.boot import tokens
from muster.model.errors import DeniedError

KEY, OTHER_KEY = b"a" * 32, b"b" * 32
MACHINE, BOOT, NOW = "c" * 64, "0" * 15 + "1", 1_700_000_000.0
GOOD = tokens.issue(KEY, MACHINE, BOOT, NOW)


def test_a_good_token_says_whose_it_is() -> None:
    grant = tokens.check(KEY, GOOD, BOOT, NOW + tokens.LIFETIME)
    assert (grant.machine, grant.boot) == (MACHINE, BOOT)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "no token"),
        ("hello", "no token"),
        (GOOD[:-1], "no token"),
        (GOOD + "0", "no token"),
        (GOOD.upper(), "no token"),
        (GOOD.replace("1.", "2.", 1), "no token"),
        (GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), "not made by this controller"),
        (tokens.issue(OTHER_KEY, MACHINE, BOOT, NOW), "not made by this controller"),
        (GOOD.replace(MACHINE, "d" * 64), "not made by this controller"),
        (
            GOOD.replace(str(int(NOW + tokens.LIFETIME)), str(int(NOW + 2 * tokens.LIFETIME))),
            "not made by this controller",
        ),
        (GOOD.replace(BOOT, "f" * 16), "not made by this controller"),
        (tokens.issue(KEY, MACHINE, "f" * 16, NOW), "another boot"),
        (tokens.issue(KEY, MACHINE, BOOT, NOW - tokens.LIFETIME - 1), "expired"),
    ],
)
def test_refused(token: str, words: str) -> None:
    with pytest.raises(DeniedError, match=words):
        tokens.check(KEY, token, BOOT, NOW)
