"""The boot answer for iPXE (https://ipxe.org/cmd): a script that loads kernel and initramfs, or says why not.

Every failure says what failed, waits, and asks the controller again: firmware and iPXE retry nothing.
"""

from muster.boot.decide import Decision, Run
from muster.boot.facts import LoaderFacts
from muster.model import kernel_arguments as arguments
from muster.model import urls
from muster.model.objects import Blob

RETRY_SECONDS = 10
QUERY = (
    "mac=${netX/mac}&uuid=${uuid}&product=${product:uristring}&serial=${serial:uristring}"
    "&platform=${platform}&buildarch=${buildarch}&ip=${netX/ip}"
)
"""What iPXE tells of its machine; it expands these settings itself (https://ipxe.org/cfg)."""


def render(decision: Decision, facts: LoaderFacts, server: str, node_segment: Blob) -> str:
    """The script; `server` is `http://ADDRESS:PORT` as the machine reaches us."""
    version = decision.version
    if version is None:
        reason = decision.reason if not isinstance(decision, Run) else ""
        return _nothing_to_boot(reason, server)
    # An EFI kernel finds its initrds by these names; under BIOS they are ignored.
    words = f"initrd=modules initrd=node {command_line(decision, facts.mac, server)}"
    title = f"node {decision.node.name}" if decision.node else "unknown machine"
    verb = f"boots {version.name}" if isinstance(decision, Run) else f"waits: {_plain(decision.reason)}"
    return "\n".join(
        [
            "#!ipxe",
            f"echo Muster: {title} {verb}",
            f"kernel {urls.blob(server, version.kernel.sha256)} {words} || goto failed",
            f"initrd --name modules {urls.blob(server, version.modules.sha256)} || goto failed",
            f"initrd --name node {urls.blob(server, node_segment.sha256)} || goto failed",
            "boot || goto failed",
            ":failed",
            f"echo Muster: loading {version.name} failed, trying again in {RETRY_SECONDS} s",
            f"sleep {RETRY_SECONDS}",
            *_ask_again(server),
            "",
        ]
    )


def command_line(decision: Decision, mac: str | None, server: str) -> str:
    """The kernel's command line, also for a direct kernel start."""
    words = [f"{arguments.SERVER}={server}"]
    if mac:
        words.append(f"{arguments.BOOTIF}=01-{mac.replace(':', '-')}")
    if decision.effective is not None:
        words.extend(decision.effective.settings.kernel_arguments or ())
        words.extend(_console(decision))
    return " ".join(dict.fromkeys(words))


def _console(decision: Decision) -> list[str]:
    settings = decision.effective.settings if decision.effective else None
    if settings is None or settings.serial_console is None:
        return []
    if any(word.startswith("console=") for word in settings.kernel_arguments or ()):
        return []
    console = settings.serial_console
    return ["console=tty0", f"console={console.device},{console.speed}"]


def _nothing_to_boot(reason: str, server: str) -> str:
    return "\n".join(
        [
            "#!ipxe",
            f"echo Muster: {_plain(reason)}" if reason else "echo Muster:",
            "echo Muster: no image is published on the controller yet, so there is no kernel to wait with",
            f"sleep {RETRY_SECONDS}",
            *_ask_again(server),
            "",
        ]
    )


def _ask_again(server: str) -> list[str]:
    return [":again", f"chain --replace {server}{urls.BOOT_IPXE}?{QUERY} || sleep 2 && goto again"]


def _plain(text: str) -> str:
    """Text that iPXE prints as it is: no expansion, no operator."""
    return "".join(c if c.isalnum() or c in " .,:=/@_-()'" else " " for c in text)
