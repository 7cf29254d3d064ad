"""Image references: `NAME[:TAG or @VERSION]`, the tag `latest` when none is given; `NAME@live`, the editable tree."""

from muster.model.errors import NotFoundError, RequestError
from muster.model.objects import Image, Version
from muster.model.world import World

DEFAULT_TAG = "latest"
LIVE = "@live"


def is_live(reference: str | None) -> bool:
    """Whether a reference names an image's editable tree."""
    return (reference or "").endswith(LIVE)


def resolve(world: World, reference: str) -> Version:
    """The version that a reference points at now; for `NAME@live` the one whose kernel and drivers boot the tree.

    Raises NotFoundError saying which part is missing.
    """
    if is_live(reference):
        return resolve(world, _live_image(world, image_name(reference)).name)
    name, at, digest = reference.partition("@")
    if not at:
        name, _, tag = reference.partition(":")
        image = world.get(Image, name)
        if (found := image.tags.get(tag or DEFAULT_TAG)) is None:
            raise NotFoundError(
                f"image {name} has no tag {tag or DEFAULT_TAG!r}",
                hint=f"muster image pack {name} makes a version and tags it {DEFAULT_TAG}",
            )
        digest = found
    if (version := world.find(Version, f"{name}@{digest[:12]}")) is None or not version.digest.startswith(digest):
        raise NotFoundError(f"there is no version {name}@{digest}", hint="muster image list")
    return version


def _live_image(world: World, name: str) -> Image:
    image = world.get(Image, name)
    if not image.live:
        raise NotFoundError(f"nodes may not boot the tree of image {name}", hint=f"muster image live {name} lets them")
    return image


def packed(world: World, reference: str) -> Version:
    """As `resolve`, for those who mean the version itself. RequestError for an editable tree."""
    if is_live(reference):
        raise RequestError(f"{reference} is the editable tree, no version", hint=f"name one: {image_name(reference)}")
    return resolve(world, reference)


def image_name(reference: str | None) -> str:
    """The image that a reference names, without tag or version; empty for none."""
    return (reference or "").partition("@")[0].partition(":")[0]


def any_version(world: World, architecture: str) -> Version | None:
    """The tagged version to boot an unknown machine with: the first image by name that has one."""
    for image in world.all(Image):
        for tag in (DEFAULT_TAG, *sorted(image.tags)):
            if tag in image.tags:
                version = world.find(Version, f"{image.name}@{image.tags[tag]}")
                if version is not None and version.architecture == architecture:
                    return version
    return None
