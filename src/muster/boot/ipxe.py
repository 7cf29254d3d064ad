"""The boot answer for iPXE (https://ipxe.org/cmd): a script that loads kernel and initramfs, or says why not.

A failure says what failed and leaves the script; the static one below it (boot/ipxe_static.py) asks again.
"""

from muster.boot.content import content
from muster.boot.decide import Decision, Run
from muster.boot.facts import LoaderFacts
from muster.model import kernel_arguments as arguments
from muster.model import urls
from muster.model.cascade import DEFAULTS
from muster.model.objects import Blob, Settings

RETRY_SECONDS = 10


def render(decision: Decision, facts: LoaderFacts, server: str, node_segment: Blob) -> str:
    """The script; `server` is `http://ADDRESS:PORT` as the machine reaches us."""
    version = decision.version
    if version is None:
        reason = decision.reason if not isinstance(decision, Run) else ""
        return _nothing_to_boot(reason)
    # An EFI kernel finds its initrds by these names; under BIOS they are ignored.
    words = f"initrd=modules initrd=node {command_line(decision, facts.mac, server, node_segment)}"
    title = f"node {decision.node.name}" if decision.node else "unknown machine"
    verb = f"boots {decision.image}" if isinstance(decision, Run) else f"waits: {_plain(decision.reason)}"
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
            "imgfree",
            f"sleep {RETRY_SECONDS}",
            "exit",
            "",
        ]
    )


def command_line(decision: Decision, mac: str | None, server: str, node_segment: Blob) -> str:
    """The kernel's command line, also for a direct kernel start."""
    settings = decision.effective.settings if decision.effective else DEFAULTS
    words = [f"{arguments.SERVER}={server}"]
    if decision.version:
        words.append(f"{arguments.CONTENT}={content(decision.version, node_segment)}")
    if mac:
        words.append(f"{arguments.BOOTIF}=01-{mac.replace(':', '-')}")
    words.extend(settings.kernel_arguments or ())
    words.extend(_console(settings))
    return " ".join(dict.fromkeys(words))


def _console(settings: Settings) -> list[str]:
    chosen = any(word.startswith("console=") for word in settings.kernel_arguments or ())
    if chosen or settings.serial_console is None:
        return []
    return ["console=tty0", f"console={settings.serial_console.device},{settings.serial_console.speed}"]


def _nothing_to_boot(reason: str) -> str:
    return "\n".join(
        [
            "#!ipxe",
            f"echo Muster: {_plain(reason)}" if reason else "echo Muster:",
            "echo Muster: no image is published on the controller yet, so there is no kernel to wait with",
            f"sleep {RETRY_SECONDS}",
            "exit",
            "",
        ]
    )


def _plain(text: str) -> str:
    """Text that iPXE prints as it is: no expansion, no operator."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in " .,:=/@_-()'" else " " for c in text)
