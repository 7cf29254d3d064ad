"""A boot is cut into the steps that its own records tell of."""

from bench import timeline
from bench.access_log import read

MODULES, NODE, IMAGE = "1" * 64, "2" * 64, "3" * 64
LOG = f"""\
1002.500 10.77.0.11 "GET /boot/1/ipxe?mac=52%3A54&platform=pcbios HTTP/1.1" 200 843 0.100 0.090
1003.000 10.77.0.11 "GET /blobs/sha256/{MODULES} HTTP/1.1" 200 2000 0.000 -
1003.100 10.77.0.11 "GET /blobs/sha256/{NODE} HTTP/1.1" 200 900 0.000 -
1006.300 10.77.0.11 "POST /node/1/hello HTTP/1.0" 200 1148 0.096 0.085
1006.350 10.77.0.11 "POST /node/1/69296ae34b2e71ac/report HTTP/1.0" 204 98 0.004 0.001
1009.000 10.77.0.11 "GET /blobs/sha256/{IMAGE} HTTP/1.1" 200 50000 1.500 -
1009.300 10.77.0.11 "GET /node/1/69296ae34b2e71ac/overlay?sha256=04d8 HTTP/1.0" 200 1312 0.044 0.045
no line of ours
"""
KERNEL_LOG = """\
uptime 30.00
[    2.350000] Run /init as init process
[    2.450000] muster: 0.1.0 on 6.1.0-56-cloud-amd64
[    7.050000] systemd[1]: systemd 252.39-1~deb12u2 running in system mode (+PAM)
[   30.050000] bench: mark
"""
DONE = {
    "modules": 2.7,
    "network": 2.9,
    "hello": 3.0,
    "plan": 3.1,
    "download": 6.1,
    "verify": 6.15,
    "root": 6.25,
    "overlay": 6.4,
    "handover": 6.45,
    "ready": 20.0,
}
TRACE = {
    "reports": [
        # what is told with hello arrives later than it was
        {"stage": stage, "status": "done", "uptime": uptime, "at": max(1003.3 + uptime, 1006.3)}
        for stage, uptime in DONE.items()
    ]
}


def boot() -> timeline.Boot:
    kinds = {MODULES: "modules segment", IMAGE: "image"}
    return timeline.cut(1000.0, read(LOG), TRACE, KERNEL_LOG, kinds)


def test_the_steps_add_up_to_power_on_to_ready() -> None:
    found = boot()
    assert round(found.total, 2) == 23.3
    assert {step: round(seconds, 2) for step, seconds in found.steps.items()} == {
        "firmware, DHCP, loader": 2.4,
        "boot answer": 0.1,
        "kernel and segments sent": 0.6,
        "loader to kernel": 0.2,
        "kernel to /init": 2.3,
        "init": 0.1,
        "modules": 0.3,
        "network": 0.2,
        "hello": 0.1,
        "plan": 0.1,
        "download": 3.0,
        "verify": 0.05,
        "root": 0.1,
        "overlay": 0.15,
        "handover": 0.05,
        "init of the image starts": 0.55,
        "systemd to ready": 13.0,
    }


def test_ours_is_hello_to_handover_without_the_download() -> None:
    assert round(boot().ours, 2) == 0.55


def test_bytes_are_counted_by_kind() -> None:
    assert boot().sent == {
        "boot answer": 843,
        "modules segment": 2000,
        "node segment": 900,
        "hello and plan": 1148,
        "answers to reports": 98,
        "image": 50000,
        "overlay": 1312,
    }
