"""explain: prints what docs/ says of a rule of lint, a hazard or an exit code."""

from __future__ import annotations

import click

from dataops import manual
from dataops.cli.session import Session, command
from dataops.errors import ExitCode, UsageError
from dataops.hazards import HAZARDS
from dataops.redaction import redact
from dataops.text import near


@command("explain", services=False)
@click.argument("what", metavar="RULE|HAZARD|exit")
@click.argument("number", metavar="[CODE]", required=False)
def explain_command(session: Session, what: str, number: str | None) -> None:
    """Explain a rule of lint, a hazard of a plan, or an exit code, from the documentation.

    Needs no network and no configuration.

    \b
    Example:
      dataops explain M010
      dataops explain squawk/ban-drop-column
      dataops explain blocks-reads
      dataops explain exit 6
    """
    if what.lower() == "exit":
        code, severity, title, text = _exit_code(number or "")
    elif number is not None:
        raise UsageError("one rule at a time", hint="or an exit code: dataops explain exit 6")
    elif what.lower() in HAZARDS:
        hazard = HAZARDS[what.lower()]
        code, severity, title = hazard.name, "a hazard", hazard.title
        text = manual.plain(manual.section("hazards.md", hazard.name))
    else:
        code, severity, title, text = _rule(what)
    if session.as_json:
        session.answer({"code": code, "severity": severity or None, "title": title, "text": text}, ExitCode.OK)
    else:
        about = f" ({severity})" if severity else ""
        session.console.data([(f"{code}{about}: {title}", "bold"), *((line, "") for line in ["", *text.splitlines()])])


def _rule(name: str) -> tuple[str, str, str, str]:
    from dataops.lint import RULES, squawk

    if name.lower().startswith("squawk/"):
        of_squawk = name.lower().removeprefix("squawk/")
        if squawk.knows(of_squawk):
            return (
                f"squawk/{of_squawk}",
                "" if of_squawk in squawk.LEFT_OUT else squawk.severity(of_squawk).value,
                f"a rule of squawk: https://squawkhq.com/docs/{of_squawk}",
                manual.plain(manual.section("rules.md", "squawk")),
            )
    rule = RULES.get(name.upper())
    if rule is None:
        raise UsageError(
            f"there is no rule or hazard {redact(name)}",
            hint="all of them: dataops docs rules, dataops docs hazards; an exit code: dataops explain exit 6; "
            + (near(name.upper(), RULES) if name[:1].isupper() or name[1:].isdigit() else near(name.lower(), HAZARDS)),
        )
    return rule.code, rule.severity.value, rule.title, manual.plain(manual.section("rules.md", rule.code))


def _exit_code(number: str) -> tuple[str, str, str, str]:
    found = next((code for code in ExitCode if str(code.value) == number), None)
    if found is None:
        known = ", ".join(str(code.value) for code in ExitCode)
        raise UsageError(f"there is no exit code {redact(number)}".rstrip(), hint=f"one of {known}")
    row = manual.row("operations.md", "Exit codes in a Job", number)
    text = "\n".join(f"{name}: {manual.plain(cell)}" for name, cell in [*row.items()][1:] if cell)
    return f"exit {number}", "", found.meaning, text
