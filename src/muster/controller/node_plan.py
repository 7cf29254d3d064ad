"""Hello and plan: what the initramfs learns of itself. An unknown machine becomes a pending entry here."""

from dataclasses import dataclass

from muster.boot import plan as plan_text
from muster.boot import tokens
from muster.boot.decide import Decision, Run, Wait, decide
from muster.boot.facts import HELLO_MAX_BYTES, hello_facts
from muster.boot.plan import BootKey, OverlayData
from muster.boot.roots import Asker, equipped
from muster.controller import pending
from muster.controller.boots import Boot
from muster.controller.context import Context
from muster.controller.node_context import template_context
from muster.model.errors import DeniedError, MusterError, RequestError
from muster.model.objects import Node
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
    boot = context.boots.hello(machine, facts, decision.node.name if decision.node else None)
    return _plan(context, boot, server)


def plan(context: Context, request: NodeRequest, server: str) -> str:
    """The plan as of now for a boot that already said hello."""
    return _plan(context, request.boot, server)


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
    return _render(context, decision, request.boot)


def _plan(context: Context, boot: Boot, server: str) -> str:
    decision = decide(context.world, boot.facts, boot.architecture)
    data = None
    if isinstance(decision, Run) and boot.rebooted_in_vain and boot.kernel != decision.version.kernel_release:
        decision = _wrong_kernel(decision, boot)
    decision = equipped(decision, context.supplies)
    if isinstance(decision, Run):
        try:
            rendered = _render(context, decision, boot)
            data = OverlayData(rendered.sha256, rendered.size)
        except MusterError as error:
            decision = _cannot_render(decision, error)
    now = context.clock.now()
    key = BootKey(boot.boot, tokens.issue(context.token_key, boot.machine, boot.boot, now))
    asker = Asker(boot.machine, boot.kernel, server)
    return plan_text.render(decision, data, key, asker, context.supplies, now)


def _render(context: Context, run: Run, boot: Boot) -> Rendered:
    bootif = boot.facts.macs[0] if boot.facts.macs else None
    names = run.effective.settings.overlays or ()
    seen, cluster = template_context(context.world, context.site, run, bootif, context.cluster)
    return context.overlays.render(names, seen, cluster=cluster)


def _wrong_kernel(run: Run, boot: Boot) -> Decision:
    """Rebooting for the version's kernel was tried; once more would be a loop."""
    promised = f"{run.version.name} promises kernel {run.version.kernel_release}"
    reason = f"{promised}, but after a reboot for it this is still {boot.kernel}: is its kernel another one?"
    return Wait(run.node, reason, run.version)


def _cannot_render(run: Run, error: MusterError) -> Decision:
    first_line = str(error).splitlines()[0]
    return Wait(run.node, f"an overlay of node {run.node.name} cannot be rendered: {first_line}", run.version)
