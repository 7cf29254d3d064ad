"""What must hold between objects: no duplicates, no dangling references. All problems are named at once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from muster.model.errors import ConflictError, NotFoundError
from muster.model.images import image_name, resolve
from muster.model.objects import Image, Network, Node, Profile
from muster.model.world import Change, World, keys_of


def refuse_conflicts(world: World, changes: Iterable[Change]) -> None:
    """Raise ConflictError with every problem that these changes would bring into `world`."""
    after = world.with_changes(changes, world.revision)
    problems = [*_references(after, changes), *_duplicates(world, changes), *_networks(after, changes)]
    if problems:
        raise ConflictError("\n".join(problems))


def _references(after: World, changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        item = change.after
        if isinstance(item, Node):
            for name in item.profiles:
                if after.find(Profile, name) is None:
                    yield f"node {item.name}: there is no profile {name!r}"
        if isinstance(item, Node | Profile) and item.image is not None:
            yield from _image_reference(after, f"{change.kind} {change.name}", item.image)
        if isinstance(item, Network) and item.discovery_image is not None:
            yield from _image_reference(after, f"network {item.name}", item.discovery_image)
        if item is None and change.kind in ("profile", "image"):
            yield from _still_used(after, change)


def _image_reference(after: World, where: str, reference: str) -> Iterator[str]:
    name = image_name(reference)
    if after.find(Image, name) is None:
        yield f"{where}: there is no image {name!r}"
    elif reference != name:
        try:
            resolve(after, reference)
        except NotFoundError as error:
            yield f"{where}: {error.message}"


def _still_used(after: World, change: Change) -> Iterator[str]:
    users = []
    for item in after.objects.values():
        if change.kind == "profile" and isinstance(item, Node) and change.name in item.profiles:
            users.append(f"node {item.name}")
        if change.kind == "image" and isinstance(item, Node | Profile) and image_name(item.image) == change.name:
            users.append(f"{item.kind} {item.name}")
        if change.kind == "image" and isinstance(item, Network) and image_name(item.discovery_image) == change.name:
            users.append(f"network {item.name}")
    if users:
        yield f"{change.kind} {change.name} is used by {', '.join(sorted(users)[:10])}"


def _duplicates(before: World, changes: Iterable[Change]) -> Iterator[str]:
    """Only what changes can clash: the indexes tell which untouched node has the same key."""
    touched = {change.name for change in changes if change.kind == "node"}
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for change in changes:
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
    for (what, key), names in sorted(owners.items()):
        if len(names) > 1:
            shown = key[:8] if what == "machine" else key
            yield f"{what} {shown} belongs to several nodes: {', '.join(sorted(names))}"


def _networks(after: World, changes: Iterable[Change]) -> Iterator[str]:
    networks = list(after.all(Network))
    for i, one in enumerate(networks):
        for other in networks[i + 1 :]:
            if IPv4Network(one.subnet).overlaps(IPv4Network(other.subnet)):
                yield f"networks {one.name} and {other.name} overlap: {one.subnet}, {other.subnet}"
    if any(change.kind == "network" for change in changes):
        addresses = sorted(after.by_address.items())
    else:
        changed = [change.after for change in changes if isinstance(change.after, Node)]
        addresses = [(address, node.name) for node in changed for address in keys_of(node).addresses]
    for network in networks:
        yield from _taken(network, addresses)


def _taken(network: Network, addresses: Sequence[tuple[str, str]]) -> Iterator[str]:
    ends = [IPv4Address(end) for end in network.pool.split("-")] if network.pool else []
    for address, name in addresses:
        if address == network.address:
            yield f"node {name}: {address} is the controller's own address on network {network.name}"
        if ends and ends[0] <= IPv4Address(address) <= ends[1]:
            yield f"node {name}: its address lies in the pool {network.pool} of network {network.name}"
