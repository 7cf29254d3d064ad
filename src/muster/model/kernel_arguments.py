"""The kernel arguments that Muster's initramfs understands: the one list."""

SERVER = "muster.server"
"""`muster.server=http://ADDRESS:PORT`: the one address a node knows."""

BREAK = "muster.break"
"""`muster.break=STAGE`: a shell on the console before that stage."""

DEBUG = "muster.debug"
"""`muster.debug`: trace the initramfs on the console."""

BOOTIF = "BOOTIF"
"""`BOOTIF=01-52-54-00-12-34-56`: hardware type and MAC of the interface that the loader used."""

CONTENT = "muster.content"
"""`muster.content=16HEX`: which kernel, drivers and initramfs these are (boot/content.py)."""

RESERVED = (SERVER, BOOTIF, CONTENT)
"""Set by the controller; a profile or node may not."""


def argument(command_line: str, name: str) -> str:
    """The value of the last `NAME=VALUE` on a command line, as the kernel itself takes it; empty when there is none."""
    values = [value for key, _, value in (word.partition("=") for word in command_line.split()) if key == name]
    return values[-1] if values else ""
