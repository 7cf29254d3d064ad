"""The plan for the kernel's NFS server: ours come and go, the site's stay. The real server is tested in a guest."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from muster.host.paths import Paths
from muster.services import kernel_nfs
from muster.services.kernel_nfs import Steps, entries, found, listed, plan, render
from muster.services.nfs import Export, KernelServer

LAB = IPv4Network("10.77.0.0/24")
BLOBS = Export(Path("/var/lib/muster/blobs/sha256"), Path("/var/lib/muster/blobs/sha256"), 1, (LAB,))
LIVE = Export(Path("/var/lib/muster/images/d/tree"), Path("/run/muster/nfs/d"), 7, (LAB,), whole=True)
OURS, TREE = ("10.77.0.0/24", str(BLOBS.seen)), ("10.77.0.0/24", str(LIVE.seen))
SITE = ("*", "/srv/home")
ETAB = """\
/srv/home\t*(rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,no_subtree_check,fsid=5,sec=sys)
/var/lib/muster/blobs/sha256\t10.77.0.0/24(ro,sync,wdelay,hide,secure,root_squash,all_squash,no_subtree_check)
"""


@pytest.mark.parametrize(
    ("wanted", "noted", "exported", "steps"),
    [
        ([OURS], [], [SITE], Steps(add=(OURS,))),
        ([OURS], [OURS], [SITE, OURS], Steps()),
        ([OURS, TREE], [OURS], [SITE, OURS], Steps(add=(TREE,))),
        ([OURS], [OURS, TREE], [OURS, TREE, SITE], Steps(remove=(TREE,))),
        ([], [OURS, TREE], [OURS, TREE, SITE], Steps(remove=(OURS, TREE))),
        ([OURS], [OURS], [SITE], Steps(add=(OURS,))),  # somebody ran `exportfs -ua`
        ([OURS], [OURS, TREE], [SITE], Steps(add=(OURS,), remove=(TREE,))),  # killed before it had added any
        ([OURS, SITE], [], [SITE], Steps(add=(OURS,), foreign=(SITE,))),
        ([], [], [SITE, OURS], Steps()),  # without our note it is the site's
    ],
)
def test_plan(wanted, noted, exported, steps):
    assert plan(dict.fromkeys(wanted, "ro"), noted, exported) == steps


def test_our_file_is_read_back(golden):
    text = render(entries([BLOBS, LIVE]))
    golden("muster.exports", text)
    assert sorted(listed(text)) == sorted([OURS, TREE])
    assert listed(ETAB) == [SITE, OURS]


def test_another_prefix_has_another_file():
    assert kernel_nfs.our_file(Paths()).name == "muster.exports"
    assert kernel_nfs.our_file(Paths(Path("/srv/lab"))).name not in ("muster.exports", "muster-.exports")


@pytest.fixture
def nfsd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/proc of a machine whose kernel serves NFS on port 2049."""
    (tmp_path / "fs/nfsd").mkdir(parents=True)
    (tmp_path / "net").mkdir()
    (tmp_path / "fs/nfsd/threads").write_text("8\n")
    (tmp_path / "fs/nfsd/portlist").write_text("rdma 20049\ntcp 2049\ntcp 2049\n")
    (tmp_path / "fs/nfsd/versions").write_text("+3 +4 -4.0 +4.1 +4.2\n")
    (tmp_path / "net/tcp").write_text("  sl  local_address rem_address   st\n   0: 00000000:0801 00000000:0000 0A\n")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/sbin/{name}")
    return tmp_path


def test_the_kernels_server_is_found(nfsd):
    assert found(nfsd, nfsd / "etab") == KernelServer(2049)
    (nfsd / "etab").write_text(ETAB)
    assert found(nfsd, nfsd / "etab") == KernelServer(2049)


@pytest.mark.parametrize(
    ("file", "text"),
    [("fs/nfsd/threads", "0\n"), ("fs/nfsd/portlist", ""), ("net/tcp", "head\n   0: 00000000:0801 0:0 01\n")],
)
def test_a_server_that_does_not_run_here_is_none(nfsd, file, text):
    (nfsd / file).write_text(text)
    assert found(nfsd, nfsd / "etab") is None


def test_no_server_is_none(tmp_path):
    assert found(tmp_path, tmp_path / "etab") is None


def test_why_a_server_cannot_be_used(nfsd, monkeypatch):
    (nfsd / "etab").write_text(ETAB.replace("fsid=5", "fsid=0"))
    assert "root /srv/home (fsid=0)" in found(nfsd, nfsd / "etab").unfit
    (nfsd / "fs/nfsd/versions").write_text("+3 +4 +4.0 -4.1 -4.2\n")
    assert "4.1" in found(nfsd, nfsd / "etab").unfit
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert "exportfs" in found(nfsd, nfsd / "etab").unfit
