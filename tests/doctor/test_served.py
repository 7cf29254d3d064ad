"""The doctor at a controller that really runs: well; seen from another network; stopped."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from muster.host import process
from tests.closed import needs_open_clone

SCRIPT = """
set -e
muster() { "$PYTHON" -m muster.cli.main --prefix "$PREFIX" "$@"; }
ip link set lo up
ip link add boot0 type veth peer name far0
ip address add 10.77.0.1/24 dev boot0
ip link set boot0 up
ip link set far0 up
muster init --listen 10.77.0.1:9898 --user 4242 >/dev/null
"$PYTHON" -m muster.cli.main --prefix "$PREFIX" serve >"$PREFIX/serve.log" 2>&1 &
served=$!
until muster node list >/dev/null 2>&1; do sleep 0.1; done
muster network add boot subnet=10.77.0.0/24 address=10.77.0.1 interface=boot0 >/dev/null
until_state() {
    wanted="\\"$1\\", *\\"state\\": *\\"$2\\""
    until tr -d '\\n' <"$PREFIX/run/muster/supervisor.json" | grep -q "$wanted"; do sleep 0.1; done
}
until_state dnsmasq ready
until_state ganesha-10.77.0.1 stopped
muster profile add diskless root=nfs >/dev/null
until_state ganesha-10.77.0.1 ready
muster doctor --offline -o json >"$PREFIX/well" || true
unshare --net "$PYTHON" -m muster.cli.main --prefix "$PREFIX" doctor --offline -o json >"$PREFIX/elsewhere" || true
muster profile delete diskless --yes >/dev/null
until_state ganesha-10.77.0.1 stopped
kill -TERM $served
wait $served
muster doctor --offline -o json >"$PREFIX/stopped" || true
"""


@needs_open_clone
@pytest.mark.root
def test_a_controller_that_runs_is_well(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    env = {"PYTHON": sys.executable, "PREFIX": str(tmp_path)}
    alone = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    process.run([*alone, "sh", "-c", SCRIPT], env=env, timeout=60)
    well, elsewhere, stopped = (json.loads((tmp_path / name).read_text()) for name in ("well", "elsewhere", "stopped"))
    assert [row for row in well if row["level"] == "problem"] == []
    assert Counter(row["message"] for row in well if row["check"] == "ports") == {"ours": 4}
    assert [row["message"] for row in well if row["check"] == "nfs"] == ["ours", "ganesha answers, 1 folders"]
    assert [row["where"] for row in elsewhere if row["check"] == "network"] == ["network namespace"]
    assert not [row for row in elsewhere if row["check"] in ("dhcp", "ports", "interfaces")]
    assert {row["check"] for row in stopped if row["level"] == "problem"} == {"services", "app"}
