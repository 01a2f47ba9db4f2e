"""What dataops.toml says, read once and checked as a whole, whichever services are then chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataops import kinds
from dataops.config import fleet, limits, policy
from dataops.config.policy import Policies
from dataops.documents import Breaks, Looking
from dataops.durations import parse_duration
from dataops.errors import ConfigError, UsageError
from dataops.files import toml
from dataops.kinds import Kind
from dataops.model import Ahead, Databases, Limits, Rollout, Timeouts
from dataops.model.fleet import is_member
from dataops.othertools import match
from dataops.redaction import redact
from dataops.text import near

FILE_NAME = "dataops.toml"
MANUAL = "see dataops docs configuration"

_URL_KEYS = {"url_env", "env_prefix", "database"}
SERVICE_KEYS = {
    "engine",
    "folder",
    "depends_on",
    "timeouts",
    "ahead",
    "pooler",
    "mirror",
    "coexist",
    "beside",
    "ignore",
    "onto_existing",
    "record",
    "application",
    "backfill",
    "databases",
    "rollout",
    *_URL_KEYS,
}
"""What the paragraph of a service may say. `beside` is the older spelling of `coexist`."""
APPLY_KEYS = {"verify", "background"}
"""What `[apply]` may say."""

OBSERVED_KEYS = {"observe", "engine", "expect", "timeouts", *_URL_KEYS}
"""What the paragraph of a service that is only observed may say."""

DOCUMENTS_KEYS = {"sample", *(one.value for one in Breaks)}
"""What `[documents]` may say."""

REHEARSE_KEYS = {"sample", "mask"}
"""What `[rehearse]` may say."""

LINT_KEYS = {"select", "ignore", "severity", "per_path_ignores"}
"""What `[lint]` may say."""

_LEAST_SECONDS = {"connect": 0.001, "lock": 0.001, "table_lock": 0.001, "statement": 0.001, "lease": 1.0}
_MAY_BE_ZERO = {"lock", "table_lock", "statement"}
_MOST_SAMPLE = 1_000_000
_MOST_SECONDS = 20 * 86400.0  # PostgreSQL counts milliseconds in 31 bits


@dataclass(frozen=True)
class ServiceSettings:
    """Everything that one `[services.NAME]` says, with the defaults filled in.

    `where` names the paragraph in errors, and `top` is the folder of dataops.toml.
    `depends_on` are all the services that come before this one, directly or
    through others. `mirror` are the tools whose record may be meant by `mirror = true`, or the one that is named.
    `limits` are those of backfills. `databases` and `rollout` are those of a fleet. `record`, `url_env`,
    `env_prefix` and `database` are empty where the paragraph does not say them.
    """

    name: str
    where: str
    kind: Kind
    top: Path
    folder: Path
    timeouts: Timeouts
    depends_on: tuple[str, ...] = ()
    ahead: Ahead = Ahead.REFUSE
    session_pooler: bool = False
    mirror: tuple[str, ...] = ()
    coexist: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    onto_existing: bool = False
    application: tuple[str, ...] = ()
    observe: str = ""
    expect: str = ""
    limits: Limits = field(default_factory=Limits)
    record: str = ""
    url_env: str = ""
    env_prefix: str = ""
    database: str = ""
    databases: Databases | None = None
    rollout: Rollout = field(default_factory=Rollout)

    @property
    def variable_prefix(self) -> str:
        """How the variables begin for a database whose URL may be given in parts."""
        return self.env_prefix or self.kind.name.upper()

    @property
    def url_variable(self) -> str:
        """The environment variable in which this service first looks for a whole URL."""
        if self.url_env:
            return self.url_env
        if self.kind.url_in_parts:
            return f"{self.variable_prefix}_CON"
        own = re.sub(r"\W", "_", self.name).upper()
        return f"{own}_{self.kind.url_variable}"

    @property
    def in_parts(self) -> bool:
        """Whether its URL may be given in parts: not where `url_env` alone says where it is."""
        return self.kind.url_in_parts and (not self.url_env or bool(self.env_prefix))


@dataclass(frozen=True)
class RehearseSettings:
    """What `[rehearse]` says: about how many rows of each table are taken, and which columns are masked."""

    sample: int = 10_000
    masks: tuple[str, ...] = ()


@dataclass(frozen=True)
class LintSettings:
    """What `[lint]` says. `dataops.lint` knows the rules, and checks the names when it runs.

    No `select` means all rules. The patterns of `per_path_ignores` begin at `top`, the folder of dataops.toml.
    """

    where: str = "[lint]"
    top: Path = Path()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, str] = field(default_factory=dict)
    per_path_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """A whole dataops.toml: its services by name, in the order of the file, and its other tables.

    `verify` says whether every apply compares at its end what it has made, and `background` whether it also runs what
    is for the background.
    """

    path: Path
    services: Mapping[str, ServiceSettings]
    lint: LintSettings
    documents: Looking
    _environments: object = field(repr=False)
    policies: Policies = field(default_factory=Policies)
    verify: bool = False
    background: bool = False
    rehearse: RehearseSettings = field(default_factory=RehearseSettings)

    @property
    def environment_names(self) -> tuple[str, ...]:
        """The names of the environments."""
        return tuple(self._environments) if isinstance(self._environments, dict) else ()

    def environment(self, name: str) -> toml.Table:
        """The URLs of a named environment, by service. Raises UsageError when there is no such environment."""
        environments = toml.table(self._environments, f"{self.path}: [environments]", MANUAL)
        if name not in environments:
            known = near(name, environments.values)
            raise UsageError(
                f"there is no environment {redact(name)} in {self.path}",
                hint=f"{known}{'' if known.endswith('?') else ';'} how to write one: dataops docs configuration",
            )
        return environments.table(name, f"{self.path}: [environments.{name}]")


def find(start: Path) -> Path:
    """The nearest dataops.toml in `start` or above it. Raises ConfigError."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or above it",
        hint="dataops init writes one; or change to the project's folder, or name the file: --config FILE",
    )


def read(path: Path | None) -> Settings:
    """Read a configuration, by default the nearest one. Looks at no variable, no migration and no database.

    Raises ConfigError, with the line where the file is not TOML.
    """
    path = path or find(Path.cwd())
    content = toml.Table(toml.read(path, hint="name an existing file: --config FILE"), str(path), MANUAL)
    tables = content.get("services")
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path}: there is no [services.NAME] in it", hint=MANUAL)
    content.only({"services", "environments", "lint", "documents", "policy", "apply", "rehearse", "backfill"})
    services = {name: toml.table(value, f"{path}: [services.{name}]", MANUAL) for name, value in tables.items()}
    for name in services:
        if is_member(name):
            what = f"{path}: [services.{redact(name)}]: an @ stands between a service and one of its databases"
            raise ConfigError(what, hint="give the service another name")
    before = _all_before(path, services)
    general = content.table("backfill", f"{path}: [backfill]")
    made = {name: _settings(path.parent, name, table, before[name], general) for name, table in services.items()}
    lint = _lint(path, content.table("lint", f"{path}: [lint]"))
    looking = _documents(content.table("documents", f"{path}: [documents]"))
    rules = policy.read(content.table("policy", "[policy]"), path.parent)
    run = content.table("apply", f"{path}: [apply]")
    run.only(APPLY_KEYS)
    rehearsals = _rehearse(content.table("rehearse", f"{path}: [rehearse]"))
    environments = content.get("environments", {})
    return Settings(
        path, made, lint, looking, environments, rules, run.flag("verify"), run.flag("background"), rehearsals
    )


def _rehearse(table: toml.Table) -> RehearseSettings:
    table.only(REHEARSE_KEYS)
    sample = table.get("sample", RehearseSettings().sample)
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise ConfigError(f"{table.where}: sample has to be a number of rows", hint="write sample = 10_000")
    masks = table.texts("mask", "list of columns", 'for example ["users.email"]')
    for mask in masks:
        if not all(part.strip() for part in mask.split(".")) or "." not in mask:
            what = f"{table.where}: mask: {redact(repr(mask))} is not a column"
            raise ConfigError(what, hint='write TABLE.COLUMN, for example mask = ["users.email"]')
    return RehearseSettings(sample, masks)


def _documents(table: toml.Table) -> Looking:
    table.only(DOCUMENTS_KEYS)
    sample = table.get("sample", Looking().sample)
    if isinstance(sample, bool) or not isinstance(sample, int) or not 0 <= sample <= _MOST_SAMPLE:
        raise ConfigError(
            f"{table.where}: sample has to be a number of documents, from 0 to {_MOST_SAMPLE:,}",
            hint="for all of them: dataops drift --full",
        )
    most = {}
    for one in Breaks:
        share = table.get(one.value, 0)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(
                f"{table.where}: {one.value} has to be a share of the documents, from 0 to 1",
                hint="for one in a hundred: 0.01",
            )
        most[one] = float(share)
    return Looking(sample, most)


def _lint(path: Path, table: toml.Table) -> LintSettings:
    table.only(LINT_KEYS)
    rules = "list of rules", 'for example ["H009", "squawk"]'
    severity = table.table("severity", f"{table.where} severity")
    paths = table.table("per_path_ignores", f"{table.where} per_path_ignores")
    return LintSettings(
        where=table.where,
        top=path.parent,
        select=table.texts("select", *rules),
        ignore=table.texts("ignore", *rules),
        severity={rule: severity.one_of(rule, ("error", "warning")) for rule in severity.values},
        per_path_ignores={pattern: paths.texts(pattern, *rules) for pattern in paths.values},
    )


def _settings(
    base: Path, name: str, table: toml.Table, before: tuple[str, ...], general: toml.Table
) -> ServiceSettings:
    if "observe" in table:
        return _observed(base, name, table)
    table.only(SERVICE_KEYS)
    kind = kinds.named(table.one_of("engine", [kind.name for kind in kinds.known()]))
    databases = fleet.databases(table, base)
    return ServiceSettings(
        name=name,
        where=table.where,
        kind=kind,
        top=base,
        folder=base / table.text("folder"),
        depends_on=before,
        timeouts=_timeouts(table),
        ahead=Ahead(table.one_of("ahead", [member.value for member in Ahead], Ahead.REFUSE.value)),
        session_pooler=table.one_of("pooler", ("", "session"), "") == "session",
        mirror=_mirror(table, kind),
        coexist=_coexist(table),
        ignore=table.texts("ignore", "list of names", 'for example ignore = ["sessions"]'),
        onto_existing=table.flag("onto_existing"),
        application=_application(table, kind),
        limits=limits.read(general, table.table("backfill", f"{table.where} backfill"), base),
        record=_record(table, kind),
        url_env=fleet.variable(table, "url_env"),
        env_prefix=fleet.variable(table, "env_prefix"),
        database=table.optional_text("database"),
        databases=databases,
        rollout=fleet.rollout(table, databases),
    )


def _observed(base: Path, name: str, table: toml.Table) -> ServiceSettings:
    table.only(OBSERVED_KEYS)
    tool = table.one_of("observe", match.TOOLS)
    possible = [kind.name for kind in match.TOOLS[tool]]
    return ServiceSettings(
        name=name,
        where=table.where,
        kind=kinds.named(table.one_of("engine", possible, possible[0])),
        top=base,
        folder=base,
        timeouts=_timeouts(table),
        observe=tool,
        expect=table.text("expect") if "expect" in table else "",
        url_env=fleet.variable(table, "url_env"),
        env_prefix=fleet.variable(table, "env_prefix"),
        database=table.optional_text("database"),
    )


def _application(table: toml.Table, kind: Kind) -> tuple[str, ...]:
    names = table.texts("application", "list of collections", 'for example application = ["users"]')
    if names and not kind.application_creates:
        raise ConfigError(
            f"{table.where}: application is not for {kind.name}",
            hint="it names what an application makes by itself; here, a migration has to make it",
        )
    for name in names:
        if name.startswith("system.") or not re.fullmatch(r"[^$\0]{1,120}", name):
            raise ConfigError(
                f"{table.where}: application names {redact(repr(name))}, which cannot be a collection",
                hint='for example application = ["users"]',
            )
    return names


def _record(table: toml.Table, kind: Kind) -> str:
    name = table.optional_text("record")
    if name and not kind.record:
        raise ConfigError(
            f"{table.where}: record is not for {kind.name}", hint="Alembic's own version_table in env.py gives the name"
        )
    if name:
        check_record(name, kind, f"{table.where}: record")
    return name


def check_record(name: str, kind: Kind, where: str) -> None:
    """Raise ConfigError unless a native record may have this name."""
    if not re.fullmatch(r"(?!system\.|dataops_)[^$\s\0]{1,120}", name) or not name.isprintable():
        raise ConfigError(
            f"{where} = {redact(repr(name))} cannot be the name of the record",
            hint=f"write the name of the collection that {kind.format.tool} uses; by default {kind.record}",
        )


def _timeouts(table: toml.Table) -> Timeouts:
    timeouts = table.table("timeouts", f"{table.where} timeouts")
    timeouts.only(_LEAST_SECONDS)
    return Timeouts(**{key: _timeout(key, value, f"{timeouts.where}.{key}") for key, value in timeouts.values.items()})


def _timeout(key: str, value: object, where: str) -> float:
    """The seconds of one timeout.

    0 means no limit (for `lock`: do not wait). It is allowed only for these timeouts: lock, table_lock, statement.
    """
    seconds, least = parse_duration(value, where), _LEAST_SECONDS[key]
    if seconds == 0 and key in _MAY_BE_ZERO:
        return seconds
    if seconds < least:
        or_zero = ", or 0" if key in _MAY_BE_ZERO else ""
        raise ConfigError(
            f"{where}: {redact(repr(value))} is too short", hint=f"at least {least:g} s{or_zero}; {MANUAL}"
        )
    if seconds > _MOST_SECONDS:
        raise ConfigError(
            f"{where}: {redact(repr(value))} is too long", hint=f"at most {_MOST_SECONDS / 86400:.0f} days"
        )
    return seconds


def _mirror(table: toml.Table, kind: Kind) -> tuple[str, ...]:
    value = table.get("mirror", False)
    possible = tuple(tool for tool, written_in in match.MIRRORED.items() if written_in is kind)
    if isinstance(value, bool):
        return possible if value else ()
    return (toml.one_of(possible, value, f"{table.where}: mirror"),)


def _coexist(table: toml.Table) -> tuple[str, ...]:
    if "coexist" in table and "beside" in table:
        raise ConfigError(
            f"{table.where}: coexist and beside are the same key", hint="keep coexist; beside is its older spelling"
        )
    key = "beside" if "beside" in table else "coexist"
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"{table.where}: {key} has to be a list of tools", hint='for example coexist = ["django"]')
    return tuple(toml.one_of(match.TOOLS, tool, f"{table.where}: {key}") for tool in value)


def _all_before(path: Path, services: Mapping[str, toml.Table]) -> dict[str, tuple[str, ...]]:
    """What each service depends on, directly or through others, because those in between may have nothing to do."""
    done: dict[str, tuple[str, ...]] = {}

    def visit(name: str, trail: tuple[str, ...]) -> tuple[str, ...]:
        if name in trail:
            loop = " -> ".join((*trail[trail.index(name) :], name))
            raise ConfigError(f"{path}: depends_on goes round in a circle: {loop}", hint="remove one of them")
        if name not in done:
            found: dict[str, None] = {}
            for other in _depends_on(name, services):
                found.update(dict.fromkeys((*visit(other, (*trail, name)), other)))
            done[name] = tuple(found)
        return done[name]

    for name in services:
        visit(name, ())
    return done


def _depends_on(name: str, services: Mapping[str, toml.Table]) -> tuple[str, ...]:
    table = services[name]
    names = table.texts("depends_on", "list of service names")
    for other in names:
        if other not in services or other == name:
            raise ConfigError(
                f"{table.where}: depends_on names {redact(repr(other))}", hint=near(other, set(services) - {name})
            )
        if "observe" in services[other]:
            raise ConfigError(
                f"{table.where}: depends_on names {other}, which is only observed",
                hint=f"wait for it instead, before: dataops wait --service {other}",
            )
    return names


__all__ = [
    "FILE_NAME",
    "LINT_KEYS",
    "OBSERVED_KEYS",
    "SERVICE_KEYS",
    "LintSettings",
    "ServiceSettings",
    "Settings",
    "check_record",
    "find",
    "read",
]
