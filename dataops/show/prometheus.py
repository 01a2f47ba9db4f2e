"""Metrics of the services and of the last run, as values and as a file in Prometheus's text format.

Each run is a process of its own, so the file is the memory: what this process did not measure stays in it, and counters
are added up. docs/monitoring.md explains each metric. prometheus_client, which writes and reads the format, comes with
the extra `metrics` and is imported only where a file is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataops import __version__, events, outfile
from dataops.errors import ConfigError, DataopsError, MigrationFailed, Stopped
from dataops.model import JournalEvent, Service, State
from dataops.othertools import watch
from dataops.planning import background, readiness, recovery
from dataops.statements import Statement
from dataops.text import visible

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

    from dataops.drift import Drift


@dataclass(frozen=True)
class Metric:
    """One family of values. `kind` is gauge or counter. `of_state`: it is measured whenever its service is read."""

    name: str
    kind: str
    help: str
    of_state: bool = False


METRICS = tuple(
    Metric(f"dataops_{name}", kind, help_, of_state)
    for name, kind, of_state, help_ in (
        ("build_info", "gauge", False, "1, with the version of dataops"),
        ("reachable", "gauge", True, "Whether the database answered"),
        ("applied_migrations", "gauge", True, "Migrations that are applied"),
        ("pending_migrations", "gauge", True, "Migrations of this code that an apply would run"),
        ("background_migrations", "gauge", True, "Migrations for the background, and those that wait for them"),
        ("backfill_ratio", "gauge", True, "How much of the running or stopped backfill is done, from 0 to 1"),
        ("backfill_waits", "gauge", True, "Whether the backfill gives way to something, or was paused"),
        ("interrupted", "gauge", True, "Whether a step is half done, and has to be brought to an end first"),
        ("ahead", "gauge", True, "Whether the database has migrations that this code does not know"),
        ("fleet_databases", "gauge", False, "Databases of a fleet, by how they stood when they were last looked at"),
        ("locked", "gauge", True, "Whether somebody held the migration lock"),
        ("differences", "gauge", False, "Objects that differ from the history, when they were last compared"),
        ("compared_timestamp_seconds", "gauge", False, "When the database was last compared with its history"),
        ("checked_timestamp_seconds", "gauge", False, "When the service was last looked at"),
        ("last_success_timestamp_seconds", "gauge", False, "When a run last ended well, or a migration did"),
        ("run_timestamp_seconds", "gauge", False, "When the last run ended"),
        ("run_duration_seconds", "gauge", False, "How long the last run took"),
        ("lock_wait_seconds", "gauge", False, "How long the last run waited for the migration lock"),
        ("migration_duration_seconds", "gauge", False, "How long a migration took when it last ran"),
        ("migrated_items_total", "counter", False, "Rows or documents that migrations changed"),
        ("failures_total", "counter", False, "Runs and steps that failed, by the class of the error"),
    )
)

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its labels."""


def series(name: str, **labels: str) -> Series:
    return f"dataops_{name}", tuple((key, visible(value)) for key, value in labels.items())


class Collector:
    """A sink for events and statements, and for the states of services, that turns them into `values`."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._began = time.monotonic()
        self._waiting: dict[str, float] = {}
        self._progress: dict[str, tuple[int, str]] = {}
        self._changed: dict[str, tuple[int, str]] = {}
        self._well = True
        self.values: dict[Series, float] = {series("build_info", version=__version__): 1}

    # Events and statements

    def __call__(self, event: events.Event) -> None:
        service = event.service
        if isinstance(event, events.LockAwaited):
            self._waiting.setdefault(service, time.monotonic())
        elif isinstance(event, events.LockTaken):
            since = self._waiting.pop(service, None)
            self.values[series("lock_wait_seconds", service=service)] = time.monotonic() - since if since else 0.0
        elif isinstance(event, events.StepStarted):
            self._progress.pop(service, None)
            self._changed.pop(service, None)
        elif isinstance(event, events.StepProgressed):
            self._progress[service] = (event.done if event.changed is None else event.changed, event.unit)
        elif isinstance(event, events.StepFinished) and event.step is not None:
            self._finished(event)
        elif isinstance(event, events.RunFinished) and event.result is not None:
            self._well = self._well and not event.result.stopped
            for failure in event.result.failures:
                self.failed(failure.error, failure.service)

    def statement(self, statement: Statement) -> None:
        if statement.changed:
            before, _ = self._changed.get(statement.service, (0, ""))
            self._changed[statement.service] = (before + statement.changed, statement.unit)

    def _finished(self, event: events.StepFinished) -> None:
        assert event.step is not None
        labels = {"migration": event.step.migration.id, "direction": event.step.direction.value}
        self.values[series("migration_duration_seconds", service=event.service, **labels)] = event.seconds
        # The migration's own count is better than the number of writes that the server reports.
        items, unit = self._progress.get(event.service) or self._changed.get(event.service) or (0, "")
        if items:
            self._count("migrated_items_total", items, service=event.service, unit=unit)

    def failed(self, error: BaseException, service: str = "") -> None:
        """Count a failed step, or a run that was refused, by the class of what a migration or we raised."""
        self._well = False
        if isinstance(error, Stopped) or not isinstance(error, Exception):
            return
        name = service or getattr(error, "service", None) or ""
        cause = error.__cause__ if isinstance(error, MigrationFailed) and error.__cause__ else error
        reason = type(getattr(cause, "orig", None) or cause).__name__  # SQLAlchemy wraps the driver's error
        self._count("failures_total", 1, service=name, reason=reason)

    def _count(self, name: str, amount: float, **labels: str) -> None:
        self.values[series(name, **labels)] = self.values.get(series(name, **labels), 0) + amount

    # States

    def saw(self, services: Sequence[Service], outcomes: Sequence[State | DataopsError]) -> None:
        """Measure what each service's database said, or that it did not answer."""
        for service, outcome in zip(services, outcomes, strict=True):
            labels = {"service": service.name, "engine": service.kind.name}
            self.values[series("reachable", **labels)] = isinstance(outcome, State)
            if isinstance(outcome, State):
                self._say(outcome, labels)
                self.values[series("checked_timestamp_seconds", **labels)] = time.time()
        for (unit, how), number in _standing(services, outcomes).items():
            self.values[series("fleet_databases", service=unit, state=how)] = number

    def _say(self, state: State, labels: Mapping[str, str]) -> None:
        def say(name: str, value: float) -> None:
            self.values[series(name, **labels)] = value

        if state.service.observe:
            record = watch.watch(state).record
            say("applied_migrations", len(record.rows) if record else 0)
            return
        say("applied_migrations", len(state.applied) + len(state.unknown))
        leaves, number = background.left(state), readiness.to_do(state)
        say("pending_migrations", number)
        say("background_migrations", len(state.pending) - number)
        say("interrupted", leaves is None and recovery.half_step(state) is not None)
        for backfill in state.backfills:
            if backfill.total:
                say("backfill_ratio", min(1.0, backfill.looked / backfill.total))
            say("backfill_waits", bool(backfill.paused))
        say("ahead", state.ahead)
        say("locked", state.holder is not None)
        times = [applied.at for applied in state.applied]
        if state.last is not None and state.last.event is JournalEvent.SUCCEEDED:
            times.append(state.last.at)
        if known := [at.timestamp() for at in times if at is not None]:
            say("last_success_timestamp_seconds", max(known))

    def compared(self, found: Iterable[Drift]) -> None:
        """Measure how each database differs from its history, as far as it could be compared."""
        for one in found:
            if one.error is None:
                labels = {"service": one.service.name, "engine": one.service.kind.name}
                self.values[series("differences", **labels)] = len(one.differences)
                self.values[series("compared_timestamp_seconds", **labels)] = time.time()

    def ended(self, services: Iterable[Service]) -> None:
        """Measure that a run has ended, whether or not there was anything to do."""
        now = time.time()
        self.values[series("run_timestamp_seconds", command=self._command)] = now
        self.values[series("run_duration_seconds", command=self._command)] = time.monotonic() - self._began
        for name, since in self._waiting.items():
            self.values[series("lock_wait_seconds", service=name)] = time.monotonic() - since
        if self._well:
            for service in services:
                labels = {"service": service.name, "engine": service.kind.name}
                self.values[series("last_success_timestamp_seconds", **labels)] = now


def _standing(services: Sequence[Service], outcomes: Sequence[State | DataopsError]) -> dict[tuple[str, str], int]:
    """How many databases of each fleet stand how. Each way is there, with 0 where none stands so."""
    found: dict[tuple[str, str], int] = {}
    for service, outcome in zip(services, outcomes, strict=True):
        if service.member is not None:
            for how in _WAYS:
                found.setdefault((service.unit, how), 0)
            found[service.unit, _way(outcome)] += 1
    return found


_WAYS = ("up_to_date", "pending", "interrupted", "ahead", "unknown")


def _way(outcome: State | DataopsError) -> str:
    if isinstance(outcome, DataopsError):
        return "unknown"
    if background.left(outcome) is None and recovery.half_step(outcome) is not None:
        return "interrupted"
    if outcome.ahead:
        return "ahead"
    return "pending" if readiness.to_do(outcome) else "up_to_date"


# The file


_WHAT = "the metrics"
_BEFORE = "nothing was done; does the folder exist, and may this user write there?"


def refuse_unwritable(path: Path) -> None:
    """Before the work begins, raise CannotWrite if the file could not be written at the end.

    Raises ConfigError if the extra `metrics` is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "--metrics-file needs prometheus_client, which is not installed", hint="pip install 'dataops[metrics]'"
        ) from error
    if path.exists() and not path.is_file():  # what is there is read first: a device has nothing to add to
        raise outfile.unwritable(path, OSError(None, "not a regular file"), _BEFORE, _WHAT)
    outfile.refuse_unwritable(path, hint=_BEFORE, what=_WHAT)


def write(path: Path, values: Mapping[Series, float], names: Collection[str] | None) -> None:
    """Add the values to the file, which everyone may read. It is replaced by a rename, so that nobody reads half of it.

    A value in the file that was not measured again stays, unless its service is not configured any more. `names` are
    the configured services; None means that they are not known. Raises CannotWrite.
    """
    values = {(name, tuple(sorted(labels))): value for (name, labels), value in values.items()}  # as the file has them
    hint = "what the command did stands; is the disk full?"
    try:
        before = _kept(_read(path), values, names)
    except OSError as error:
        raise outfile.unwritable(path, error, hint, _WHAT) from error
    outfile.write(path, text(_together(before, values)), hint=hint, what=_WHAT)


def text(values: Mapping[Series, float]) -> str:
    """Prometheus's text format."""
    import prometheus_client

    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(_Families(values))
    return prometheus_client.generate_latest(registry).decode()


class _Families:
    """Values as prometheus_client wants to collect them."""

    def __init__(self, values: Mapping[Series, float]) -> None:
        self._values = values

    def collect(self) -> Iterator[Family]:
        from prometheus_client import Metric as Family

        for metric in METRICS:
            family = Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
            for (name, labels), value in sorted(self._values.items()):
                if name == metric.name:
                    family.add_sample(name, dict(labels), value)
            if family.samples:
                yield family


def _read(path: Path) -> dict[Series, float]:
    """What an earlier process wrote. Lines that are damaged or not ours are left out."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[Series, float] = {}
    with suppress(FileNotFoundError):
        # Each line by itself, because the parser gives up at the first damaged one.
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError, IndexError, KeyError):
                for family in text_string_to_metric_families(line):
                    found |= {(one.name, tuple(sorted(one.labels.items()))): one.value for one in family.samples}
    return found


def _kept(
    before: Mapping[Series, float], values: Mapping[Series, float], names: Collection[str] | None
) -> dict[Series, float]:
    """The values of the file that are still true."""
    of_state = {metric.name for metric in METRICS if metric.of_state}
    known = {metric.name for metric in METRICS} - {"dataops_build_info"}
    seen = {dict(labels).get("service") for name, labels in values if name == "dataops_reachable"}
    kept = {}
    for (name, labels), value in before.items():
        service = dict(labels).get("service", "")
        gone = service != "" and names is not None and service not in names
        if name in known and not gone and not (name in of_state and service in seen):
            kept[name, labels] = value
    return kept


def _together(before: Mapping[Series, float], values: Mapping[Series, float]) -> dict[Series, float]:
    counters = {metric.name for metric in METRICS if metric.kind == "counter"}
    together = {**before, **values}
    for one in before.keys() & values.keys():
        if one[0] in counters:
            together[one] = before[one] + values[one]
        elif one[0] == "dataops_last_success_timestamp_seconds":
            together[one] = max(before[one], values[one])
    return together
