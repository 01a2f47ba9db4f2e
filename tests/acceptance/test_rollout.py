"""A fleet is changed wave after wave, halted by failures, and rolled back wave by wave."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from dataops.backends.postgres.sql import LOCK_KEY
from dataops.dev import MongoServer, PostgresServer
from dataops.errors import ExitCode
from tests.fleets import FAILS, Fleet, fleet
from tests.projects import Project, await_line, ended
from tests.terminal import Terminal


@pytest.fixture
def tenants(project: Project, postgres: PostgresServer) -> Iterator[Fleet]:
    """Six databases of PostgreSQL, and a history of one migration."""
    with fleet(project, postgres, 6) as found:
        found.configure()
        found.file("001")
        yield found


@pytest.fixture(params=["postgresql", "mongodb"])
def either(
    request: pytest.FixtureRequest, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Fleet]:
    """Five databases of either kind."""
    with fleet(project, postgres if request.param == "postgresql" else mongo, 5) as found:
        found.configure()
        found.file("001")
        yield found


def begun(stderr: str) -> list[tuple[str, str]]:
    """The waves that have begun, each with its number of databases."""
    return re.findall(r"^tenants: wave (\d+ of \d+): (\d+) database", stderr, re.MULTILINE)


def test_the_smallest_comes_first_then_a_tenth_then_the_rest_in_one_run(either: Fleet) -> None:
    done = either.project("apply", "--yes")
    assert done.code == ExitCode.OK, done.stderr
    assert begun(done.stderr) == [("1 of 3", "1"), ("2 of 3", "1"), ("3 of 3", "3")]
    assert either.applied() == {key: ["001"] for key in either.names}
    assert len(either.runs()) == 1


def test_a_wave_begins_when_the_one_before_has_ended(tenants: Fleet) -> None:
    waves = [{"databases": tenants.names[4:5]}, {"share": "34%"}, {}]
    tenants.configure(waves=waves)
    tenants.file("002", "import time; time.sleep(0.2)")
    assert tenants.project("apply", "--yes").code == ExitCode.OK
    names = [tenants.names[4:5], tenants.names[:3], (tenants.names[3], tenants.names[5])]
    times = [tenants.times(wave) for wave in names]
    assert times[0][-1] < times[1][0] and times[1][-1] < times[2][0]


def test_a_rollback_undoes_exactly_the_run_wave_by_wave_backwards(either: Fleet) -> None:
    project, first = either.project, either.names[2]
    either.configure(waves=[{"databases": [first]}])
    assert project("apply", "--yes").code == ExitCode.OK
    either.file("002")
    done = project("apply", "--yes", "--json").json
    undone = project("rollback", "--yes", "--run", done["run"])
    assert undone.code == ExitCode.OK, undone.stderr
    assert begun(undone.stderr) == [("1 of 2", "4"), ("2 of 2", "1")]
    steps = [entry for entry in project("history", "--json").json["entries"] if entry["direction"] == "rollback"]
    assert [entry["service"] for entry in sorted(steps, key=lambda entry: entry["at"])][-1] == f"tenants@{first}"
    assert either.applied() == {key: ["001"] for key in either.names}


def test_a_failure_lets_no_further_wave_begin_and_the_same_command_goes_on(tenants: Fleet) -> None:
    bad, project = tenants.names[1], tenants.project
    tenants.configure(waves=[{"databases": list(tenants.names[:2])}])
    tenants.file("002", FAILS)
    tenants.trouble(bad)
    failed = project("apply", "--yes")
    assert failed.code == ExitCode.FAILED
    assert begun(failed.stderr) == [("1 of 2", "2")]
    assert f"tenants@{bad}" in failed.stderr
    assert {name for name, ids in tenants.applied().items() if ids} == set(tenants.names[:2])
    tenants.trouble(bad, ends=True)
    again = project("apply", "--yes")
    assert again.code == ExitCode.OK, again.stderr
    # The other one of the first wave may have been stopped before its second step.
    assert begun(again.stderr) in ([("1 of 2", number), ("2 of 2", "4")] for number in "12")
    assert tenants.applied() == {key: ["001", "002"] for key in tenants.names}


def test_with_halt_after_the_others_go_on_until_so_many_have_failed(tenants: Fleet) -> None:
    bad = list(tenants.names[:2])
    tenants.file("002", FAILS)
    tenants.trouble(*bad)
    done = tenants.project("apply", "--yes", "--halt-after", "3")
    assert done.code == ExitCode.FAILED
    assert "2 failed" in done.stdout
    assert tenants.applied() == {name: ["001"] if name in bad else ["001", "002"] for name in tenants.names}
    halted = tenants.project("apply", "--yes", "--halt-after", "1", "--jobs", "1")
    assert halted.code == ExitCode.FAILED
    assert halted.stderr.count("FAILED") == 1


def test_a_database_that_is_locked_is_a_failure_of_that_database_only(tenants: Fleet) -> None:
    busy = tenants.names[3]
    assert tenants.project("apply", "--yes").code == ExitCode.OK
    tenants.file("002")
    with psycopg.connect(tenants.server.url(busy), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        done = tenants.project("apply", "--yes", "--halt-after", "2", "--lock-timeout", "1s")
    assert done.code == ExitCode.LOCKED, done.stderr
    assert tenants.applied() == {name: ["001"] if name == busy else ["001", "002"] for name in tenants.names}


def test_a_signal_lets_the_running_steps_end_and_the_same_command_goes_on(tenants: Fleet) -> None:
    name = "op.get_bind().exec_driver_sql('SELECT current_database()').scalar()"
    tenants.file("002", f"if {name} == {tenants.names[0]!r}: here('at')")
    tenants.configure(waves=[{"databases": list(tenants.names[:1])}])
    with tenants.project.running("apply", "--yes") as process:
        tenants.project.reached("at")
        process.send_signal(signal.SIGTERM)
        await_line(process, "SIGTERM")
        tenants.project.go("at")
        stopped = ended(process)
    assert stopped.code == ExitCode.STOPPED
    assert [name for name, ids in tenants.applied().items() if "002" in ids] == [tenants.names[0]]
    again = tenants.project("apply", "--yes")
    assert again.code == ExitCode.OK, again.stderr
    assert begun(again.stderr) == [("2 of 2", "5")]
    assert tenants.applied() == {key: ["001", "002"] for key in tenants.names}


def test_a_number_of_steps_is_taken_from_the_first_waves(tenants: Fleet) -> None:
    last = tenants.names[5]
    tenants.configure(waves=[{"databases": [last]}, {"check": ["false"]}])
    plan = tenants.project("plan", "--steps", "2", "--json").json
    assert plan["order"] == [f"tenants@{last}/001", f"tenants@{tenants.names[0]}/001"]
    done = tenants.project("apply", "--yes", "--steps", "2")
    assert done.code == ExitCode.BLOCKED, done.stderr
    assert {name for name, ids in tenants.applied().items() if ids} == {last}


def test_a_plan_shows_the_waves_of_apply_also_where_a_database_has_no_plan(tenants: Fleet) -> None:
    first, second, *others = tenants.names
    tenants.configure(waves=[{"databases": [first]}, {"share": "20%"}])
    tenants.drop(first)
    expected = f"Waves of tenants: {first}; then {second}, {others[0]}; then {', '.join(others[1:])}; halts after"
    planned = tenants.project("plan")
    assert (planned.code, expected in planned.stdout) == (ExitCode.OK, True), planned.stdout
    applied = tenants.project("apply", "--yes", "--halt-after", "2")
    assert (applied.code, expected in applied.stderr) == (ExitCode.UNREACHABLE, True), applied.stderr


def test_a_rollback_of_a_number_of_steps_undoes_the_newest_of_all_databases(tenants: Fleet) -> None:
    """As many as `apply --steps` has applied are the same ones again, and no other database is touched."""
    tenants.file("002")
    a = tenants.names[0]
    assert tenants.project("apply", "--yes", "--to", "001").code == ExitCode.OK
    assert tenants.project("apply", "--yes", "--steps", "2").code == ExitCode.OK
    two = {name for name, ids in tenants.applied().items() if ids == ["001", "002"]}
    assert len(two) == 2
    undone = tenants.project("rollback", "--yes", "--steps", "2")
    assert undone.code == ExitCode.OK, undone.stderr
    assert tenants.applied() == {name: ["001"] for name in tenants.names}
    undone = tenants.project("rollback", "--yes", "--steps", "1", "--database", a)
    assert undone.code == ExitCode.OK, undone.stderr
    assert tenants.applied() == {name: [] if name == a else ["001"] for name in tenants.names}


# --- between waves


def test_a_check_between_waves_lets_the_run_go_on_or_ends_it(tenants: Fleet) -> None:
    check = tenants.project.folder / "check"
    check.write_text("#!/bin/sh\necho $DATAOPS_WAVE $DATAOPS_DATABASES > said\necho it is red >&2\ntest -e green\n")
    check.chmod(0o755)
    first = tenants.names[2]
    tenants.configure(waves=[{"databases": [first]}, {"check": ["./check"]}])
    blocked = tenants.project("apply", "--yes")
    assert blocked.code == ExitCode.BLOCKED
    assert "wave 2 does not begin: the check ./check ended with 1: it is red" in blocked.stderr
    assert "  tenants: 5 not run" in blocked.stderr
    assert (tenants.project.folder / "said").read_text().split() == ["2", first]
    assert {name for name, ids in tenants.applied().items() if ids} == {first}
    (tenants.project.folder / "green").touch()
    assert tenants.project("apply", "--yes").code == ExitCode.OK
    assert tenants.applied() == {key: ["001"] for key in tenants.names}


def test_a_query_in_the_control_database_lets_the_run_go_on_or_ends_it(tenants: Fleet) -> None:
    with psycopg.connect(tenants.control, autocommit=True) as control:
        control.execute("CREATE TABLE health AS SELECT false AS good")
        waves = [{"smallest": 2}, {"query": "SELECT good FROM health"}]
        tenants.configure(waves=waves, control_env="CONTROL_URL")
        blocked = tenants.project("apply", "--yes")
        assert blocked.code == ExitCode.BLOCKED
        assert "wave 2 does not begin: its query answers False, and not true" in blocked.stderr
        control.execute("UPDATE health SET good = true")
    assert tenants.project("apply", "--yes").code == ExitCode.OK
    assert tenants.applied() == {key: ["001"] for key in tenants.names}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC true", "its query fails: SyntaxError"),
        ("DELETE FROM health RETURNING true", "its query fails: the query must not write"),
        ("COMMIT; DELETE FROM health RETURNING true", "its query fails: SyntaxError: cannot insert multiple commands"),
        ("SELECT true AS good, false AS good", "its query fails: two columns of the query are called good"),
        ("SELECT good FROM health WHERE false", "its query answers nothing"),
        ("SELECT NULL::bool", "its query answers NULL"),
        ("SELECT 1", "its query answers 1"),
    ],
)
def test_a_query_between_waves_that_says_nothing_true_ends_the_run(tenants: Fleet, query: str, words: str) -> None:
    with psycopg.connect(tenants.control, autocommit=True) as control:
        control.execute("CREATE TABLE health AS SELECT true AS good")
        tenants.configure(waves=[{"smallest": 1}, {"query": query}], control_env="CONTROL_URL")
        blocked = tenants.project("apply", "--yes")
        assert blocked.code == ExitCode.BLOCKED, blocked.stderr
        assert f"error: tenants: wave 2 does not begin: {words}" in blocked.stderr
        assert control.execute("SELECT good FROM health").fetchall() == [(True,)]
    assert sum(len(ids) for ids in tenants.applied().values()) == 1


def test_a_wave_of_no_share_is_not_all_the_rest(tenants: Fleet) -> None:
    for share in ("0%", "0.0 %", "101%", 0, -0.1):
        tenants.configure(waves=[{"share": share}])
        refused = tenants.project("apply", "--yes")
        assert (refused.code, "share" in refused.stderr) == (ExitCode.INVALID, True), refused.stderr
    assert not any(tenants.applied().values())


def test_a_pause_between_waves_passes_and_a_signal_ends_it(tenants: Fleet) -> None:
    tenants.configure(waves=[{"databases": [tenants.names[0]]}, {"pause": "1h"}])
    for told in ("1 h 0 min", "59 min"):  # the same command waits for what is left
        time.sleep(1)  # less than an hour, also for a clock that rounds
        with tenants.project.running("apply", "--yes") as process:
            await_line(process, f"tenants: wave 2 waits: a pause of {told}")
            process.send_signal(signal.SIGTERM)
            stopped = ended(process)
        assert stopped.code == ExitCode.STOPPED
    assert sum(bool(ids) for ids in tenants.applied().values()) == 1
    tenants.configure(waves=[{"smallest": 1}, {"pause": "500ms"}])
    tenants.file("002")
    assert tenants.project("apply", "--yes").code == ExitCode.OK
    times = sorted(at for name in tenants.names for id_, at in tenants.ran(name) if id_ == "002")
    assert (times[1] - times[0]).total_seconds() >= 0.5


# --- bad input


def test_a_database_that_is_gone_after_the_plan_is_a_failure_of_that_database_only(either: Fleet) -> None:
    gone, first = either.names[0], either.names[1]
    either.configure(waves=[{"databases": [first]}])
    assert either.project("apply", "--yes").code == ExitCode.OK
    here = "here('at')" if not either.is_mongo else "here('at', db)"
    mine = "op.get_bind().engine.url.database" if not either.is_mongo else "db.name"
    either.file("002", f"if {mine} == {first!r}: {here}")
    with either.project.running("apply", "--yes", "--halt-after", "2") as process:
        either.project.reached("at")
        either.drop(gone)
        either.project.go("at")
        done = ended(process)
    assert done.code == (ExitCode.STALE if either.is_mongo else ExitCode.UNREACHABLE), done.stderr
    assert f"tenants@{gone}" in done.stderr
    rest = either.names[1:]
    assert {name: [id_ for id_, _ in either.ran(name)] for name in rest} == {key: ["001", "002"] for key in rest}
    assert gone not in either.there()


def test_a_wave_that_selects_nothing_is_refused_before_anything_is_done(tenants: Fleet) -> None:
    tenants.configure(waves=[{"databases": ["canary-*"]}])
    refused = tenants.project("apply", "--yes")
    assert refused.code == ExitCode.USAGE
    assert "error: tenants: wave 1 selects nothing: no database fits databases = canary-*" in refused.stderr
    assert tenants.applied() == {key: [] for key in tenants.names}
    tenants.configure(waves=[{"databases": [tenants.names[0]]}])
    assert tenants.project("apply", "--yes", "--database", tenants.names[1]).code == ExitCode.OK
    assert {name for name, ids in tenants.applied().items() if ids} == {tenants.names[1]}


def test_a_service_comes_after_the_last_wave_of_the_fleet_that_it_depends_on(
    tenants: Fleet, postgres: PostgresServer
) -> None:
    url = postgres.create_database("catalogue_of_fleet")
    try:
        tenants.project.add("catalogue", url, depends_on=["tenants"])
        tenants.project.table("catalogue", "001")
        done = tenants.project("apply", "--yes")
        assert done.code == ExitCode.OK, done.stderr
        assert done.stderr.index("catalogue: apply 001 …") > done.stderr.index("wave 3 of 3 ended")
        undone = tenants.project("rollback", "--yes", "--run", *tenants.runs())
        assert undone.code == ExitCode.OK, undone.stderr
        assert undone.stderr.index("catalogue: rollback 001 done") < undone.stderr.index("tenants: wave 1 of 3")
    finally:
        postgres.drop_database("catalogue_of_fleet")


def test_a_question_between_waves_is_asked_on_a_terminal_and_no_ends_the_run(tenants: Fleet) -> None:
    tenants.configure(waves=[{"smallest": 1}, {"ask": True}])
    for answer, code, number in (("n", ExitCode.STOPPED, 1), ("y", ExitCode.OK, 6)):
        with Terminal(tenants.project, "apply") as terminal:
            terminal.read_until("migrations?" if answer == "n" else "5 migrations?")
            terminal.press("y\n")
            terminal.read_until("begin wave 2, after 1 database? [y/N]")
            terminal.press(f"{answer}\n")
            assert terminal.ended() == code, terminal.text
        assert sum(bool(ids) for ids in tenants.applied().values()) == number
    tenants.file("002")
    alone = tenants.project("apply")
    assert (alone.code, "there is no terminal to ask" in alone.stderr) == (ExitCode.USAGE, True)
    assert tenants.project("apply", "--yes").code == ExitCode.OK


def test_a_saved_plan_of_which_one_database_is_gone_is_stale_and_touches_none(tenants: Fleet) -> None:
    assert tenants.project("plan", "--out", "today.plan").code == ExitCode.OK
    tenants.drop(tenants.names[5])
    refused = tenants.project("apply", "today.plan")
    assert refused.code in (ExitCode.STALE, ExitCode.UNREACHABLE), refused.stderr
    assert f"tenants@{tenants.names[5]}" in refused.stderr
    tenants.names = tenants.names[:5]
    assert tenants.applied() == {key: [] for key in tenants.names}


def test_a_saved_plan_is_carried_out_in_waves(tenants: Fleet) -> None:
    assert tenants.project("plan", "--out", "today.plan").code == ExitCode.OK
    done = tenants.project("apply", "today.plan")
    assert done.code == ExitCode.OK, done.stderr
    assert begun(done.stderr) == [("1 of 3", "1"), ("2 of 3", "1"), ("3 of 3", "4")]
    assert tenants.applied() == {key: ["001"] for key in tenants.names}
