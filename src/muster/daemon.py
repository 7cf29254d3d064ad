"""The composition root: builds the app from a prefix and runs it. The supervisor starts this module as `app`."""

import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

import muster
from muster import settings as settings_file
from muster.boot.roots import NfsServer
from muster.controller import dhcp, nfs
from muster.controller.boots import Boots
from muster.controller.context import Context
from muster.host.clock import Clock, SystemClock
from muster.host.files import sha256_file, write_atomic
from muster.host.paths import Paths
from muster.images import initramfs, kits
from muster.model.errors import MusterError, StoreError
from muster.model.kits import KITS
from muster.model.objects import Blob
from muster.model.world import World
from muster.overlays.library import Overlays
from muster.server.api import api_app
from muster.server.events import Events
from muster.server.nodes import nodes_app
from muster.services import nfs as nfs_service
from muster.services.child import CONTROL_FD, KEY, NFS, nfs_names
from muster.services.dhcp_keeper import DhcpKeeper, DnsmasqFiles
from muster.services.keeper import Keeper
from muster.services.nfs import Service
from muster.services.nfs_keeper import NfsKeeper
from muster.services.prepare import TOKEN_KEY
from muster.settings import Settings
from muster.store.blobs import Blobs
from muster.store.database import Store
from muster.store.timelines import Timelines

_UCRED = 12

log = logging.getLogger("muster.app")


@dataclass(frozen=True)
class Daemon:
    """Everything that lives as long as the app."""

    paths: Paths
    settings: Settings
    context: Context
    keepers: tuple[Keeper, ...]

    def close(self) -> None:
        for keeper in self.keepers:
            keeper.close()
        self.context.overlays.close()
        self.context.boots.close()
        self.context.store.close()


def build(paths: Paths, clock: Clock, tell: Callable[[str], None], service: Service) -> Daemon:
    """Open the store and put the controller together; `tell` sends a command to the supervisor.

    `service`: who serves NFS, as the supervisor chose.
    """
    settings = settings_file.read(paths.config)
    store = Store(paths.store, clock)
    blobs = Blobs(paths.blobs)
    context = Context(
        store=store,
        blobs=blobs,
        boots=Boots(Timelines(paths.boots), clock, lambda: secrets.token_hex(8)),
        overlays=Overlays(paths.etc / "overlays"),
        clock=clock,
        token_key=_token_key(paths),
        node_segment=_node_segment(paths, blobs),
        site=_site(paths),
        kits=_kits(paths, blobs),
        nfs=_nfs_server(paths, service),
        no_nfs=service.reason,
    )
    files = DnsmasqFiles(paths.dnsmasq, paths.tftp, settings.port)
    keepers = (
        DhcpKeeper(files, dhcp.Known(lambda: store.world).tables, tell),
        NfsKeeper(paths, nfs_names(settings, service), lambda: nfs.wanted(store.world), tell),
    )

    def changed(_world: World) -> None:
        for keeper in keepers:
            keeper.poke()

    store.subscribe(changed)
    return Daemon(paths, settings, context, keepers)


async def serve(daemon: Daemon, key: str) -> None:
    """Serve nodes on loopback and administrators on the unix socket until SIGTERM or SIGINT."""
    events = Events(daemon.context.store)
    nodes = _server(nodes_app(daemon.context, events, key), daemon.settings)
    base = f"http://{daemon.settings.listen[0]}"
    administrators = _server(api_app(daemon.context, base, events), daemon.settings, protocol=_PeerProtocol)
    listening = socket.create_server(("127.0.0.1", daemon.settings.app_port), backlog=4096)
    local = _unix_socket(daemon.paths.socket)
    for keeper in daemon.keepers:
        keeper.start()

    def stop() -> None:
        events.close()
        daemon.context.orders.close()
        nodes.should_exit = administrators.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    log.info("serving nodes behind nginx on %s, administrators on %s", base, daemon.paths.socket)
    await asyncio.gather(nodes.serve(sockets=[listening]), administrators.serve(sockets=[local]))


def main(arguments: list[str] | None = None) -> int:
    """`python -m muster.daemon --prefix PREFIX`: run the app; key and control channel are in the environment."""
    words = arguments if arguments is not None else sys.argv[1:]
    paths = Paths.of(words[words.index("--prefix") + 1] if "--prefix" in words else None)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    try:
        key = os.environ.pop(KEY)
        service = Service.from_text(os.environ.pop(NFS, ""))
        daemon = build(paths, SystemClock(), _supervisor_channel(), service)
        gc.freeze()  # the collector need not look through a large world again and again
    except MusterError as error:
        log.error("cannot start: %s", error)
        return error.exit_status
    logging.getLogger().setLevel(daemon.settings.log_level.upper())
    try:
        asyncio.run(serve(daemon, key))
    finally:
        daemon.close()
    return 0


class _Server(uvicorn.Server):
    """Signals belong to `serve`, which stops two of these."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _PeerProtocol(H11Protocol):
    """Tells the app who is on the other end of the unix socket (SO_PEERCRED, unix(7))."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED)
        self.client = ("unix", int.from_bytes(credentials[4:8], sys.byteorder))


def _server(app: ASGIApp, settings: Settings, protocol: type[H11Protocol] = H11Protocol) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level=settings.log_level,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        backlog=4096,
    )
    return _Server(config)


def _unix_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    local.bind(str(path))
    path.chmod(0o660)
    local.listen(128)
    return local


def _supervisor_channel() -> Callable[[str], None]:
    """The inherited end of the supervisor's control channel; without one (a test) commands go nowhere."""
    number = os.environ.pop(CONTROL_FD, "")
    if not number:
        return lambda command: log.warning("no supervisor to tell: %s", command)
    channel = socket.socket(fileno=int(number))

    def tell(command: str) -> None:
        try:
            channel.sendall(f"{command}\n".encode())
        except OSError as error:
            log.error("the supervisor does not listen (%s): %s", error.strerror, command)

    return tell


def _token_key(paths: Paths) -> bytes:
    path = paths.secrets / TOKEN_KEY
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"the key of node tokens cannot be read: {error.strerror}", where=str(path)) from error
    if len(key) < 32:
        raise StoreError("the key of node tokens is too short", where=str(path), hint="muster init draws one")
    return key


def _nfs_server(paths: Paths, service: Service) -> NfsServer | None:
    """What plans say of the NFS service: the port, and the folders as nodes mount them."""
    if service.server is None:
        return None
    blobs = str(nfs_service.blobs_folder(paths))
    return NfsServer(service.port, blobs, lambda image: str(nfs_service.live_folder(paths, image)))


def _site(paths: Paths) -> str:
    """What tells this cluster from others, drawn once."""
    path = paths.state / "site"
    if not path.is_file():
        write_atomic(path, secrets.token_hex(16).encode())
    return path.read_text().strip()


def _node_segment(paths: Paths, blobs: Blobs) -> Blob:
    """This release's node segment of the initramfs."""
    inputs = {path.name: path for path in initramfs.node_inputs()}
    make = partial(initramfs.node_segment, release=muster.__version__)
    return _made(paths, blobs, "node-segment", _key(muster.__version__, inputs), make)


def _kits(paths: Paths, blobs: Blobs) -> dict[str, Blob]:
    """The kits whose programs are installed here."""
    found = {}
    for name in KITS:
        try:
            files = kits.files(name)
        except MusterError as error:
            log.warning("no kit %s, which some roots need: %s (%s)", name, error.message, error.hint)
            continue
        found[name] = _made(paths, blobs, f"kit-{name}", _key(muster.__version__, files), partial(kits.make, files))
    return found


def _key(release: str, inputs: Mapping[str, Path]) -> str:
    """A hash over our release, whose code makes something of the inputs, and their names and contents."""
    key = hashlib.sha256(release.encode())
    for name, path in inputs.items():
        key.update(f"\0{name}\0{sha256_file(path)[0]}".encode())
    return key.hexdigest()


def _made(paths: Paths, blobs: Blobs, name: str, key: str, make: Callable[[Path], Path]) -> Blob:
    """The blob that `make` writes, made anew only when its key is another than the remembered one."""
    remembered = paths.state / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(remembered.read_text())
        if known["key"] == key and blobs.has(known["sha256"]):
            return Blob(sha256=known["sha256"], size=known["size"])
    with tempfile.TemporaryDirectory(dir=paths.blobs) as folder:
        blob = blobs.put_file(make(Path(folder) / name))
    write_atomic(remembered, json.dumps({"key": key, "sha256": blob.sha256, "size": blob.size}).encode())
    return blob


if __name__ == "__main__":
    sys.exit(main())
