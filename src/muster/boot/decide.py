"""What a machine shall boot: decided from the world and its facts alone, so that it can be explained for free."""

from dataclasses import dataclass, replace

from muster.model.cascade import Effective, effective
from muster.model.errors import NotFoundError
from muster.model.facts import MachineFacts
from muster.model.images import LIVE, any_version, is_live, resolve
from muster.model.objects import Network, Node, Version
from muster.model.world import Match, World


@dataclass(frozen=True)
class Run:
    """A known node boots this version; with `live` its kernel and drivers, and the image's editable tree as root."""

    node: Node
    effective: Effective
    version: Version
    flag: str = ""
    live: bool = False

    @property
    def image(self) -> str:
        """What becomes its root: `NAME@VERSION` or `NAME@live`."""
        return f"{self.version.image}{LIVE}" if self.live else self.version.name


@dataclass(frozen=True)
class Wait:
    """Boot a kernel and initramfs without a root and wait there: for adoption, or for an image.

    `version` lends the kernel; None when nothing is published yet, then not even that can be booted.
    """

    node: Node | None
    reason: str
    version: Version | None = None
    effective: Effective | None = None


Decision = Run | Wait


def decide(world: World, facts: MachineFacts, architecture: str = "x86_64") -> Decision:
    """Known node with an image: Run. Anything else waits, with the reason in words for its console."""
    match = world.match(facts)
    decision = _decide(world, facts, match, architecture)
    if isinstance(decision, Run):
        return decision
    return replace(decision, version=_discovery_version(world, architecture))


def _decide(world: World, facts: MachineFacts, match: Match, architecture: str) -> Decision:
    if match.node is None:
        name = _name(facts)
        why = f" ({match.flag})" if match.flag else ""
        return Wait(None, f"machine {name} is not known{why}: `muster node adopt {name} NAME` names it")
    return decide_node(world, match.node, architecture, match.flag)


def decide_node(world: World, node: Node, architecture: str, flag: str = "") -> Decision:
    """What this node boots on a machine of this architecture; a Wait lends no kernel yet."""
    try:
        merged = effective(world, node)
    except NotFoundError as error:
        return Wait(node, f"node {node.name} cannot be configured: {error.message}")
    if merged.settings.image is None:
        hint = f"`muster node set {node.name} image=NAME` gives it one"
        return Wait(node, f"node {node.name} has no image: {hint}", effective=merged)
    try:
        version = resolve(world, merged.settings.image)
    except NotFoundError as error:
        return Wait(node, f"node {node.name} has no image to boot: {error.message}", effective=merged)
    if architecture and version.architecture != architecture:
        reason = f"node {node.name} is {architecture} but {version.name} is for {version.architecture}"
        return Wait(node, reason, effective=merged)
    live = is_live(merged.settings.image)
    if live and merged.settings.root != "nfs":
        reason = f"node {node.name} has root {merged.settings.root}: {merged.settings.image} can only be had by nfs"
        return Wait(node, reason, effective=merged)
    return Run(node, merged, version, flag, live)


def _name(facts: MachineFacts) -> str:
    """By what a person names the machine: its id; or its MAC, where a loader that sees less would get another id."""
    if facts.canonical_uuid is None and facts.macs:
        return facts.macs[0]
    return (facts.fingerprint or "")[:8] or "without any identity"


def _discovery_version(world: World, architecture: str) -> Version | None:
    wanted = architecture or "x86_64"
    for network in world.all(Network):
        if network.discovery_image is not None:
            try:
                version = resolve(world, network.discovery_image)
            except NotFoundError:
                continue  # the network names an image that is not packed yet: any other kernel will do
            if version.architecture == wanted:
                return version
    return any_version(world, wanted)
