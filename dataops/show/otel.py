"""OpenTelemetry: a run as a trace, and its metrics by OTLP. The only place that imports opentelemetry.

Nothing is imported unless the standard OTEL_* variables say where to send. Then the SDK configures itself from them:
sampling, limits, resource, protocol, endpoint, headers. A problem here is a warning of one line and changes nothing
else: sending happens in the background, and the end of a run waits for it no longer than a few seconds.

Attributes are those of the semantic conventions for databases. Where these have none, ours begins with `dataops.`.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from dataops import __version__, events
from dataops.errors import DataopsError
from dataops.model import Author, State, Step
from dataops.redaction import describe, redact
from dataops.show.prometheus import METRICS, Series
from dataops.statements import Statement
from dataops.text import visible

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

FLUSH_SECONDS = 5.0
_LONGEST = 1000

Warn = Callable[[str], None]


def start(command: str, author: Author, environ: Mapping[str, str], warn: Warn, *, spans: bool) -> Telemetry | None:
    """Start what OTEL_* asks for. None where it asks for nothing, or where that is not possible (`warn` says why).

    Without `spans` there are only metrics, for a command that is not a run.
    """
    wanted = {signal for signal in ("TRACES", "METRICS") if _wanted(signal, environ)}
    wanted -= set() if spans else {"TRACES"}
    if not wanted:
        return None
    try:
        _hear_problems(warn)
        made = {signal: _exporters(signal, environ) for signal in wanted}
        provider = _provider(author, made["TRACES"]) if "TRACES" in made else None
        return Telemetry(command, author, environ, warn, provider=provider, exporters=made.get("METRICS", []))
    except ImportError as error:
        warn(f"no telemetry, although OTEL_* asks for it: {error.name} is missing; pip install 'dataops[otel]'")
    except Exception as error:  # noqa: BLE001  whatever a variable or an exporter is: it stops no migration
        warn(f"no telemetry, although OTEL_* asks for it: {describe(error)}")
    return None


class Telemetry:
    """A sink for events that makes spans of them: the run, in it the services, in them the migrations."""

    def __init__(
        self,
        command: str,
        author: Author,
        environ: Mapping[str, str],
        warn: Warn,
        *,
        provider: TracerProvider | None,
        exporters: list[MetricExporter],
    ) -> None:
        self._author = author
        self._warn = warn
        self._provider = provider
        self._exporters = exporters
        self._services: dict[str, Span] = {}
        self._migrations: dict[str, Span] = {}
        self._databases: dict[str, dict[str, Any]] = {}
        self._last: dict[str, int] = {}
        self._progress: dict[str, tuple[int, str]] = {}
        self._run: Span | None = None
        if provider is not None:
            from opentelemetry import propagate

            self._tracer = provider.get_tracer("dataops", __version__)
            given = {
                name.lower(): environ[name] for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE") if name in environ
            }
            attributes = {"dataops.command": command, "dataops.run": author.run}
            self._run = self._tracer.start_span(
                f"dataops {command}", context=propagate.extract(given), attributes=attributes
            )

    @property
    def trace(self) -> dict[str, str]:
        """The field `trace_id` of every log line; empty where there is no trace."""
        return {} if self._run is None else {"trace_id": f"{self._run.get_span_context().trace_id:032x}"}

    # Events and statements

    def __call__(self, event: events.Event) -> None:
        if self._run is None:
            return
        if isinstance(event, events.StepProgressed):
            self._progress[event.service] = (event.done if event.changed is None else event.changed, event.unit)
        elif isinstance(event, events.RunStarted):
            self._started(event, self._run)
        elif isinstance(event, events.StepStarted) and event.step is not None:
            self._begin(event.step)
        elif isinstance(event, events.StepFinished | events.StepFailed) and event.step is not None:
            self._end(event)
        elif isinstance(event, events.RunFinished):
            self._finished(event, self._run)
        elif not isinstance(event, events.StillRunning | events.ServerBusy):
            attributes = {"dataops.message": visible(events.sentence(event))}
            span = self._migrations.get(event.service) or self._service(event.service) or self._run
            span.add_event(events.name(event), attributes)

    def statement(self, statement: Statement) -> None:
        """Add a statement to the migration's span, as an event at the time when the statement began."""
        span = self._migrations.get(statement.service)
        if span is None:
            return
        attributes = {
            "db.operation.name": statement.operation,
            "db.collection.name": statement.target,
            "db.query.text": statement.text,
            "error.type": statement.error,
        }
        told: dict[str, Any] = {key: visible(value) for key, value in attributes.items() if value}
        if statement.changed is not None:
            told["dataops.changed"] = statement.changed
        span.add_event("db.query", {**told, "dataops.seconds": statement.seconds}, timestamp=statement.began)

    def _started(self, event: events.RunStarted, run: Span) -> None:
        if event.plan is not None:
            run.set_attribute("dataops.direction", event.plan.direction.value)
            self._databases = {state.service.name: _database(state) for state in event.plan.states}
        run.set_attribute("dataops.steps", event.steps)

    def _service(self, name: str) -> Span | None:
        """The service's span, which begins with the first event of the service."""
        if name not in self._services and name in self._databases:
            attributes = {"dataops.service": name, "dataops.run": self._author.run, **self._databases[name]}
            self._services[name] = self._child(self._run, f"{name}", attributes)
        self._last[name] = time.time_ns()
        return self._services.get(name)

    def _begin(self, step: Step) -> None:
        from opentelemetry.trace import SpanKind

        self._progress.pop(step.service, None)
        attributes = {
            "dataops.run": self._author.run,
            "dataops.service": step.service,
            "dataops.migration": step.migration.id,
            "dataops.direction": step.direction.value,
            "dataops.title": step.migration.title,
            **self._databases.get(step.service, {}),
        }
        name = f"{step.direction.value} {step.id}"
        above = self._service(step.service) or self._run
        self._migrations[step.service] = self._child(above, name, attributes, kind=SpanKind.CLIENT)

    def _child(self, above: Span | None, name: str, attributes: Mapping[str, Any], **more: Any) -> Span:
        from opentelemetry.trace import set_span_in_context

        context = set_span_in_context(above) if above is not None else None
        told = {key: visible(value) if isinstance(value, str) else value for key, value in attributes.items()}
        return self._tracer.start_span(visible(name), context=context, attributes=told, **more)

    def _end(self, event: events.StepFinished | events.StepFailed) -> None:
        service = self._service(event.service)
        span = self._migrations.pop(event.service, None)
        failed = event.error if isinstance(event, events.StepFailed) else ""
        if span is not None:
            done, unit = self._progress.get(event.service, (0, ""))
            if unit:
                span.set_attributes({"dataops.items": done, "dataops.unit": visible(unit)})
            _fail(span, failed)
            span.end()
        if service is not None:
            _fail(service, failed)

    def _finished(self, event: events.RunFinished, run: Span) -> None:
        result = event.result
        if result is None:
            return
        counts = {"done": len(result.done), "failed": len(result.failures), "left": len(result.left)}
        run.set_attributes({f"dataops.{key}": value for key, value in counts.items()})
        run.set_attribute("dataops.stopped", result.stopped)
        for failure in result.failures:
            _fail(run, f"{type(failure.error).__name__}: {failure.error}")

    # The end

    def close(self, values: Mapping[Series, float], error: BaseException | None = None) -> None:
        """End what is open and send everything, for at most FLUSH_SECONDS."""
        if self._run is not None:
            if isinstance(error, DataopsError):
                _fail(self._run, f"{type(error).__name__}: {error}")
            for span in self._migrations.values():
                span.end()
            for name, span in self._services.items():
                span.end(self._last[name])
            self._run.end()
        sending = threading.Thread(target=self._send, args=[values], name="dataops-telemetry", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        if sending.is_alive():
            self._warn(f"telemetry: not sent within {FLUSH_SECONDS:g} s")

    def _send(self, values: Mapping[Series, float]) -> None:
        try:
            if self._exporters:
                _send_metrics(self._author, self._exporters, values)
            if self._provider is not None:
                self._provider.shutdown()
        except Exception as error:  # noqa: BLE001
            self._warn(f"telemetry: not sent: {describe(error)}")


def _database(state: State) -> dict[str, Any]:
    """The attributes of a database by the conventions. Of several hosts only the first is named."""
    address, _, name = state.identity.address.rpartition("/")
    host, colon, port = address.split(",")[0].rpartition(":")
    told: dict[str, Any] = {"db.system.name": state.service.kind.name, "db.namespace": name}
    told["server.address"] = host if colon else port
    if colon and port.isdigit():
        told["server.port"] = int(port)
    return told


def _fail(span: Span, error: str) -> None:
    if not error:
        return
    from opentelemetry.trace import StatusCode

    text = visible(error)[:_LONGEST]  # a lone surrogate would keep the exporter from sending anything
    kind = re.match(r"\w+(?=:)", text)
    span.set_attribute("error.type", kind[0] if kind else "_OTHER")
    span.set_status(StatusCode.ERROR, text)


# What OTEL_* says


def _wanted(signal: str, environ: Mapping[str, str]) -> bool:
    """Whether an exporter or an endpoint is named. We never use the SDK's default, which sends to this machine."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environ.get(name) for name in names)


def _exporters(signal: str, environ: Mapping[str, str]) -> list[Any]:
    """The exporters, found by the entry points under which they are published. They read their settings themselves."""
    import opentelemetry.sdk.resources  # noqa: F401  the extra is installed, or this says what is missing

    protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = "otlp_proto_grpc" if (protocol or "").strip() == "grpc" else "otlp_proto_http"
    made = []
    for name in (environ.get(f"OTEL_{signal}_EXPORTER") or "otlp").split(","):
        name = {"otlp": otlp}.get(name.strip(), name.strip())
        found = entry_points(group=f"opentelemetry_{signal.lower()}_exporter", name=name)
        if not found:
            raise LookupError(f"no exporter {name} is installed")
        # Its default is stdout, where answers go.
        settings = {"out": sys.stderr} if name == "console" else {}
        made.append(next(iter(found)).load()(**settings))
    return made


def _resource(author: Author) -> Any:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = {"service.name": "dataops", "service.version": author.version, "host.name": author.host}
    given = OTELResourceDetector().detect().attributes  # what we pass would override the variables
    return Resource.create({key: value for key, value in ours.items() if key not in given})


def _provider(author: Author, exporters: list[Any]) -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(author), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _send_metrics(author: Author, exporters: list[Any], values: Mapping[Series, float]) -> None:
    """Send them once, at the end, under the names that they have in the metrics file: one dashboard serves both."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    readers = [PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf) for exporter in exporters]
    provider = MeterProvider(readers, resource=_resource(author), shutdown_on_exit=False)
    meter = provider.get_meter("dataops", __version__)
    for metric in METRICS:
        found = [(dict(labels), value) for (name, labels), value in values.items() if name == metric.name]
        if found and metric.kind == "counter":
            counter = meter.create_counter(metric.name, description=metric.help)
            for labels, value in found:
                counter.add(value, labels)
        elif found:
            gauge = meter.create_gauge(metric.name, description=metric.help)
            for labels, value in found:
                gauge.set(float(value), labels)
    provider.force_flush()
    provider.shutdown()


class _Problems(logging.Handler):
    """Turns the first problem that the SDK logs into a warning of ours; the SDK would write all of them to stderr."""

    def __init__(self, warn: Warn) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn
        self._told = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            self._warn(f"telemetry: {redact(record.getMessage())[:_LONGEST]}")


def _hear_problems(warn: Warn) -> None:
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers[:] = [_Problems(warn)]
