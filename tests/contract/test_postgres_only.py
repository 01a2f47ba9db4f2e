"""What only PostgreSQL can get wrong: locks on tables, steps outside of transactions, poolers."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from dataops.checkup import Level
from dataops.errors import ConfigError, MigrationFailed
from dataops.events import Event, StepRetried
from dataops.model import Direction, JournalEvent
from dataops.planning import planner
from dataops.run.executor import execute
from dataops.run.stop import StopSignal
from tests.contract.conftest import AUTHOR, Trial
from tests.contract.test_backends import held, run
from tests.projects import Project, ended, until


@pytest.fixture
def trial(pg_url: str, tmp_path: Path) -> Iterator[Trial]:
    made = Trial(Project(tmp_path), pg_url)
    yield made
    made.close()


def test_a_table_lock_that_comes_late_is_tried_again(trial: Trial) -> None:
    """Somebody reads the table; the first tries give up after 300 ms, the one after the reader has gone succeeds."""
    trial.project.file("it", "003", "op.execute('ALTER TABLE t_001 ADD COLUMN x int')")
    database = trial.database()
    tries: list[int] = []
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
    with psycopg.connect(trial.url) as reader:
        reader.execute("SELECT * FROM t_001")

        def hear(event: Event) -> None:
            if isinstance(event, StepRetried):
                tries.append(event.attempt)
                assert "LockNotAvailable" in event.reason
                if event.attempt == 2:
                    reader.rollback()

        plan = planner.plan_apply([database.read()])
        result = execute(plan, AUTHOR, emit=hear, stop=StopSignal())
    assert (result.failures, [step.id for step in result.done]) == ((), ["it/003"])
    assert tries == [1, 2]
    assert [one.id for one in trial.database().read().applied] == ["001", "002", "003"]


@pytest.mark.parametrize("transactional", [True, False])
def test_a_deadlock_is_tried_again_only_where_the_whole_step_was_rolled_back(trial: Trial, transactional: bool) -> None:
    """A step that is not transactional has done its first part already: a second try would do it twice.

    The server raises the deadlock at the first try; the sequence, which no rollback takes back, counts the tries.
    """
    first = "op.execute('INSERT INTO t_002 VALUES (7)')"
    block = f"with op.get_context().autocommit_block():\n    {first}"
    deadlock = """
        op.execute("DO $$ BEGIN IF nextval('tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; END IF; END $$")
    """
    trial.project.file("it", "003", f"{first if transactional else block}\n{deadlock.strip()}")
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
    retried: list[Event] = []
    with psycopg.connect(trial.url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE tries")
        result = execute(
            planner.plan_apply([database.read()]),
            AUTHOR,
            emit=lambda event: retried.append(event) if isinstance(event, StepRetried) else None,
            stop=StopSignal(),
        )
        assert connection.execute("SELECT count(*) FROM t_002").fetchone() == (1,)
        assert connection.execute("SELECT last_value FROM tries").fetchone() == (2 if transactional else 1,)
    assert (len(result.done), len(result.failures), len(retried)) == ((1, 0, 1) if transactional else (0, 1, 0))


CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.execute('CREATE {unique} INDEX CONCURRENTLY t_001_id ON t_001 (id)')
"""


def test_an_index_is_built_concurrently_while_another_run_waits_for_the_lock(two: Project) -> None:
    """A waiter that blocked in pg_advisory_lock would hold a snapshot, and the index would wait for it for ever."""
    two.file("shop", "003", "here('middle')")
    two.file("shop", "004", CONCURRENTLY.format(unique=""), "op.execute('DROP INDEX t_001_id')")
    with two.running("apply", "--yes", "--service", "shop") as first:
        two.reached("middle")
        with two.running("apply", "--yes", "--service", "shop") as second:
            assert second.stderr is not None
            while "waiting for the lock" not in (line := second.stderr.readline()):
                assert line
            two.go("middle")
            assert ended(first).code == 0
            assert ended(second).code == 0
    assert two("status", "--check", "--service", "shop").code == 0


def test_an_index_that_was_left_invalid_fails_the_step(trial: Trial) -> None:
    trial.project.file("it", "003", CONCURRENTLY.format(unique="UNIQUE"))
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with psycopg.connect(trial.url, autocommit=True) as connection:
            connection.execute("INSERT INTO t_001 VALUES (1), (1)")
        with pytest.raises(Exception, match="could not create unique index") as failed:
            run(locked, trial.step("003"))
        assert "t_001_id" in database.error_text(failed.value)
    assert [one.id for one in trial.database().read().applied] == ["001", "002"]


def test_an_invalid_index_is_not_taken_for_a_good_one(trial: Trial) -> None:
    body = CONCURRENTLY.format(unique="UNIQUE").replace("t_001_id ON", "IF NOT EXISTS t_001_id ON")
    trial.project.file("it", "003", body)
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with psycopg.connect(trial.url, autocommit=True) as connection:
            connection.execute("INSERT INTO t_001 VALUES (1), (1)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("CREATE UNIQUE INDEX CONCURRENTLY t_001_id ON t_001 (id)")
        with pytest.raises(MigrationFailed, match="invalid"):
            run(locked, trial.step("003"))


def test_an_index_that_is_left_invalid_on_a_second_connection_fails_the_step(trial: Trial) -> None:
    body = """
with op.get_bind().engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
    try:
        other.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY t_001_id ON t_001 (id)")
    except sqlalchemy.exc.IntegrityError:
        pass
"""
    trial.project.file("it", "003", body, head="import sqlalchemy")
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with psycopg.connect(trial.url, autocommit=True) as connection:
            connection.execute("INSERT INTO t_001 VALUES (1), (1)")
        with pytest.raises(MigrationFailed, match="t_001_id is invalid"):
            run(locked, trial.step("003"))


def test_a_step_outside_of_a_transaction_is_recorded_at_its_end(trial: Trial) -> None:
    trial.project.file("it", "003", CONCURRENTLY.format(unique=""))
    assert not trial.step("003").migration.atomic
    database = trial.database()
    with held(database) as locked:
        for id_ in ("001", "002", "003"):
            run(locked, trial.step(id_))
    assert [one.id for one in trial.database().read().applied] == ["001", "002", "003"]
    assert database.history(1)[0].migration == "003"


def test_the_lock_outlives_a_servers_impatience_with_idle_sessions(trial: Trial) -> None:
    """While other services run, ours waits with its lock; and a step may think for a while between two statements."""
    trial.project.file("it", "003", "op.execute('CREATE TABLE x ()')\ntime.sleep(0.4)\nop.execute('CREATE TABLE y ()')")
    name = urlsplit(trial.url).path.lstrip("/")
    with psycopg.connect(trial.url, autocommit=True) as connection:
        for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '200ms'")
    database = trial.database()
    with held(database) as locked:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.5)
        locked.check()
        for id_ in ("001", "002", "003"):
            run(locked, trial.step(id_))


class _Pooler(socketserver.ThreadingTCPServer):
    """Hands on to the server, but gives the client another process id, as a pooler does."""

    daemon_threads = True
    target: tuple[str, int]


class _Relay(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Pooler)
        with socket.create_connection(self.server.target) as server:
            threading.Thread(target=_pump, args=[self.request, server, False], daemon=True).start()
            _pump(server, self.request, True)


def _pump(source: Any, sink: Any, rewrite: bool) -> None:
    try:
        while data := source.recv(65536):
            at = data.find(b"K\x00\x00\x00") if rewrite else -1
            if at >= 0 and len(data) >= at + 9:  # BackendKeyData: its length differs from one version to the next
                data = data[: at + 5] + struct.pack("!i", 4_000_000) + data[at + 9 :]
                rewrite = False
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_pooler_is_refused_unless_it_is_said_to_keep_sessions(trial: Trial) -> None:
    parts = urlsplit(trial.url)
    with _Pooler(("127.0.0.1", 0), _Relay) as pooler:
        pooler.target = (str(parts.hostname), int(parts.port or 0))
        threading.Thread(target=pooler.serve_forever, daemon=True).start()
        through = trial.url.replace(f":{parts.port}", f":{pooler.server_address[1]}") + "?sslmode=disable"
        trial.project.env = dict.fromkeys(trial.project.env, through)
        with pytest.raises(ConfigError, match="pooler"), held(trial.database()):
            raise AssertionError("a lock behind a pooler")
        [told] = [check for check in trial.database().checkup() if check.subject == "pooler"]
        assert (told.level, 'pooler = "session"' in told.remedy) == (Level.FAILED, True)
        trial.project.configure(it={"pooler": "session"})
        with held(trial.database()) as locked:
            locked.check()
        pooler.shutdown()


def test_a_dead_client_frees_the_lock_at_once(two: Project, pg_url: str) -> None:
    two.file("shop", "003", "op.execute('SELECT pg_sleep(30)')")
    with two.running("apply", "--yes", "--service", "shop") as process:
        with psycopg.connect(pg_url, autocommit=True) as connection:
            sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'"
            until(lambda: (connection.execute(sleeping).fetchone() or [0])[0] > 0, what="the statement runs")
        process.kill()
        process.wait()
    until(lambda: two("status", "--json", "--service", "shop").json["services"][0]["locked_by"] is None, 10)
    assert AUTHOR.run not in two("history", "--service", "shop").stdout


def test_a_record_that_does_not_take_what_ran_is_noticed(trial: Trial) -> None:
    """A trigger on alembic_version swallows the row: Alembic does not look, and the transaction commits."""
    database = trial.database()
    with psycopg.connect(trial.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        connection.execute(
            "CREATE TRIGGER swallow BEFORE INSERT ON alembic_version FOR EACH ROW EXECUTE FUNCTION swallow()"
        )
    with held(database) as locked:  # the function is a reason to ask before the first apply
        locked.write(AUTHOR.entry(trial.step("001").migration, Direction.APPLY, JournalEvent.FAILED))
    plan = planner.plan_apply([database.read()], steps=1)
    result = execute(plan, AUTHOR, emit=lambda event: None, stop=StopSignal())
    (failure,) = result.failures
    assert "001 was run, but the record does not show it" in str(failure.error)
    assert result.done == ()
