"""Where the databases are: the URL of each service, from a named environment or from the variables of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dataops import kinds, urls
from dataops.config.settings import ServiceSettings, Settings, check_record
from dataops.errors import ConfigError
from dataops.redaction import redact


def locate(
    settings: Settings, chosen: Sequence[ServiceSettings], environment: str | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """The URLs of the chosen services, by name; of those that need one.

    Raises ConfigError, and UsageError for an unknown environment.
    """
    chosen = [one for one in chosen if one.databases is None or not one.databases.need_no_url]
    if environment:
        return _from_file(settings, chosen, environment)
    every = [service.kind for service in chosen]
    return {
        service.name: _in_parts(service, environ, alone=every.count(service.kind) == 1)
        if service.in_parts
        else _whole(service, environ, alone=every.count(service.kind) == 1)
        for service in chosen
    }


def _from_file(settings: Settings, chosen: Sequence[ServiceSettings], environment: str) -> dict[str, str]:
    named = settings.environment(environment)
    found = {}
    for service in chosen:
        url = named.get(service.name)
        if not isinstance(url, str):
            raise ConfigError(
                f"the environment {environment} says no URL for {service.name}",
                hint=f'write {service.name} = "..." under [environments.{environment}] in {settings.path.name}, '
                "or use --service",
            )
        source = f"[environments.{environment}] {service.name}"
        found[service.name] = _complete(service, url, source, service.database, "")
    return found


def _whole(service: ServiceSettings, environ: Mapping[str, str], *, alone: bool) -> str:
    variable = service.url_variable
    shared = "" if service.kind.url_in_parts else service.kind.url_variable
    for candidate in (variable, *([shared] if alone and shared else [])):
        value = variable_or_file(candidate, environ)
        if value:
            return _complete(service, value, candidate, service.database, "")
    also = (
        ""
        if alone or not shared
        else f" ({shared} counts only when exactly one {service.kind.title} service is selected)"
    )
    raise ConfigError(
        f"{variable} is not set",
        service=service.name,
        hint=f"set {variable} to {service.kind.url_shape}, or {variable}_FILE to a file with it{also}; "
        "with servers to try it: dataops dev up",
    )


def record_of(service: ServiceSettings, chosen: Sequence[ServiceSettings], environ: Mapping[str, str]) -> str:
    """The name of the native record where it is not the usual one: by dataops.toml, or by the tool's own variable.

    That variable counts where the tool's variable of the URL counts. Raises ConfigError where it is set and nothing
    says whether it is meant for this service.
    """
    variable = f"{service.kind.format.variables}_COLLECTION"
    named = variable_or_file(variable, environ) if service.kind.format.variables else None
    if not named or named == (service.record or service.kind.record):
        return service.record
    alone = [one.kind for one in chosen].count(service.kind) == 1
    if _by_own_variables(service, environ, alone=alone) is not None and not service.record:
        check_record(named, service.kind, variable)
        return named
    if service.record:
        return service.record
    raise ConfigError(
        f"{variable} is set, and nothing says whether the record of {service.name} has that name",
        service=service.name,
        hint=f'write record = "{redact(named)}" or record = "{service.kind.record}" under [services.{service.name}]',
    )


def _by_own_variables(service: ServiceSettings, environ: Mapping[str, str], *, alone: bool) -> str | None:
    """The URL in the variables that the tool's own command line reads, where none of ours is named or set.

    As there, its variable of the database goes before the one in the URL.
    """
    tool = service.kind.format.variables
    ours = [f"{service.variable_prefix}_{part}" for part in ("CON", "ADDRESS")]
    if not (tool and alone) or service.url_env or service.env_prefix or any(variable_or_file(n, environ) for n in ours):
        return None
    url = variable_or_file(f"{tool}_URI", environ)
    if not url:
        return None
    redact.learn(url)
    urls.check(service.kind, url.strip(), f"{tool}_URI")
    database = variable_or_file(f"{tool}_DATABASE", environ)
    return urls.beside(url.strip(), database) if database else url


def _in_parts(service: ServiceSettings, environ: Mapping[str, str], *, alone: bool) -> str:
    prefix = service.variable_prefix
    database = variable_or_file(f"{prefix}_DATABASE", environ) or service.database
    also = f"set {prefix}_DATABASE, "
    for variable in dict.fromkeys((service.url_variable, f"{prefix}_CON")):
        whole = variable_or_file(variable, environ)
        if whole:
            return _complete(service, whole, variable, database, also)
    own = _by_own_variables(service, environ, alone=alone)
    if own is not None:
        tool = service.kind.format.variables
        return _complete(service, own, f"{tool}_URI", database, f"set {tool}_DATABASE, ")
    address = variable_or_file(f"{prefix}_ADDRESS", environ)
    scheme = service.kind.schemes[0]
    if not address:
        raise ConfigError(
            f"neither {prefix}_CON nor {prefix}_ADDRESS is set",
            hint=f"set {prefix}_CON to {service.kind.url_shape}, or {prefix}_CON_FILE to a file with it, "
            f"or {prefix}_ADDRESS to a host or a comma-separated list of hosts",
        )
    user = variable_or_file(f"{prefix}_USER", environ) or ""
    password = variable_or_file(f"{prefix}_PASSWORD", environ) or ""
    if bool(user) != bool(password):
        missing = f"{prefix}_PASSWORD" if user else f"{prefix}_USER"
        raise ConfigError(f"{missing} is not set", hint=f"{prefix}_USER and {prefix}_PASSWORD go together")
    url = urls.from_parts(scheme, address, user, password, database)
    return _complete(service, url, f"{prefix}_ADDRESS", database, also)


def _complete(service: ServiceSettings, url: str, source: str, database: str, also: str) -> str:
    """Check the URL, and add the configured database where the URL has to name one and does not."""
    redact.learn(url)
    # A secret that was made with `echo` ends in a new line.
    url = urls.without_driver(service.kind, url.strip())
    urls.check(service.kind, url, source)
    if not service.kind.url_in_parts or urls.names_database(url) or service.databases is not None:
        return url  # a fleet names its databases itself; libpq has its own rules for a database that is not named
    if not database:
        raise ConfigError(
            f"{source} names no database",
            service=service.name,
            hint=f'end the URL with /DATABASE, {also}or write database = "..." under [services.{service.name}]',
        )
    return urls.with_database(url, database)


def control(variable: str, where: str, environ: Mapping[str, str]) -> str:
    """The URL of a control database, of either kind, from its variable; "" where none is said. Raises ConfigError."""
    if not variable:
        return ""
    url = variable_or_file(variable, environ)
    if not url:
        raise ConfigError(
            f"{variable} is not set, and {where} names it for the control database",
            hint=f"set {variable} to the URL of a PostgreSQL or MongoDB database, or {variable}_FILE to a file with it",
        )
    redact.learn(url)
    kind = kinds.of_url(url.strip())
    if kind is None:
        raise ConfigError(f"{variable} is no URL of PostgreSQL or MongoDB", hint="the value itself is not shown")
    url = urls.without_driver(kind, url.strip())
    urls.check(kind, url, variable)
    return url


def variables_of(service: ServiceSettings) -> Iterator[str]:
    """Every variable that may say where the database of a service is, or give its credentials."""
    names = [service.url_variable]
    if service.in_parts:
        names += [f"{service.variable_prefix}_{part}" for part in ("CON", "ADDRESS", "USER", "PASSWORD", "DATABASE")]
        names += [f"{service.kind.format.variables}_URI"] if service.kind.format.variables else []
    elif not service.kind.url_in_parts:
        names.append(service.kind.url_variable)
    names += [service.databases.control_env] if service.databases else []
    names.append(service.rollout.control_env)
    for name in dict.fromkeys(filter(None, names)):
        yield name
        yield f"{name}_FILE"


def variable_or_file(name: str, environ: Mapping[str, str]) -> str | None:
    """The variable, or the content of the file that NAME_FILE names; None when neither is set or it is empty.

    Raises ConfigError when both are set, and when the file cannot be read.
    """
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise ConfigError(f"both {name} and {name}_FILE are set", hint="unset one of them")
    if path:
        try:
            return Path(path).read_text("utf-8-sig").rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{name}_FILE: {path}: {reason}", hint="is the secret mounted?") from error
    if value and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{name} is not UTF-8", hint="the value itself is not shown") from None
    return value or None


__all__ = ["control", "locate", "record_of", "variable_or_file", "variables_of"]
