"""Words and arithmetic of the root modes; what they do to a kernel is in tests/boots/test_roots_tiny.py."""

import pytest
from tests.node.conftest import Shell
from tests.node.webserver import Server, text

NFS = """
http_body="muster-plan${TAB}1${NEWLINE}nfs${TAB}10.0.0.1 2049 /var/lib/muster/blobs"
plan_take
net_address=10.0.0.2
nfs_client() { :; }
why=$1
timeout() {
    tries="${tries:-} $*"
    echo "mount: mounting 10.0.0.1:/var/lib/muster/blobs on x failed: $why" >&2
    return 1
}
nfs_mount "$run/nfs" nosuid || echo "$nfs_error"
echo "$tries"
"""


@pytest.fixture
def root(shell: Shell) -> Shell:
    shell.parts += ["kit", "nfs", "root", "root-tmpfs"]
    return shell


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("Connection refused", "nfs: cannot connect to 10.0.0.1 port 2049: Connection refused"),
        ("No route to host", "nfs: cannot connect to 10.0.0.1 port 2049: No route to host"),
        ("No such file or directory", "nfs: 10.0.0.1 port 2049 has no folder /var/lib/muster/blobs"),
        (
            "Permission denied",
            "nfs: 10.0.0.1 port 2049 does not let this node mount /var/lib/muster/blobs: Permission denied",
        ),
        ("Input/output error", "nfs: 10.0.0.1:/var/lib/muster/blobs cannot be mounted: Input/output error"),
    ],
)
def test_a_mount_that_fails_says_why_after_one_try(root: Shell, why: str, words: str) -> None:
    said, tries = root(NFS, why)
    assert said == words
    assert tries.count("-t nfs4") == 1 and "vers=4.2" in tries


def test_an_older_server_is_asked_for_an_older_version(root: Shell) -> None:
    said, tries = root(NFS, "Protocol not supported")
    assert said == "nfs: 10.0.0.1 port 2049 speaks neither NFS 4.2 nor 4.1"
    assert tries.index("vers=4.2") < tries.index("vers=4.1")


def test_a_server_that_does_not_answer(root: Shell) -> None:
    killed = NFS.replace('    echo "mount: ', '    : "')
    assert killed != NFS
    assert root(killed, "")[0] == "nfs: no answer from 10.0.0.1 port 2049 in 30 s"


def test_sizes(root: Shell) -> None:
    script = "memory() { kilobytes=1000000; }\nfor s in 50% 512m 2g; do root_bytes $s; echo $root_most; done"
    assert root(script) == ["512000000", "536870912", "2147483648"]


def test_memory_is_looked_at_before_it_is_filled(root: Shell) -> None:
    script = """memory() { kilobytes=512000; }
    root_memory $((400 << 20)) 'the image' && echo enough
    root_memory $((480 << 20)) 'the image' || echo "$root_error" """
    assert root(script) == ["enough", "the image needs 480 MiB of memory, this machine has 500 MiB free"]


UNPACKING = """
newroot=$run/new run=$run ROOT_TICK=0.2 ROOT_EARLY=15 root_unpacked=4194304 PROGRESS_EVERY=0 nfs_server=10.0.0.1
mkdir "$newroot"
root_measure() { root_used=$(stat -c %s "$newroot/file" 2>/dev/null || echo 0) root_inodes=1; }
root_attributes() { echo "attributes"; }
root_damage() { return 1; }
exec 5</dev/null 6>/dev/null 7</dev/null
"""


@pytest.mark.tools
def test_unpacking_tells_percentages(root: Shell, server: Server) -> None:
    server.answers["/report"] = [text("", 204)]
    script = """url_report=$1 http_token=
    kit() { for _ in 1 2 3; do head -c 1048576 /dev/zero >>"$newroot/file"; sleep 0.3; done; }
    root_unpack && echo unpacked
    report_finish"""
    said = root(UNPACKING + script, f"{server.url}/report")
    assert said[-1] == "unpacked"
    told = ["muster: root: 25 % of 4 MiB", "muster: root: 50 % of 4 MiB", "muster: root: 75 % of 4 MiB"]
    assert [line for line in said[:-1] if line in told] == said[:-1]
    assert len(said) >= 3
    bodies = [request.body for request in server.seen]
    assert any("stage\troot\nstatus\tprogress" in body and "percent\t75" in body for body in bodies)


@pytest.mark.tools
def test_unpacking_that_stands_still_is_told(root: Shell) -> None:
    kit = 'kit() { head -c 1048576 /dev/zero >>"$newroot/file"; sleep 1.5; }\nROOT_SILENCE=1\n'
    said = root(UNPACKING + kit + "root_unpack && echo unpacked")
    assert "muster: root: 1 MiB are unpacked, waiting for more from 10.0.0.1" in said
    assert said[-1] == "unpacked"


@pytest.mark.parametrize(
    ("complaint", "status", "said"),
    [
        ("", 0, "unpacked"),
        ("write_xattr: failed to write xattr user.a for file b", 2, "attributes\nunpacked"),
        (
            "FATAL ERROR: writer: failed to write file",
            1,
            "the image cannot be unpacked: FATAL ERROR: writer: failed to write file",
        ),
        (
            "create_inode: failed to create block device x",
            2,
            "the image cannot be unpacked: create_inode: failed to create block device x",
        ),
        ("", 137, "the image cannot be unpacked: unsquashfs ended with status 137"),
    ],
)
def test_what_unsquashfs_complains_of(root: Shell, complaint: str, status: int, said: str) -> None:
    kit = f'kit() {{ [ -z "{complaint}" ] || echo "{complaint}" >&2; return {status}; }}\n'
    done = root(UNPACKING + kit + 'root_unpack && echo unpacked || echo "$root_error"')
    assert [line for line in done if not line.startswith("muster: ")] == said.splitlines()


def test_a_warning_is_said_kept_and_reported(root: Shell, server: Server) -> None:
    server.answers["/report"] = [text("", 204)]
    script = "url_report=$1 http_token= stage_name=root\nwarn 'no swap: none here'\nreport_finish\ncat $run/warnings"
    assert root(script, f"{server.url}/report") == ["muster: warning: no swap: none here", "no swap: none here"]
    assert "stage\troot\nstatus\twarning\n" in server.seen[0].body
    assert "message\tno swap: none here\n" in server.seen[0].body


def test_names_in_a_list_of_acls(root: Shell) -> None:
    (root.run / "acls").write_text("# file: a b\n# owner: 0\nuser::rwx\n\n# file: line\\012feed\\\\x\n# owner: 0\n")
    assert root('root_names "$run/acls" | tr "\\0" "|"') == ["a b|line", "feed\\x|"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (f"mode\tram\nverity\t10 11 {'a1' * 32} {'b2' * 32}", "usable"),
        ("mode\tnfs\nimage\tdebian12@live", "usable"),
        ("mode\tram\nimage\tdebian12@live", "refused"),
        ("mode\tram", "refused"),
        (f"mode\tram\nverity\t10 11 {'a1' * 32}", "refused"),
        (f"mode\tram\nverity\t10 1,1 {'a1' * 32} {'b2' * 32}", "refused"),
        (f"mode\tram\nverity\t10 11 {'a1' * 32} salt;x,,,ro", "refused"),
    ],
)
def test_a_table_of_the_device_mapper_is_made_of_numbers_and_hashes_only(shell: Shell, lines: str, said: str) -> None:
    shell.parts.append("stages")
    (shell.run / "plan").write_text(f"muster-plan\t1\n{lines}\n")
    script = 'http_body=$(cat "$run/plan")$NEWLINE; plan_take; plan_value mode; mode=$value\n'
    assert shell(f"{script}plan_device && echo usable || echo refused") == [said]
