"""A run as a trace: only where OTEL_* asks for it, and never in the way of a migration."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dataops import events
from dataops.errors import LockNotObtained
from dataops.kinds import MONGODB
from dataops.model import Doing, Failure, Identity, Result
from dataops.planning import planner
from dataops.redaction import redact
from dataops.show import otel, prometheus
from dataops.show.prometheus import series
from dataops.statements import Statement, without_values
from tests.otlp import Received, attributes, receiver
from tests.unit.sample import AUTHOR, state, step

VOUCHER = state("a* -- b -- c")
API = state("a~ -- b~", name="api", kind=MONGODB, identity=Identity("x", "x", "db-1:27017,db-2:27018/galoy"))
PLAN = planner.plan_apply([VOUCHER, API])
B, C = step(VOUCHER, "b"), step(VOUCHER, "c")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"TRACEPARENT": f"00-{TRACE}-00f067aa0ba902b7-01", "TRACESTATE": "blink=1"}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(memory: InMemorySpanExporter, warnings: list[str]) -> otel.Telemetry:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return otel.Telemetry("apply", AUTHOR, PARENT, warnings.append, provider=provider, exporters=[])


def spans(memory: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in memory.get_finished_spans()}


def whole_run(traced: otel.Telemetry) -> None:
    """Voucher's b, then its c fails; api waits for its lock and finds nothing left."""
    for event in (
        events.RunStarted(run="run-2", steps=4, plan=PLAN),
        events.LockTaken("voucher"),
        events.LockAwaited("api", holder="bob@pod-2 (run run-9)"),
        events.LockTaken("api"),
        events.NothingLeft("api"),
        events.StepStarted("voucher", B),
        events.StepProgressed("voucher", B, 5, 10, "rows"),
        events.StepProgressed("voucher", B, 10, 10, "rows"),
        events.StillRunning("voucher", B, 60.0, Doing("", 10, 10, "rows")),
        events.StepFinished("voucher", B, 1.0),
        events.StepStarted("voucher", C),
        events.StepRetried("voucher", C, 1, 0.5, "LockNotAvailable: no"),
        events.StepFailed("voucher", C, 1.0, "UniqueViolation: (key)=(1)"),
        events.RunFinished(
            result=Result("run-2", PLAN, done=(B,), failures=(Failure("voucher", C, LockNotObtained("no")),))
        ),
    ):
        traced(event)


def test_a_run_is_a_trace_of_its_services_and_migrations(traced: otel.Telemetry, memory: InMemorySpanExporter) -> None:
    whole_run(traced)
    traced.close({})
    found = spans(memory)
    assert set(found) == {"dataops apply", "voucher", "api", "apply voucher/b", "apply voucher/c"}
    ids = {span.context.span_id: name for name, span in found.items()}
    above = {name: ids.get(span.parent.span_id, "caller") if span.parent else None for name, span in found.items()}
    assert above == {
        "dataops apply": "caller",
        "voucher": "dataops apply",
        "api": "dataops apply",
        "apply voucher/b": "voucher",
        "apply voucher/c": "voucher",
    }
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {TRACE}
    assert traced.trace == {"trace_id": TRACE}


def test_attributes_are_those_of_the_conventions_for_databases(
    traced: otel.Telemetry, memory: InMemorySpanExporter
) -> None:
    whole_run(traced)
    traced.close({})
    found = spans(memory)
    database = {
        "db.system.name": "postgresql",
        "db.namespace": "voucher",
        "server.address": "db",
        "server.port": 5432,
    }
    assert found["apply voucher/b"].kind is SpanKind.CLIENT
    assert found["apply voucher/b"].attributes == {
        **database,
        "dataops.run": "run-2",
        "dataops.service": "voucher",
        "dataops.migration": "b",
        "dataops.direction": "apply",
        "dataops.title": "Do b.",
        "dataops.items": 10,
        "dataops.unit": "rows",
    }
    assert found["api"].attributes == {
        "dataops.run": "run-2",
        "dataops.service": "api",
        "db.system.name": "mongodb",
        "db.namespace": "galoy",
        "server.address": "db-1",
        "server.port": 27017,
    }
    assert found["dataops apply"].attributes == {
        "dataops.command": "apply",
        "dataops.run": "run-2",
        "dataops.direction": "apply",
        "dataops.steps": 4,
        "dataops.done": 1,
        "dataops.failed": 1,
        "dataops.left": 0,
        "dataops.stopped": False,
        "error.type": "LockNotObtained",
    }


def test_what_happens_in_between_is_an_event_of_the_innermost_span(
    traced: otel.Telemetry, memory: InMemorySpanExporter
) -> None:
    traced(events.ServerAwaited("voucher", reason="refused"))
    whole_run(traced)
    traced(events.StopRequested(signal="SIGTERM"))
    traced.close({})
    told = {name: [event.name for event in span.events] for name, span in spans(memory).items()}
    assert told == {
        "dataops apply": ["server_awaited", "stop_requested"],
        "voucher": ["lock_taken"],
        "api": ["lock_awaited", "lock_taken", "nothing_left"],
        "apply voucher/b": [],
        "apply voucher/c": ["step_retried"],
    }


def test_a_failed_step_fails_its_span_its_service_and_its_run(
    traced: otel.Telemetry, memory: InMemorySpanExporter
) -> None:
    whole_run(traced)
    traced.close({})
    found = spans(memory)
    status = {name: (span.status.status_code, span.attributes["error.type"]) for name, span in found.items()
              if span.attributes and "error.type" in span.attributes}  # fmt: skip
    assert status == {
        "apply voucher/c": (StatusCode.ERROR, "UniqueViolation"),
        "voucher": (StatusCode.ERROR, "UniqueViolation"),
        "dataops apply": (StatusCode.ERROR, "LockNotObtained"),
    }
    assert found["apply voucher/c"].status.description == "UniqueViolation: (key)=(1)"
    assert found["apply voucher/b"].status.status_code is StatusCode.UNSET


def test_a_run_that_is_refused_is_a_trace_too(traced: otel.Telemetry, memory: InMemorySpanExporter) -> None:
    traced(events.RunStarted(run="run-2", steps=4, plan=PLAN))
    traced(events.LockAwaited("voucher", holder="bob"))
    traced.close({}, LockNotObtained("held by bob", service="voucher"))
    found = spans(memory)
    assert set(found) == {"dataops apply", "voucher"}
    assert found["dataops apply"].status.description == "LockNotObtained: voucher: held by bob"


def test_statements_are_events_of_the_migration_at_the_time_when_they_began(
    traced: otel.Telemetry, memory: InMemorySpanExporter
) -> None:
    traced(events.RunStarted(run="run-2", steps=4, plan=PLAN))
    traced.statement(Statement("voucher", "SELECT", text="before there is a migration"))
    traced(events.StepStarted("voucher", B))
    traced.statement(Statement("voucher", "UPDATE", text="UPDATE t SET a = ?", began=5, seconds=0.25, changed=3))
    traced.statement(Statement("voucher", "", text="ALTER TABLE t", began=6, seconds=0.5, error="LockNotAvailable"))
    traced(events.StepFinished("voucher", B, 1.0))
    traced.close({})
    told = spans(memory)["apply voucher/b"].events
    assert [(event.name, event.timestamp, event.attributes) for event in told] == [
        (
            "db.query",
            5,
            {
                "db.operation.name": "UPDATE",
                "db.query.text": "UPDATE t SET a = ?",
                "dataops.changed": 3,
                "dataops.seconds": 0.25,
            },
        ),
        (
            "db.query",
            6,
            {"db.query.text": "ALTER TABLE t", "error.type": "LockNotAvailable", "dataops.seconds": 0.5},
        ),
    ]


def test_no_secret_of_a_statement_is_in_a_span(traced: otel.Telemetry, memory: InMemorySpanExporter) -> None:
    redact.learn("postgres://someone:hunter2@db/x")
    redact.learn("postgres://someone:voucher@db/x")
    traced(events.RunStarted(run="run-2", steps=4, plan=PLAN))
    traced(events.StepStarted("voucher", B))
    traced.statement(Statement("voucher", "ALTER ROLE", text=without_values("ALTER ROLE x hunter2")))
    traced(events.StepFailed("voucher", B, 1.0, "no"))
    traced.close({}, LockNotObtained("no"))
    assert memory.get_finished_spans()
    for span in memory.get_finished_spans():
        assert "hunter2" not in span.to_json()
    names = {str((span.attributes or {}).get("dataops.service", "voucher")) for span in memory.get_finished_spans()}
    assert names == {"voucher"}  # although it is a password too


def test_memory_stays_flat_however_many_statements_and_reports_there_are(traced: otel.Telemetry) -> None:
    collector = prometheus.Collector("apply")
    traced(events.RunStarted(run="run-2", steps=4, plan=PLAN))
    traced(events.StepStarted("voucher", B))

    def many(number: int) -> None:
        for at in range(number):
            said = Statement("voucher", "UPDATE", text=f"UPDATE t SET a = {at}" + " " * 500, began=at, changed=1)
            traced.statement(said)
            collector.statement(said)
            for sink in (traced, collector):
                sink(events.StepProgressed("voucher", B, at, None, "rows"))

    tracemalloc.start()
    many(500)
    before, _ = tracemalloc.get_traced_memory()
    many(5_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    traced.close({})
    assert after - before < 100_000


# --- what OTEL_* asks for


@pytest.fixture(autouse=True)
def _the_sdk_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    otel._hear_problems(lambda text: None)


def start(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], environ: Mapping[str, str], *, spans: bool = True
) -> otel.Telemetry | None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return otel.start("apply", AUTHOR, environ, warnings.append, spans=spans)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "dataops"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    ],
    ids=str,
)
def test_nothing_is_built_where_nobody_asks(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], environ: dict[str, str]
) -> None:
    assert start(monkeypatch, warnings, environ) is None
    assert warnings == []


def test_a_command_that_is_no_run_has_no_trace(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    only_traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}
    assert start(monkeypatch, warnings, only_traces, spans=False) is None


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "no exporter zipkin is installed"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "no exporter otlp_proto_grpc is installed",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_METRICS_EXPORTER": "prom"}, "no exporter prom is installed"),
    ],
)
def test_what_cannot_be_had_is_one_warning_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], environ: dict[str, str], told: str
) -> None:
    assert start(monkeypatch, warnings, environ) is None
    assert len(warnings) == 1
    assert told in warnings[0]
    assert warnings[0].startswith("no telemetry, although OTEL_* asks for it: ")


def test_a_missing_extra_is_one_warning_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert start(monkeypatch, warnings, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) is None
    assert len(warnings) == 1
    assert "pip install 'dataops[otel]'" in warnings[0]


def test_the_extra_brings_what_the_code_asks_for() -> None:
    requires = [line for line in metadata.requires("dataops") or () if "extra == 'otel'" in line]
    assert {line.split(">")[0] for line in requires} == {
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
    }


# --- sent, by the real SDK


@pytest.fixture
def collector() -> Iterator[Received]:
    with receiver() as received:
        yield received


def test_spans_and_metrics_arrive_at_a_collector(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], collector: Received
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=galoy,service.version=9",
        **PARENT,
    }
    traced = start(monkeypatch, warnings, environ)
    assert traced is not None
    whole_run(traced)
    traced.close(
        {
            series("pending_migrations", service="api", engine="mongodb"): 2,
            series("failures_total", service="api", reason="Unreachable"): 1,
        }
    )
    assert warnings == []
    assert set(collector.spans) == {"dataops apply", "voucher", "api", "apply voucher/b", "apply voucher/c"}
    assert {span.trace_id.hex() for span in collector.spans.values()} == {TRACE}
    told = {"service.name": "dataops", "service.namespace": "galoy", "service.version": "9", "host.name": "pod-1"}
    assert told.items() <= collector.resource.items()
    pending = collector.metrics["dataops_pending_migrations"].gauge.data_points[0]
    assert (attributes(pending), pending.as_double) == ({"service": "api", "engine": "mongodb"}, 2)
    failures = collector.metrics["dataops_failures_total"].sum
    assert failures.is_monotonic
    assert [value.as_double or value.as_int for value in failures.data_points] == [1]


def test_the_standard_name_of_the_service_goes_before_ours(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], collector: Received
) -> None:
    traced = start(
        monkeypatch,
        warnings,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces", "OTEL_SERVICE_NAME": "migrations"},
    )
    assert traced is not None
    traced.close({series("build_info", version="1"): 1})
    assert collector.resource["service.name"] == "migrations"
    assert collector.metrics == {}


@pytest.mark.parametrize("case", ["refused", "silent", "broken"])
def test_a_collector_that_does_not_work_costs_a_line_and_a_few_seconds(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], case: str
) -> None:
    monkeypatch.setattr(otel, "FLUSH_SECONDS", 1.0)
    hold = threading.Event()
    with receiver(hold=hold if case == "silent" else None, status=500) as received:
        url = "http://127.0.0.1:1" if case == "refused" else received.url
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "30"}
        traced = start(monkeypatch, warnings, environ)
        assert traced is not None
        whole_run(traced)
        began = time.monotonic()
        traced.close({series("build_info", version="1"): 1.0})
        assert time.monotonic() - began < 3
        hold.set()
    assert 1 <= len(warnings) <= 2
    assert all(text.startswith("telemetry: ") for text in warnings)


def test_the_sdks_own_complaints_do_not_reach_stderr(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(otel, "FLUSH_SECONDS", 0.5)
    traced = start(monkeypatch, warnings, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert traced is not None
    traced.close({})
    assert capfd.readouterr() == ("", "")


def test_the_console_exporter_writes_where_talk_goes(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    traced = start(monkeypatch, warnings, {"OTEL_TRACES_EXPORTER": "console"})
    assert traced is not None
    traced.close({})
    out, err = capsys.readouterr()
    assert out == ""
    assert "dataops apply" in err


def test_a_service_at_a_socket_or_without_a_port_has_an_address(
    traced: otel.Telemetry, memory: InMemorySpanExporter
) -> None:
    def told(address: str) -> dict[str, Any]:
        return otel._database(replace(VOUCHER, identity=Identity("x", "x", address)))

    assert told("/run/pg:5432/voucher")["server.address"] == "/run/pg"
    assert told("cluster.example.net/galoy") == {
        "db.system.name": "postgresql",
        "db.namespace": "galoy",
        "server.address": "cluster.example.net",
    }
