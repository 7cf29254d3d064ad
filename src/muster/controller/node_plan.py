"""Hello and plan: what the initramfs learns of itself. An unknown machine becomes a pending entry here."""

from dataclasses import dataclass

from muster.boot import plan as plan_text
from muster.boot import tokens
from muster.boot.content import content
from muster.boot.decide import Decision, Run, Wait, decide
from muster.boot.facts import HELLO_MAX_BYTES, HelloFacts, hello_facts
from muster.boot.parts import lines_of, parts
from muster.boot.plan import BootKey, OverlayData
from muster.boot.roots import Asker, equipped
from muster.controller import pending
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.given import Given, Laid, Loaded
from muster.controller.next_boot import loaded
from muster.controller.node_context import template_context
from muster.model import kernel_arguments
from muster.model.errors import DeniedError, MusterError, RequestError
from muster.model.objects import Node, Version
from muster.overlays.library import Rendered

MAX_BYTES = HELLO_MAX_BYTES


@dataclass(frozen=True)
class NodeRequest:
    """A request of a booted machine that showed a good token: its boot, and the node it is now (or none)."""

    boot: Boot
    node: Node | None


def hello(context: Context, body: bytes, server: str) -> str:
    """Take a machine's hello and answer its plan. Raises RequestError for what is not a hello."""
    facts = hello_facts(body)
    machine = facts.machine.fingerprint
    if machine is None:
        raise RequestError("the machine has no UUID, no serial and no MAC: nothing to know it by")
    decision = decide(context.world, facts.machine, facts.architecture)
    if decision.node is None:
        pending.remember(context, machine, facts)
    else:
        pending.forget(context, machine)
    before = context.boots.of_machine(machine)
    name = decision.node.name if decision.node else None
    boot = context.boots.hello(machine, facts, name, _loaded(context, facts, decision))
    if before is not None and before is not boot:
        context.orders.drop(before.boot)
    text, given = _plan(context, boot, server)
    if given is not None and boot.ready_at is None:
        context.boots.give(boot, given)
    return text


def plan(context: Context, request: NodeRequest, server: str) -> str:
    """The plan as of now for a boot that already said hello."""
    return _plan(context, request.boot, server)[0]


def settle(context: Context, boot: Boot, digest: str, server: str) -> None:
    """The machine runs by the plan with this digest: what that gave it is what a reboot is compared with.

    It was offered since the app started, or it is the plan that it would get now; any other is not known any more.
    """
    if digest in (boot.given.plan if boot.given else "", boot.unknown_plan):
        return
    given = context.boots.offered(boot, digest)
    if given is None:
        _, now = _plan(context, boot, server)
        given = now if now and now.plan == digest else None
    boot.unknown_plan = "" if given else digest
    context.boots.give(boot, given)


def plan_digest(text: str) -> str:
    """The digest line of a rendered plan."""
    return next(line.partition("\t")[2] for line in text.splitlines() if line.startswith("digest\t"))


def authorize(context: Context, boot_id: str, token: str) -> NodeRequest:
    """Check a token for a boot. Raises DeniedError when in any doubt, also for a boot that ended."""
    grant = tokens.check(context.token_key, token, boot_id, context.clock.now())
    try:
        boot = context.boots.get(grant.boot)
    except MusterError as error:
        raise DeniedError(error.message, hint=error.hint) from error
    if boot.machine != grant.machine:
        raise DeniedError("the token belongs to another machine")
    return NodeRequest(boot, context.world.match(boot.facts).node)


def overlay(context: Context, request: NodeRequest) -> Rendered:
    """The overlay of the node that asks. Raises DeniedError for a machine that is no node."""
    decision = decide(context.world, request.boot.facts, request.boot.architecture)
    if not isinstance(decision, Run):
        raise DeniedError("there is no overlay for a machine that has nothing to run")
    return rendered(context, decision, request.boot)


def rendered(context: Context, run: Run, boot: Boot) -> Rendered:
    """The overlay of this decision. Raises what Overlays.render raises."""
    bootif = boot.facts.macs[0] if boot.facts.macs else None
    names = run.effective.settings.overlays or ()
    seen, cluster = template_context(context.world, context.site, run, bootif, context.cluster)
    return context.overlays.render(names, seen, cluster=cluster)


def _plan(context: Context, boot: Boot, server: str) -> tuple[str, Given | None]:
    """The plan, and what it gives to a node that runs by it."""
    decision = decide(context.world, boot.facts, boot.architecture)
    laid = None
    if isinstance(decision, Run) and boot.rebooted_in_vain and boot.kernel != decision.version.kernel_release:
        decision = _wrong_kernel(decision, boot)
    decision = equipped(decision, context.supplies)
    if isinstance(decision, Run):
        try:
            laid = rendered(context, decision, boot)
        except MusterError as error:
            decision = _cannot_render(decision, error)
    now = context.clock.now()
    key = BootKey(boot.boot, tokens.issue(context.token_key, boot.machine, boot.boot, now))
    asker = Asker(boot.machine, boot.kernel, server)
    data = OverlayData(laid.sha256, laid.size) if laid else None
    text = plan_text.render(decision, data, key, asker, context.supplies, now)
    given = _given(text, laid) if laid else None
    if given is not None:
        context.boots.offer(boot, given)
    return text, given


def _given(text: str, laid: Rendered) -> Given | None:
    """What a plan gives; None for one that only tells to reboot."""
    lines = lines_of(text)
    said = dict(lines)
    if said["action"] != "run":
        return None
    overlay = Laid(laid.sha256, laid.sources.cluster, laid.sources.own)
    return Given(said["digest"], said["image"], said["mode"], parts(lines), overlay)


def _loaded(context: Context, facts: HelloFacts, decision: Decision) -> Loaded | None:
    """What the loader loaded: the files of that version whose digest was given with them on the command line."""
    told = kernel_arguments.argument(facts.command_line, kernel_arguments.CONTENT)
    if not told:
        return None
    segment, likely = context.node_segment, decision.version
    if likely is None or content(likely, segment) != told:
        likely = next((v for v in context.world.all(Version) if content(v, segment) == told), None)
    return loaded(likely, segment) if likely else None


def _wrong_kernel(run: Run, boot: Boot) -> Decision:
    """Rebooting for the version's kernel was tried; once more would be a loop."""
    promised = f"{run.version.name} promises kernel {run.version.kernel_release}"
    reason = f"{promised}, but after a reboot for it this is still {boot.kernel}: is its kernel another one?"
    return Wait(run.node, reason, run.version)


def _cannot_render(run: Run, error: MusterError) -> Decision:
    first_line = str(error).splitlines()[0]
    return Wait(run.node, f"an overlay of node {run.node.name} cannot be rendered: {first_line}", run.version)
