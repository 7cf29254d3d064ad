"""The walls of DESIGN section 3, held as data: who may import whom, and what there is only one of."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src/muster"

LOWER = {"model", "host"}
MAY = {
    "model": set[str](),
    "host": {"model.errors"},
    "settings": {"host", "model.errors"},
    "client": set[str](),
    "boot": {"model"},
    "layouts": {"model"},
    "store": LOWER,
    "overlays": LOWER,
    "power": LOWER,
    # images writes blobs; services reads muster.yaml and lays the static script of boot.
    "images": LOWER | {"store.blobs"},
    "services": LOWER | {"settings", "boot.ipxe_static"},
    "controller": LOWER | {"store", "boot", "layouts", "overlays", "images", "services", "power"},
    # Held requests are woken by the store itself.
    "server": {"model", "controller", "store.database"},
    # The doctor looks at every part from outside and works when the app does not; nobody but its command imports it.
    "doctor": LOWER | {"settings", "client", "store", "images", "services", "boot.ipxe_static"},
    "lab": {"host", "client", "model.errors", "model.urls"},
    # The language of node ranges is plain Python: the command line folds, expands and reads files itself.
    "cli": {"client", "host", "model.errors", "model.urls", "model.ranges"},
    "daemon": LOWER
    | {"settings", "store", "boot", "layouts", "overlays", "images", "services", "power", "controller", "server"},
}
"""The room may import these rooms, or these modules of a room."""

LOCAL_VERBS = {
    "muster.cli.backup": {"store", "services", "settings"},
    "muster.cli.doctor": {"doctor"},
    "muster.cli.image": {"images", "store.blobs"},
    "muster.cli.init": {"services", "settings"},
    "muster.cli.lab": {"lab"},
    "muster.cli.serve": {"services", "settings"},
}
"""What works on this machine and not over the API; imported inside functions, so that a question starts fast."""


@dataclass(frozen=True)
class Import:
    """`importer` needs `imported`, both as dotted modules; `inside` a function or for types only: not at import."""

    importer: str
    imported: str
    inside: bool

    @property
    def room(self) -> str:
        return self.importer.split(".")[1]

    def is_one_of(self, allowed: set[str]) -> bool:
        target = self.imported.removeprefix("muster.")
        return target.split(".")[0] == self.room or any(target == a or target.startswith(f"{a}.") for a in allowed)


def modules() -> dict[str, Path]:
    found = {}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(("muster", *(part for part in parts if part != "__init__")))] = path
    return found


MODULES = modules()


def imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for_types = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    inside = {id(n) for outer in (*functions, *for_types) for n in ast.walk(outer)}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{path}: relative import"
            for alias in statement.names:
                whole = f"{statement.module}.{alias.name}"
                yield Import(module, whole if whole in MODULES else str(statement.module), id(statement) in inside)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(module, alias.name, id(statement) in inside)


ALL = [found for module, path in MODULES.items() for found in imports(module, path)]
OURS = [i for i in ALL if i.imported.startswith("muster.")]


def test_imports_go_downwards_only() -> None:
    broken = []
    for found in OURS:
        if found.room == "__init__" or found.importer == "muster":
            continue
        allowed = MAY.get(found.room, set())
        if found.inside:
            allowed = allowed | LOCAL_VERBS.get(found.importer, set())
        if not found.is_one_of(allowed):
            broken.append(f"{found.importer} imports {found.imported}")
    assert not broken, "\n".join(broken)


def test_every_room_is_in_the_table() -> None:
    rooms = {module.split(".")[1] for module in MODULES if "." in module}
    assert rooms <= set(MAY)


def test_no_module_needs_itself() -> None:
    needs: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in OURS:
        if found.imported in MODULES and not found.inside:
            needs[found.importer].add(found.imported)
    while free := [module for module, needed in needs.items() if not needed]:
        for module in free:
            del needs[module]
        for needed in needs.values():
            needed.difference_update(free)
    assert not needs, f"a cycle is among {sorted(needs)}"


@pytest.mark.parametrize("name", ["subprocess", "multiprocessing", "pty"])
def test_one_module_starts_processes(name: str) -> None:
    users = {found.importer for found in ALL if found.imported == name}
    assert users <= {"muster.host.process"}


def test_one_door_to_the_wall_clock() -> None:
    calls = re.compile(r"\btime\.time\(|datetime\.(now|utcnow|today)\(")
    users = {module for module, path in MODULES.items() if calls.search(path.read_text())}
    assert users <= {"muster.host.clock"}


def test_no_drawer_for_everything() -> None:
    bad = {"util", "utils", "helpers", "helper", "common", "misc"}
    assert not [module for module in MODULES if bad & set(module.split("."))]
