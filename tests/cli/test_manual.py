"""Every word of the command line is explained, and the pages made of that are well-formed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from muster.cli import manual
from muster.cli.main import COMMANDS
from muster.cli.main import muster as top
from muster.host import process


def commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            assert inner is not None
            yield from commands(click.Context(inner, info_name=name, parent=context))


ALL = list(commands(click.Context(top, info_name="muster")))


@pytest.mark.parametrize("context", ALL, ids=lambda context: context.command_path)
def test_every_command_and_every_option_says_what_it_does(context: click.Context) -> None:
    assert context.command.help and len(context.command.help) > 8
    for parameter in context.command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and len(parameter.help) > 3, f"{context.command_path} {parameter.opts}"


def test_a_page_for_each_and_every_verb_and_option_on_it() -> None:
    pages = manual.pages()
    assert set(pages) == {"muster.1", *(f"muster-{name}.1" for name in COMMANDS)}
    for context in ALL[1:]:
        words = context.command_path.split()
        page = pages[f"muster-{words[1]}.1"]
        for word in (" ".join(words), *(opt for p in context.command.params for opt in p.opts if opt[0] == "-")):
            assert word.replace("-", r"\-") in page, (word, words)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    manual.main([str(tmp_path / "a" / "man")])
    manual.main([str(tmp_path / "b")])
    for path in (tmp_path / "b").iterdir():
        assert path.read_bytes() == (tmp_path / "a" / "man" / path.name).read_bytes()


def test_what_looks_like_a_request_is_text() -> None:
    assert manual._text(".SH x") == r"\&.SH x" and manual._text("a\\b --c") == r"a\eb \-\-c"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_renders_them_without_a_warning(tmp_path: Path) -> None:
    manual.main([str(tmp_path)])
    for path in sorted(tmp_path.iterdir()):
        shown = process.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], check=False)
        assert (shown.status, shown.stderr) == (0, b""), path.name
    said = process.run(["groff", "-man", "-Tascii", "-P-cbou", tmp_path / "muster-node.1"]).text
    assert "muster node set" in said and "--dry-run" in said
