"""lint: finds what is wrong with migration files."""

from __future__ import annotations

from pathlib import Path

import click

from dataops import outfile
from dataops.cli.session import Session, checkout, command
from dataops.errors import ExitCode, UsageError
from dataops.show import paragraphs, writers
from dataops.show.reports import LintReport
from dataops.text import on_one_line

_FORMATS = ["text", *writers("lint")]


@command("lint", databases=False)
@click.option(
    "--base",
    metavar="REV",
    help="A git revision, for example origin/main: its migrations must not be changed, and new ones are checked.",
)
@click.option("--all", "old_files_too", is_flag=True, help="With --base: also what is wrong with unchanged files.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", help="The format of the output. Default: text."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the output to FILE, and text to stdout."
)
@click.option("--no-squawk", is_flag=True, help="Do not let squawk read the SQL of PostgreSQL migrations.")
def lint_command(
    session: Session, base: str | None, old_files_too: bool, form: str, out: Path | None, no_squawk: bool
) -> ExitCode:
    """Find what is wrong with migration files (dataops docs rules). Exit 7 for an error, 4 if a file cannot run.

    Needs no database.

    \b
    Example:
      dataops lint --base origin/main
      dataops lint --format sarif --out lint.sarif
    """
    from dataops import lint

    if session.as_json and form not in ("text", "json") and out is None:
        raise UsageError(f"--json and --format {form} cannot both go to stdout", hint="give the second a file: --out")
    config = session.config(with_urls=False, with_files=False)
    with session.sandbox() as sandbox:
        found = lint.lint(
            config.services,
            sandbox,
            base=base,
            old_files_too=old_files_too,
            ask_squawk=not no_squawk,
            settings=config.lint,
        )
    code = ExitCode.INVALID if found.fails else ExitCode.BLOCKED if found.errors else ExitCode.OK
    root = checkout(config.path.parent)
    report = LintReport(found, root, code)
    lines = paragraphs.lint_lines(found, Path.cwd() if form == "text" else root)
    written = (
        "".join(f"{on_one_line(line)}\n" for line, _ in lines) if form == "text" else writers("lint")[form](report)
    )
    if session.as_json:
        session.console.answer(writers("lint")["json"](report))
    elif form == "text" or out is not None:
        session.console.data(lines)
    else:
        session.console.answer(written)
        session.console.say(paragraphs.lint_summary(found))
    if found.findings:
        session.console.say("what each means: dataops explain CODE; how to ignore one for a reason: dataops docs rules")
    if base is None:
        session.console.say("not compared with what stands elsewhere: --base origin/main")
    if found.left_out:
        session.console.say("left out is what is wrong with files that are the same in the base: --all shows it")
    if out is not None:
        outfile.write(out, written, hint="name a file that can be written")
    return code
