"""Where the databases are: the URL of each service, from a named environment or from the variables of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dataops import urls
from dataops.config.settings import ServiceSettings, Settings
from dataops.errors import ConfigError
from dataops.redaction import redact


def locate(
    settings: Settings, chosen: Sequence[ServiceSettings], environment: str | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """The URLs of the chosen services, by name. Raises ConfigError, and UsageError for an unknown environment."""
    if environment:
        return _from_file(settings, chosen, environment)
    kinds = [service.kind for service in chosen]
    return {
        service.name: _in_parts(service, environ)
        if service.kind.url_in_parts
        else _whole(service, environ, alone=kinds.count(service.kind) == 1)
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
    shared = service.kind.url_variable
    for candidate in (variable, *([shared] if alone else [])):
        value = variable_or_file(candidate, environ)
        if value:
            return _complete(service, value, candidate, service.database, "")
    also = "" if alone else f" ({shared} counts only when exactly one {service.kind.title} service is selected)"
    raise ConfigError(
        f"{variable} is not set",
        service=service.name,
        hint=f"set {variable} or {variable}_FILE to {service.kind.schemes[0]}://HOST:PORT/DATABASE, "
        f"with the credentials{also}",
    )


def _in_parts(service: ServiceSettings, environ: Mapping[str, str]) -> str:
    prefix = service.variable_prefix
    database = variable_or_file(f"{prefix}_DATABASE", environ) or service.database
    also = f"set {prefix}_DATABASE, "
    whole = variable_or_file(f"{prefix}_CON", environ)
    if whole:
        return _complete(service, whole, f"{prefix}_CON", database, also)
    address = variable_or_file(f"{prefix}_ADDRESS", environ)
    scheme = service.kind.schemes[0]
    if not address:
        raise ConfigError(
            f"neither {prefix}_CON nor {prefix}_ADDRESS is set",
            hint=f"set {prefix}_CON (or {prefix}_CON_FILE) to {scheme}://HOST:PORT/DATABASE, with the credentials, "
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
    if not service.kind.url_in_parts or urls.names_database(url):
        return url  # libpq has its own rules for a database that is not named
    if not database:
        raise ConfigError(
            f"{source} names no database",
            service=service.name,
            hint=f'end the URL with /DATABASE, {also}or write database = "..." under [services.{service.name}]',
        )
    return urls.with_database(url, database)


def variables_of(service: ServiceSettings) -> Iterator[str]:
    """Every variable that may say where the database of a service is, or give its credentials."""
    names = [service.url_variable, service.kind.url_variable]
    if service.kind.url_in_parts:
        names = [f"{service.variable_prefix}_{part}" for part in ("CON", "ADDRESS", "USER", "PASSWORD", "DATABASE")]
    for name in names:
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
            return Path(path).read_text().rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{name}_FILE: {path}: {reason}", hint="is the secret mounted?") from error
    if value and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{name} is not UTF-8", hint="the value itself is not shown") from None
    return value or None


__all__ = ["locate", "variable_or_file", "variables_of"]
