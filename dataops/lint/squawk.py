"""Renders the statements of PostgreSQL migrations without a database, and lets squawk, a linter for SQL, read them.

squawk is a program (PyPI: squawk-cli). It reads each direction of a migration as one file of SQL, with BEGIN and COMMIT
around the step's transaction. A finding gets the line of the migration that wrote the statement.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dataops import splitting, syntax
from dataops.backends.postgres import guard
from dataops.backends.postgres.backfilling.refusals import BATCH
from dataops.backends.postgres.rendering import Written, written
from dataops.backends.sandbox import Sandbox
from dataops.errors import ConfigError
from dataops.lint.rules import RULES, Finding, Rule, Severity
from dataops.model import Direction, Migration, Service, Step
from dataops.redaction import redact

PG_VERSION = "14"
"""The oldest server that dataops supports."""

LEFT_OUT = {
    "require-lock-timeout": "dataops sets lock_timeout for every step (`table_lock`)",
    "require-statement-timeout": "dataops sets statement_timeout for every step (`statement`)",
    "transaction-nesting": "P003 says so, at the line that does it",
    "ban-uncommitted-transaction": "P003 says so, at the line that does it",
    "prefer-bigint-over-int": "a taste: not every number is a key that grows",
    "prefer-bigint-over-smallint": "a taste: not every number is a key that grows",
}
"""Rules of squawk that are left out, and why."""

ON_THE_WAY_BACK = frozenset(
    {
        "syntax-error",
        "ban-concurrent-index-creation-in-transaction",
        "ban-drop-database",
        "ban-truncate-cascade",
    }
)
"""Rules that count in a downgrade() too: such SQL could not run at all, or would change more than upgrade() did.

The other rules would complain about every downgrade() that drops the table or column which upgrade() added.
"""

STYLE = frozenset({"ban-char-field", "identifier-too-long", "require-enum-value-ordering", "require-table-schema"})
"""Rules about how a table is designed, and not about what the migration does to data or to the application.

They are warnings, and so are all rules whose name begins with `prefer-`.
"""

_TRANSACTION = re.compile(
    r"\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)


def _as_sql(statement: Written) -> Written:
    """The statement without what only a backfill understands."""
    return replace(statement, text=BATCH.sub("true", statement.text)) if statement.backfill else statement


@dataclass(frozen=True)
class _Sql:
    """One direction of a migration as squawk sees it; `starts` is the first line of each statement in `text`."""

    service: Service
    migration: Migration
    direction: Direction
    statements: Sequence[Written]
    text: str
    starts: Sequence[int]


def check(
    service: Service, migrations: Sequence[Migration], sandbox: Sandbox, *, ask_squawk: bool
) -> Iterator[Finding]:
    """Render every migration in both directions, and run squawk once for all. Raises ConfigError without squawk."""
    rendered: list[_Sql] = []
    for migration in migrations:
        for direction in Direction:
            if direction is Direction.ROLLBACK and not migration.reversible:
                continue
            statements, outcome = written(service, Step(service.name, migration, direction), sandbox)
            if outcome.broken is not None:
                yield Finding(RULES["P001"], migration.path, outcome.line, outcome.problem, service.name)
                break
            if outcome.raised is not None and outcome.raised.is_certain():
                message = f"{direction.value} fails here: {outcome.raised}"
                yield Finding(RULES["F001"], migration.path, outcome.line, message, service.name)
            elif why := outcome.unseen or str(outcome.raised or ""):
                message = f"{direction.value} cannot be shown from here on: {why}"
                yield Finding(RULES["P002"], migration.path, outcome.line, message, service.name)
            for statement in statements:
                for part in filter(_TRANSACTION.match, _parts(statement.text)):
                    message = f"it says {' '.join(part.split()[:2])}"
                    yield Finding(RULES["P003"], migration.path, statement.line or 1, message, service.name)
                harm = guard.harm(statement.text, migration.id)
                if harm:
                    message = f"it says {redact(harm)}"
                    yield Finding(RULES["P004"], migration.path, statement.line or 1, message, service.name)
            rendered.append(_sql(service, migration, direction, list(map(_as_sql, statements))))
    if ask_squawk and rendered:
        yield from _ask(rendered)


@cache
def program() -> str:
    """The path of squawk: beside this Python, or on the PATH. Raises ConfigError if it is not installed."""
    beside = Path(sys.executable).with_name("squawk")
    found = str(beside) if beside.is_file() else shutil.which("squawk")
    if found is None:
        raise ConfigError(
            "squawk, which reads the SQL of PostgreSQL migrations, is not installed",
            hint="pip install 'dataops[lint]', or leave that part out: --no-squawk",
        )
    return found


def is_there() -> bool:
    """Whether squawk is installed."""
    try:
        program()
    except ConfigError:
        return False
    return True


@cache
def knows(rule: str) -> bool:
    """Whether squawk has a rule of this name. If squawk is not installed, every name counts."""
    try:
        squawk = program()
    except ConfigError:
        return True
    if rule == "syntax-error":
        return True
    done = subprocess.run([squawk, "--exclude", rule], input="", capture_output=True, text=True, check=False)
    return "invalid rule name" not in done.stderr


def severity(name: str) -> Severity:
    """How severe a rule of squawk is by default."""
    return Severity.WARNING if name in STYLE or name.startswith("prefer-") else Severity.ERROR


def _parts(text: str) -> list[str]:
    """The keywords and names of each statement. What cannot be split is a syntax error, which squawk finds."""
    try:
        return [statement.words for statement in splitting.split(text)]
    except splitting.Endless:
        return []


def _sql(service: Service, migration: Migration, direction: Direction, statements: Sequence[Written]) -> _Sql:
    lines: list[str] = []
    starts: list[int] = []
    inside = False
    for statement in statements:
        if statement.in_transaction is not inside:
            lines.append("BEGIN;" if statement.in_transaction else "COMMIT;")
            inside = statement.in_transaction
        starts.append(len(lines))
        # squawk has ignores of its own, which need no reason
        lines += [*statement.text.replace("squawk-ignore", "squawk_ignore").split("\n"), ";"]
    if inside:
        lines.append("COMMIT;")
    return _Sql(service, migration, direction, statements, "\n".join([*lines, ""]), starts)


def _ask(rendered: Sequence[_Sql]) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="dataops-lint-") as folder:
        by_name = {f"{at}.sql": sql for at, sql in enumerate(rendered)}
        for name, sql in by_name.items():
            (Path(folder) / name).write_text(sql.text, encoding="utf-8")
        options = ["--reporter", "json", "--pg-version", PG_VERSION, "--exclude", ",".join(LEFT_OUT)]
        done = subprocess.run([program(), *options, *by_name], cwd=folder, capture_output=True, check=False)
    try:
        answer: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError as error:
        complaint = redact(done.stderr.decode(errors="replace")).strip().partition("\n")[0]
        raise ConfigError(
            f"squawk gave no answer (exit {done.returncode}): {complaint or 'nothing said'}",
            hint="is it the version of dataops[lint]? pip install -U 'dataops[lint]'",
        ) from error
    broken: set[tuple[str, int]] = set()
    for found in answer:
        sql = by_name[Path(found["file"]).name]
        name = found["rule_name"]
        if name == "syntax-error":  # the first error of a line causes the others
            if (found["file"], found["line"]) in broken:
                continue
            broken.add((found["file"], found["line"]))
        if sql.direction is Direction.APPLY or name in ON_THE_WAY_BACK:
            yield _finding(sql, name, found["line"], redact(found["message"]), redact(found.get("help") or ""))


def _finding(sql: _Sql, name: str, line: int, message: str, help_: str) -> Finding:
    message = message.rstrip(".")
    rule = Rule(f"squawk/{name}", message, help_ or f"see https://squawkhq.com/docs/{name}", severity(name))
    at = max((number for number, start in enumerate(sql.starts) if start <= line), default=None)
    if at is None:
        return Finding(rule, sql.migration.path, 1, message, sql.service.name)
    statement = sql.statements[at]
    text = sql.text.split("\n")[line]
    place = _place(sql.migration.text, statement.line or 1, text)
    return Finding(rule, sql.migration.path, place, message, sql.service.name, sql=" ".join(redact(text).split()))


def _place(source: bytes, line: int, text: str) -> int:
    """The line of the file with the same text, within the statement that wrote it; else the first line of that."""
    for node in ast.walk(syntax.tree_of(source)):
        if isinstance(node, ast.Call) and node.lineno == line:
            lines = source.decode(errors="replace").splitlines()[line - 1 : node.end_lineno]
            same = [at for at, one in enumerate(lines, line) if text.strip() and one.strip() == text.strip()]
            if len(same) == 1:
                return same[0]
    return line


__all__ = ["LEFT_OUT", "ON_THE_WAY_BACK", "PG_VERSION", "STYLE", "check", "knows", "program", "severity"]
