"""`muster schema`: what a declaration may say, as JSON Schema for editors; from a shipped file, no server is asked."""

import json
from pathlib import Path

import click

from muster.cli import output
from muster.model.errors import NotFoundError

FILE = Path(__file__).with_name("schema.json")
"""Made from the model by the test that compares them (tests/model/test_schema.py)."""


@click.command()
@click.argument("kind", required=False)
def schema(kind: str | None) -> None:
    """Print the JSON Schema of all declared kinds, or of KIND.

    Editors with yaml-language-server take it from a comment at the top of a file:

    # yaml-language-server: $schema=muster.schema.json
    """
    whole = json.loads(FILE.read_text())
    if kind is None:
        click.echo(FILE.read_text(), nl=False)
        return
    if kind not in whole["discriminator"]["mapping"]:
        known = ", ".join(whole["discriminator"]["mapping"])
        raise NotFoundError(f"there is no declared kind {kind!r}", hint=f"the kinds are {known}")
    one = {key: value for key, value in whole.items() if key not in ("oneOf", "discriminator")}
    click.echo(output.as_json({**one, "$ref": whole["discriminator"]["mapping"][kind]}), nl=False)
