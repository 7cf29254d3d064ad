"""`muster image`: building and packing happen here, as root; what is published is asked of the controller."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli import complete, output
from muster.cli.session import Session, form_option, pass_session, timeout_option
from muster.client import segment
from muster.model import urls
from muster.model.errors import RequestError

if TYPE_CHECKING:
    from muster.images.build import Workshop
    from muster.images.progress import Progress

COLUMNS = ("name", "tags", "distribution", "architecture", "kernel", "size", "nodes")
LATEST = "latest"
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def image() -> None:
    """Images: build a tree, pack it into immutable versions, point tags at them."""


def cache_option(function: F) -> F:
    return click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="MUSTER_CACHE",
        help="Where earlier trees and versions are kept (default /var/cache/muster).",
    )(function)


@image.command()
@click.argument("recipe")
@click.option("--name", help="Name of the image, when it is not to be the recipe's own.")
@click.option("--fresh", is_flag=True, help="Install every package again, whatever the cache has.")
@cache_option
@pass_session
def build(session: Session, recipe: str, name: str | None, fresh: bool, cache: Path | None) -> None:
    """Make the tree of an image from RECIPE: a name (site's or shipped) or a file."""
    from muster.images import build as builder
    from muster.images import recipe as recipes

    _refuse_without_root("building")
    wanted = recipes.load(recipes.find(recipe, session.paths.etc / "recipes"), name=name)
    built = builder.build(_workshop(session, cache), wanted, fresh=fresh, progress=_progress())
    click.echo(f"{wanted.name}: {built.tree}")
    click.echo(f"next: muster image pack {wanted.name}", err=True)


@image.command()
@click.argument("name", shell_complete=complete.name("image"))
@click.option("--compression-level", "level", type=click.IntRange(1, 22), default=15, show_default=True, help="zstd's.")
@click.option("--kernel", help="Release of the kernel to pack (default: the newest).")
@click.option("--allow-secrets", is_flag=True, help="Publish private keys and password hashes that are in the tree.")
@click.option("--tag", default=LATEST, show_default=True, help="The tag that is to point at the new version.")
@cache_option
@pass_session
def pack(
    session: Session, name: str, level: int, kernel: str | None, allow_secrets: bool, tag: str, cache: Path | None
) -> None:
    """Publish the tree of image NAME as a new version."""
    from muster.images import pack as packer
    from muster.store.blobs import Blobs

    _refuse_without_root("packing")
    session.rows(urls.API_IMAGES, {"columns": "name"})
    options = packer.Options(level=level, kernel=kernel, allow_secrets=allow_secrets)
    packed = packer.pack(_workshop(session, cache), name, Blobs(session.paths.blobs), options, _progress())
    for warning in packed.warnings:
        output.warn(f"warning: {warning}")
    _register(session, packed.document(), tag)


@image.command("list")
@form_option
@pass_session
def listing(session: Session, form: str) -> None:
    """List versions and the tags that point at them."""
    rows = session.rows(urls.API_IMAGES)
    if form == "table":
        rows = [{**row, "size": output.size(row["size"])} for row in rows]
    click.echo(output.listing(rows, COLUMNS, form), nl=False)


@image.command()
@click.argument("reference", shell_complete=complete.REFERENCE)
@form_option
@pass_session
def show(session: Session, reference: str, form: str) -> None:
    """Show the manifest of a version: NAME, NAME:TAG or NAME@VERSION."""
    click.echo(output.document(_version(session, reference), form), nl=False)


@image.command()
@click.argument("target", shell_complete=complete.REFERENCE)
@click.argument("reference", shell_complete=complete.REFERENCE)
@pass_session
def tag(session: Session, target: str, reference: str) -> None:
    """Let TARGET (NAME:TAG) point at the version of REFERENCE; nodes take it at their next boot."""
    name, _, wanted = target.partition(":")
    if not wanted or reference.partition("@")[0].partition(":")[0] != name:
        raise RequestError(f"a tag is NAME:TAG of the same image, not {target!r} for {reference!r}")
    answer = session.ask(urls.API_TAG, {"reference": reference, "tag": wanted})
    click.echo(f"{name}:{answer['tag']} is {answer['version']}")


@image.command()
@click.argument("name", shell_complete=complete.name("image"))
@click.option("--off", is_flag=True, help="Let no node boot it any more; refused while one would.")
@click.option("--allow-secrets", is_flag=True, help="Although private keys or password hashes are in the tree.")
@pass_session
def live(session: Session, name: str, off: bool, allow_secrets: bool) -> None:
    """Let nodes boot the editable tree of image NAME as NAME@live, over NFS.

    Its kernel is that of NAME:latest, whose modules the tree must have. What you change in the tree shows on the
    nodes within seconds. A node's root reads all of it, and every machine of the networks can be a node's root.
    """
    from muster.images.live import close_tree, open_tree

    _refuse_without_root("opening or closing the tree of")
    workshop = _workshop(session, None)
    if off:
        if name in {row["image"] for row in session.rows(urls.API_IMAGES, {"columns": "image"})}:
            session.ask(urls.API_LIVE, {"image": name, "live": False})
        close_tree(workshop, name)
        click.echo(f"{name}@live: nodes cannot boot it")
        return
    release = str(_version(session, f"{name}:{LATEST}")["kernel_release"])
    opened = open_tree(workshop, name, release, allow_secrets=allow_secrets)
    try:
        session.ask(urls.API_LIVE, {"image": name, "live": True})
    except BaseException:
        if opened:
            close_tree(workshop, name)
        raise
    click.echo(f"{name}@live: nodes with root nfs boot {session.paths.images / name / 'tree'}")


@image.command()
@click.argument("reference", shell_complete=complete.REFERENCE)
@pass_session
def delete(session: Session, reference: str) -> None:
    """Forget a version; refused while a node would boot it, or runs on it over NFS."""
    answer = session.ask(f"{urls.API_VERSIONS}/delete", {"reference": reference})
    click.echo(f"deleted {answer['deleted']}")


@image.command()
@click.argument("name", shell_complete=complete.name("image"))
@timeout_option(120.0)
@form_option
@pass_session
def stale(session: Session, name: str, timeout: float, form: str) -> None:
    """Ask the nodes that run NAME@live which files of it they do not see as they are now.

    A node's own copy hides a file that was changed after the node had changed it; a program goes on with the file that
    it opened. A reboot ends both. Exit status 1 when a node failed or did not answer.
    """
    from muster.cli import orders

    rows = session.ask_rows(urls.API_STALE, {"image": name, "timeout": timeout}, timeout + orders.GRACE)
    if form == "table":
        click.echo(orders.stale(rows, f"{name}@live"), nl=False)
    elif form == "name":
        click.echo(output.listing([row for row in rows if row["stale"]], ("name",), form), nl=False)
    else:
        click.echo(output.listing(rows, ("name",), form), nl=False)
    orders.refuse_failed(rows)


@image.command("export")
@click.argument("reference", shell_complete=complete.REFERENCE)
@click.argument("folder", type=click.Path(path_type=Path))
@pass_session
def export_(session: Session, reference: str, folder: Path) -> None:
    """Write a version into FOLDER (which must not exist), to carry it to another controller."""
    from muster.images import transfer
    from muster.store.blobs import Blobs

    version = transfer.version_of(_version(session, reference))
    transfer.export_version(Blobs(session.paths.blobs), version, folder.absolute())
    click.echo(f"{version.name}: {folder}")


@image.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--tag", default=LATEST, show_default=True, help="The tag that is to point at it.")
@pass_session
def import_(session: Session, folder: Path, tag: str) -> None:
    """Take a version from FOLDER, every byte of it checked."""
    from muster.images import transfer
    from muster.store.blobs import Blobs

    _refuse_without_root("importing")
    session.rows(urls.API_IMAGES, {"columns": "name"})
    version = transfer.import_version(folder.absolute(), Blobs(session.paths.blobs))
    _register(session, version.manifest(), tag)


def _register(session: Session, document: dict[str, object], tag: str) -> None:
    answer = session.ask(urls.API_VERSIONS, {"document": document, "tag": tag})
    name = str(document["image"])
    click.echo(f"{answer['version']} is {name}:{answer['tag']}")


def _version(session: Session, reference: str) -> dict[str, Any]:
    return session.one(urls.API_VERSION.format(reference=segment(reference)))


def _workshop(session: Session, cache: Path | None) -> "Workshop":
    from muster.host.clock import SystemClock
    from muster.images.build import Workshop

    return Workshop(session.paths.images, cache.absolute() if cache else session.paths.cache, SystemClock())


def _progress() -> "Progress":
    """Lines on standard error: seconds since the start, what is being done, how much of it is."""
    started = time.monotonic()

    def say(text: str, part: float | None = None) -> None:
        percent = "" if part is None else f" {part:4.0%}"
        click.echo(f"{time.monotonic() - started:6.1f} s{percent:5}  {text}", err=True)

    return say


def _refuse_without_root(what: str) -> None:
    if os.geteuid() != 0:
        raise RequestError(f"{what} an image needs root", hint="run it with sudo")
