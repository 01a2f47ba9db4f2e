"""Small projects to lint: a file for each migration, and what is found in it as `CODE:line`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataops import lint
from dataops.backends.sandbox import Sandbox
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.lint import Finding, Report
from dataops.model import Service


def mongo_file(upgrade: str, downgrade: str = "pass", *, more: str = "", id_: str = "20240101000000-a") -> str:
    """A migration that is right but for what is given. The first line of `upgrade` is line 10."""
    lines = [
        f'"""Do {id_}."""',
        "from pymongo import *",
        "from dataops.stash.mongo import *",
        "from dataops.progress import track",
        f"name = {id_!r}",
        "dependencies = []",
        "repeatable = True",
        "reversible = True",
        "def upgrade(db):",
        textwrap.indent(textwrap.dedent(upgrade).strip(), "    "),
        "def downgrade(db):",
        textwrap.indent(textwrap.dedent(downgrade).strip(), "    "),
        textwrap.dedent(more).strip(),
    ]
    return "\n".join(lines) + "\n"


def postgres_file(
    upgrade: str, downgrade: str = "pass", *, id_: str = "20240101000000", parent: str | None = None, more: str = ""
) -> str:
    """A migration that is right but for what is given. The first line of `upgrade` is line 7."""
    lines = [
        f'"""Do {id_}."""',
        "from alembic import op",
        f"revision = {id_!r}",
        f"down_revision = {parent!r}",
        "reversible = True",
        "def upgrade():",
        textwrap.indent(textwrap.dedent(upgrade).strip(), "    "),
        "def downgrade():",
        textwrap.indent(textwrap.dedent(downgrade).strip(), "    "),
        textwrap.dedent(more).strip(),
    ]
    return "\n".join(lines) + "\n"


def project(folder: Path, files: Mapping[str, str | bytes], kind: Kind = MONGODB) -> Service:
    place = folder / "versions" if kind is POSTGRESQL else folder
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Service("shop", kind, "", folder)


def linted(
    services: Sequence[Service], *, base: str | None = None, old_files_too: bool = False, ask_squawk: bool = True
) -> Report:
    with Sandbox() as sandbox:
        return lint.lint(services, sandbox, base=base, old_files_too=old_files_too, ask_squawk=ask_squawk)


def lint_mongo(folder: Path, content: str) -> Report:
    return linted([project(folder, {"20240101000000-a.py": content})])


def lint_postgres(folder: Path, content: str, *, ask_squawk: bool = True) -> Report:
    return linted([project(folder, {"a.py": content}, POSTGRESQL)], ask_squawk=ask_squawk)


def told(findings: Report | tuple[Finding, ...]) -> list[str]:
    found = findings.findings if isinstance(findings, Report) else findings
    return [f"{finding.rule.code}:{finding.line}" for finding in found]
