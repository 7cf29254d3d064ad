"""Where packages of a Debian suite come from, and what state those places are in."""

import hashlib
import re
import tempfile
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from muster.host import process
from muster.images.recipe import DebianSource
from muster.model.errors import CommandError

ARCHITECTURES = {"x86_64": "amd64"}
"""Debian's names of our architectures."""

ARCHIVE = "http://deb.debian.org"
ROLLING = ("sid", "unstable", "testing", "experimental")
"""Suites without updates and security archives of their own."""

SUITE_ENDINGS = ("", "-updates", "-security")
_FIELDS = "$(ORIGIN)\t$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)"
_SETTINGS = re.compile(r"^Acquire::(https?|Check-|Retries|Force).*;$", re.MULTILINE)
HELPER = "/usr/lib/apt/apt-helper"
_TIMEOUT = 20


@dataclass(frozen=True)
class Source:
    """One line of sources.list(5)."""

    url: str
    suite: str
    components: tuple[str, ...]

    def line(self, architecture: str) -> str:
        return f"deb [arch={architecture}] {self.url} {self.suite} {' '.join(self.components)}"


@dataclass(frozen=True)
class State:
    """What the sources offer now: `digest` changes when any package list does; `date` is the first one's, unix time."""

    digest: str
    date: int


def sources(wanted: DebianSource) -> tuple[Source, ...]:
    """The recipe's mirrors, else this machine's own sources of that suite, else Debian's."""
    if wanted.mirrors:
        pairs = [mirror.partition(" ")[::2] for mirror in wanted.mirrors]
        return tuple(Source(url, suite or wanted.suite, wanted.components) for url, suite in pairs)
    return _own(wanted) or _debian(wanted)


def _own(wanted: DebianSource) -> tuple[Source, ...]:
    """From apt itself, which reads every format of its own configuration; none when it lacks the main suite."""
    argv = ["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"]
    found: dict[tuple[str, str], list[str]] = {}
    for line in process.run(argv, check=False).text.splitlines():
        origin, url, suite, component = (line.split("\t") + [""] * 4)[:4]
        if _is_debian(origin, url) and component in wanted.components and suite in _suites(wanted.suite):
            kept = found.setdefault((url.rstrip("/"), suite), [])
            kept += [component] if component not in kept else []
    own = tuple(Source(url, suite, tuple(components)) for (url, suite), components in found.items())
    main = {component for source in own if source.suite == wanted.suite for component in source.components}
    return own if main == set(wanted.components) else ()


def _is_debian(origin: str, url: str) -> bool:
    """By the archive's own word; before the first `apt-get update` by the folder every Debian mirror has."""
    return origin == "Debian" if origin else urlsplit(url).path.strip("/").endswith(("debian", "debian-security"))


def _suites(suite: str) -> tuple[str, ...]:
    return (suite,) if suite in ROLLING else tuple(suite + ending for ending in SUITE_ENDINGS)


def _debian(wanted: DebianSource) -> tuple[Source, ...]:
    folders = {"-security": "debian-security"}
    return tuple(
        Source(f"{ARCHIVE}/{folders.get(suite.removeprefix(wanted.suite), 'debian')}", suite, wanted.components)
        for suite in _suites(wanted.suite)
    )


def state(wanted: tuple[Source, ...], architecture: str) -> State | None:
    """Ask every source for its InRelease file, the way apt would (proxies, certificates); None when one is silent."""
    digest, dates = hashlib.sha256(), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        for number, source in enumerate(wanted):
            file = Path(folder) / str(number)
            url = f"{source.url}/dists/{source.suite}/InRelease"
            try:
                process.run([HELPER, "-o", "Acquire::Retries=1", "download-file", url, file], timeout=_TIMEOUT)
                text = file.read_text(errors="replace")
            except (CommandError, FileNotFoundError):
                return None
            digest.update("\n".join([source.line(architecture), *_lists(text, source, architecture)]).encode())
            dates.append(_date(text))
    return State(digest.hexdigest(), dates[0])


def _lists(release: str, source: Source, architecture: str) -> list[str]:
    """The lines of a Release file (hash, size, name) that name our package lists."""
    ends = tuple(f" {component}/binary-{architecture}/Packages" for component in source.components)
    return sorted({line.strip() for line in release.splitlines() if line.endswith(ends)})


def _date(release: str) -> int:
    found = re.search(r"^Date: (.+)$", release, re.MULTILINE)
    return int(parsedate_to_datetime(found.group(1)).timestamp()) if found else 0


def settings() -> str:
    """This machine's apt settings of proxies, certificates and checks, as apt.conf(5) text."""
    dump = process.run(["apt-config", "dump"], check=False).text
    return "".join(f"{match.group()}\n" for match in _SETTINGS.finditer(dump))
