"""Which databases a fleet has, and with which labels: from dataops.toml, a file, a server, a query or a command."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from dataops import backends, kinds, urls
from dataops.config.fleet import check_name
from dataops.errors import ConfigError, Refused
from dataops.model import Databases, Service, places_in
from dataops.redaction import redact
from dataops.text import shortened

_COMMAND_SECONDS = 120
_SHOWN = 200
Labels = Mapping[str, str]


def listed(service: Service) -> dict[str, Labels]:
    """The databases of a fleet, by name and in the order of their names, each with its labels.

    Raises ConfigError where the list is empty, names one twice or cannot be had, and what a server raises.
    """
    fleet = service.databases
    assert fleet is not None
    source, named = _named(service, fleet)
    found: dict[str, Labels] = {}
    for name, labels in named:
        check_name(name, f"{service.name}: {source}")
        if name in found:
            raise ConfigError(f"{source} names {redact(name)} twice", service=service.name, hint="name it once")
        if "database" in labels:
            raise ConfigError(
                f"{source} gives {redact(name)} a label called database, and {{database}} stands for the name",
                service=service.name,
                hint="give the label another name",
            )
        found[name] = labels
    if not found:
        raise ConfigError(
            f"{source} names no database",
            service=service.name,
            hint="nothing was done; if there really is none, leave the service out with --service",
        )
    return dict(sorted(found.items()))


def _named(service: Service, fleet: Databases) -> tuple[str, Iterable[tuple[str, Labels]]]:
    if fleet.names:
        return "databases", [(name, {}) for name in fleet.names]
    if fleet.file is not None:
        try:
            text = fleet.file.read_text("utf-8-sig")  # editors on Windows begin a file with a byte order mark
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{fleet.file}: {reason}", service=service.name, hint="is it mounted?") from error
        return fleet.file.name, _of_lines(service, text, str(fleet.file))
    if fleet.like:
        return f"the pattern {fleet.like}", [(name, {}) for name in backends.names(lister(service), fleet.like)]
    if fleet.query:
        return "the query", _of_rows(service, fleet)
    return f"the command {fleet.command[0]}", _of_lines(service, _printed(service, fleet.command), fleet.command[0])


def lister(service: Service) -> Service:
    """The service of the database where the server of a fleet lists its databases."""
    url = service.url
    strange = [place for place in places_in(url) if place != "database"]
    if strange:
        raise ConfigError(
            f"the URL has {{{strange[0]}}} in it, so that there is not one server to list",
            service=service.name,
            hint="name the databases with a file, a query or a command, which give labels too",
        )
    if "database" in places_in(url):
        url = url.replace("{database}", quote(service.kind.listing_database))
    elif service.kind.url_in_parts and not urls.names_database(url):
        url = urls.with_database(url, service.kind.listing_database)
    return replace(service, url=url, databases=None)


def control(service: Service, url: str) -> Service:
    """The service of a control database, to ask it, or to keep there what processes share."""
    kind = kinds.of_url(url)
    assert kind is not None  # the configuration has checked it
    return Service(f"{service.unit} (control)", kind, url, service.folder, timeouts=service.timeouts)


def _of_rows(service: Service, fleet: Databases) -> Iterable[tuple[str, Labels]]:
    try:
        rows = backends.rows(control(service, fleet.control_url), fleet.query)
    except ConfigError as error:
        error.service = service.name
        raise
    except Refused as error:
        raise ConfigError(
            f"the query that names the databases fails: {error.message}",
            service=service.name,
            hint="run it by hand in the control database, with the user of its URL; it is only read there",
        ) from error
    called = {next(iter(row), None) for row in rows}
    if len(called) > 1:  # documents, each of which has its own fields in its own order
        names = redact(" and ".join(sorted(map(str, called))))
        raise ConfigError(
            f"the first field of what the query finds is not the same everywhere: {names}",
            service=service.name,
            hint="name the fields in a projection, that of the name first, or make the name the _id",
        )
    for row in rows:
        values = list(row.items())
        name = values[0][1] if values else None
        if not isinstance(name, str):
            found = "NULL" if name is None else redact(shortened(repr(name), _SHOWN))
            raise ConfigError(
                f"the first column of the query has to be the name of a database, which is a text, and not {found}",
                service=service.name,
                hint="select the name first, and labels behind it; leave out rows that have no name",
            )
        yield name, {key: _text(value) for key, value in values[1:] if value is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_lines(service: Service, text: str, source: str) -> Iterable[tuple[str, Labels]]:
    for at, line in enumerate(text.splitlines(), 1):
        words = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not words:
            continue
        wrong = next((word for word in words[1:] if not word.partition("=")[0] or "=" not in word), None)
        if wrong is not None:
            raise ConfigError(
                f"{source}:{at}: {redact(repr(wrong))} is no label",
                service=service.name,
                hint="a line is NAME LABEL=VALUE ...; what comes after a # with a blank before it is a comment",
            )
        labels = {key: value for key, _, value in (word.partition("=") for word in words[1:])}
        if len(labels) < len(words) - 1:
            raise ConfigError(
                f"{source}:{at}: a label is there twice", service=service.name, hint="write each label once"
            )
        yield words[0], labels


def _printed(service: Service, command: tuple[str, ...]) -> str:
    """What the command prints. Raises ConfigError where it cannot be run, fails, prints no text or does not end."""
    try:
        done = subprocess.run(
            command,
            cwd=service.top,
            stdin=subprocess.DEVNULL,  # what comes there is the answer to a question of ours
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"has not ended in {_COMMAND_SECONDS} s"
    except OSError as error:
        why = f"cannot be run: {error.strerror}"
    else:
        if done.returncode == 0:
            try:
                return done.stdout.decode("utf-8-sig")
            except UnicodeDecodeError:
                why = "prints what is not UTF-8"
        else:
            said = (done.stderr.strip() or done.stdout.strip()).decode(errors="backslashreplace").splitlines()
            why = _ended(done.returncode) + (f": {redact(shortened(said[-1], _SHOWN))}" if said else "")
    raise ConfigError(
        f"the command {command[0]}, which names the databases, {why}",
        service=service.name,
        hint="run it by hand, in the folder of dataops.toml",
    )


def _ended(code: int) -> str:
    return f"ended with {code}" if code >= 0 else f"was killed by signal {-code}"


__all__ = ["control", "listed", "lister"]
