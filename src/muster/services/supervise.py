"""`muster serve`: prepare this machine, start the children, keep them running, end them together.

One thread, one loop. Children must be started by the main thread, because their death signal is bound to
the thread that started them (prctl(2), PR_SET_PDEATHSIG). No web imports here.
"""

import io
import json
import os
import resource
import secrets
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from muster.host import files
from muster.host.clock import Clock, SystemClock
from muster.host.paths import Paths
from muster.model.errors import MusterError, RequestError
from muster.services import ganesha, kernel_nfs, loaders, nfs, nginx
from muster.services.child import NGINX_CONFIG, Child, children
from muster.services.nfs import Service
from muster.services.prepare import Account, prepare
from muster.services.running import Running
from muster.settings import Settings

LOCK = "serve.lock"
STATE = "supervisor.json"
PROGRAMS = {"setpriv": "util-linux", "unshare": "util-linux", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"}
OPEN_FILES = 262_144
NGINX_WORKERS = 4


def serve(paths: Paths, settings: Settings) -> int:
    """Run the controller until SIGTERM or SIGINT; the exit status.

    Raises RequestError without root, ConflictError when one runs already, MusterError when a program is missing.
    """
    if os.geteuid() != 0:
        raise RequestError("muster serve starts as root, to give its children less", hint="sudo muster serve")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the locale, a child's words must not end us
    owner = prepare(paths, settings.user)
    with files.locked(paths.run / LOCK, holder="muster serve"):
        _need_programs()
        _raise_file_limit()
        loaders.install(paths.tftp, settings.port)
        key = secrets.token_urlsafe(32)
        _write_nginx(paths, settings, key, owner)
        started = children(paths, settings, key, _nfs_service(paths, settings))
        Supervisor(started, owner, paths.run / STATE, SystemClock()).run()
    return 0


class Supervisor:
    """Keeps `children` running as `owner` and writes what they do to `state_file` (JSON, at every change)."""

    def __init__(self, children: Sequence[Child], owner: Account, state_file: Path, clock: Clock) -> None:
        self._running = [Running(child, owner, say) for child in children]
        self._state_file = state_file
        self._commanded = {r.child.name: r for r in self._running if r.child.commands}
        self._clock = clock
        self._stopping = False
        self._published: object = None

    def run(self) -> None:
        """Until SIGTERM or SIGINT; at return nothing of the children runs."""
        with self._signals() as wake:
            while not self._stopping:
                self._turn(wake)
            for running in reversed(self._running):
                running.stop(self._clock.monotonic())
                while not running.over:
                    self._turn(wake)
            say("muster", "all services ended")

    def _turn(self, wake: socket.socket) -> None:
        for running in self._running:
            running.step(self._clock.monotonic())
        self._publish()
        heard: dict[int, Callable[[], None]] = {wake.fileno(): lambda: _drain(wake)}
        for running in self._running:
            if running.output is not None:
                heard[running.output] = running.read
            if running.control is not None:
                heard[running.control.fileno()] = partial(self._obey, running)
        poll = select.poll()
        for descriptor in heard:
            poll.register(descriptor, select.POLLIN)
        due = 0.02 if self._stopping else min(running.due(self._clock.monotonic()) for running in self._running)
        for descriptor, _ in poll.poll(due * 1000):
            heard[descriptor]()

    def _obey(self, sender: Running) -> None:
        """Carry out the lines that the app sent: `reload|restart|stop CHILD`."""
        for line in sender.hear():
            if not self._command(line.split()):
                say("muster", f"ignored from {sender.child.name}: {line!r}")

    def _command(self, words: Sequence[str]) -> bool:
        match list(words):
            case [verb, name] if name in self._commanded:
                running, now = self._commanded[name], self._clock.monotonic()
            case _:
                return False
        match verb:
            case "reload":
                running.reload()
            case "restart":
                running.restart(now)
            case "stop":
                running.stop(now)
            case _:
                return False
        return True

    def _publish(self) -> None:
        state = [
            {"name": r.child.name, "state": r.state, "pid": r.pid, "starts": r.starts, "last_exit": r.last_exit}
            for r in self._running
        ]
        if state == self._published:
            return
        if all(r.state in ("ready", "waiting", "stopped") for r in self._running) and not self._stopping:
            say("muster", "; ".join(f"{r.child.name} {r.state}" for r in self._running))
        self._published = state
        text = json.dumps({"pid": os.getpid(), "children": state}, indent=1)
        try:
            files.write_atomic(self._state_file, text.encode() + b"\n")
        except OSError as error:  # a full /run is no reason to end the services
            say("muster", f"cannot write {self._state_file}: {error.strerror}")

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Signals wake the loop through a socket. SIGHUP has a handler, not SIG_IGN, which children would inherit."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        wanted = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: _nothing,
            signal.SIGCHLD: _nothing,
        }
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True


def say(name: str, line: str) -> None:
    """One line of output, after the name of who says it."""
    sys.stdout.write(f"{name}: {line}\n")
    sys.stdout.flush()


def _nothing(_number: int, _frame: object) -> None:
    """Being woken is all."""


def _drain(wake: socket.socket) -> None:
    wake.recv(4096)


def _need_programs() -> None:
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        raise MusterError("programs are missing on this machine", hint=f"apt-get install {' '.join(sorted(missing))}")


def _raise_file_limit() -> None:
    """A held poll takes two descriptors in nginx and one in the app; take as many as we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(OPEN_FILES, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return
        except (ValueError, PermissionError):
            continue


def _nfs_service(paths: Paths, settings: Settings) -> Service:
    """Who serves NFS from now on. What an earlier run exported by the kernel's server goes, unless that serves on."""
    kernel = kernel_nfs.found()
    service = nfs.choose(settings.nfs, settings.nfs_port, kernel, ganesha=ganesha.installed() is not None)
    if service.server != "kernel" or not (paths.run / nfs.WANTED).exists():
        try:
            kernel_nfs.withdraw(paths)
        except (MusterError, OSError) as error:
            say("muster", f"exports of an earlier run stay: {error}")
    return service


def _write_nginx(paths: Paths, settings: Settings, key: str, owner: Account) -> None:
    """Root's file, readable by the services' user only: it holds the key of this run."""
    folders = nginx.NginxFolders(run=paths.nginx, blobs=paths.blobs, tftp=paths.tftp)
    workers = min(os.cpu_count() or 1, NGINX_WORKERS)
    text = nginx.render(settings.listen, settings.app_port, key, folders, workers=workers)
    with files.aside(paths.run / NGINX_CONFIG, mode=0o640) as file:
        os.fchown(file.fileno(), 0, owner.gid)
        file.write(text.encode())
