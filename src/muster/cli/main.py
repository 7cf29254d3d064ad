"""The command line's top: nouns and verbs are loaded only when they are asked for."""

import importlib
import os
import sys
from types import TracebackType
from typing import Any

import click

from muster.cli.ranges import file_hint
from muster.cli.session import Session
from muster.client import ClientError
from muster.host.paths import Paths
from muster.model.errors import EXIT_BAD_REQUEST, EXIT_OUR_FAULT, MusterError

COMMANDS = {
    "init": "muster.cli.init:init",
    "serve": "muster.cli.serve:serve",
    "apply": "muster.cli.declaration:apply",
    "diff": "muster.cli.declaration:diff",
    "export": "muster.cli.declaration:export",
    "schema": "muster.cli.schema:schema",
    "backup": "muster.cli.backup:backup",
    "restore": "muster.cli.backup:restore",
    "status": "muster.cli.overview:status",
    "watch": "muster.cli.overview:watch",
    "audit": "muster.cli.audit:audit",
    "doctor": "muster.cli.doctor:doctor",
    "completion": "muster.cli.completion:completion",
    "version": "muster.cli.overview:version",
    "node": "muster.cli.node:node",
    "profile": "muster.cli.profile:profile",
    "network": "muster.cli.network:network",
    "image": "muster.cli.image:image",
    "noderange": "muster.cli.noderange:noderange",
    "lab": "muster.cli.lab:lab",
}

COMPLETING = "_MUSTER_COMPLETE"
"""The variable by which a shell asks for completions."""


class _Lazy(click.Group):
    """A group whose commands live in modules of their own, imported by need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx  # the same in every context
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--prefix", default=None, help="Root of configuration, state and run-time (MUSTER_PREFIX; default /).")
@click.pass_context
def muster(context: click.Context, prefix: str | None) -> None:
    """Provision clusters: bare machines become running nodes over the network."""
    context.obj = Session(Paths.of(prefix))


def main(arguments: list[str] | None = None) -> Any:
    """Run one command; every error becomes a message on standard error and an exit status (DESIGN section 12)."""
    sys.excepthook = _our_fault
    if COMPLETING in os.environ:  # click answers the shell and exits
        from muster.cli import shells

        shells.register()
    try:
        status = muster.main(arguments, prog_name="muster", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        named = [word for word in (arguments or sys.argv[1:]) if word in error.format_message()]
        if hint := file_hint(named):
            click.echo(f"  hint: {hint}", err=True)
        sys.exit(EXIT_BAD_REQUEST)
    except ClientError as error:
        _fail(str(error), error.exit_status)
    except MusterError as error:
        _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_OUR_FAULT)
    sys.exit(status if isinstance(status, int) else 0)


def _our_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that nobody expected: shown whole, and exit status 3 instead of Python's 1."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(EXIT_OUR_FAULT)


def _fail(message: str, status: int) -> None:
    click.echo(f"muster: {message}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
