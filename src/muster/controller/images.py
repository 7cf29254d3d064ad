"""Published versions and the tags that point at them. Pure, but for the look whether the blobs are there."""

from collections.abc import Mapping

from muster.controller.context import Context
from muster.model.cascade import effective
from muster.model.check import refuse_conflicts
from muster.model.documents import document, parse
from muster.model.errors import ConflictError, RequestError
from muster.model.images import DEFAULT_TAG, packed, resolve
from muster.model.objects import Image, Node, Version
from muster.model.world import Change, World
from muster.store.blobs import Blobs


def register(context: Context, text: Mapping[str, object], tag: str, who: str) -> dict[str, object]:
    """Make a packed version known and let `tag` point at it. RequestError when one of its blobs is missing."""
    version = parse({**text, "kind": "version"}, "version")
    if not isinstance(version, Version):
        raise RequestError("not a version")
    _refuse_missing(context.blobs, version)

    def plan(world: World) -> tuple[dict[str, object], list[Change]]:
        changes = _tagged(world, version, tag)
        if (known := world.find(Version, version.name)) is None:
            changes.append(Change("version", version.name, None, version))
        elif known.digest != version.digest:
            raise ConflictError(f"{version.name} exists with another digest")
        return {"version": version.name, "tag": tag}, changes

    return context.store.change(plan, who=who)


def tag(world: World, reference: str, name: str) -> tuple[dict[str, object], list[Change]]:
    """Let the tag `name` of an image point at the version of `reference`."""
    version = packed(world, reference)
    return {"version": version.name, "tag": name}, _tagged(world, version, name)


def live(world: World, name: str, *, on: bool) -> tuple[dict[str, object], list[Change]]:
    """Let nodes boot the tree of an image as NAME@live, or no more. ConflictError while a node or profile names it."""
    before = world.get(Image, name)
    changes = [] if before.live == on else [Change("image", name, before, before.model_copy(update={"live": on}))]
    refuse_conflicts(world, changes)
    return {"image": name, "live": on}, changes


def rows(world: World) -> list[dict[str, object]]:
    """One row for each version."""
    used = _users(world)
    return [
        {
            "name": version.name,
            "image": version.image,
            "tags": _tags_of(world, version),
            "distribution": version.distribution,
            "architecture": version.architecture,
            "kernel": version.kernel_release,
            "size": version.root.size,
            "nodes": len(used.get(version.name, ())),
        }
        for version in world.all(Version)
    ]


def show(world: World, reference: str) -> dict[str, object]:
    """The whole manifest of a version, and who uses it."""
    version = packed(world, reference)
    return {**document(version), "tags": _tags_of(world, version), "nodes": _users(world).get(version.name, [])}


def delete(world: World, reference: str) -> tuple[dict[str, object], list[Change]]:
    """Forget a version and the tags that point at it. ConflictError while a node would boot it."""
    version = packed(world, reference)
    if users := _users(world).get(version.name):
        raise ConflictError(
            f"{version.name} is what {', '.join(users[:10])} boots", hint="give them another image first"
        )
    image = world.get(Image, version.image)
    tags = {name: digest for name, digest in image.tags.items() if digest != version.digest[:12]}
    changes = [Change("version", version.name, version, None)]
    left = [other for other in world.all(Version) if other.image == image.name and other.name != version.name]
    changes.append(Change("image", image.name, image, image.model_copy(update={"tags": tags}) if left else None))
    refuse_conflicts(world, changes)
    return {"deleted": version.name}, changes


def delete_with_blobs(context: Context, reference: str, who: str) -> dict[str, object]:
    """Delete a version, then those of its blobs that no other version holds. Errors as in `delete`.

    Also ConflictError while a node runs that reads its root from the version's file.
    """
    version = packed(context.world, reference)
    if readers := _readers(context, version):
        raise ConflictError(
            f"{', '.join(readers[:10])} {'read' if len(readers) > 1 else 'reads'} {version.name} over NFS now",
            hint="give them another image and reboot them first",
        )
    answer = context.store.change(lambda world: delete(world, version.name), who=who)
    kept = {blob.sha256 for other in context.world.all(Version) for blob in other.blobs}
    for blob in version.blobs:
        if blob.sha256 not in kept:
            context.blobs.remove(blob.sha256)
    return answer


def _tagged(world: World, version: Version, tag: str) -> list[Change]:
    before = world.find(Image, version.image)
    tags = {**(before.tags if before else {}), tag or DEFAULT_TAG: version.digest[:12]}
    known = document(before) if before else {"kind": "image", "name": version.image}
    after = parse({**known, "tags": tags}, f"tag {tag!r}")
    return [] if before == after else [Change("image", version.image, before, after)]


def _readers(context: Context, version: Version) -> list[str]:
    """The nodes whose root is the file of this version; one that was only not heard of for a while may still be."""
    now = context.clock.now()
    return sorted(
        name
        for name, boot in context.boots.by_node().items()
        if (boot.mode, boot.image) == ("nfs", version.name) and boot.state(now) != "off"
    )


def _refuse_missing(blobs: Blobs, version: Version) -> None:
    missing = [blob.sha256 for blob in version.blobs if not blobs.has(blob.sha256)]
    if missing:
        raise RequestError(f"blobs of {version.name} are missing: {', '.join(missing)}", hint="pack or import it again")


def _tags_of(world: World, version: Version) -> list[str]:
    image = world.find(Image, version.image)
    return sorted(name for name, digest in image.tags.items() if digest == version.digest[:12]) if image else []


def _users(world: World) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for node in world.all(Node):
        reference = effective(world, node).settings.image
        if reference is not None and (version := _version(world, reference)) is not None:
            users.setdefault(version, []).append(node.name)
    return users


def _version(world: World, reference: str) -> str | None:
    try:
        return resolve(world, reference).name
    except RequestError:
        return None
