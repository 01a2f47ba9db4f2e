"""What a run tells of itself: metrics in a file, a trace at a collector, the trace's id in each log line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.otlp import attributes, receiver
from tests.projects import Project

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"TRACEPARENT": f"00-{TRACE}-00f067aa0ba902b7-01"}


def metrics(path: Path) -> dict[str, dict[str, float]]:
    """By name, then by service (and unit, reason or migration)."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            given = sorted(sample.labels.items(), key=lambda label: label[0] != "service")
            labels = [value for key, value in given if key not in ("engine", "version", "direction")]
            found.setdefault(sample.name.removeprefix("dataops_"), {})[" ".join(labels)] = sample.value
    return found


def with_data(two: Project) -> None:
    """A third migration of each service: it changes four rows, and three documents."""
    statements = ("INSERT INTO t_001 SELECT generate_series(1, 3)", "UPDATE t_001 SET id = 5 WHERE id = 1")
    up = "\n".join(f"op.execute({statement!r})" for statement in statements)
    two.file("shop", "003", up, "op.execute('DELETE FROM t_001')")
    up = "db.t_003.insert_many([{'a': 1}, {'a': 2}])\ndb.t_003.update_one({'a': 1}, {'$set': {'a': 3}})"
    two.file("bank", "003", up, "db.t_003.drop()")


# --- the file


def test_a_run_leaves_its_metrics_in_a_file(two: Project, tmp_path: Path) -> None:
    with_data(two)
    path = tmp_path / "dataops.prom"
    assert two("status", "--metrics-file", str(path)).code == 0
    found = metrics(path)
    assert found["pending_migrations"] == {"shop": 3, "bank": 3}
    assert found["applied_migrations"] == {"shop": 0, "bank": 0}
    assert "last_success_timestamp_seconds" not in found

    assert two("apply", "--yes", "--metrics-file", str(path)).code == 0
    found = metrics(path)
    assert found["pending_migrations"] == {"shop": 0, "bank": 0}
    assert found["applied_migrations"] == {"shop": 3, "bank": 3}
    assert found["reachable"] == {"shop": 1, "bank": 1}
    assert found["interrupted"] == found["ahead"] == {"shop": 0, "bank": 0}
    assert found["lock_wait_seconds"] == {"shop": 0, "bank": 0}
    assert set(found["migration_duration_seconds"]) == {
        f"{s} {m}" for s in ("shop", "bank") for m in ("001", "002", "003")
    }
    assert found["migrated_items_total"] == {"shop rows": 4, "bank documents": 5}
    assert found["run_timestamp_seconds"]["apply"] >= found["last_success_timestamp_seconds"]["shop"]
    assert "failures_total" not in found

    assert two("rollback", "--yes", "--steps", "6", "--metrics-file", str(path)).code == 0
    found = metrics(path)
    assert found["pending_migrations"] == {"shop": 3, "bank": 3}
    assert found["migrated_items_total"] == {"shop rows": 7, "bank documents": 5}
    assert set(found["run_duration_seconds"]) == {"apply", "rollback"}


def test_status_knows_the_last_success_from_the_database(two: Project, tmp_path: Path) -> None:
    assert two("apply", "--yes").code == 0
    assert two("status", "--json", "--metrics-file", str(tmp_path / "a.prom")).code == 0
    found = metrics(tmp_path / "a.prom")
    assert found["checked_timestamp_seconds"]["shop"] - found["last_success_timestamp_seconds"]["shop"] < 60
    assert set(found["last_success_timestamp_seconds"]) == {"shop", "bank"}


def test_a_failure_is_counted_by_its_reason_and_a_server_that_is_gone_is_not_reachable(
    two: Project, tmp_path: Path
) -> None:
    path = tmp_path / "dataops.prom"
    two.file("shop", "003", "op.execute('INSERT INTO nothing VALUES (1)')")
    for times in (1, 2):
        assert two("apply", "--yes", "--service", "shop", "--metrics-file", str(path)).code == 1
        found = metrics(path)
        assert found["failures_total"] == {"shop UndefinedTable": times}
        assert found["pending_migrations"] == {"shop": 1}
        assert "last_success_timestamp_seconds" in found  # of the migrations before it
    nowhere = {"SHOP_URL": "postgres://u:p@127.0.0.1:1/x"}
    assert two("status", "--metrics-file", str(path), env=nowhere).code == 10
    found = metrics(path)
    assert found["reachable"] == {"shop": 0, "bank": 1}
    assert found["pending_migrations"] == {"bank": 2}
    assert found["failures_total"] == {"shop UndefinedTable": 2}


def test_a_file_that_cannot_be_written_stops_a_run_before_anything_is_done(two: Project, tmp_path: Path) -> None:
    for command in (["apply", "--yes"], ["rollback", "--yes"], ["status"]):
        answer = two(*command, "--json", "--metrics-file", str(tmp_path / "none" / "x.prom"))
        assert (answer.code, answer.json["exit_code"], answer.json["error"]["kind"]) == (10, 10, "CannotWrite")
    assert two("history").stdout == ""


def test_a_file_that_cannot_be_written_any_more_at_the_end_is_a_warning(two: Project, tmp_path: Path) -> None:
    folder = tmp_path / "textfile"
    folder.mkdir()
    two.file("shop", "003", "here('x')")
    with two.running("apply", "--yes", "--json", "--metrics-file", str(folder / "x.prom")) as process:
        two.reached("x")
        folder.rmdir()
        two.go("x")
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, json.loads(stdout)["exit_code"]) == (0, 0)
    assert "warning: " in stderr and "the metrics cannot be written" in stderr


# --- the trace


def test_a_traceparent_is_in_each_log_line_and_the_journal_is_as_ever(two: Project) -> None:
    two.file("shop", "003", "print('printed')")
    answer = two("apply", "--yes", "--log-format", "json", env=PARENT)
    assert answer.code == 0
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    assert len(lines) > 10
    assert {line["trace_id"] for line in lines} == {TRACE}
    entries = two("history", "--json").json["entries"]
    assert {entry["run"] for entry in entries} == {lines[0]["run"]}
    assert TRACE not in str(entries)


@pytest.mark.parametrize("form", ["json", "tracing"])
def test_a_run_arrives_at_a_collector_as_one_trace(two: Project, form: str) -> None:
    with_data(two)
    with receiver() as received:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        answer = two("apply", "--yes", "--log-format", form, env={**env, **PARENT})
        assert answer.code == 0
    assert {json.loads(line)["trace_id"] for line in answer.stderr.splitlines()} == {TRACE}
    migrations = {f"apply {service}/{id_}" for service in ("shop", "bank") for id_ in ("001", "002", "003")}
    assert set(received.spans) == {"dataops apply", "shop", "bank", *migrations}
    assert {span.trace_id.hex() for span in received.spans.values()} == {TRACE}
    assert received.spans["dataops apply"].parent_span_id.hex() == "00f067aa0ba902b7"

    shop, bank = received.spans["apply shop/003"], received.spans["apply bank/003"]
    assert [attributes(event).get("db.query.text") for event in shop.events] == [
        "INSERT INTO t_001 SELECT generate_series(?, ?)",
        "UPDATE t_001 SET id = ? WHERE id = ?",
    ]
    assert [attributes(event)["db.operation.name"] for event in shop.events] == ["INSERT", "UPDATE"]
    assert [
        (told["db.operation.name"], told["db.collection.name"], told["dataops.changed"])
        for told in (attributes(event) for event in bank.events)
    ] == [("insert", "t_003", 2), ("update", "t_003", 1)]
    assert attributes(shop)["db.system.name"] == "postgresql"
    assert attributes(bank)["db.system.name"] == "mongodb"
    assert attributes(shop)["server.address"] == "127.0.0.1"
    assert received.metrics["dataops_applied_migrations"].gauge.data_points[0].as_double == 3


def test_status_sends_metrics_and_is_no_trace(two: Project) -> None:
    with receiver() as received:
        assert two("status", "--json", env={"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}).code == 0
    assert received.spans == {}
    pending = received.metrics["dataops_pending_migrations"].gauge.data_points
    assert {attributes(one)["service"]: one.as_double for one in pending} == {"shop": 2, "bank": 2}


def test_without_a_parent_the_trace_is_new_and_in_each_line_too(two: Project) -> None:
    with receiver() as received:
        answer = two("apply", "--yes", "--log-format", "json", env={"OTEL_EXPORTER_OTLP_ENDPOINT": received.url})
    ids = {json.loads(line)["trace_id"] for line in answer.stderr.splitlines()}
    assert ids == {span.trace_id.hex() for span in received.spans.values()}
    assert len(ids) == 1


def test_a_statement_that_fails_is_in_the_trace(two: Project) -> None:
    two.file("shop", "003", "op.execute(\"INSERT INTO nothing VALUES ('secret')\")")
    two.file("bank", "003", "db.command('collMod', 'none', validator={'secret': 1})")
    for service, error in (("shop", "UndefinedTable"), ("bank", "NamespaceNotFound")):
        with receiver() as received:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
            assert two("apply", "--yes", "--service", service, env=env).code == 1
        span = received.spans[f"apply {service}/003"]
        (event,) = span.events
        assert attributes(event)["error.type"] == error
        assert span.status.code == 2
        assert "secret" not in str(span.events)


def test_a_collector_that_is_not_there_is_a_warning(two: Project) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    answer = two("apply", "--yes", "--log-format", "json", env=env)
    assert answer.code == 0
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    warned = [line["msg"] for line in lines if line["event"] == "warned"]
    assert 1 <= len(warned) <= 2
    assert all(text.startswith("telemetry: ") for text in warned)


def test_the_passwords_of_the_databases_reach_no_collector(two: Project) -> None:
    """And those of the collector no log."""
    password = two.env["SHOP_URL"].partition("://")[2].partition("@")[0].partition(":")[2]
    two.file("shop", "003", f"op.execute(\"COMMENT ON TABLE t_001 IS 'x'\"); print({password!r})")
    with receiver() as received:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url.replace("://", "://me:s3cr3t@")}
        answer = two("apply", "--yes", "-v", env=env)
    assert answer.code == 0
    assert received.spans
    if password:
        assert password not in str(received.spans)
    assert "s3cr3t" not in answer.stdout + answer.stderr


def test_the_environment_of_tests_asks_for_no_telemetry() -> None:
    assert not [name for name in os.environ if name.startswith("OTEL_")]
