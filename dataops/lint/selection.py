"""Which rules count in which file, and how severe they are: what `[lint]` in dataops.toml says, held to the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dataops.config.settings import LintSettings
from dataops.errors import ConfigError
from dataops.lint.rules import RULES, SQUAWK, Finding, Rule, Severity, named
from dataops.redaction import redact
from dataops.text import near

GROUPS = {SQUAWK, *(code[0] for code in RULES)}
"""What names several rules at once: the letter that their codes begin with, or all of squawk's."""


class Selection:
    """Raises ConfigError for a rule that does not exist, and for one that always counts.

    `known` says whether squawk has a rule of that name.
    """

    def __init__(self, settings: LintSettings, known: Callable[[str], bool]) -> None:
        settings = replace(
            settings,
            select=tuple(map(named, settings.select)),
            ignore=tuple(map(named, settings.ignore)),
            severity={named(name): value for name, value in settings.severity.items()},
            per_path_ignores={path: tuple(map(named, names)) for path, names in settings.per_path_ignores.items()},
        )
        self._settings = settings
        self._known = known
        self._severity = {name: Severity(value) for name, value in settings.severity.items()}
        self._check("select", settings.select)
        self._check("ignore", settings.ignore)
        self._check("severity", settings.severity)
        for names in settings.per_path_ignores.values():
            self._check("per_path_ignores", names)
        for key, name in [
            *(("ignore", name) for name in settings.ignore),
            *(("per_path_ignores", name) for names in settings.per_path_ignores.values() for name in names),
            *(("severity", name) for name, severity in self._severity.items() if severity is Severity.WARNING),
        ]:
            if name in RULES and _always_counts(RULES[name]):
                raise ConfigError(
                    f"{settings.where} {key}: {name} ({RULES[name].title}) cannot be ignored or made a warning",
                    hint=RULES[name].fix,
                )

    def counts(self, code: str, path: Path) -> bool:
        """Whether findings of this rule in this file are told. `ignore` goes before `select`."""
        if code in RULES and _always_counts(RULES[code]):
            return True
        settings, shown = self._settings, _below(path, self._settings.top)
        ignored = [*settings.ignore]
        for pattern, names in settings.per_path_ignores.items():
            if fnmatchcase(shown, pattern) or shown.startswith(f"{pattern.rstrip('/')}/"):
                ignored += names
        return (not settings.select or _named(code, settings.select)) and not _named(code, ignored)

    @property
    def asks_squawk(self) -> bool:
        """Whether any of squawk's rules may count. If not, squawk need not be installed."""
        selected = self._settings.select
        return SQUAWK not in self._settings.ignore and (
            not selected or any(name.partition("/")[0] == SQUAWK for name in selected)
        )

    def weighed(self, finding: Finding) -> Finding:
        """The finding with the severity that its rule has here. A code goes before the group that it is in."""
        rule = finding.rule
        severity = self._severity.get(rule.code, self._severity.get(_group(rule.code), rule.severity))
        if severity is rule.severity or (_always_counts(rule) and severity is Severity.WARNING):
            return finding
        return replace(finding, rule=replace(rule, severity=severity))

    def _check(self, key: str, names: Iterable[str]) -> None:
        for name in names:
            prefix, slash, of_squawk = name.partition("/")
            if name not in RULES and name not in GROUPS and not (prefix == SQUAWK and slash and self._known(of_squawk)):
                raise ConfigError(
                    f"{self._settings.where} {key}: there is no rule {redact(repr(name))}",
                    hint=near(name, [*RULES, *GROUPS]),
                )


def _always_counts(rule: Rule) -> bool:
    """What a comment cannot ignore, the configuration cannot either. I003 is only a remark."""
    return not rule.ignorable and rule.severity is Severity.ERROR


def _group(code: str) -> str:
    return SQUAWK if code.startswith(f"{SQUAWK}/") else code[0]


def _named(code: str, names: Iterable[str]) -> bool:
    return any(name in (code, _group(code)) for name in names)


def _below(path: Path, top: Path) -> str:
    path, top = path.absolute(), top.absolute()
    return (path.relative_to(top) if path.is_relative_to(top) else path).as_posix()


__all__ = ["GROUPS", "Selection"]
