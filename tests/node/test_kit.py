"""What only some plans need: fetched, checked and unpacked, each failure with the name of what failed."""

import gzip
import hashlib
import io
import tarfile
import time
from pathlib import Path

import pytest
from tests.node.conftest import Shell
from tests.node.webserver import Server, blob, missing

from muster.host import cpio

FETCH = """
cd $run
http_token=secret http_body=$(cat plan)
plan_take || echo "$plan_error"
kits_fetch && echo here || echo "$kit_error"
"""


@pytest.fixture
def kits(shell: Shell) -> Shell:
    """`kit.sh`, with its folder and the root of what it unpacks below the test's own."""
    text = (Path(__file__).parents[2] / "src/muster/node/kit.sh").read_text()
    own = text.replace("/kit", f"{shell.run}/kit").replace("cd /", f"cd {shell.run}").replace("-C /", f"-C {shell.run}")
    (shell.run / "kit.sh").write_text(own)
    shell.parts = ["console", "arguments", "http", "plan", "report", "blob"]
    return shell


def fetch(shell: Shell, plan: str, script: str = FETCH) -> list[str]:
    (shell.run / "plan").write_text(f"muster-plan\t1\n{plan}")
    return shell(f". $run/kit.sh\n{script}")


def packed(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def kit(server: Server, name: str, data: bytes, url: str = "") -> str:
    return f"kit\t{name} {hashlib.sha256(data).hexdigest()} {len(data)} {url or f'{server.url}/{name}'}\n"


def named(server: Server, word: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"{word}.sha256\t{digest}\n{word}.size\t{len(data)}\n{word}.url\t{server.url}/{word}\n"


VERITY = packed("kit/bin/dmsetup", b"#!/bin/sh\necho dmsetup\n")
UNPACK = packed("kit/bin/unsquashfs", b"#!/bin/sh\necho unsquashfs\n")


def test_two_kits_lie_beside_each_other(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [blob(VERITY)], "/unpack": [blob(UNPACK)]}
    assert fetch(kits, kit(server, "verity", VERITY) + kit(server, "unpack", UNPACK)) == ["here"]
    assert sorted(path.name for path in (kits.run / "kit/bin").iterdir()) == ["dmsetup", "unsquashfs"]
    assert not (kits.run / "kit/fetched").exists()


def test_the_token_stays_here(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [blob(VERITY)]}
    fetch(kits, kit(server, "verity", VERITY))
    assert "Authorization" not in server.seen[0].headers


def test_modules_and_acls(kits: Shell, server: Server) -> None:
    segment = io.BytesIO()
    cpio.write(segment, [*map(cpio.folder, ("lib", "lib/modules")), cpio.file("lib/modules/nfs.ko", b"nfs")])
    extra, acls = gzip.compress(segment.getvalue()), b"# file: a\n"
    server.answers = {"/extra": [blob(extra)], "/acls": [blob(acls)]}
    assert fetch(kits, named(server, "extra", extra) + named(server, "acls", acls)) == ["here"]
    assert (kits.run / "lib/modules/nfs.ko").read_bytes() == b"nfs"
    assert (kits.run / "kit" / hashlib.sha256(acls).hexdigest()).read_bytes() == acls


def test_each_failure_has_its_own_words(kits: Shell, server: Server) -> None:
    wanted = kit(server, "verity", VERITY)
    flipped = VERITY[:-1] + bytes([VERITY[-1] ^ 1])
    server.answers = {"/verity": [missing, blob(VERITY[:-1]), blob(flipped), blob(VERITY)]}
    script = FETCH + 'for _ in 1 2 3; do kits_fetch && echo here || echo "$kit_error"; done'
    assert fetch(kits, wanted, script) == [
        f"kit verity: {server.url}/verity: the server answered 404 Not Found",
        f"kit verity: {len(VERITY) - 1} bytes came, the plan promised {len(VERITY)}",
        f"kit verity: damaged: its sha256 is {hashlib.sha256(flipped).hexdigest()}, "
        f"the plan promised {hashlib.sha256(VERITY).hexdigest()}",
        "here",
    ]


@pytest.mark.tools
def test_a_server_that_falls_silent(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [lambda _: time.sleep(3)]}
    (said,) = fetch(kits, kit(server, "verity", VERITY), "BLOB_LONGEST=1" + FETCH)
    assert said == f"kit verity: {server.url}/verity: not here after 1 s"


def test_what_is_here_is_not_fetched_again(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [blob(VERITY)]}
    assert fetch(kits, kit(server, "verity", VERITY), FETCH + "kits_fetch && echo still") == ["here", "still"]
    assert len(server.seen) == 1


def test_what_cannot_be_unpacked(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [blob(b"no archive")]}
    (said,) = fetch(kits, kit(server, "verity", b"no archive"))
    assert said.startswith("kit verity: cannot be unpacked: tar: ")


def test_nothing_more_is_fetched_after_a_failure(kits: Shell, server: Server) -> None:
    server.answers = {"/verity": [missing], "/unpack": [blob(UNPACK)]}
    fetch(kits, kit(server, "verity", VERITY) + kit(server, "unpack", UNPACK))
    assert [request.path for request in server.seen] == ["/verity"]


def test_a_program_runs_by_the_loader_of_its_kit(kits: Shell) -> None:
    (kits.run / "kit/lib").mkdir(parents=True)
    loader = kits.run / "kit/lib/ld-linux-test.so.2"
    loader.write_text('#!/bin/sh\necho "$DM_DISABLE_UDEV $@"\n')
    loader.chmod(0o755)
    place = kits.run / "kit"
    assert fetch(kits, "", "kit dmsetup create 'a b'") == [
        f"1 --library-path {place}/lib {place}/bin/dmsetup create a b"
    ]
