"""`muster doctor`: checks the controller of this machine, also when it does not run."""

import click

from muster.cli import output
from muster.cli.session import Session, form_option, pass_session
from muster.model.errors import EXIT_OK, EXIT_SOME_FAILED

COLUMNS = ("check", "level", "where", "message", "hint")
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Ask no package mirror.")
@click.option("--deep", is_flag=True, help="Read every blob and compare its hash; takes a while.")
@form_option
@pass_session
def doctor(session: Session, offline: bool, deep: bool, form: str) -> int:
    """Check this controller: what is wrong, where, and what to do.

    Works without a running controller; run it as root, who sees everything. On every interface on which we answer
    DHCP it asks once who else does. Exit status 1 when something is a problem, 0 when there are warnings at most.
    """
    from muster.doctor.checks import examine, patient_of

    rows = []
    for result in examine(patient_of(session.paths, offline=offline, deep=deep)):
        found = result.finding
        rows.append(
            {
                "check": result.check,
                "level": found.level,
                "where": found.where,
                "message": found.message,
                "hint": found.hint,
            }
        )
        if form == "table":
            click.echo(_words(rows[-1]))
    problems = [row for row in rows if row["level"] == "problem"]
    warnings = [row for row in rows if row["level"] == "warning"]
    if form == "table":
        click.echo(f"\n{len(problems)} problems, {len(warnings)} warnings")
    elif form == "name":
        click.echo(
            "".join(f"{name}\n" for name in dict.fromkeys(row["check"] for row in problems + warnings)), nl=False
        )
    else:
        click.echo(output.listing(rows, COLUMNS, form), nl=False)
    return EXIT_SOME_FAILED if problems else EXIT_OK


def _words(row: dict[str, str]) -> str:
    """`LEVEL  CHECK  WHERE: MESSAGE`, and what to do below it."""
    level = click.style(f"{row['level']:<7}", fg=_COLOURS[row["level"]])
    where = "" if row["where"] == row["check"] else f"{row['where']}: "
    line = f"{level}  {row['check']:<13}  {where}{row['message']}"
    return line if not row["hint"] else f"{line}\n{'':24} {row['hint']}"
