"""What is measured, and the file that remembers it from run to run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dataops import events
from dataops.cli import telemetry as telemetry_module
from dataops.cli.session import Session
from dataops.errors import CannotWrite, ConfigError, LockNotObtained, MigrationFailed, Stopped, Unreachable, UsageError
from dataops.kinds import MONGODB
from dataops.model import Direction, Failure, JournalEvent, Result
from dataops.planning import planner
from dataops.show import prometheus
from dataops.show.prometheus import METRICS, Collector, series
from dataops.statements import Statement
from dataops.toolrecords import ToolRecord, ToolRow
from tests.unit.sample import HOLDER, NOW, entry, state, step

VOUCHER = state("a* -- b* -- c -- d")
API = state("a*~ -- b~", name="api", kind=MONGODB, last=entry("b", JournalEvent.STARTED), holder=None)


def measured(*told: events.Event | Statement) -> dict[prometheus.Series, float]:
    collector = Collector("apply")
    for one in told:
        if isinstance(one, Statement):
            collector.statement(one)
        else:
            collector(one)
    return collector.values


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """As Prometheus itself reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# --- what is measured


def test_what_a_database_says_is_measured() -> None:
    collector = Collector("status")
    down = state("a", name="bank")
    collector.saw([VOUCHER.service, API.service, down.service], [VOUCHER, API, Unreachable("no")])
    found = {
        (name.removeprefix("dataops_"), dict(labels)["service"]): value
        for (name, labels), value in collector.values.items()
        if "build_info" not in name and "timestamp" not in name
    }
    assert found == {
        ("reachable", "voucher"): 1,
        ("applied_migrations", "voucher"): 2,
        ("pending_migrations", "voucher"): 2,
        ("background_migrations", "voucher"): 0,
        ("interrupted", "voucher"): 0,
        ("ahead", "voucher"): 0,
        ("locked", "voucher"): 0,
        ("reachable", "api"): 1,
        ("applied_migrations", "api"): 1,
        ("pending_migrations", "api"): 1,
        ("background_migrations", "api"): 0,
        ("interrupted", "api"): 1,
        ("ahead", "api"): 0,
        ("locked", "api"): 0,
        ("reachable", "bank"): 0,
    }


def test_of_a_database_that_another_tool_migrates_its_record_is_counted() -> None:
    rows = tuple(ToolRow((name,)) for name in ("1", "2", "3"))
    service = replace(VOUCHER.service, observe="pop", migrations=(), name="kratos")
    seen = replace(VOUCHER, service=service, applied=(), tool_records=(ToolRecord("pop", "schema_migration", rows),))
    collector = Collector("status")
    collector.saw([service], [seen])
    found = {name for name, _ in collector.values}
    assert found == {f"dataops_{name}" for name in (
        "build_info", "reachable", "applied_migrations", "checked_timestamp_seconds")}  # fmt: skip
    assert collector.values[series("applied_migrations", service="kratos", engine="postgresql")] == 3


def test_ahead_and_locked_are_measured() -> None:
    ahead = state("a* -- (x)*", holder=HOLDER)
    collector = Collector("status")
    collector.saw([ahead.service], [ahead])
    labels = {"service": "voucher", "engine": "postgresql"}
    assert collector.values[series("ahead", **labels)] == 1
    assert collector.values[series("locked", **labels)] == 1
    assert collector.values[series("applied_migrations", **labels)] == 2


def test_the_last_success_is_known_from_the_database() -> None:
    """The newest migration that was applied, or the newest step, which may be a rollback."""
    labels = {"service": "voucher", "engine": "postgresql"}
    at = series("last_success_timestamp_seconds", **labels)
    for seen, expected in (
        (VOUCHER, NOW.timestamp() + 60),
        (state("a", last=entry("a", JournalEvent.SUCCEEDED, Direction.ROLLBACK)), NOW.timestamp()),
        (state("a", last=entry("a", JournalEvent.FAILED)), None),
    ):
        collector = Collector("status")
        collector.saw([seen.service], [seen])
        assert collector.values.get(at) == expected


def test_a_step_is_measured_with_its_duration_and_what_it_changed() -> None:
    one, two = step(VOUCHER, "c"), step(VOUCHER, "d")
    found = measured(
        events.StepStarted("voucher", one),
        Statement("voucher", "UPDATE", changed=3),
        Statement("voucher", "UPDATE", changed=4),
        Statement("voucher", "ALTER TABLE"),
        events.StepFinished("voucher", one, 1.5),
        events.StepStarted("voucher", two),
        Statement("voucher", "UPDATE", changed=1000),
        events.StepProgressed("voucher", two, 5, 10, "rows"),
        events.StepProgressed("voucher", two, 10, 10, "rows"),
        events.StepFinished("voucher", two, 0.5),
    )
    assert found[series("migration_duration_seconds", service="voucher", migration="c", direction="apply")] == 1.5
    assert found[series("migration_duration_seconds", service="voucher", migration="d", direction="apply")] == 0.5
    assert found[series("migrated_items_total", service="voucher", unit="rows")] == 7 + 10


def test_what_a_failed_step_changed_does_not_count() -> None:
    one = step(VOUCHER, "c")
    found = measured(
        events.StepStarted("voucher", one),
        Statement("voucher", "UPDATE", changed=3),
        events.StepFailed("voucher", one, 1.5, "no"),
        events.StepStarted("voucher", one),
        events.StepFinished("voucher", one, 1.5),
    )
    assert "dataops_migrated_items_total" not in {name for name, _ in found}


def test_the_wait_for_a_lock_is_measured_also_where_it_was_in_vain() -> None:
    found = measured(events.LockAwaited("api", holder="bob"), events.LockTaken("api"), events.LockTaken("voucher"))
    assert found[series("lock_wait_seconds", service="api")] > 0
    assert found[series("lock_wait_seconds", service="voucher")] == 0
    collector = Collector("apply")
    collector(events.LockAwaited("api", holder="bob"))
    collector.ended([])
    assert collector.values[series("lock_wait_seconds", service="api")] > 0


def test_failures_are_counted_by_what_was_raised() -> None:
    class UniqueViolation(Exception):
        pass

    raised = MigrationFailed("no", service="voucher")
    raised.__cause__ = UniqueViolation()
    plan = planner.plan_apply([VOUCHER])
    failures = (Failure("voucher", step(VOUCHER, "c"), raised), Failure("voucher", None, LockNotObtained("no")))
    found = measured(events.RunFinished(result=Result("run-2", plan, failures=failures)))
    assert found[series("failures_total", service="voucher", reason="UniqueViolation")] == 1
    assert found[series("failures_total", service="voucher", reason="LockNotObtained")] == 1


@pytest.mark.parametrize(
    ("error", "counted", "well"),
    [(None, 0, True), (UsageError("no"), 1, False), (Stopped("no"), 0, False), (KeyboardInterrupt(), 0, False)],
)
def test_a_run_that_ended_well_is_a_success_even_if_there_was_nothing_to_do(
    error: BaseException | None, counted: int, well: bool
) -> None:
    collector = Collector("apply")
    if error is not None:
        collector.failed(error)
    collector.ended([VOUCHER.service])
    names = [name for name, _ in collector.values]
    assert names.count("dataops_failures_total") == counted
    assert names.count("dataops_last_success_timestamp_seconds") == well
    assert "dataops_run_duration_seconds" in names


def test_a_run_that_was_stopped_is_no_success() -> None:
    collector = Collector("apply")
    collector(events.RunFinished(result=Result("run-2", planner.plan_apply([VOUCHER]), stopped=True)))
    collector.ended([VOUCHER.service])
    assert "dataops_last_success_timestamp_seconds" not in {name for name, _ in collector.values}


# --- the text


def test_the_text_is_what_prometheus_reads() -> None:
    values = {
        series("build_info", version="0.1.0"): 1.0,
        series("pending_migrations", service="api", engine="mongodb"): 2.0,
        series("failures_total", service="", reason="UsageError"): 3.0,
        series("lock_wait_seconds", service='a"b\\c\nd'): 0.25,
        series("run_timestamp_seconds", command="apply"): 1795516351.44064,
    }
    text = prometheus.text(values)
    assert samples(text) == {(name, frozenset(labels)): value for (name, labels), value in values.items()}
    for family in text_string_to_metric_families(text):
        known = {metric.name.removesuffix("_total"): metric for metric in METRICS}
        metric = known[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in METRICS:
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert metric.help[0].isupper() or metric.help[0].isdigit()


# --- the file


def write(
    path: Path, *pairs: tuple[prometheus.Series, float], names: tuple[str, ...] | None = ("api", "voucher")
) -> None:
    prometheus.write(path, dict(pairs), names)


def read(path: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(path.read_text())


def test_counters_go_on_counting_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "dataops.prom"
    failed = series("failures_total", service="api", reason="Unreachable")
    other = series("failures_total", service="api", reason='odd "reason\\')
    write(path, (failed, 1), (other, 2))
    write(path, (failed, 2))
    write(path, (series("run_duration_seconds", command="apply"), 1))
    assert read(path) == {
        ("dataops_failures_total", frozenset(failed[1])): 3,
        ("dataops_failures_total", frozenset(other[1])): 2,
        ("dataops_run_duration_seconds", frozenset([("command", "apply")])): 1,
    }


def test_what_is_measured_again_replaces_what_was_and_the_rest_stays(tmp_path: Path) -> None:
    """`status --service api` knows nothing of voucher; and says nothing of how long a migration took."""
    path = tmp_path / "dataops.prom"
    api = {"service": "api", "engine": "mongodb"}
    voucher = {"service": "voucher", "engine": "postgresql"}
    took = series("migration_duration_seconds", service="api", migration="a", direction="apply")
    write(
        path,
        (series("reachable", **api), 1),
        (series("pending_migrations", **api), 5),
        (series("pending_migrations", **voucher), 7),
        (took, 1.5),
    )
    write(path, (series("reachable", **api), 0))
    assert read(path) == {
        ("dataops_reachable", frozenset(api.items())): 0,  # and how much is pending is not known any more
        ("dataops_pending_migrations", frozenset(voucher.items())): 7,
        ("dataops_migration_duration_seconds", frozenset(took[1])): 1.5,
    }


def test_the_last_success_never_goes_back(tmp_path: Path) -> None:
    """A run with nothing to do was a success; the journal does not know of it."""
    path = tmp_path / "dataops.prom"
    at = series("last_success_timestamp_seconds", service="api", engine="mongodb")
    write(path, (at, 200))
    write(path, (at, 100))
    assert list(read(path).values()) == [200]


def test_a_service_that_is_not_configured_any_more_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "dataops.prom"
    gone = series("pending_migrations", service="gone", engine="mongodb")
    write(path, (gone, 1), (series("failures_total", service="", reason="UsageError"), 1))
    write(path, names=None)
    assert len(read(path)) == 2
    write(path)
    assert [name for name, _ in read(path)] == ["dataops_failures_total"]


def test_lines_that_are_not_ours_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "dataops.prom"
    path.write_bytes(
        b'node_load1 1\ndataops_unknown 1\ndataops_build_info{version="0.0.1"} 1\ndataops_reachable x\n\xff'
    )
    write(path, (series("build_info", version="0.1.0"), 1))
    assert read(path) == {("dataops_build_info", frozenset([("version", "0.1.0")])): 1}


def test_the_file_is_replaced_at_once_and_readable_by_everyone(tmp_path: Path) -> None:
    path = tmp_path / "dataops.prom"
    path.write_text("old\n")
    before = path.open()
    write(path, (series("run_duration_seconds", command="apply"), 1))
    assert before.read() == "old\n"
    before.close()
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["dataops.prom"]


def test_a_file_that_cannot_be_written_is_found_before_anything_is_done(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "none" / "x", Path("/dev/null"), fifo, Path("/proc/x")):
        with pytest.raises(CannotWrite, match="the metrics cannot be written") as caught:
            prometheus.refuse_unwritable(path)
        assert caught.value.exit_code == 10
        assert "nothing was done" in caught.value.hint
    prometheus.refuse_unwritable(tmp_path / "new.prom")
    assert os.listdir(tmp_path) == ["fifo"]


def test_a_file_that_cannot_be_written_in_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(CannotWrite):
        write(tmp_path / "x", (series("run_duration_seconds", command="apply"), 1))
    assert os.listdir(tmp_path) == ["x"]


def test_what_keeps_us_from_looking_again_changes_nothing_of_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> list[object]:
        raise RuntimeError("no")

    monkeypatch.setattr(telemetry_module, "look", broken)
    session = Session(as_json=False, verbose=False, log_format="text", config_path=None, environment=None, selected=())
    monkeypatch.chdir(tmp_path)
    with telemetry_module.telemetry(session, "apply", tmp_path / "x.prom") as observed:
        observed.services = [VOUCHER.service]
    assert capsys.readouterr().err == "warning: not measured: RuntimeError: no\n"
    assert {name for name, _ in read(tmp_path / "x.prom")} >= {"dataops_last_success_timestamp_seconds"}


def test_without_the_extra_a_file_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match="needs prometheus_client") as raised:
        prometheus.refuse_unwritable(tmp_path / "x.prom")
    assert raised.value.hint == "pip install 'dataops[metrics]'"
    assert not list(tmp_path.iterdir())


def test_a_damaged_line_of_an_old_file_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.prom"
    good = 'dataops_failures_total{reason="a\\"b\\nc",service="api"} 2.0'
    path.write_text(f"dataops_failures_total{{reason=\n}}}}{{ 1\n# odd\n{good}\nother_metric 5\n")
    prometheus.write(path, {series("failures_total", service="api", reason='a"b\nc'): 1.0}, None)
    assert samples(path.read_text()) == {
        ("dataops_failures_total", frozenset({("service", "api"), ("reason", 'a"b\nc')})): 3.0
    }
