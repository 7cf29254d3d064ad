"""The only door to other programs: nothing else in Muster imports subprocess.

A failure carries the command as a line that can be pasted into a shell to see it again.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from muster.model.errors import CommandError

Argument = str | os.PathLike[str]
STDERR_TAIL = 2000
Handle = subprocess.Popen[bytes]
"""A program that was started: what others need of the type, without importing subprocess."""


@dataclass(frozen=True)
class Finished:
    """What a program left behind: exit status and its two outputs."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Finished:
    """Run a program to its end. `env` is laid over our own environment; `timeout` is in seconds.

    Raises CommandError when the program is missing, runs out of time or (with `check`) exits non-zero.
    """
    data = stdin if isinstance(stdin, bytes) else None
    try:
        with subprocess.Popen(
            [os.fspath(a) for a in argv],
            stdin=subprocess.PIPE if isinstance(stdin, bytes) else (stdin or subprocess.DEVNULL),
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(env),
            cwd=cwd,
        ) as process:
            try:
                out, err = process.communicate(data, timeout=timeout)
            except BaseException:
                process.kill()
                raise
    except FileNotFoundError as error:
        raise CommandError(f"program not found: {argv[0]}", hint=_paste(argv)) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"still running after {timeout:g} s: {_paste(argv)}") from error
    finished = Finished(process.returncode, out or b"", err or b"")
    if check and finished.status:
        tail = finished.stderr[-STDERR_TAIL:].decode(errors="replace").strip()
        raise CommandError(f"exit status {finished.status} from: {_paste(argv)}\n{tail}")
    return finished


def start(
    argv: Sequence[Argument],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    own_session: bool = False,
) -> Handle:
    """Start a program and return its handle; the caller waits for it or ends it.

    Raises CommandError when the program is missing.
    """
    try:
        return subprocess.Popen(
            [os.fspath(a) for a in argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=own_session,
        )
    except FileNotFoundError as error:
        raise CommandError(f"program not found: {argv[0]}", hint=_paste(argv)) from error


@contextmanager
def piped(
    argv: Sequence[Argument], *, stdin: IO[bytes] | None = None, env: Mapping[str, str] | None = None
) -> Iterator[IO[bytes]]:
    """Run a program and read its output as it comes; a bad exit status raises at the end of the block."""
    process = start(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        tail = process.stderr.read()[-STDERR_TAIL:].decode(errors="replace").strip()
    if process.returncode:
        raise CommandError(f"exit status {process.returncode} from: {_paste(argv)}\n{tail}")


def replace(argv: Sequence[Argument], *, env: Mapping[str, str] | None = None) -> None:
    """Become another program (execvpe): returns only by raising CommandError."""
    arguments = [os.fspath(a) for a in argv]
    try:
        os.execvpe(arguments[0], arguments, _environment(env) or dict(os.environ))
    except OSError as error:
        raise CommandError(f"cannot run {arguments[0]}: {error.strerror}", hint=_paste(argv)) from error


def _paste(argv: Sequence[Argument]) -> str:
    return shlex.join(os.fspath(a) for a in argv)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return {**os.environ, **extra} if extra is not None else None
