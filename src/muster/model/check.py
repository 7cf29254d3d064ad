"""What must hold between objects: no duplicates, no dangling references. All problems are named at once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from muster.model.errors import ConflictError, NotFoundError
from muster.model.images import image_name, resolve
from muster.model.objects import Image, Network, Node, Profile
from muster.model.world import Change, World, declared_facts


def refuse_conflicts(world: World, changes: Iterable[Change]) -> None:
    """Raise ConflictError with every problem that these changes would bring into `world`."""
    after = world.with_changes(changes, world.revision)
    problems = [*_references(after, changes), *_duplicates(after, changes), *_networks(after)]
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


def _duplicates(after: World, changes: Iterable[Change]) -> Iterator[str]:
    if not any(isinstance(change.after, Node) for change in changes):
        return
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for node in after.all(Node):
        for interface in node.interfaces:
            if interface.mac:
                owners["MAC", interface.mac].add(node.name)
            if interface.address:
                owners["address", interface.address.partition("/")[0]].add(node.name)
        if node.machine and (fingerprint := declared_facts(node.machine).fingerprint):
            owners["machine", fingerprint].add(node.name)
    for (what, value), names in sorted(owners.items()):
        if len(names) > 1:
            shown = value[:8] if what == "machine" else value
            yield f"{what} {shown} belongs to several nodes: {', '.join(sorted(names))}"


def _networks(after: World) -> Iterator[str]:
    networks = list(after.all(Network))
    for i, one in enumerate(networks):
        for other in networks[i + 1 :]:
            if IPv4Network(one.subnet).overlaps(IPv4Network(other.subnet)):
                yield f"networks {one.name} and {other.name} overlap: {one.subnet}, {other.subnet}"
    for network in networks:
        if (node := after.by_address.get(network.address)) is not None:
            yield f"node {node}: {network.address} is the controller's own address on network {network.name}"
        if network.pool:
            first, last = (IPv4Address(end) for end in network.pool.split("-"))
            inside = [n for a, n in after.by_address.items() if first <= IPv4Address(a) <= last]
            for name in sorted(inside)[:10]:
                yield f"node {name}: its address lies in the pool {network.pool} of network {network.name}"
