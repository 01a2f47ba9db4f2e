"""The paragraphs `[services.NAME.databases]` and `[services.NAME.rollout]` of dataops.toml, for many databases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dataops.durations import parse_duration
from dataops.errors import ConfigError
from dataops.files import toml
from dataops.model import Databases, Rollout, Wave
from dataops.redaction import redact
from dataops.text import shortened

_LONGEST_NAME = 200  # with url_file, a name need not be one that the server takes
_SHOWN = 100
_SOURCES = ("names", "file", "like", "query", "command")
DATABASES_KEYS = {*_SOURCES, "control_env", "password_file", "url_file"}
"""What `[services.NAME.databases]` may say."""
ROLLOUT_KEYS = {"waves", "halt_after", "control_env"}
"""What `[services.NAME.rollout]` may say."""
WAVE_KEYS = {"databases", "labels", "smallest", "share", "pause", "ask", "check", "query"}
"""What one wave of a rollout may say."""
_WHICH = ("databases", "labels", "smallest", "share")
_COMMAND = "command and its arguments", 'for example ["script/tenants", "--active"]'


def databases(service: toml.Table, top: Path) -> Databases | None:
    """Where the databases of a fleet come from; None for a service with one. `top` is the folder of the file.

    Raises ConfigError.
    """
    if "databases" not in service:
        return None
    if isinstance(service.get("databases"), list):
        return Databases(names=_names(service, "databases"))
    table = service.table("databases", f"{service.where} databases")
    table.only(DATABASES_KEYS)
    said = [key for key in _SOURCES if key in table]
    if len(said) != 1:
        what = "says nothing of" if not said else f"says {' and '.join(said)}, which is more than one way, of"
        hint = f"write one of {', '.join(_SOURCES)}; see dataops docs fleets"
        raise ConfigError(f"{table.where} {what} where its names come from", hint=hint)
    file, control = table.optional_text("file"), variable(table, "control_env")
    found = Databases(
        names=_names(table, "names") if "names" in table else (),
        file=top / file if file else None,
        like=table.optional_text("like"),
        query=table.optional_text("query"),
        command=table.texts("command", *_COMMAND),
        control_env=control,
        password_file=_path(table, "password_file", top),
        url_file=_path(table, "url_file", top),
    )
    if said[0] != "names" and not getattr(found, said[0]):
        raise ConfigError(f"{table.where}: {said[0]} is empty", hint="see dataops docs fleets")
    if found.query and not control:
        raise ConfigError(
            f"{table.where}: query is asked of a control database, and nothing says where that is",
            hint='write control_env = "CONTROL_URL", the variable with its URL',
        )
    if found.password_file and found.url_file:
        raise ConfigError(f"{table.where}: password_file and url_file exclude each other", hint="keep one of them")
    return found


def rollout(service: toml.Table, fleet: Databases | None) -> Rollout:
    """In which waves a fleet is changed. Raises ConfigError, also where the service is no fleet."""
    if "rollout" not in service:
        return Rollout(control_env=fleet.control_env if fleet else "")
    if fleet is None:
        raise ConfigError(
            f"{service.where}: rollout is for a service with many databases", hint="see dataops docs fleets"
        )
    table = service.table("rollout", f"{service.where} rollout")
    table.only(ROLLOUT_KEYS)
    control = variable(table, "control_env") or fleet.control_env
    most = table.get("halt_after", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ConfigError(f"{table.where}: halt_after has to be a number of failures", hint="write halt_after = 1")
    if "waves" not in table:
        return Rollout(halt_after=most, control_env=control)
    said = table.get("waves")
    if not isinstance(said, list) or not said:
        raise ConfigError(f"{table.where}: waves has to be a list of tables", hint="see dataops docs fleets")
    waves = [
        _wave(toml.table(one, f"{table.where}: wave {at}", table.manual), control) for at, one in enumerate(said, 1)
    ]
    if any(one.is_the_rest for one in waves[:-1]):
        raise ConfigError(
            f"{table.where}: a wave that does not say which databases takes all the rest, and is not the last one",
            hint="say of it databases, labels, smallest or share",
        )
    if not waves[-1].is_the_rest:
        waves.append(Wave())  # no database is forgotten because nobody named it
    return Rollout(tuple(waves), most, control)


def _wave(table: toml.Table, control: str) -> Wave:
    table.only(WAVE_KEYS)
    which = [key for key in _WHICH if key in table]
    if len(which) > 1:
        raise ConfigError(f"{table.where}: {' and '.join(which)} exclude each other", hint="make two waves of them")
    for key in which:
        if not table.get(key):
            raise ConfigError(f"{table.where}: {key} selects nothing", hint="leave out the wave, or the key")
    smallest = table.get("smallest", 0)
    if isinstance(smallest, bool) or not isinstance(smallest, int) or smallest < 0:
        raise ConfigError(f"{table.where}: smallest has to be a number of databases", hint="write smallest = 1")
    query = table.optional_text("query")
    if query and not control:
        raise ConfigError(
            f"{table.where}: query is asked of a control database, and nothing says where that is",
            hint='write control_env = "CONTROL_URL" for the rollout',
        )
    return Wave(
        databases=_names(table, "databases", patterns=True) if "databases" in table else (),
        labels=_labels(table),
        smallest=smallest,
        share=_share(table),
        pause=parse_duration(table.get("pause"), f"{table.where}: pause") if "pause" in table else 0.0,
        ask=table.flag("ask"),
        check=table.texts("check", *_COMMAND),
        query=query,
    )


def _share(table: toml.Table) -> float:
    if "share" not in table:
        return 0.0
    said = table.get("share")
    percent = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", said) if isinstance(said, str) else None
    share = float(percent[1]) / 100 if percent else said
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        hint = 'write share = "10%", of more than 0 and at most 100%'
        raise ConfigError(f"{table.where}: share: {redact(repr(said))} is no share", hint=hint)
    return float(share)


def _labels(table: toml.Table) -> Mapping[str, str]:
    labels = table.table("labels", f"{table.where}: labels").values
    for key, value in labels.items():
        if not isinstance(value, str):
            raise ConfigError(f"{table.where}: labels: {key} has to be a text", hint=f'write {key} = "{value}"')
    return labels


def _names(table: toml.Table, key: str, *, patterns: bool = False) -> tuple[str, ...]:
    names = table.texts(key, "list of databases", 'for example ["acme", "globex"]')
    if not names:
        raise ConfigError(f"{table.where}: {key} names no database", hint='for example ["acme", "globex"]')
    for name in names:
        if not patterns:
            check_name(name, f"{table.where}: {key}")
    return names


def check_name(name: str, where: str) -> None:
    """Raise ConfigError for a name that a database of a fleet may not have: it is written as SERVICE@NAME/MIGRATION."""
    if not name or not name.isprintable() or set(name) & set(" /@,*?[]=") or name[0] == "!":
        raise ConfigError(
            f"{where}: {redact(shortened(repr(name), _SHOWN))} cannot be the name of a database of a fleet",
            hint="a name has no space and none of / @ , * ? [ ] =, and does not begin with !",
        )
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"{where}: a name of {len(name):,} characters cannot be that of a database: {shortened(name, _SHOWN)}",
            hint="is this a list of databases, with a line for each?",
        )


def _path(table: toml.Table, key: str, top: Path) -> str:
    path = table.optional_text(key)
    return str(top / path) if path else ""


def variable(table: toml.Table, key: str) -> str:
    """The name of an environment variable, or its beginning, that every shell can set; "" where it is not said."""
    name = table.optional_text(key)
    if name and not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ConfigError(
            f"{table.where}: {key} = {redact(repr(name))} is not the name of a variable",
            hint="letters, digits and _, and not a digit first",
        )
    return name


__all__ = ["DATABASES_KEYS", "ROLLOUT_KEYS", "WAVE_KEYS", "check_name", "databases", "rollout", "variable"]
