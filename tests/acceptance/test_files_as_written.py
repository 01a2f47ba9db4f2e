"""PostgreSQL migrations as other people write them: what a step did is asked of the server.

Each test is one example of a kind: the engine of a migration, a file that ends its own transaction, a file that leaves
something behind in the session.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from dataops.dev import postgres_server
from tests.projects import Project, until
from tests.servers import fresh_postgres

Connection = psycopg.Connection[Any]


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    """A service whose first file makes a table `base`."""
    project.add("shop", pg_url, timeouts={"table_lock": "300ms"}, onto_existing=True)
    project.file("shop", "001", "op.execute('CREATE TABLE base (id int)')", "op.execute('DROP TABLE base')")
    return project


def tables(pg: Connection) -> set[str]:
    return {name for (name,) in pg.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^.$'")}


def rows(pg: Connection, query: str) -> list[Any]:
    return pg.execute(query.encode()).fetchall()


# --- the engine that a migration sees


ENGINES = {
    "an inspector": "sa.inspect(op.get_bind().engine).get_table_names()",
    "connect": "with op.get_bind().engine.connect() as other:\n    other.execute(sa.text('SELECT 1'))",
    "begin": "with op.get_bind().engine.begin() as other:\n    other.execute(sa.text('SELECT 1'))",
    "a session": "with Session(op.get_bind().engine) as other:\n    other.execute(sa.text('SELECT 1'))",
    "two at once": (
        "engine = op.get_bind().engine\nwith engine.connect() as one, engine.connect() as two:\n"
        "    pids = {c.execute(sa.text('SELECT pg_backend_pid()')).scalar() for c in (op.get_bind(), one, two)}\n"
        "    assert len(pids) == 3, pids"
    ),
    "one that is never given back": "left = op.get_bind().engine.connect()\nleft.execute(sa.text('SELECT 1'))",
}


@pytest.mark.parametrize("use", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("native", [False, True], ids=["dataops", "alembic"])
def test_a_second_checkout_of_the_engine_takes_nothing_from_the_step(
    shop: Project, pg: Connection, use: str, native: bool
) -> None:
    body = f"""
op.execute("CREATE TABLE t (id int)")
op.execute("INSERT INTO t VALUES (1)")
{use}
op.execute("CREATE TABLE u (id int)")
"""
    shop.file("shop", "002", body, head="import sqlalchemy as sa\nfrom sqlalchemy.orm import Session")
    answer = alembic(shop, "upgrade", "head") if native else shop("apply", "--yes")
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    assert tables(pg) == {"t", "u"}
    assert rows(pg, "SELECT id FROM t") == [(1,)]
    assert shop("status", "--check").code == 0


def alembic(project: Project, *arguments: str) -> Any:
    """Alembic's own command line on the service `shop`, through our env.py."""
    (project.folder / "alembic.ini").write_text("[shop]\nscript_location = shop\n")
    (project.folder / "shop" / "env.py").write_text("from dataops.backends.postgres.env import run\n\nrun('shop')\n")
    return project.run("alembic", "-n", "shop", *arguments)


def test_what_a_second_connection_waits_for_ends_by_the_steps_timeouts(shop: Project, pg: Connection) -> None:
    """The step itself holds the table: as under plain Alembic the second connection waits for it, but not for ever."""
    body = """
op.execute("ALTER TABLE base ADD COLUMN n int")
with op.get_bind().engine.begin() as other:
    other.execute(sa.text("ALTER TABLE base ADD COLUMN m int"))
"""
    shop.file("shop", "002", body, head="import sqlalchemy as sa")
    answer = shop("apply", "--yes", timeout=120)
    assert answer.code == 1
    assert "LockNotAvailable" in answer.stderr
    assert rows(pg, "SELECT attname FROM pg_attribute WHERE attrelid = 'base'::regclass AND attnum > 0") == [("id",)]


# --- a file that ends its own transaction


def test_a_file_that_commits_is_not_tried_again_and_not_called_rolled_back(shop: Project, pg: Connection) -> None:
    shop.file(
        "shop",
        "002",
        """
op.execute("INSERT INTO base VALUES (100)")
op.execute("COMMIT")
op.execute("ALTER TABLE base ADD COLUMN n int")
""",
    )
    assert shop("apply", "--yes", "--steps", "1").code == 0
    with pg.transaction():
        pg.execute("LOCK TABLE base IN ACCESS SHARE MODE")
        answer = shop("apply", "--yes")
        assert answer.code == 1
        assert "Part of it is committed" in answer.stderr
        assert "rolled back" not in answer.stderr
    assert rows(pg, "SELECT id FROM base") == [(100,)]


COMMITS = {
    "COMMIT": "op.execute('COMMIT')",
    "in a longer text": "op.execute('SELECT 1; COMMIT; SELECT 2')",
    "the bind's": "op.get_bind().commit()",
    "the bind's, and no transaction any more": (
        "op.get_bind().commit()\nop.get_bind().execution_options(isolation_level='AUTOCOMMIT')"
    ),
    "the driver's": "op.get_bind().connection.driver_connection.commit()",
    "a helper's block": "helper()",
    "another connection's": (
        "with op.get_bind().engine.begin() as c:\n    c.execute(sa.text('INSERT INTO t_side VALUES (1)'))"
    ),
}


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_what_fails_after_a_commit_says_that_a_part_of_it_stays(shop: Project, pg: Connection, commit: str) -> None:
    head = """
import sqlalchemy as sa

def helper():
    with op.get_context().autocommit_block():
        op.execute("SELECT 1")
"""
    shop.file("shop", "002", "op.execute('CREATE TABLE t_side (id int)')")
    shop.file("shop", "003", f"op.execute('INSERT INTO base VALUES (1)')\n{commit}\nraise ValueError('no')", head=head)
    answer = shop("apply", "--yes")
    assert answer.code == 1
    assert "Part of it is committed" in answer.stderr
    journal = shop("history", "--json").json["entries"]
    assert [(e["migration"], e["event"]) for e in journal[:2]] == [("003", "failed"), ("003", "started")]


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_a_file_that_commits_and_succeeds_is_recorded_once_and_whole(
    shop: Project, pg: Connection, commit: str
) -> None:
    head = """
import sqlalchemy as sa

def helper():
    with op.get_context().autocommit_block():
        op.execute("SELECT 1")
"""
    shop.file("shop", "002", "op.execute('CREATE TABLE t_side (id int)')")
    body = f"op.execute('INSERT INTO base VALUES (1)')\n{commit}\nop.execute('INSERT INTO base VALUES (2)')"
    shop.file("shop", "003", body, head=head)
    answer = shop("apply", "--yes")
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    assert rows(pg, "SELECT id FROM base ORDER BY 1") == [(1,), (2,)]
    assert shop("status", "--check").code == 0
    assert shop("apply", "--yes").code == 0
    assert rows(pg, "SELECT count(*) FROM base") == [(2,)]


HIDDEN = {
    "a block": "with getattr(op.get_context(), 'autocommit' + '_block')():\n    op.execute('SELECT 1')",
    "the bind's": "getattr(op.get_bind(), 'com' + 'mit')()",
    "COMMIT": "op.execute('COM' + 'MIT')",
    "COMMIT, and a new transaction": "op.execute('COM' + 'MIT; BEGIN')",
    "another connection's": (
        "with getattr(op.get_bind().engine, 'be' + 'gin')() as c:\n    c.execute(sa.text('UPDATE one SET n = n + 1'))"
    ),
}
"""Commits that are not to be seen in the text of a file, as if a helper made them."""


@pytest.mark.parametrize("commit", HIDDEN.values(), ids=HIDDEN)
def test_what_is_killed_after_a_commit_that_nobody_could_see_is_interrupted(
    shop: Project, pg: Connection, commit: str
) -> None:
    """Else the next apply runs it again from its beginning, and adds to `n` twice."""
    pg.execute("CREATE TABLE one (n int)")
    pg.execute("INSERT INTO one VALUES (0)")
    own = "" if "engine" in commit else "op.execute('UPDATE one SET n = n + 1')\n"
    shop.file(
        "shop", "002", f"{own}{commit}\nhere('after')\nop.execute('CREATE TABLE t ()')", head="import sqlalchemy as sa"
    )
    assert "not transactional" not in shop("plan").stdout
    with shop.running("apply", "--yes") as process:
        shop.reached("after")
        process.kill()
        process.wait()
    shop.go("after")
    answer = shop("apply", "--yes")
    assert (answer.code, rows(pg, "SELECT n FROM one")) == (6, [(1,)])
    assert "nobody knows how far it came" in answer.stderr


@pytest.mark.parametrize("native", [False, True], ids=["dataops", "alembic"])
def test_a_rollback_that_is_killed_after_a_hidden_commit_is_interrupted(
    shop: Project, pg: Connection, native: bool
) -> None:
    """The other direction, and Alembic's own command line, which has to refuse it too."""
    pg.execute("CREATE TABLE one (n int)")
    pg.execute("INSERT INTO one VALUES (0)")
    down = f"op.execute('UPDATE one SET n = n + 1')\n{HIDDEN['COMMIT']}\nhere('after')"
    shop.file("shop", "002", "op.execute('SELECT 1')", down)
    assert shop("apply", "--yes").code == 0
    with shop.running("rollback", "--yes", "--steps", "1") as process:
        shop.reached("after")
        process.kill()
        process.wait()
    shop.go("after")
    answer = alembic(shop, "downgrade", "-1") if native else shop("rollback", "--yes", "--steps", "1")
    assert answer.code == (255 if native else 6)
    assert "nobody knows how far it came" in (answer.stdout if native else answer.stderr)
    assert rows(pg, "SELECT n FROM one") == [(1,)]


def test_what_is_killed_in_its_one_transaction_runs_again(shop: Project, pg: Connection) -> None:
    """And the journal shows no trace of how dataops tells the two apart."""
    shop.file("shop", "002", "op.execute('CREATE TABLE t ()')\nhere('inside')")
    with shop.running("apply", "--yes") as process:
        shop.reached("inside")
        process.kill()
        process.wait()
    shop.go("inside")
    assert shop("apply", "--yes").code == 0
    journal = [entry["event"] for entry in shop("history", "--json").json["entries"] if entry["migration"] == "002"]
    assert journal == ["succeeded", "started", "failed", "started"]


def test_a_file_that_rolls_its_own_transaction_back_fails(shop: Project, pg: Connection) -> None:
    """Else it would be recorded, with the first half of its work gone."""
    shop.file("shop", "002", "op.execute('CREATE TABLE t ()')\nop.execute('ROLLBACK')\nop.execute('CREATE TABLE u ()')")
    answer = shop("apply", "--yes")
    assert answer.code == 1
    assert "rolled back its own transaction" in answer.stderr
    assert "The change was rolled back" in answer.stderr
    assert tables(pg) == set()
    status = shop("status", "--json").json["services"][0]
    assert (status["pending"], status["interrupted"]) == (["002"], None)


LATER_ROLLBACKS = {
    "in SQL": "op.execute('ROLLBACK')",
    "in one text": "op.execute('CREATE TABLE v (); ABORT')",
    "by the bind": "op.get_bind().rollback()",
    "by the bind's transaction": "op.get_bind().get_transaction().rollback()",
    "by the driver": "op.get_bind().connection.rollback()",
    "after an error": (
        "try:\n    op.execute('SELECT 1 / 0')\nexcept Exception:\n"
        "    op.get_bind().connection.driver_connection.rollback()"
    ),
    "a commit of what failed": (
        "try:\n    op.execute('SELECT 1 / 0')\nexcept Exception:\n"
        "    op.get_bind().connection.driver_connection.commit()"
    ),
}


@pytest.mark.parametrize("way", LATER_ROLLBACKS.values(), ids=LATER_ROLLBACKS)
def test_a_file_that_commits_and_rolls_back_what_came_after_fails(shop: Project, pg: Connection, way: str) -> None:
    """Else it would be recorded as applied, with the second half of its work gone."""
    shop.file(
        "shop", "002", f"op.execute('CREATE TABLE t ()')\nop.execute('COMMIT')\nop.execute('CREATE TABLE u ()')\n{way}"
    )
    answer = shop("apply", "--yes")
    assert answer.code == 1, answer.stderr
    assert "rolled back its own transaction" in answer.stderr
    assert "part of it is committed" in answer.stderr.lower()
    assert tables(pg) == {"t"}
    assert shop("apply", "--yes").code == 6


def test_a_file_that_prepares_its_transaction_fails(project: Project) -> None:
    """Else it would be recorded as applied, while what it did waits for somebody to commit it."""
    with postgres_server(settings=["max_prepared_transactions=2"]) as server, fresh_postgres(server) as url:
        project.add("shop", url)
        project.file("shop", "001", "op.execute('CREATE TABLE t ()')\nop.execute(\"PREPARE TRANSACTION 'later'\")")
        answer = project("apply", "--yes")
        assert answer.code == 1, answer.stderr
        assert "PREPARE TRANSACTION: what it did waits" in answer.stderr
        assert project("apply", "--yes").code == 6
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ROLLBACK PREPARED 'later'")


LEFT_OPEN = {
    "a COPY to the server": (
        "cursor = op.get_bind().connection.cursor()\ncopy = cursor.copy('COPY base FROM STDIN')\n"
        "copy.__enter__().write_row((1,))\nkept.append(copy)"
    ),
    "a COPY from the server": (
        "cursor = op.get_bind().connection.cursor()\n"
        "copy = cursor.copy('COPY (SELECT generate_series(1, 100000)) TO STDOUT')\n"
        "next(iter(copy.__enter__()))\nkept.append(copy)"
    ),
    "a pipeline": (
        "pipeline = op.get_bind().connection.driver_connection.pipeline()\npipeline.__enter__()\n"
        "op.get_bind().connection.driver_connection.execute('INSERT INTO base VALUES (1)')\nkept.append(pipeline)"
    ),
}


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("way", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_an_exchange_that_a_file_leaves_open_ends_with_its_connection(
    shop: Project, pg: Connection, way: str, raises: bool
) -> None:
    """No statement can be sent any more, and nobody waits for ever. The lock is lost, and the step is rolled back."""
    end = "\nraise ValueError('after it')" if raises else ""
    shop.file("shop", "002", f"op.execute('CREATE TABLE t ()')\n{way}{end}", head="kept = []")
    answer = shop("apply", "--yes")
    assert answer.code == 3, answer.stderr
    assert ("ValueError: after it" if raises else "left a COPY or a pipeline open") in answer.stderr
    until(lambda: not shop("status", "--json").json["services"][0]["locked_by"])
    assert (tables(pg), rows(pg, "SELECT * FROM base")) == (set(), [])
    status = shop("status", "--json").json["services"][0]
    assert (status["pending"], status["interrupted"]) == (["002"], None)


READERS = {
    "by the driver": "op.execute('COMMIT')\nop.execute('SELECT 1')\nop.get_bind().connection.rollback()",
    "by a session": (
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import Session\nop.execute('COMMIT')\n"
        "with Session(op.get_bind()) as reader:\n    reader.execute(sa.text('SELECT 1'))"
    ),
    "a savepoint": (
        "op.execute('SAVEPOINT s')\nop.execute('CREATE TABLE u ()')\nop.execute('ROLLBACK TO SAVEPOINT s')\n"
        "op.execute('COMMIT')\nop.execute('SAVEPOINT s')\nop.execute('ROLLBACK TO SAVEPOINT s')"
    ),
}


@pytest.mark.parametrize("way", READERS.values(), ids=READERS)
def test_a_rollback_that_takes_nothing_away_is_no_failure(shop: Project, pg: Connection, way: str) -> None:
    shop.file("shop", "002", f"op.execute('CREATE TABLE t ()')\n{way}")
    answer = shop("apply", "--yes")
    assert answer.code == 0, answer.stderr
    assert tables(pg) == {"t"}
    assert shop("status", "--check").code == 0


# --- a file that gives our lock away


def test_a_step_that_gives_the_lock_away_ends_as_one_whose_lock_was_lost(shop: Project, pg: Connection) -> None:
    shop.file("shop", "002", "op.execute('CREATE TABLE t ()')\nop.execute('SELECT pg_advisory_unlock_all()')")
    answer = shop("apply", "--yes")
    assert answer.code == 3
    assert "given away" in answer.stderr
    assert tables(pg) == set()
    assert shop("status", "--json").json["services"][0]["pending"] == ["002"]


# --- what a file leaves in the session


def test_a_search_path_does_not_leak_into_the_next_step(shop: Project, pg: Connection) -> None:
    pg.execute("CREATE SCHEMA billing")
    shop.file("shop", "002", "op.execute('SET search_path TO billing, public')")
    shop.file("shop", "003", "op.execute('CREATE TABLE v (id int)')", "op.execute('DROP TABLE v')")
    assert shop("apply", "--yes").code == 0
    assert rows(pg, "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'v'") == [("public",)]
    assert shop("rollback", "--yes", "--steps", "1").code == 0
    assert tables(pg) == set()


def test_a_role_does_not_leak_into_the_next_step(shop: Project, pg: Connection) -> None:
    owner = f"owner_{pg.info.dbname}"
    pg.execute(f"CREATE ROLE {owner}".encode())
    pg.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {owner}".encode())
    try:
        shop.file("shop", "002", f"op.execute('SET ROLE {owner}')\nop.execute('CREATE TABLE t (id int)')")
        shop.file("shop", "003", "op.execute('CREATE TABLE w (id int)')")
        answer = shop("apply", "--yes")
        assert (answer.code, answer.stderr if answer.code else "") == (0, "")
        owners = dict(rows(pg, "SELECT relname, relowner::regrole::text FROM pg_class WHERE relname IN ('t', 'w')"))
        assert owners == {"t": owner, "w": pg.info.user}
    finally:
        pg.execute(f"DROP OWNED BY {owner}; DROP ROLE {owner}".encode())


LEAKS = """
op.execute("CREATE TEMP TABLE mine (id int)")
op.execute("PREPARE mine AS SELECT 1")
op.execute("LISTEN mine")
op.execute("SELECT pg_advisory_lock(7), pg_advisory_lock(7), pg_advisory_lock_shared(8), pg_advisory_lock(-1, -2)")
op.execute("SELECT pg_advisory_lock(-9)")
op.execute("DECLARE mine CURSOR WITH HOLD FOR SELECT 1")
op.execute("SET SESSION AUTHORIZATION pg_monitor")
op.execute("RESET SESSION AUTHORIZATION")
for name, value in op.get_bind().execute(sa.text(SETTABLE)).fetchall():
    try:
        with op.get_bind().begin_nested():
            op.execute(sa.text("SELECT set_config(:name, :value, false)").bindparams(name=name, value=value))
    except sa.exc.DBAPIError:
        pass  # not every setting takes every value
"""

# Every setting that a user may change, with another value than it has.
SETTABLE = '''SETTABLE = """
SELECT name, CASE vartype
           WHEN 'bool' THEN CASE setting WHEN 'on' THEN 'off' ELSE 'on' END
           WHEN 'enum' THEN (SELECT v FROM unnest(enumvals) v WHERE v <> setting LIMIT 1)
           WHEN 'integer' THEN CASE WHEN setting::numeric < max_val::numeric THEN (setting::numeric + 1)::text
                                    ELSE min_val END
           WHEN 'real' THEN max_val
           ELSE NULL END
  FROM pg_settings
 WHERE context = 'user' AND name NOT IN ('transaction_read_only', 'transaction_deferrable', 'transaction_isolation')
   AND name NOT IN ('default_transaction_read_only', 'zero_damaged_pages', 'exit_on_error', 'log_statement_stats')
   AND name NOT LIKE '%timeout%' AND name NOT LIKE 'debug_%' AND name NOT LIKE '%_stats' AND vartype <> 'string'
   AND name NOT IN ('client_encoding', 'max_stack_depth', 'ignore_system_indexes', 'allow_system_table_mods')
"""'''

LOOK = """
op.execute("CREATE TABLE seen (what text, name text, value text)")
op.execute("INSERT INTO seen SELECT 'setting', name, setting FROM pg_settings WHERE name <> 'application_name'")
op.execute("INSERT INTO seen SELECT 'cursor', name, '' FROM pg_cursors WHERE is_holdable")
op.execute("INSERT INTO seen SELECT 'prepared', name, '' FROM pg_prepared_statements")
op.execute("INSERT INTO seen SELECT 'channel', c, '' FROM pg_listening_channels() c")
op.execute("INSERT INTO seen SELECT 'temporary', relname, '' FROM pg_class WHERE pg_my_temp_schema() = relnamespace")
op.execute('''INSERT INTO seen SELECT 'lock', classid || '.' || objid, mode FROM pg_locks
               WHERE locktype = 'advisory' AND pid = pg_backend_pid()''')
op.execute("INSERT INTO seen VALUES ('user', session_user, current_user)")
"""


def test_one_run_of_two_steps_is_what_two_runs_of_one_step_are(shop: Project, pg: Connection) -> None:
    """002 leaves everything behind that a session can hold; 003 writes down what it finds."""
    shop.file("shop", "002", LEAKS, "op.execute('SELECT 1')", head=f"import sqlalchemy as sa\n{SETTABLE}")
    shop.file("shop", "003", LOOK, "op.execute('DROP TABLE seen')")
    assert shop("apply", "--yes", "--to", "002").code == 0
    assert shop("apply", "--yes").code == 0
    apart = rows(pg, "SELECT * FROM seen ORDER BY 1, 2, 3")
    assert shop("rollback", "--yes", "--to", "001").code == 0
    answer = shop("apply", "--yes")
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    together = rows(pg, "SELECT * FROM seen ORDER BY 1, 2, 3")
    assert {row for row in together if row not in apart} == set()
    assert {row for row in apart if row not in together} == set()
    assert [row for row in together if row[0] not in ("setting", "user", "lock")] == []
    assert len([row for row in together if row[0] == "lock"]) == 1


# What a file can leave behind on our side of the connection: on psycopg's object, on SQLAlchemy's engine, in psycopg
# itself.
OBJECTS = """
bind = op.get_bind()
raw = bind.connection.driver_connection
class Shouting(psycopg.types.string.TextLoader):
    def load(self, data):
        return "LEAK " + super().load(data)
for adapters in (raw.adapters, psycopg.adapters):
    for name in ("int4", "int8", "text", "varchar", "oid", "bool"):
        adapters.register_loader(name, Shouting)
raw.row_factory = psycopg.rows.dict_row
raw.cursor_factory, raw.server_cursor_factory = psycopg.ClientCursor, psycopg.RawServerCursor
raw.prepare_threshold, raw.prepared_max = 1, 1
raw.add_notice_handler(print)
raw.add_notify_handler(print)
for target in (bind, bind.engine):
    sa.event.listen(target, "before_cursor_execute", lambda *_: None)
sa.event.listen(bind.engine, "connect", lambda *_: pathlib.Path("leak").touch())
bind.engine.update_execution_options(leak=True)
bind.execution_options(leak=True)
op.get_context().opts["leak"] = True
"""

LOOK_AT_OBJECTS = """
bind = op.get_bind()
raw = bind.connection.driver_connection
with bind.engine.connect() as other:
    other = other.exec_driver_sql("SELECT 1, 'text', 2::int8").fetchall()
pathlib.Path("seen").write_text(repr([
    bind.exec_driver_sql("SELECT 1, 'text', 2::int8").fetchall(), other,
    raw.row_factory.__name__, raw.cursor_factory.__name__, raw.server_cursor_factory.__name__,
    raw.prepare_threshold, raw.prepared_max, len(raw._notice_handlers), len(raw._notify_handlers), raw.autocommit,
    len(list(bind.dispatch.before_cursor_execute)), len(list(bind.engine.dispatch.before_cursor_execute)),
    dict(bind.get_execution_options()), dict(bind.engine.get_execution_options()), op.get_context().opts.get("leak"),
]))
"""


def test_what_a_file_leaves_on_the_clients_side_does_not_act_on_the_next_one(shop: Project) -> None:
    """As above: two runs of one step, and one run of two."""
    head = "import pathlib, psycopg, psycopg.types.string, sqlalchemy as sa"
    shop.file("shop", "002", OBJECTS, "op.execute('SELECT 1')", head=head)
    shop.file("shop", "003", LOOK_AT_OBJECTS, "op.execute('SELECT 1')", head=head)
    seen = []
    runs: list[list[list[str]]] = [[["--to", "002"], []], [[]]]
    for commands in runs:
        for arguments in commands:
            answer = shop("apply", "--yes", *arguments)
            assert (answer.code, answer.stderr if answer.code else "") == (0, "")
            assert not (shop.folder / "leak").exists()
        seen.append((shop.folder / "seen").read_text())
        assert shop("rollback", "--yes", "--to", "001").code == 0
    assert seen[0] == seen[1]


def test_a_step_whose_settings_forbid_it_can_still_be_recorded(shop: Project, pg: Connection) -> None:
    """The reset comes before our own writes too: a role that may write nothing of ours, and a time-out of 1 ms."""
    reader = f"reader_{pg.info.dbname}"
    pg.execute(f"CREATE ROLE {reader}".encode())
    try:
        shop.file("shop", "002", f"op.execute('SET statement_timeout = 1')\nop.execute('SET ROLE {reader}')")
        answer = shop("apply", "--yes")
        assert (answer.code, answer.stderr if answer.code else "") == (0, "")
        assert shop("status", "--check").code == 0
    finally:
        pg.execute(f"DROP ROLE {reader}".encode())


def test_alembics_own_command_line_shows_no_password_when_a_migration_fails(shop: Project) -> None:
    shop.file("shop", "002", "import os\nraise ValueError('cannot reach ' + os.environ['SHOP_URL'])")
    answer = alembic(shop, "upgrade", "head")
    password = shop.env["SHOP_URL"].partition("://")[2].partition("@")[0].partition(":")[2]
    assert answer.code != 0
    assert "cannot reach postgresql://dataops:***@" in answer.stderr
    assert password not in answer.stdout + answer.stderr


@pytest.mark.parametrize("raised", ["MigrationFailed", "Stopped", "LockLost", "ConfigError"])
def test_a_file_that_raises_one_of_our_errors_shows_no_password(shop: Project, raised: str) -> None:
    password = shop.env["SHOP_URL"].partition("://")[2].partition("@")[0].partition(":")[2]
    body = f"import os\nraise {raised}('no ' + os.environ['SHOP_URL'], hint=os.environ['SHOP_URL'])"
    shop.file("shop", "002", f"if not op.get_context().as_sql:\n    {body.replace(chr(10), chr(10) + '    ')}",
              head=f"from dataops.errors import {raised}")  # fmt: skip
    answer = shop("apply", "--yes", "--json", "--log-format", "json")
    assert answer.code != 0
    history = shop("history", "--json")
    assert password not in answer.stdout + answer.stderr + history.stdout


# --- a file that reaches out by itself


OUTSIDE = {
    "psycopg": "with psycopg.connect(URL) as other:\n    other.execute('UPDATE one SET n = n + 1')",
    "an engine of its own": (
        "with sa.create_engine(op.get_bind().engine.url).begin() as other:\n"
        "    other.execute(sa.text('UPDATE one SET n = n + 1'))"
    ),
    "asynchronous": (
        "async def act():\n"
        "    async with await psycopg.AsyncConnection.connect(URL) as other:\n"
        "        await other.execute('UPDATE one SET n = n + 1')\n"
        "asyncio.run(act())"
    ),
    "in a thread": (
        "def act():\n    with psycopg.connect(URL) as other:\n        other.execute('UPDATE one SET n = n + 1')\n"
        "thread = threading.Thread(target=act)\nthread.start()\nthread.join()"
    ),
    "a program": (
        "script = 'import os, psycopg; c = psycopg.connect(os.environ[\"SHOP_URL\"], autocommit=True)'\n"
        "subprocess.run([sys.executable, '-c', script + '; c.execute(\"UPDATE one SET n = n + 1\")'], check=True)"
    ),
    "dblink": (
        "act = sa.text('SELECT dblink_exec(:url, :sql)')\n"
        "op.execute(act.bindparams(url=URL, sql='UPDATE one SET n = n + 1'))"
    ),
}
"""Commits of which the connection of the step sees nothing."""
OUTSIDE_HEAD = "import asyncio, os, subprocess, sys, threading, psycopg, sqlalchemy as sa\n"


@pytest.fixture
def one(pg: Connection) -> None:
    """A table with a number that says how often something was done."""
    pg.execute("CREATE EXTENSION dblink; CREATE TABLE one (n int); INSERT INTO one VALUES (0)")


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("act", OUTSIDE.values(), ids=OUTSIDE)
def test_what_reached_out_is_not_tried_again_and_not_called_rolled_back(
    shop: Project, pg: Connection, act: str
) -> None:
    late = "op.execute(\"DO $$ BEGIN RAISE EXCEPTION 'late' USING ERRCODE = '55P03'; END $$\")"
    shop.file("shop", "002", f"URL = os.environ['SHOP_URL']\n{act}\n{late}", head=OUTSIDE_HEAD)
    answer = shop("apply", "--yes")
    assert (answer.code, rows(pg, "SELECT n FROM one")) == (1, [(1,)]), answer.stderr
    assert "002 is half done" in answer.stderr
    assert "by itself: what it did there is not known" in answer.stderr
    assert "rolled back, again" not in answer.stderr
    assert shop("apply", "--yes").code == 6


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("act", OUTSIDE.values(), ids=OUTSIDE)
def test_what_is_killed_after_it_reached_out_is_interrupted(shop: Project, pg: Connection, act: str) -> None:
    shop.file("shop", "002", f"URL = os.environ['SHOP_URL']\n{act}\nhere('after')", head=OUTSIDE_HEAD)
    with shop.running("apply", "--yes") as process:
        shop.reached("after")
        process.kill()
        process.wait()
    shop.go("after")
    answer = shop("apply", "--yes")
    assert (answer.code, rows(pg, "SELECT n FROM one")) == (6, [(1,)]), answer.stderr


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("act", OUTSIDE.values(), ids=OUTSIDE)
def test_what_reached_out_and_succeeded_is_applied_once(shop: Project, pg: Connection, act: str) -> None:
    shop.file("shop", "002", f"URL = os.environ['SHOP_URL']\n{act}\nop.execute('CREATE TABLE t ()')", head=OUTSIDE_HEAD)
    for _ in range(2):
        answer = shop("apply", "--yes")
        assert answer.code == 0, answer.stderr
    assert (rows(pg, "SELECT n FROM one"), "t" in tables(pg)) == ([(1,)], True)
    assert shop("status", "--check").code == 0
