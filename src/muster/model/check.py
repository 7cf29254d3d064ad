"""What must hold between objects: no duplicates, no dangling references. All problems are named at once.

Only what a change brings in is looked at, so that one changed node costs the same in a world of any size.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from muster.model.cascade import DEFAULT_PROFILE, Cascade
from muster.model.errors import ConflictError, NotFoundError, Problem, lines
from muster.model.images import DEFAULT_TAG, image_name, is_live, resolve
from muster.model.objects import Image, Network, Node, Object, Profile
from muster.model.world import Change, Key, World, keys_of, moves

IMAGES_HINT = "muster image import brings the images; --allow-missing-images declares nodes that wait for them"


def refuse_conflicts(world: World, changes: Sequence[Change]) -> None:
    """Raise ConflictError with every problem that these changes would bring into `world`."""
    if problems := conflicts(world, changes):
        raise ConflictError(lines(problems), problems=problems)


def conflicts(
    world: World, changes: Sequence[Change], *, missing_images: bool = False, hidden: Collection[Key] = ()
) -> list[Problem]:
    """Every problem that these changes would bring into `world`.

    `missing_images` lets references to images, tags and versions dangle: their nodes wait at boot. `hidden`
    are objects that the request names but that could not be read: no one is told that they do not exist.
    """
    after = world.with_changes(changes, world.revision)
    found = [*_profiles(after, changes, hidden), *_still_used(after, changes), *_live_roots(world, after, changes)]
    if not missing_images:
        found += [*_image_references(after, changes, hidden), *_tags(after, changes)]
    return [*found, *_duplicates(world, changes), *_networks(after, changes)]


def needs_images(problems: Iterable[Problem]) -> bool:
    """Whether one of these is a reference that `missing_images` would let dangle."""
    return any(p.field[:1] in (("image",), ("discovery_image",), ("tags",)) for p in problems)


def _profiles(after: World, changes: Iterable[Change], hidden: Collection[Key]) -> Iterator[Problem]:
    for change in changes:
        if isinstance(change.after, Node):
            for i, name in enumerate(change.after.profiles):
                if ("profile", name) not in after.objects and ("profile", name) not in hidden:
                    yield Problem(f"there is no profile {name!r}", _subject(change), ("profiles", i))


def _image_references(after: World, changes: Iterable[Change], hidden: Collection[Key]) -> Iterator[Problem]:
    """Of references that these changes bring in: one that dangled before may go on to."""
    verdicts: dict[str, str] = {}
    for change in changes:
        field, reference = _image_of(change.after)
        if reference is None or reference == _image_of(change.before)[1] or ("image", image_name(reference)) in hidden:
            continue
        if reference not in verdicts:
            verdicts[reference] = _dangling(after, reference)
        if verdicts[reference]:
            yield Problem(verdicts[reference], _subject(change), (field,))


def _image_of(item: Object | None) -> tuple[str, str | None]:
    """The field that names an image, and what it says."""
    if isinstance(item, Node | Profile):
        return "image", item.image
    if isinstance(item, Network):
        return "discovery_image", item.discovery_image
    return "", None


def _dangling(after: World, reference: str) -> str:
    """What is wrong with a reference; an image without a tag may be named before its first version is packed."""
    name = image_name(reference)
    if after.find(Image, name) is None:
        return f"there is no image {name!r}"
    if reference != name:
        try:
            resolve(after, reference)
        except NotFoundError as error:
            return error.message
    return ""


def _live_roots(before: World, after: World, changes: Sequence[Change]) -> Iterator[Problem]:
    """Nodes that come to boot an editable tree in another way than by nfs: told of the node, or of its profile."""
    was, now = Cascade(before), Cascade(after)
    told = set()
    for change in changes:
        if isinstance(change.after, Node):
            told.add(change.name)
            known = change.before if isinstance(change.before, Node) else None
            if (words := _live_without_nfs(now, change.after)) and not (known and _live_without_nfs(was, known)):
                yield Problem(words, _subject(change), ("root",))
    for change in changes:
        if change.kind == "profile" and _of_root(change.before) != _of_root(change.after):
            for node in _listing(after, change.name):
                words = "" if node.name in told else _live_without_nfs(now, node)
                if words and not _live_without_nfs(was, node):
                    yield Problem(f"node {node.name}: {words}", _subject(change), ("root",))


def _listing(world: World, profile: str) -> Iterator[Node]:
    """The nodes that this profile applies to."""
    return (node for node in world.all(Node) if profile in (DEFAULT_PROFILE, *node.profiles))


def _of_root(item: Object | None) -> tuple[str | None, str | None]:
    return (item.image, item.root) if isinstance(item, Node | Profile) else (None, None)


def _live_without_nfs(cascade: Cascade, node: Node) -> str:
    """What is wrong with the node's root, or nothing."""
    try:
        image, root = cascade.image(node), cascade.root(node)
    except NotFoundError:  # a profile that is missing is told of by itself
        return ""
    return f"{image} needs root nfs, not {root}" if is_live(image) and root != "nfs" else ""


def _tags(after: World, changes: Iterable[Change]) -> Iterator[Problem]:
    for change in changes:
        if isinstance(change.after, Image):
            known = change.before.tags if isinstance(change.before, Image) else {}
            for tag, digest in change.after.tags.items():
                if known.get(tag) != digest and ("version", f"{change.name}@{digest}") not in after.objects:
                    yield Problem(f"there is no version {change.name}@{digest}", _subject(change), ("tags", tag))
            if change.before is None and not change.after.tags:
                yield Problem("there is no version of it: packing or importing one makes the image", _subject(change))


def _still_used(after: World, changes: Iterable[Change]) -> Iterator[Problem]:
    losers = [change for change in changes if _loses(change)]
    users = _users(after) if losers else {}
    for change in losers:
        for what, field, key in _loses(change):
            if found := sorted(users.get(key, ())):
                yield Problem(f"{what}used by {', '.join(found[:10])}", _subject(change), field)


def _loses(change: Change) -> list[tuple[str, tuple[str | int, ...], Key]]:
    """What a change takes away that others may refer to: words for it, its field, and what users would name."""
    gone: list[tuple[str, tuple[str | int, ...], Key]]
    if change.kind in ("profile", "image") and change.after is None:
        return [("", (), (change.kind, change.name))]
    if isinstance(change.before, Image) and isinstance(change.after, Image):
        lost = sorted(change.before.tags.keys() - change.after.tags.keys())
        gone = [(f"the tag {tag!r} would go, but is ", ("tags",), ("tag", f"{change.name}:{tag}")) for tag in lost]
        if change.before.live and not change.after.live:
            gone.append((f"{change.name}@live would go, but is ", ("live",), ("live", change.name)))
        return gone
    return []


def _users(after: World) -> Mapping[Key, list[str]]:
    """Who names each profile, image, tag and live tree."""
    users: dict[Key, list[str]] = defaultdict(list)
    for (kind, name), item in after.objects.items():
        if isinstance(item, Node):
            for profile in item.profiles:
                users["profile", profile].append(f"node {name}")
        _, reference = _image_of(item)
        if reference is not None:
            image, _, tag = reference.partition(":")
            users["image", image_name(reference)].append(f"{kind} {name}")
            if is_live(reference):
                users["live", image_name(reference)].append(f"{kind} {name}")
            if "@" not in reference:
                users["tag", f"{image}:{tag or DEFAULT_TAG}"].append(f"{kind} {name}")
    return users


def _duplicates(before: World, changes: Sequence[Change]) -> Iterator[Problem]:
    """Only what changes can clash: the indexes tell which untouched node has the same key."""
    touched = {change.name: change for change in changes if change.kind == "node" and moves(change)}
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for change in touched.values():
        if not isinstance(change.after, Node):
            continue
        keys = keys_of(change.after)
        for what, mine, known in (
            ("MAC", keys.macs, before.by_mac),
            ("address", keys.addresses, before.by_address),
            ("machine", keys.fingerprints, before.by_fingerprint),
        ):
            for key in mine:
                other = known.get(key)
                owners[what, key].update({change.name} if other is None or other in touched else {change.name, other})
    clashes = sorted((what, key, sorted(names)) for (what, key), names in owners.items() if len(names) > 1)
    for what, key, names in clashes:
        shown = key[:8] if what == "machine" else key
        message = f"{what} {shown} belongs to several nodes: {', '.join(names)}"
        for change in (touched[name] for name in names if name in touched):
            assert isinstance(change.after, Node)
            yield Problem(message, _subject(change), _place(change.after, what, key))


def _place(node: Node, what: str, key: str) -> tuple[str | int, ...]:
    """Where in the node a MAC, an address or the machine stands."""
    if what == "machine":
        return ("machine", "uuid" if node.machine and node.machine.uuid else "board_serial")
    part = "mac" if what == "MAC" else "address"
    values = [(getattr(interface, part) or "").partition("/")[0] for interface in node.interfaces]
    return ("interfaces", values.index(key), part)


def _networks(after: World, changes: Sequence[Change]) -> Iterator[Problem]:
    changed = [change.after for change in changes if isinstance(change.after, Network)]
    nodes = [change.after for change in changes if isinstance(change.after, Node) and moves(change)]
    networks = list(after.all(Network)) if changed or nodes else []
    yield from _overlaps(networks, {network.name for network in changed})
    if changed:
        fresh = {node.name for node in nodes}
        for network in changed:
            yield from _taken(network, (n for n in after.all(Node) if n.name not in fresh), f"network {network.name}")
    for network in networks:
        yield from _taken(network, nodes)


def _overlaps(networks: Sequence[Network], changed: Collection[str]) -> Iterator[Problem]:
    subnets = [(network, IPv4Network(network.subnet)) for network in networks] if changed else []
    for i, (one, subnet) in enumerate(subnets):
        for other, another in subnets[i + 1 :]:
            if subnet.overlaps(another):
                for each in {one.name, other.name} & set(changed):
                    message = f"networks {one.name} and {other.name} overlap: {one.subnet}, {other.subnet}"
                    yield Problem(message, f"network {each}", ("subnet",))


def _taken(network: Network, nodes: Iterable[Node], subject: str = "") -> Iterator[Problem]:
    """Addresses of nodes that the network has for itself: told of the nodes, or of the network that moved onto them."""
    first, last = (_number(end) for end in (network.pool or "255.255.255.255-0.0.0.0").split("-"))
    own = _number(network.address)
    for node in nodes:
        for i, interface in enumerate(node.interfaces):
            if interface.address is None:
                continue
            text = interface.address.partition("/")[0]
            address = _number(text)
            here = (f"node {node.name}", ("interfaces", i, "address"))
            of = f"node {node.name}: " if subject else ""
            if address == own:
                message = f"{of}{text} is the controller's own address on network {network.name}"
                yield Problem(message, *((subject, ("address",)) if subject else here))
            if first <= address <= last:
                message = f"{of}{text} lies in the pool {network.pool} of network {network.name}"
                yield Problem(message, *((subject, ("pool",)) if subject else here))


def _number(address: str) -> int:
    """An address that the model made canonical, at a tenth of the cost of parsing it again."""
    return int.from_bytes(bytes(map(int, address.split("."))), "big")


def _subject(change: Change) -> str:
    return f"{change.kind} {change.name}"
