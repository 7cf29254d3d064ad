"""What agents say, parsed: every word bounded, nonsense as if it was not said."""

import pytest

from muster.boot.heartbeat import MAX_BYTES, Done, Heartbeat, heartbeat
from muster.model.errors import RequestError

WHOLE = """\
state\tready
uptime\t93.25
memory-available\t1000000
load\t0.01
message\tsystemd: running
mode\tram
image\tdebian12@0123456789ab
plan-digest\t0123456789abcdef
ram-image\t64512
ram-upper\t12288
upper-limit\t524288
ram-own\t11264
ram-placed\t2048
trouble\timage debian12@0123456789ab: block 7 is damaged
trouble\tno disk with the label scratch
order\tfedcba9876543210
status\t1
line\t/tmp: 12 MiB
line\t
line\t/tmp: 12 MiB
"""


def test_a_whole_one() -> None:
    assert heartbeat(WHOLE.encode()) == Heartbeat(
        state="ready",
        uptime=93.25,
        message="systemd: running",
        mode="ram",
        image="debian12@0123456789ab",
        plan="0123456789abcdef",
        ram_image=64512,
        ram_upper=12288,
        ram_own=11264,
        ram_placed=2048,
        upper_limit=524288,
        troubles=("image debian12@0123456789ab: block 7 is damaged", "no disk with the label scratch"),
        done=Done("fedcba9876543210", 1, ("/tmp: 12 MiB", "", "/tmp: 12 MiB")),
    )


def test_one_of_an_older_agent() -> None:
    assert heartbeat(b"state\tready\nuptime\t9\nload\t0.1\n") == Heartbeat("ready", 9.0)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("uptime\t-1", "uptime", 0.0),
        ("uptime\tnan", "uptime", 0.0),
        ("uptime\t1e300", "uptime", 0.0),
        ("ram-image\t1.5", "ram_image", None),
        ("ram-image\t" + "9" * 13, "ram_image", None),
        ("ram-upper\t٣", "ram_upper", None),
        ("mode\tRAM", "mode", ""),
        ("image\tdebian:latest", "image", ""),
        ("image\tdebian@live", "image", "debian@live"),
        ("plan-digest\t0123", "plan", ""),
        ("trouble\t", "troubles", ()),
        ("trouble\ta\x1b[31mb", "troubles", ("a?[31mb",)),
        ("trouble\t" + "é" * 300, "troubles", ("?" * 200,)),
        ("order\tnot-an-id", "done", None),
        ("order\tfedcba9876543210\nstatus\t256", "done", Done("fedcba9876543210", 255, ())),
        ("order\tfedcba9876543210", "done", Done("fedcba9876543210", 255, ())),
        ("status\t0\nline\tx", "done", None),
    ],
)
def test_nonsense_is_nothing(line: str, field: str, value: object) -> None:
    assert getattr(heartbeat(f"state\tready\n{line}\n".encode()), field) == value


def test_what_is_no_heartbeat_is_refused() -> None:
    for body in (b"", b"state\thappy\n", b"state\tready\nstate\tready\n", b"state\tready\nmode\tram\nmode\tnfs\n"):
        with pytest.raises(RequestError):
            heartbeat(body)
    with pytest.raises(RequestError, match="longer"):
        heartbeat(b"state\tready\n" + b"line\tx\n" * MAX_BYTES)
    assert len(heartbeat(b"state\tready\norder\t" + b"a" * 16 + b"\n" + b"line\tx\n" * 1000).done.lines) == 200  # type: ignore[union-attr]
