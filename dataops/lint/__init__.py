"""`dataops lint`: finds what is wrong with migration files, without a database.

A file that cannot be read is a finding, and the other files are still checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dataops.backends.sandbox import Sandbox
from dataops.config.settings import LintSettings
from dataops.files.base import Base
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE
from dataops.lint import history, ignores, mongo
from dataops.lint.ignores import Ignore
from dataops.lint.rules import OF_DATA_AND_SIZE, OF_OLD_FILES, RULES, Finding, Rule, Severity
from dataops.lint.selection import Selection
from dataops.model import Direction, Migration, Service, Step


@dataclass(frozen=True)
class Report:
    """The files that were checked, with their services; the findings, and those that a comment ignores, by file.

    `left_out` counts the findings of files that are the same in the base.
    """

    files: tuple[tuple[str, Path], ...]
    findings: tuple[Finding, ...]
    ignored: tuple[tuple[Finding, Ignore], ...] = ()
    left_out: int = 0

    @property
    def errors(self) -> int:
        return sum(1 for finding in self.findings if finding.rule.severity is Severity.ERROR)

    @property
    def fails(self) -> bool:
        """Whether a file cannot be run: it fails, whatever the database answers."""
        return any(finding.rule.fails and finding.rule.severity is Severity.ERROR for finding in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors


def lint(
    services: Sequence[Service],
    sandbox: Sandbox,
    *,
    base: str | None = None,
    old_files_too: bool = False,
    ask_squawk: bool = True,
    settings: LintSettings | None = None,
    only: Collection[Path] | None = None,
) -> Report:
    """Check every file of the services: its text, and what it does in the sandbox.

    With a `base`, most findings of files that are the same there are left out, unless `old_files_too`. With `only`, no
    other file is run or told of, as for the pending ones of a plan.

    Raises UsageError if git does not know `base`, and ConfigError if a folder or squawk is missing or `settings` name a
    rule that does not exist, before any file is checked.
    """
    selection = Selection(settings or LintSettings(), _knows)
    ask_squawk = ask_squawk and selection.asks_squawk
    reads = [history.read(service) for service in services]
    bases = [Base(base, read.service.folder) if base else None for read in reads]
    if ask_squawk and any(service.kind.format is ALEMBIC for service in services):
        from dataops.lint import squawk

        squawk.program()
    files: list[tuple[str, Path]] = []
    findings: list[Finding] = []
    ignored: list[tuple[Finding, Ignore]] = []
    left_out = 0
    for read, other in zip(reads, bases, strict=True):
        compared = history.against(read, other) if other is not None else None
        left, aside = _one(read, compared, sandbox, selection, ask_squawk, only)
        old = compared.unchanged if compared is not None and not old_files_too else frozenset()
        told = [each for each in left if each.path not in old or each.rule.code in OF_OLD_FILES]
        left_out += len(left) - len(told)
        files += [(read.service.name, path) for path in read.texts]
        findings += told
        ignored += aside
    return Report(tuple(files), tuple(findings), tuple(ignored), left_out)


def _one(
    read: history.Read,
    compared: history.Compared | None,
    sandbox: Sandbox,
    selection: Selection,
    ask_squawk: bool,
    only: Collection[Path] | None,
) -> tuple[list[Finding], list[tuple[Finding, Ignore]]]:
    name = read.service.name
    findings = [*read.broken, *history.one_chain(read), *history.each(read)]
    squashed = {migration.path for migration in read.migrations if migration.replaces}
    findings += [
        finding
        for finding in _content(read if only is None else _part(read, only), sandbox, ask_squawk)
        if finding.path not in squashed or not _of_data_and_size(finding)
    ]
    if compared is not None:
        findings += compared.findings
    comments: dict[Path, list[Ignore]] = {}
    if only is not None:
        findings = [finding for finding in findings if finding.path in only]
    for path, text in read.texts.items():
        if only is not None and path not in only:
            continue
        comments[path], wrong = ignores.read(name, path, text, _knows)
        findings += wrong
    left: list[Finding] = []
    aside: list[tuple[Finding, Ignore]] = []
    for finding in dict.fromkeys(findings):
        if not selection.counts(finding.rule.code, finding.path):
            continue
        covering = [each for each in comments.get(finding.path, ()) if each.covers(finding)]
        for ignore in covering:
            ignore.used.add(finding.rule.code)
        if covering:
            aside.append((finding, covering[0]))
        else:
            left.append(finding)
    unread = {finding.path for finding in read.broken}
    for path, found in comments.items():
        if path not in unread and selection.counts("I003", path):
            checked = partial(_checked, path, selection, compared is not None, ask_squawk)
            left += ignores.unused(name, path, found, checked)
    return (
        sorted((selection.weighed(finding) for finding in left), key=_place),
        sorted(((selection.weighed(finding), ignore) for finding, ignore in aside), key=lambda pair: _place(pair[0])),
    )


def _part(read: history.Read, only: Collection[Path]) -> history.Read:
    return replace(read, migrations=tuple(one for one in read.migrations if one.path in only))


def _of_data_and_size(finding: Finding) -> bool:
    code = finding.rule.code
    return code in OF_DATA_AND_SIZE or (code.startswith("squawk/") and code != "squawk/syntax-error")


def _content(read: history.Read, sandbox: Sandbox, ask_squawk: bool) -> Iterator[Finding]:
    if read.service.kind.format is PYMONGO_MIGRATE:
        for migration in read.migrations:
            yield from mongo.check(read.service.name, migration, read.service.ours)
            yield from _running(read.service, migration, sandbox)
    elif read.migrations:
        from dataops.lint import squawk

        yield from squawk.check(read.service, read.migrations, sandbox, ask_squawk=ask_squawk)


def _running(service: Service, migration: Migration, sandbox: Sandbox) -> Iterator[Finding]:
    """Where a MongoDB migration fails, whatever the database answers."""
    from dataops.backends.mongo.capture import failing

    told: set[tuple[int, str]] = set()  # what fails when it is loaded fails in both directions
    for direction in Direction:
        if direction is Direction.APPLY or migration.reversible:
            line, why = failing(service, Step(service.name, migration, direction), sandbox)
            if why and (line, why) not in told:
                told.add((line, why))
                message = f"{direction.value} fails here: {why}"
                yield Finding(RULES["F001"], migration.path, line, message, service.name)


def _knows(rule: str) -> bool:
    from dataops.lint import squawk

    return squawk.knows(rule)


def _checked(path: Path, selection: Selection, with_base: bool, with_squawk: bool, code: str) -> bool:
    """Whether the rule was checked in this file, so that an ignore which names it can be called unused."""
    if (code in ("H012", "H013") and not with_base) or (code.startswith("squawk/") and not with_squawk):
        return False
    return selection.counts(code, path)


def _place(finding: Finding) -> tuple[str, int, str]:
    return str(finding.path), finding.line, finding.rule.code


__all__ = ["RULES", "Finding", "Ignore", "Report", "Rule", "Severity", "lint"]
