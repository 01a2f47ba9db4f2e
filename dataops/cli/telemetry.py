"""Metrics and traces of a command: collected while it works, and written or sent at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.cli.session import Session
from dataops.errors import CannotWrite, DataopsError
from dataops.events import Warned
from dataops.model import Service, State
from dataops.redaction import describe
from dataops.run.reading import look
from dataops.statements import listening

if TYPE_CHECKING:
    from dataops.drift import Drift
    from dataops.show.prometheus import Collector


@dataclass
class Observed:
    """What a command reports to its telemetry: its services, once it knows them, and their states, if it only reads.

    `drifts` is how the databases differ from their histories, where they were compared.
    """

    services: Sequence[Service] = ()
    outcomes: Sequence[State | DataopsError] | None = None
    drifts: Sequence[Drift] = ()


@contextmanager
def telemetry(session: Session, command: str, path: Path | None, *, run: bool = True) -> Iterator[Observed]:
    """Measure what is done in this scope. Without a file to write and without OTEL_* variables it does nothing.

    Raises CannotWrite or ConfigError before anything is done. What cannot be written or sent at the end is a warning.
    With `run`, the services are read again at the end.
    """
    if path is None and not any(name.startswith("OTEL_") for name in os.environ):
        yield Observed()
        return
    from dataops.show import otel, prometheus

    if path is not None:
        prometheus.refuse_unwritable(path)
    traced = otel.start(command, session.author, os.environ, lambda text: _warn(session, text), spans=run)
    observed = Observed()
    if path is None and traced is None:
        yield observed
        return
    collector = prometheus.Collector(command)
    session.sinks = [collector]
    hearers = [collector.statement]
    if traced is not None:
        session.sinks.append(traced)
        hearers.append(traced.statement)
        session.log.trace = traced.trace or session.log.trace
    ended: BaseException | None = None
    try:
        with listening(*hearers):
            yield observed
    except BaseException as error:
        ended = error
        collector.failed(error)
        raise
    finally:
        session.sinks = []
        try:
            _measure(collector, observed, ended, run=run)
        except Exception as error:  # noqa: BLE001  the run has ended, whatever keeps us from reading the services again
            _warn(session, f"not measured: {describe(error)}")
        if run:
            collector.ended(observed.services)
        if traced is not None:
            traced.close(collector.values, ended)
        if path is not None:
            _write(session, path, collector)


def _measure(collector: Collector, observed: Observed, ended: BaseException | None, *, run: bool) -> None:
    if run and (ended is None or isinstance(ended, Exception)):  # otherwise a person or a signal wants to end it now
        observed.outcomes = look(observed.services, emit=lambda event: None)
    if observed.outcomes is not None:
        collector.saw(observed.services, observed.outcomes)
    collector.compared(observed.drifts)


def _write(session: Session, path: Path, collector: Collector) -> None:
    from dataops.show import prometheus

    try:
        names = session.config(with_urls=False, with_files=False, observed=True).names
    except DataopsError:
        names = None
    try:
        prometheus.write(path, collector.values, names)
    except CannotWrite as error:
        _warn(session, error.message)


def _warn(session: Session, text: str) -> None:
    session.sink()(Warned(message=text))
