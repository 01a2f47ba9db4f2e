"""lint: finds what is wrong with migration files."""

from __future__ import annotations

from pathlib import Path

import click

from dataops.cli.session import Session, checkout, command, document, write_report
from dataops.errors import ExitCode, UsageError

_FORMATS = ["text", "json", "junit", "github", "sarif"]


@command("lint")
@click.option("--base", metavar="REV", help="A git revision whose migrations must not be changed: origin/main.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", help="The format of the output. Default: text."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the output to FILE, and text to stdout."
)
@click.option("--no-squawk", is_flag=True, help="Do not let squawk read the SQL of PostgreSQL migrations.")
def lint_command(session: Session, base: str | None, form: str, out: Path | None, no_squawk: bool) -> ExitCode:
    """Find what is wrong with migration files (docs/rules.md). Exit 7 if anything is. Needs no database.

    \b
    Example:
      dataops lint --base origin/main
      dataops lint --format sarif --out lint.sarif
    """
    from dataops import lint
    from dataops.show import lint as formats

    if session.as_json and form not in ("text", "json") and out is None:
        raise UsageError(f"--json and --format {form} cannot both go to stdout", hint="give the second a file: --out")
    config = session.config(with_urls=False, with_files=False)
    with session.running_files(only_planned=True):
        report = lint.lint(config.services, base=base, ask_squawk=not no_squawk)
    code = ExitCode.BLOCKED if report.errors else ExitCode.OK
    root = checkout(config.path.parent)
    words = formats.text(report, Path.cwd() if form == "text" else root)
    answer = document(formats.content(report, root), code)
    written = {
        "text": lambda: "".join(f"{line}\n" for line, _ in words),
        "json": lambda: answer,
        "junit": lambda: formats.as_junit(report, root),
        "github": lambda: formats.as_github(report, root),
        "sarif": lambda: formats.as_sarif(report, root),
    }[form]()
    if session.as_json:
        session.console.answer(answer)
    elif form == "text" or out is not None:
        session.console.data(words)
    else:
        session.console.answer(written)
        session.console.say(formats.summary(report))
    if report.findings:
        session.console.say("what each means, and how to ignore one for a reason: docs/rules.md")
    if base is None:
        session.console.say("not compared with what stands elsewhere: --base origin/main")
    if out is not None:
        write_report(out, written)
    return code
