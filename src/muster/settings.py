"""muster.yaml: only what is needed before the store opens. Whatever is odd in it is an error with file and line."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from muster.host import files
from muster.model.errors import NotFoundError, RequestError

LOG_LEVELS = ("debug", "info", "warning", "error")
NFS_SERVERS = ("auto", "kernel", "ganesha", "off")
DEFAULT_USER = "muster"
UNPRIVILEGED = 1024
"""The first port that needs no privilege (ip(7))."""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}|\d{1,9}")


@dataclass(frozen=True)
class Settings:
    """`listen`: node-facing `ADDR:PORT` of nginx, all with one port. `app_port`: on loopback, for nginx to the app.

    `user`: a name or a numeric id, not root, that all services run as. `log_level`: one of LOG_LEVELS.
    `nfs`: who serves NFS to nodes, one of NFS_SERVERS. `nfs_port`: of nfs-ganesha; the kernel's server has its own.
    """

    listen: tuple[str, ...]
    app_port: int = 9899
    user: str = DEFAULT_USER
    log_level: str = "info"
    nfs: str = "auto"
    nfs_port: int = 2049

    @property
    def port(self) -> int:
        """The node-facing port."""
        return int(self.listen[0].rpartition(":")[2])


def read(path: Path) -> Settings:
    """Raises NotFoundError without the file, RequestError naming file, line and key for anything odd in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path), hint="muster init --listen ADDR:PORT") from error
    except UnicodeDecodeError as error:
        raise RequestError("not UTF-8 text", where=str(path)) from error
    return _Reader(path).settings(text)


def check(
    listen: tuple[str, ...],
    app_port: str,
    user: str,
    log_level: str = Settings.log_level,
    nfs: str = Settings.nfs,
    nfs_port: str = str(Settings.nfs_port),
) -> Settings:
    """Settings from plain texts. Raises ValueError saying `KEY: what is wrong`."""
    if not listen:
        raise ValueError("listen: at least one ADDR:PORT is needed")
    ports = {_address(each) for each in listen}
    if len(ports) > 1:
        raise ValueError("listen: all addresses need the same port, because the loaders know only one")
    if len(set(listen)) < len(listen):
        raise ValueError("listen: an address is there twice")
    if _port("app_port", app_port) in ports:
        raise ValueError("app_port: must differ from the port of listen")
    if not _USER.fullmatch(user) or user in ("root", "0"):
        raise ValueError(f"user: not a user name or numeric id without root: {user!r}")
    if log_level not in LOG_LEVELS:
        raise ValueError(f"log_level: {log_level!r} is none of {', '.join(LOG_LEVELS)}")
    if nfs not in NFS_SERVERS:
        raise ValueError(f"nfs: {nfs!r} is none of {', '.join(NFS_SERVERS)}")
    if _port("nfs_port", nfs_port) < UNPRIVILEGED:
        raise ValueError(f"nfs_port: from {UNPRIVILEGED} on, because the server does not run as root")
    if int(nfs_port) in ports or int(nfs_port) == int(app_port):
        raise ValueError("nfs_port: must differ from the port of listen and from app_port")
    return Settings(listen, int(app_port), user, log_level, nfs, int(nfs_port))


def write_default(path: Path, settings: Settings) -> None:
    """A commented muster.yaml with these values."""
    listen = ", ".join(f'"{address}"' for address in settings.listen)
    text = f"""\
# What muster serve needs before its store opens. Everything else is an object: muster export.
# Node-facing HTTP addresses of this controller, all with the same port.
listen: [{listen}]
# Loopback port between nginx and the app.
app_port: {settings.app_port}
# All services run as this user (name or numeric id), never as root.
user: {settings.user}
# {", ".join(LOG_LEVELS)}
log_level: {settings.log_level}
# Who serves NFS, for nodes with root nfs or tmpfs. auto: the kernel's server where one runs already, else nfs-ganesha,
# started when a node needs it. kernel or ganesha: only that one. off: nobody.
nfs: {settings.nfs}
# Port of nfs-ganesha.
nfs_port: {settings.nfs_port}
"""
    files.write_atomic(path, text.encode())


class _Reader:
    """One reading of one file, with its name at hand for errors."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def settings(self, text: str) -> Settings:
        values, lines = self._mapping(text)
        listen = values.pop("listen", ())
        if not isinstance(listen, tuple):
            listen = (listen,)
        plain: dict[str, str] = {}
        for key, value in values.items():
            if isinstance(value, tuple):
                self._fail(f"{key}: one value is wanted, not a list", lines[key])
            plain[key] = value
        try:
            return check(
                listen,
                plain.get("app_port", str(Settings.app_port)),
                plain.get("user", Settings.user),
                plain.get("log_level", Settings.log_level),
                plain.get("nfs", Settings.nfs),
                plain.get("nfs_port", str(Settings.nfs_port)),
            )
        except ValueError as error:
            self._fail(str(error), lines.get(str(error).partition(":")[0], 1))

    def _mapping(self, text: str) -> tuple[dict[str, str | tuple[str, ...]], dict[str, int]]:
        try:
            root = yaml.compose(text, Loader=yaml.CBaseLoader)
        except yaml.MarkedYAMLError as error:
            self._fail(str(error.problem), error.problem_mark.line + 1 if error.problem_mark else 1)
        except yaml.YAMLError as error:
            self._fail(str(error), 1)
        if not isinstance(root, yaml.MappingNode):
            self._fail("`key: value` lines are wanted", 1)
        values: dict[str, str | tuple[str, ...]] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in root.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key not in Settings.__dataclass_fields__:
                self._fail(f"unknown key {key!r}: known are {', '.join(Settings.__dataclass_fields__)}", line)
            if key in values:
                self._fail(f"{key}: is there twice", line)
            values[key], lines[key] = self._value(key, value_node, line), line
        return values, lines

    def _value(self, key: str, node: yaml.Node, line: int) -> str | tuple[str, ...]:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        listed = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(each, yaml.ScalarNode) for each in listed):
            self._fail(f"{key}: a value or a list of values is wanted", line)
        return tuple(str(each.value) for each in listed)

    def _fail(self, message: str, line: int) -> NoReturn:
        raise RequestError(message, where=f"{self.path}:{line}")


def _address(text: str) -> int:
    host, colon, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise ValueError(f"listen: ADDR:PORT with a numeric address is wanted, not {text!r}") from error
    if not colon or (address.version == 6) != (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"listen: ADDR:PORT or [IPV6]:PORT is wanted, not {text!r}")
    return _port("listen", port)


def _port(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{key}: a port from 1 to 65535 is wanted, not {text!r}")
    return int(text)
