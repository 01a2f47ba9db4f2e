"""Which services there are and how to reach them: dataops.toml and the environment.

A URL comes from a named environment in the file (`--env compose`) or from the process's environment, where every
variable NAME may instead be NAME_FILE, the path of a mounted secret. A variable that is missing is an error that
names it, never a silent localhost.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from dataops import __version__, kinds
from dataops.durations import parse_duration
from dataops.errors import ConfigError, UsageError
from dataops.files import aliases, chain
from dataops.kinds import Kind
from dataops.model import Ahead, Author, Service, Timeouts
from dataops.othertools import match
from dataops.redaction import message_of, redact
from dataops.text import near
from dataops.urls import DEFAULT_MONGO_DATABASE, _checked, _with_database

FILE_NAME = "dataops.toml"
_URL_KEYS = {"url_env", "env_prefix", "database"}
_SERVICE_KEYS = {
    "engine",
    "folder",
    "depends_on",
    "timeouts",
    "ahead",
    "pooler",
    "mirror",
    "beside",
    "ignore",
    *_URL_KEYS,
}
_OBSERVED_KEYS = {"observe", "engine", "expect", "timeouts", *_URL_KEYS}
_LEAST_SECONDS = {"connect": 0.001, "lock": 0.001, "table_lock": 0.001, "statement": 0.001, "lease": 1.0}
_MAY_BE_ZERO = {"lock", "table_lock", "statement"}
_MOST_SECONDS = 20 * 86400.0  # PostgreSQL counts milliseconds in 31 bits
_TIMEOUT_KEYS = set(_LEAST_SECONDS)


@dataclass(frozen=True)
class Config:
    """A read dataops.toml: the services that were chosen, in the file's order; `names` are all of them."""

    path: Path
    services: tuple[Service, ...]
    names: tuple[str, ...]

    def service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)


def author() -> Author:
    """This invocation: a new run id that sorts by time, DATAOPS_ACTOR or the user's name, and the host or pod."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    try:
        actor = os.environ.get("DATAOPS_ACTOR") or getpass.getuser()
    except (OSError, KeyError):  # an arbitrary user id without a name, as in a container
        actor = f"uid {os.getuid()}"
    host = os.environ.get("HOSTNAME") or socket.gethostname()
    return Author(run=f"{stamp}-{os.urandom(3).hex()}", actor=actor, host=host, version=__version__)


def find(start: Path) -> Path:
    """The nearest dataops.toml at or above `start`."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or above it", hint="change to the project's folder, or name the file: --config FILE"
    )


def load(
    path: Path | None,
    *,
    environment: str | None = None,
    selected: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    with_urls: bool = True,
    with_files: bool = True,
    observed: bool = False,
) -> Config:
    """Read the file and make the chosen services (all when none is named), migrations included.

    Services that are only observed count where the caller asks for `observed`; to name one elsewhere is a UsageError.
    Raises ConfigError (file and line where there is one), HistoryError for the migration files and UsageError for a
    service or an environment that does not exist. `with_urls=False` asks for no variable: for commands that reach no
    database. `with_files=False` reads no migration: for the one that looks at them by itself.
    """
    environ = os.environ if environ is None else environ
    path = path or find(Path.cwd())
    table = _read(path)
    services = table.get("services")
    if not isinstance(services, dict) or not services:
        raise ConfigError(f"{path}: there is no [services.NAME] in it", hint="see README.md#configuration")
    _only(table, {"services", "environments"}, str(path))
    for name in selected:
        if name not in services:
            raise UsageError(f"there is no service {redact(name)}", hint=near(name, services))
    watched = {name for name in services if "observe" in _table(services[name], f"{path}: [services.{name}]")}
    if not observed and (stray := sorted(watched & set(selected))):
        raise UsageError(
            f"{stray[0]} is only observed: another tool migrates it",
            hint="dataops status and dataops wait look at it; nothing else does",
        )
    before = _all_before(path, services, watched)
    chosen = [n for n in services if (n in selected if selected else observed or n not in watched)]
    urls = _urls(path, table, chosen, environment, environ) if with_urls else {}
    made = tuple(_service(path, name, services[name], before[name], urls.get(name, ""), with_files) for name in chosen)
    return Config(path, made, tuple(services))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="name an existing file: --config FILE") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        text = re.sub(r" \(at line.*", "", message_of(error))
        raise ConfigError(f"{path}:{line[1] if line else '?'}: {text}", hint="mend the TOML at that line") from error


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {redact(repr(key))}", hint=near(key, sorted(known)))


def _service(
    path: Path, name: str, table: Mapping[str, Any], before: tuple[str, ...], url: str, with_files: bool
) -> Service:
    where = f"{path}: [services.{name}]"
    observe = "observe" in table
    _only(table, _OBSERVED_KEYS if observe else _SERVICE_KEYS, where)
    kind = _kind(table, where)
    if observe:
        return Service(
            name=name,
            kind=kind,
            url=url,
            folder=path.parent,
            timeouts=_timeouts(table, where),
            observe=str(table["observe"]),
            expect=_text(table, "expect", where) if "expect" in table else "",
        )
    folder = path.parent / _text(table, "folder", where)
    migrations = chain.load(name, kind, folder) if with_files else ()
    known_as = aliases.load(name, folder, migrations) if with_files else {}
    for tool in known_as:
        _one_of(match.TOOLS, tool, f"{folder / aliases.ADOPT_FILE}")
    return Service(
        name=name,
        kind=kind,
        url=url,
        folder=folder,
        migrations=migrations,
        depends_on=before,
        timeouts=_timeouts(table, where),
        mirror=_mirror(table, kind, known_as, where),
        coexist=_tools(table, "beside", where),
        ignore=_names(table, "ignore", where),
        aliases=known_as,
        ahead=_choice(Ahead, table.get("ahead", "refuse"), f"{where}: ahead"),
        session_pooler=_one_of(("", "session"), table.get("pooler", ""), f"{where}: pooler") == "session",
    )


def _timeouts(table: Mapping[str, Any], where: str) -> Timeouts:
    timeouts = _table(table.get("timeouts", {}), f"{where} timeouts")
    _only(timeouts, _TIMEOUT_KEYS, f"{where} timeouts")
    return Timeouts(**{key: _timeout(key, value, f"{where} timeouts.{key}") for key, value in timeouts.items()})


def _timeout(key: str, value: object, where: str) -> float:
    """0 is a word of its own: no limit, or, of `lock`, not to wait. Of the others it would make no sense."""
    given, least = parse_duration(value, where), _LEAST_SECONDS[key]
    if (given or key not in _MAY_BE_ZERO) and given < least:
        also = ", or 0" if key in _MAY_BE_ZERO else ""
        raise ConfigError(
            f"{where}: {redact(repr(value))} is too short",
            hint=f"at least {least:g} s{also}; see README.md#configuration",
        )
    if given > _MOST_SECONDS:
        raise ConfigError(
            f"{where}: {redact(repr(value))} is too long", hint=f"at most {_MOST_SECONDS / 86400:.0f} days"
        )
    return given


def _mirror(table: Mapping[str, Any], kind: Kind, aliases: Collection[str], where: str) -> str:
    """The tool whose record follows ours: the one that is named, or the only one that it can be."""
    value = table.get("mirror", False)
    if value is False:
        return ""
    possible = [tool for tool, of in match.MIRRORED.items() if of is kind]
    if value is not True:
        return _one_of(possible, value, f"{where}: mirror")
    described = [tool for tool in possible if tool in aliases] or possible
    if len(described) > 1:
        raise ConfigError(f"{where}: mirror = true: of which tool?", hint=f'say mirror = "{described[0]}", for example')
    return described[0]


def _names(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{where}: {key} has to be a list of names", hint=f'for example {key} = ["sessions"]')
    return tuple(value)


def _tools(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {key} has to be a list of tools", hint=f'for example {key} = ["django"]')
    return tuple(_one_of(match.TOOLS, tool, f"{where}: {key}") for tool in value)


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} has to be a table", hint="see README.md#configuration")
    return value


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: {key} is missing", hint=f'write {key} = "..."; see README.md#configuration')
    return value


def _one_of(allowed: Iterable[str], value: object, where: str) -> str:
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{where}: {redact(repr(value))} is not one of {', '.join(repr(a) for a in allowed if a)}")
    return str(value)


def _choice(enum: type[Ahead], value: object, where: str) -> Ahead:
    return enum(_one_of([member.value for member in enum], value, where))


def _kind(table: Mapping[str, Any], where: str) -> Kind:
    tool = table.get("observe")
    if "observe" not in table:
        return kinds.named(_one_of([kind.name for kind in kinds.known()], table.get("engine"), f"{where}: engine"))
    _one_of(match.TOOLS, tool, f"{where}: observe")
    possible = [kind.name for kind in match.TOOLS[str(tool)]]
    return kinds.named(_one_of(possible, table.get("engine", possible[0]), f"{where}: engine"))


def _all_before(path: Path, services: Mapping[str, Any], watched: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What each service depends on, directly or through others: a service in between may have nothing to do."""
    done: dict[str, tuple[str, ...]] = {}

    def visit(name: str, trail: tuple[str, ...]) -> tuple[str, ...]:
        if name in trail:
            loop = " -> ".join((*trail[trail.index(name) :], name))
            raise ConfigError(f"{path}: depends_on goes round in a circle: {loop}", hint="remove one of them")
        if name not in done:
            found: dict[str, None] = {}
            for other in _depends_on(path, name, services):
                if other in watched:
                    raise ConfigError(
                        f"{path}: [services.{name}]: depends_on names {other}, which is only observed",
                        hint=f"wait for it instead, before: dataops wait --service {other}",
                    )
                found.update(dict.fromkeys((*visit(other, (*trail, name)), other)))
            done[name] = tuple(found)
        return done[name]

    for name in services:
        visit(name, ())
    return done


def _depends_on(path: Path, name: str, services: Mapping[str, Any]) -> list[str]:
    where = f"{path}: [services.{name}]"
    depends_on = _table(services[name], where).get("depends_on", [])
    if not isinstance(depends_on, list) or not all(isinstance(other, str) for other in depends_on):
        raise ConfigError(f"{where}: depends_on has to be a list of service names")
    for other in depends_on:
        if other not in services or other == name:
            raise ConfigError(
                f"{where}: depends_on names {redact(repr(other))}", hint=near(other, set(services) - {name})
            )
    return depends_on


def _urls(
    path: Path,
    table: Mapping[str, Any],
    chosen: Iterable[str],
    environment: str | None,
    environ: Mapping[str, str],
) -> dict[str, str]:
    services = table["services"]
    urls: dict[str, str] = {}
    postgres = [name for name in chosen if not _kind(services[name], name).url_in_parts]
    named = _environment(path, table, environment) if environment else None
    for name in chosen:
        where = f"{path}: [services.{name}]"
        settings = _table(services[name], where)
        kind = _kind(settings, where)
        if named is not None:
            if not isinstance(named.get(name), str):
                raise ConfigError(
                    f"the environment {environment} says no URL for {name}",
                    hint=f'write {name} = "..." under [environments.{environment}] in {path.name}, or use --service',
                )
            url, source = named[name], f"[environments.{environment}] {name}"
        elif not kind.url_in_parts:
            url, source = _postgres_url(name, settings, environ, alone=len(postgres) == 1)
        else:
            url, source = _mongo_url(settings, environ)
        redact.learn(url)
        urls[name] = _checked(kind, url, source, str(settings.get("database") or ""))
    return urls


def _environment(path: Path, table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    environments = _table(table.get("environments", {}), f"{path}: [environments]")
    if name not in environments:
        raise UsageError(f"there is no environment {redact(name)} in {path}", hint=near(name, environments))
    return _table(environments[name], f"{path}: [environments.{name}]")


def _value(name: str, environ: Mapping[str, str]) -> str | None:
    """The variable, or the content of the file that NAME_FILE points at; None when neither is set or it is empty."""
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise ConfigError(f"both {name} and {name}_FILE are set", hint="unset one of them")
    if path:
        try:
            return Path(path).read_text().rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{name}_FILE: {path}: {reason}", hint="is the secret mounted?") from error
    return value or None


def _postgres_url(
    name: str, settings: Mapping[str, Any], environ: Mapping[str, str], *, alone: bool
) -> tuple[str, str]:
    variable = str(settings.get("url_env") or re.sub(r"\W", "_", name).upper() + "_PG_CON")
    for candidate in (variable, *(["PG_CON"] if alone else [])):
        value = _value(candidate, environ)
        if value:
            return value, candidate
    also = "" if alone else " (PG_CON counts only when exactly one PostgreSQL service is selected)"
    raise ConfigError(
        f"{variable} is not set",
        service=name,
        hint=f"set {variable} or {variable}_FILE to postgres://HOST:PORT/DATABASE, with the credentials{also}",
    )


def _mongo_url(settings: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, str]:
    prefix = str(settings.get("env_prefix") or "MONGODB")
    whole = _value(f"{prefix}_CON", environ)
    database = _value(f"{prefix}_DATABASE", environ) or str(settings.get("database") or DEFAULT_MONGO_DATABASE)
    if whole:
        return _with_database(whole, database), f"{prefix}_CON"
    address = _value(f"{prefix}_ADDRESS", environ)
    if not address:
        raise ConfigError(
            f"neither {prefix}_CON nor {prefix}_ADDRESS is set",
            hint=f"set {prefix}_CON (or {prefix}_CON_FILE) to mongodb://HOST:PORT/DATABASE, with the credentials, "
            f"or {prefix}_ADDRESS to a host or a comma-separated list of hosts",
        )
    user, password = _value(f"{prefix}_USER", environ), _value(f"{prefix}_PASSWORD", environ)
    if bool(user) != bool(password):
        missing = f"{prefix}_PASSWORD" if user else f"{prefix}_USER"
        raise ConfigError(f"{missing} is not set", hint=f"{prefix}_USER and {prefix}_PASSWORD go together")
    if "://" not in address:
        address = f"mongodb://{address}"
    if user and password:
        scheme, _, rest = address.partition("://")
        if "@" not in rest.partition("/")[0]:
            address = f"{scheme}://{quote_plus(user)}:{quote_plus(password)}@{rest}"
    return _with_database(address, database), f"{prefix}_ADDRESS"
