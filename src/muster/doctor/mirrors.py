"""Whether the package mirrors of recipes answer: one question of each, without its content."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from muster.doctor.finding import Finding, Patient, ok, problem, warning
from muster.host import process
from muster.images import recipe
from muster.images.sources import apt
from muster.model.errors import CommandError, MusterError
from muster.model.objects import Image

PATIENCE = 3.0
"""Seconds for one answer."""


def reachable(patient: Patient) -> Iterator[Finding]:
    """The sources of the site's own recipes and of those that an image was made from."""
    if patient.offline:
        yield ok("mirrors", "not asked (--offline)")
        return
    wanted: dict[str, str] = {}
    for path in _recipes(patient):
        try:
            source = recipe.load(path).source
        except MusterError as error:
            yield problem(error.where or str(path), error.message, "muster image build would refuse it")
            continue
        for each in apt.sources(source):
            wanted.setdefault(f"{each.url}/dists/{each.suite}/InRelease", str(path))
    opener = _opener()
    with ThreadPoolExecutor(max_workers=8) as pool:
        for (url, file), wrong in zip(wanted.items(), pool.map(lambda url: ask(opener, url), wanted), strict=True):
            hint = "ask its operators, or name another under `mirrors` of the recipe; --offline skips this"
            yield warning(url, f"{wrong} (recipe {file})", hint) if wrong else ok(url, "answers")


def ask(opener: urllib.request.OpenerDirector, url: str) -> str:
    """Nothing when the mirror has this file, else what is wrong. One HEAD request, or a look for a local one."""
    parts = urlsplit(url)
    if parts.scheme in ("file", "copy"):
        return "" if Path(parts.path).exists() else "no such file"
    try:
        with opener.open(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except urllib.error.URLError as error:
        return f"no answer: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer within {PATIENCE:g} s: {error}"


def _recipes(patient: Patient) -> list[Path]:
    site = patient.paths.etc / "recipes"
    found = {file.stem: file for file in sorted(site.glob("*.yaml"))}
    for image in patient.world.all(Image) if patient.world else ():
        shipped = recipe.SHIPPED / f"{image.name}.yaml"
        if shipped.is_file():
            found.setdefault(image.name, shipped)
    return list(found.values())


def _opener() -> urllib.request.OpenerDirector:
    """As apt goes out: by its proxies (apt.conf(5)), else by those of the environment."""
    try:
        dump = process.run(["apt-config", "dump"], check=False, timeout=5).text
    except CommandError:
        dump = ""
    proxies = dict(re.findall(r'^Acquire::(https?)::proxy "(https?://[^"]+)";$', dump, re.MULTILINE | re.IGNORECASE))
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies or None))
