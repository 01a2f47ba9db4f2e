"""What a shell completes: services, environments, migrations and runs. It never fails: it offers nothing instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from dataops import config
from dataops.errors import DataopsError
from dataops.model import Entry, Service
from dataops.planning import story
from dataops.show.grid import age

VARIABLE = "_DATAOPS_COMPLETE"
"""The environment variable with which a shell asks; its protocol is Click's."""
_SECONDS = 1.0
_ENTRIES = 500
_Offer = Callable[[click.Context], Iterable[CompletionItem]]
_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(offer: _Offer) -> _Complete:
    @wraps(offer)
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            offered = list(offer(context))
        except (DataopsError, OSError):
            return []
        return [item for item in offered if str(item.value).startswith(incomplete)]

    return complete


@_offering
def services(context: click.Context) -> Iterable[CompletionItem]:
    """The names of the services."""
    return [CompletionItem(name, help=one.kind.name) for name, one in _settings(context).services.items()]


@_offering
def environments(context: click.Context) -> Iterable[CompletionItem]:
    """The names of the environments."""
    return [CompletionItem(name) for name in _settings(context).environment_names]


@_offering
def migrations(context: click.Context) -> Iterable[CompletionItem]:
    """The ids of migrations: alone where one service is meant, else as `SERVICE/ID`."""
    loaded = config.load(_path(context), selected=_selected(context), with_urls=False).services
    return [
        CompletionItem(m.id if len(loaded) == 1 else f"{service.name}/{m.id}", help=m.title)
        for service in loaded
        for m in reversed(service.migrations)
    ]


@_offering
def runs(context: click.Context) -> Iterable[CompletionItem]:
    """The short ids of the newest runs, from the journals of the databases that answer within a second."""
    environment = context.params.get("environment")
    loaded = config.load(_path(context), environment=environment, selected=_selected(context), with_files=False)
    journals = {one.name: _journal(one) for one in loaded.services if one.databases is None}
    found = story.stories(journals)
    short = story.short_ids(one.id for one in found)
    now = datetime.now(UTC)
    return [
        CompletionItem(short[one.id], help=f"{age((now - one.began).total_seconds()) if one.began else ''} {one.what}")
        for one in found
    ]


def _journal(service: Service) -> tuple[Entry, ...]:
    from dataops.backends import opened

    try:
        with opened(replace(service, timeouts=replace(service.timeouts, connect=_SECONDS))) as database:
            return database.history(_ENTRIES)
    except DataopsError:
        return ()


def _settings(context: click.Context) -> config.Settings:
    return config.read(_path(context))


def _path(context: click.Context) -> Path | None:
    path: Path | None = context.params.get("config_path")
    return path


def _selected(context: click.Context) -> tuple[str, ...]:
    named = context.params.get("service_name")
    return (named,) if named else tuple(context.params.get("selected") or ())


__all__ = ["VARIABLE", "environments", "migrations", "runs", "services"]
