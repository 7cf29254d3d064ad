"""`muster completion`: the script that teaches a shell to complete muster's words."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; scripts/install puts it where the shells look.

    For the running bash: source <(muster completion bash)
    """
    from muster.cli.main import COMPLETING
    from muster.cli.shells import SHELLS

    handler = SHELLS[shell](context.find_root().command, {}, "muster", COMPLETING)
    click.echo(handler.source_template % handler.source_vars(), nl=False)
