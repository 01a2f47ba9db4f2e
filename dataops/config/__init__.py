"""Which services there are and how to reach them: dataops.toml and the environment.

`settings` reads the file once, into dataclasses. `locations` finds the URL of each service: in a named environment of
the file (`--env compose`), or in the variables of the process, where every variable NAME may instead be NAME_FILE, the
path of a mounted secret. A variable that is missing is an error that names it, never a silent localhost. `load` adds
the migration files, and makes the services that the rest of the program works with.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dataops import __version__, alembicini, kinds
from dataops.config.locations import control, locate, record_of, variables_of
from dataops.config.policy import Policies
from dataops.config.settings import FILE_NAME, LintSettings, RehearseSettings, ServiceSettings, Settings, find, read
from dataops.documents import Looking
from dataops.errors import ConfigError, UsageError
from dataops.files import aliases, chain, toml
from dataops.model import Author, Policy, Service
from dataops.othertools import match
from dataops.redaction import redact
from dataops.text import near, on_one_line
from dataops.toolrecords import ToolAliases


@dataclass(frozen=True)
class Config:
    """The services that were chosen, in the order of the file, and the names of all services of the file."""

    path: Path
    services: tuple[Service, ...]
    names: tuple[str, ...]
    variables: frozenset[str] = frozenset()
    """The environment variables in which the file may look for a database, for all its services."""
    lint: LintSettings = field(default_factory=LintSettings, compare=False)
    documents: Looking = field(default_factory=Looking, compare=False)
    policy: Policy = field(default_factory=Policy)
    verify: bool = False
    """Whether `[apply]` says that every apply compares at its end what it has made."""
    background: bool = False
    """Whether `[apply]` says that every apply also runs what is for the background."""
    rehearse: RehearseSettings = field(default_factory=RehearseSettings)

    def service(self, name: str) -> Service:
        """The chosen service of that name."""
        return next(service for service in self.services if service.name == name)


def author() -> Author:
    """Who runs this: a new run id that sorts by time, DATAOPS_ACTOR or the user's name, and the host or pod."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    try:
        actor = os.environ.get("DATAOPS_ACTOR") or getpass.getuser()
    except (OSError, KeyError):  # an arbitrary user id without a name, as in a container
        actor = f"uid {os.getuid()}"
    host = os.environ.get("HOSTNAME") or socket.gethostname()
    run = f"{stamp}-{os.urandom(3).hex()}"
    return Author(run=run, actor=on_one_line(actor), host=on_one_line(host), version=__version__)


def load(
    path: Path | None,
    *,
    environment: str | None = None,
    selected: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    with_urls: bool = True,
    with_files: bool = True,
    observed: bool = False,
    policy: str | None = None,
) -> Config:
    """Read the file and make the chosen services (all when none is named), migrations included.

    Services that are only observed count where the caller asks for `observed`; to name one elsewhere is a UsageError.
    `with_urls=False` reads no variable, for commands that reach no database. `with_files=False` reads no migration, for
    the command that reads them itself. `policy` names the environment whose policy counts, by default `environment`.
    Raises ConfigError (with file and line where there is one), HistoryError for the
    migration files, and UsageError for a service or an environment that does not exist.
    """
    settings = read(path)
    chosen = _choose(settings, selected, observed=observed)
    environ = os.environ if environ is None else environ
    urls = locate(settings, chosen, environment, environ) if with_urls else {}
    by_variable = with_urls and not environment
    if with_urls:
        chosen = [_with_control(one, environ) for one in chosen]
    services = tuple(
        _service(
            one,
            urls.get(one.name, ""),
            record_of(one, chosen, environ) if by_variable else one.record,
            with_files=with_files,
        )
        for one in chosen
    )
    variables = frozenset(name for one in settings.services.values() for name in variables_of(one))
    policies = settings.policies
    rules = _rules(policies, policy, environment)
    names = tuple(settings.services)
    return Config(
        settings.path,
        services,
        names,
        variables,
        settings.lint,
        settings.documents,
        rules,
        settings.verify,
        settings.background,
        settings.rehearse,
    )


def _with_control(one: ServiceSettings, environ: Mapping[str, str]) -> ServiceSettings:
    """The same, with the URLs of the control databases that a fleet asks for its names and its waves."""
    if one.databases is None:
        return one
    names = control(one.databases.control_env, f"{one.where} databases", environ)
    waves = control(one.rollout.control_env, f"{one.where} rollout", environ)
    return replace(
        one,
        databases=replace(one.databases, control_url=names),
        rollout=replace(one.rollout, control_url=waves),
    )


def _rules(policies: Policies, name: str | None, environment: str | None) -> Policy:
    """The policy that counts. An environment that has one of its own has no other: nobody chooses a milder one."""
    if name is None:
        return policies.of(environment)
    named = policies.named(name)
    if environment in policies.environments and environment != name:
        raise UsageError(
            f"environment {environment} has a policy of its own, which counts there, and not that of {redact(name)}",
            hint=f"leave out --policy (or DATAOPS_POLICY), or say --policy {environment}",
        )
    return named


def _choose(settings: Settings, selected: Collection[str], *, observed: bool) -> list[ServiceSettings]:
    for name in selected:
        if name not in settings.services:
            raise UsageError(f"there is no service {redact(name)}", hint=near(name, settings.services))
    chosen = [one for one in settings.services.values() if one.name in selected or not selected]
    if observed:
        return chosen
    if selected and (stray := sorted(one.name for one in chosen if one.observe)):
        raise UsageError(
            f"{stray[0]} is only observed: another tool migrates it",
            hint="dataops status and dataops wait look at it; nothing else does",
        )
    return [one for one in chosen if not one.observe]


def _service(settings: ServiceSettings, url: str, record: str, *, with_files: bool) -> Service:
    name, folder = settings.name, settings.folder
    with_files = with_files and not settings.observe
    reads_ini = settings.kind.format is kinds.ALEMBIC and not settings.observe
    ini = alembicini.find(folder, settings.top) if reads_ini else None
    migrations = chain.load(name, settings.kind, folder, ini, settings.top) if with_files else ()
    known_as = aliases.load(name, folder, migrations) if with_files else {}
    for tool in known_as:
        toml.one_of(match.TOOLS, tool, f"{folder / aliases.ADOPT_FILE}")
    return Service(
        name=name,
        kind=settings.kind,
        url=url,
        folder=folder,
        migrations=migrations,
        depends_on=settings.depends_on,
        timeouts=settings.timeouts,
        ahead=settings.ahead,
        session_pooler=settings.session_pooler,
        observe=settings.observe,
        expect=settings.expect,
        mirror=_mirrored(settings, known_as) if with_files else "",
        coexist=settings.coexist,
        ignore=(*settings.ignore, *_records(known_as)),
        onto_existing=settings.onto_existing,
        application=settings.application,
        aliases=known_as,
        alembic=ini,
        renamed_record=record,
        top=settings.top,
        limits=settings.limits,
        databases=settings.databases,
        rollout=settings.rollout,
    )


def _records(known_as: Mapping[str, ToolAliases]) -> tuple[str, ...]:
    """The tables and collections that adopt.toml calls records of other tools: they are no part of any history."""
    return tuple(name for said in known_as.values() for name in (said.record, said.lock) if name)


def _mirrored(settings: ServiceSettings, known_as: Mapping[str, ToolAliases]) -> str:
    """The one tool that is mirrored: of several that are possible, the one that adopt.toml describes."""
    tools = [tool for tool in settings.mirror if tool in known_as] or settings.mirror
    if len(tools) > 1:
        raise ConfigError(
            f"{settings.where}: mirror = true: of which tool?", hint=f'say mirror = "{tools[0]}", for example'
        )
    return tools[0] if tools else ""


__all__ = [
    "FILE_NAME",
    "Config",
    "LintSettings",
    "RehearseSettings",
    "ServiceSettings",
    "Settings",
    "author",
    "find",
    "load",
    "read",
]
