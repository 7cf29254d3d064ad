"""Recipes: the text from which an image is built. The recipe, not the tree, is what a site keeps in git."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from muster.images import recipe_text
from muster.model.errors import NotFoundError, RequestError
from muster.model.values import Name

SHIPPED = Path(__file__).parent / "recipes"
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


def tree_path(text: str) -> str:
    """A path inside a tree: relative, without `.` and `..`; raises ValueError."""
    if not text or len(text) > 1024 or any(ord(character) < 32 for character in text):
        raise ValueError("not a path of 1 to 1024 printable characters")
    if text.startswith("/") or any(part in ("", ".", "..") for part in text.split("/")):
        raise ValueError("a path is written from the root of the tree without a leading '/', '.' or '..'")
    return text


TreePath = Annotated[str, AfterValidator(tree_path)]
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]{0,127}(:[a-z0-9]{1,16})?$")]
Service = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@:._-]{0,127}$")]
_MIRROR = r"^(https?|file|copy)://[^\s\[\]]{1,1024}( [a-z0-9][a-z0-9._/-]{0,127})?$"
Mirror = Annotated[str, StringConstraints(pattern=_MIRROR)]
"""`URL`, or `URL SUITE` when it carries another suite than the recipe's, such as `bookworm-security`."""


class Strict(BaseModel):
    """Unknown keys are errors; nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DebianSource(Strict):
    """A Debian suite; without `mirrors` the build host's own sources of that suite, else deb.debian.org."""

    kind: Literal["debian"]
    suite: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    mirrors: Annotated[tuple[Mirror, ...], Field(max_length=16)] = ()
    components: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")], ...],
        Field(min_length=1, max_length=16),
    ] = ("main",)


class Recipe(Strict):
    """What an image is made of.

    `remove`: paths to leave out, `*` within one part allowed; `enable`: services that start at boot;
    `files`: path to text, owned by root with mode 0644.
    """

    name: Name
    source: DebianSource
    architecture: Literal["x86_64"] = "x86_64"
    packages: Annotated[tuple[Package, ...], Field(max_length=5000)] = ()
    kernel: Package | None = None
    remove: Annotated[tuple[TreePath, ...], Field(max_length=1000)] = ()
    enable: Annotated[tuple[Service, ...], Field(max_length=200)] = ()
    files: Annotated[dict[TreePath, Annotated[str, Field(max_length=65536)]], Field(max_length=200)] = {}

    @property
    def key(self) -> str:
        """A hash of all that shapes the tree: the name does not."""
        document = self.model_dump(mode="json", exclude={"name"})
        return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load(file: Path, *, name: str | None = None) -> Recipe:
    """Read a recipe; `name` in place of its own. RequestError lists every wrong key with file, line and key."""
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError("there is no such recipe file", where=str(file)) from error
    except OSError as error:
        raise RequestError(f"cannot read the recipe: {error.strerror}", where=str(file)) from error
    recipe = parse(data, str(file))
    if name is None:
        return recipe
    if not NAME_PATTERN.fullmatch(name):
        raise RequestError(f"not a name for an image: {name!r}")
    return recipe.model_copy(update={"name": name})


def parse(data: bytes, file: str) -> Recipe:
    """As `load`, from bytes; `file` is what errors name."""
    text = recipe_text.parse(data, file)
    if not isinstance(text.value, dict):
        raise RequestError("a recipe is a map of keys", where=text.where(()))
    try:
        return Recipe.model_validate(text.value)
    except ValidationError as error:
        wrong = [_sentence(text, dict(detail)) for detail in error.errors()]
        raise RequestError("\n".join(wrong)) from error


def find(wanted: str, site: Path) -> Path:
    """The file of a recipe given as path (with a `/` or `.yaml`) or as name: the site's own first, then the shipped."""
    if "/" in wanted or wanted.endswith((".yaml", ".yml")):
        return Path(wanted)
    if NAME_PATTERN.fullmatch(wanted):
        for folder in (site, SHIPPED):
            if (file := folder / f"{wanted}.yaml").is_file():
                return file
    known = sorted({file.stem for folder in (site, SHIPPED) for file in folder.glob("*.yaml")})
    raise NotFoundError(f"there is no recipe {wanted!r}", hint=f"known here: {', '.join(known)}; or give a file")


Say = Callable[[dict[str, Any]], str]
_WORDS: dict[str, Say] = {
    "extra_forbidden": lambda _: "unknown key",
    "missing": lambda _: "missing",
    "literal_error": lambda d: f"must be {d['ctx']['expected']}, not {d['input']!r}",
    "string_pattern_mismatch": lambda d: f"not a value for this key: {d['input']!r}",
    "string_type": lambda _: "must be a text",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a map of keys",
    "model_type": lambda _: "must be a map of keys",
    "value_error": lambda d: f"{d['ctx']['error']}: {d['input']!r}",
}


def _sentence(text: recipe_text.Text, detail: dict[str, Any]) -> str:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    say = _WORDS.get(detail["type"], _plain)
    return f"{text.where(path)}: {'.'.join(map(str, path))}: {say(detail)}"


def _plain(detail: dict[str, Any]) -> str:
    return str(detail["msg"])
