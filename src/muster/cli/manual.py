"""Man pages from the commands themselves: `python -m muster.cli.manual FOLDER` writes muster.1 and a page a noun.

The macros are those of man(7), as groff and mandoc both have them. The bytes depend on the commands alone.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

import muster
from muster.cli.main import muster as top

_STATUSES = (
    ("0", "All was done."),
    ("1", "Some nodes failed, each is named; or muster doctor found a problem."),
    ("2", "The request was wrong; nothing was changed."),
    ("3", "The controller cannot be reached, or it is our fault."),
)
_FILES = (
    ("/etc/muster/muster.yaml", "What the controller needs before its store opens."),
    ("/var/lib/muster", "Objects, blobs, images, secrets."),
    ("/run/muster/api.sock", "Where the commands ask; who may open it is administrator."),
)

_ENVIRONMENT = (("MUSTER_PREFIX", "As --prefix: the root of configuration, state and run-time."),)


def pages() -> dict[str, str]:
    """Every page by its file name."""
    context = click.Context(top, info_name="muster")
    commands = [(name, top.get_command(context, name)) for name in top.list_commands(context)]
    found = {"muster.1": _top(context, [(name, c) for name, c in commands if c is not None])}
    for name, command in commands:
        if command is not None:
            child = click.Context(command, info_name=name, parent=context)
            found[f"muster-{name}.1"] = _page(child)
    return found


def main(arguments: list[str]) -> None:
    """Write all pages into a folder."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _top(context: click.Context, commands: list[tuple[str, click.Command]]) -> str:
    lines = [*_head("muster", context.command), ".SH SYNOPSIS", *_synopsis(context), ".SH DESCRIPTION"]
    lines += [*_paragraphs(context.command), *_options(context), ".SH COMMANDS"]
    for name, command in commands:
        lines += [".TP", rf"\fBmuster\-{_text(name)}\fR(1)", _text(_summary(command))]
    lines += [".SH EXIT STATUS", *_terms(_STATUSES), ".SH FILES", *_terms(_FILES)]
    lines += [".SH ENVIRONMENT", *_terms(_ENVIRONMENT)]
    lines += [".SH SEE ALSO", ", ".join(rf"\fBmuster\-{_text(name)}\fR(1)" for name, _ in commands)]
    return "\n".join(lines) + "\n"


def _page(context: click.Context) -> str:
    """One noun with its verbs, or a verb of its own."""
    command = context.command
    lines = [*_head(context.command_path.replace(" ", "-"), command), ".SH SYNOPSIS", *_synopsis(context)]
    lines += [".SH DESCRIPTION", *_paragraphs(command), *_options(context)]
    if isinstance(command, click.Group):
        lines.append(".SH VERBS")
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            if inner is not None:
                child = click.Context(inner, info_name=verb, parent=context)
                lines += [f".SS {_text(verb)}", *_synopsis(child), ".PP", *_paragraphs(inner), *_options(child, ".PP")]
    lines += [".SH SEE ALSO", r"\fBmuster\fR(1)"]
    return "\n".join(lines) + "\n"


def _head(name: str, command: click.Command) -> list[str]:
    title = _text(name.upper())
    summary = _text(_summary(command).rstrip("."))
    return [f'.TH {title} 1 "" "muster {muster.__version__}" "Muster"', ".SH NAME", rf"{_text(name)} \- {summary}"]


def _synopsis(context: click.Context) -> list[str]:
    words = " ".join(context.command.collect_usage_pieces(context))
    return [rf"\fB{_text(context.command_path)}\fR {_text(words)}"]


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200)


def _paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    found = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]
    return "\n.PP\n".join(_text(paragraph) for paragraph in found).splitlines()


def _options(context: click.Context, heading: str = ".SH OPTIONS") -> list[str]:
    named = [p for p in context.command.params if isinstance(p, click.Option)]
    records = [record for p in named if (record := p.get_help_record(context))]
    return [heading, *_terms(records)] if records else []


def _terms(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield from (".TP", rf"\fB{_text(term)}\fR", _text(text))


def _text(words: str) -> str:
    """Words as they are meant: nothing in them is a request or an escape of roff."""
    plain = words.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("'", r"\(aq")
    plain = plain.replace("^", r"\(ha").replace("~", r"\(ti")
    return rf"\&{plain}" if plain.startswith(".") else plain


if __name__ == "__main__":
    main(sys.argv[1:])
