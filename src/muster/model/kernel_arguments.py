"""The kernel arguments that Muster's initramfs understands: the one list."""

SERVER = "muster.server"
"""`muster.server=http://ADDRESS:PORT`: the one address a node knows."""

BREAK = "muster.break"
"""`muster.break=STAGE`: a shell on the console before that stage."""

DEBUG = "muster.debug"
"""`muster.debug`: trace the initramfs on the console."""

BOOTIF = "BOOTIF"
"""`BOOTIF=01-52-54-00-12-34-56`: hardware type and MAC of the interface that the loader used."""

RESERVED = (SERVER, BOOTIF)
"""Set by the controller; a profile or node may not."""
