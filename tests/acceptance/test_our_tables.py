"""PostgreSQL: our tables are out of the application's way, stay where they were made, and no file may change them.

Each test is one example of a kind: where the journal is and how it got there, what moves the search_path, what a
project's own tools see of ours, a file that changes what is ours.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo.database import Database

from dataops.backends.journal import to_fields
from dataops.backends.postgres import sql
from dataops.backends.postgres.tables import OurTables, Table
from dataops.model import Direction, Entry, JournalEvent
from tests.projects import Project
from tests.servers import Answer

Connection = psycopg.Connection[Any]


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    """A service with one file, which makes a table `base`."""
    project.add("shop", pg_url, timeouts={"table_lock": "300ms"}, onto_existing=True)
    project.file("shop", "001", "op.execute('CREATE TABLE base (id int)')", "op.execute('DROP TABLE base')")
    return project


def where(pg: Connection, *names: str) -> list[str]:
    """The tables of these names, with their schemas."""
    query = "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relname = ANY (%s) ORDER BY 1"
    return [str(row[0]) for row in pg.execute(query, [list(names or ("alembic_version", "dataops_journal"))])]


def heads(pg: Connection, table: str = "public.alembic_version") -> list[str]:
    return [str(row[0]) for row in pg.execute(f"SELECT version_num FROM {table}".encode())]


def done(project: Project, *arguments: str) -> Answer:
    answer = project(*arguments)
    assert answer.code == 0, answer.stderr
    return answer


def events(project: Project) -> list[tuple[str, str]]:
    """What the journal has, oldest first."""
    entries = done(project, "history", "--json", "--service", "shop").json["entries"]
    return [(entry["migration"], entry["event"]) for entry in reversed(entries)]


def as_an_older_version_left_it(pg: Connection, schema: str = "public") -> None:
    """The journal where an older version made it: beside the record, without a word about which record it is."""
    pg.execute(f"ALTER TABLE dataops_history.dataops_journal SET SCHEMA {schema}".encode())
    pg.execute(f"COMMENT ON TABLE {schema}.dataops_journal IS NULL; DROP SCHEMA dataops_history".encode())


@contextmanager
def role(pg: Connection, name: str, *rights: str) -> Iterator[str]:
    """A user with these rights; gives the URL."""
    name = f"{name}_{pg.info.dbname}"
    pg.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'".encode())
    for right in rights:
        pg.execute(right.format(role=name, db=pg.info.dbname).encode())
    try:
        yield f"postgres://{name}:pw@{pg.info.host}:{pg.info.port}/{pg.info.dbname}"
    finally:
        pg.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}".encode())


def alembic(project: Project, *arguments: str, env: str = "") -> Answer:
    """Alembic's own command line on the service `shop`, through our env.py or one that is given."""
    (project.folder / "alembic.ini").write_text("[shop]\nscript_location = shop\n")
    ours = "from dataops.backends.postgres.env import run\n\nrun('shop')\n"
    (project.folder / "shop" / "env.py").write_text(env or ours)
    (project.folder / "shop" / "script.py.mako").write_text(TEMPLATE)
    return project.run("alembic", "-n", "shop", *arguments)


TEMPLATE = '''"""${message}."""
from alembic import op
import sqlalchemy as sa
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''


# --- where the journal is, and how it got there


def test_the_journal_has_a_schema_of_its_own_and_the_record_stays(shop: Project, pg: Connection) -> None:
    done(shop, "apply", "--yes")
    assert where(pg) == ["dataops_history.dataops_journal", "public.alembic_version"]
    assert events(shop) == [("001", "started"), ("001", "succeeded")]
    assert pg.execute("SELECT obj_description('dataops_history.dataops_journal'::regclass)").fetchone() == (
        f'{sql.JOURNAL_COMMENT} Its record: "public"."alembic_version"',
    )


WRITES = {
    "apply": ["apply", "--yes"],
    "rollback": ["rollback", "--yes", "--to", "base"],
}


@pytest.mark.parametrize("command", WRITES.values(), ids=WRITES)
def test_the_first_run_that_writes_moves_the_journal_with_all_that_it_has(
    shop: Project, pg: Connection, command: list[str]
) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    for question in (["status"], ["plan"], ["history"]):
        done(shop, *question)
    assert where(pg, "dataops_journal") == ["public.dataops_journal"]
    before = events(shop)
    done(shop, *command)
    assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    assert events(shop)[: len(before)] == before
    assert len(events(shop)) > len(before)


def test_a_bare_alembic_moves_the_journal_too(shop: Project, pg: Connection) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    assert alembic(shop, "upgrade", "head").code == 0
    assert where(pg) == ["dataops_history.dataops_journal", "public.alembic_version"]
    assert heads(pg) == ["002"]


def test_twenty_runs_at_once_move_it_once(shop: Project, pg: Connection) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    answers: list[Answer] = []
    runs = [threading.Thread(target=lambda: answers.append(shop("apply", "--yes", timeout=120))) for _ in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [answer.code for answer in answers] == [0] * 6
    assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    assert events(shop).count(("002", "succeeded")) == 1


def test_a_journal_that_somebody_reads_is_moved_by_a_later_run(shop: Project, pg: Connection) -> None:
    """A dump that holds the table must not stop a run."""
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    with pg.transaction():
        pg.execute("LOCK TABLE public.dataops_journal IN ACCESS SHARE MODE")
        answer = done(shop, "apply", "--yes")
        assert answer.stderr.count("stays in a schema of the application") == 1
    assert where(pg, "dataops_journal") == ["public.dataops_journal"]
    shop.table("shop", "003")
    assert "stays in" not in done(shop, "apply", "--yes").stderr
    assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    assert [name for name, event in events(shop) if event == "succeeded"] == ["001", "002", "003"]


OWNER = ["GRANT ALL ON SCHEMA public TO {role}"]


def test_a_role_that_may_not_create_a_schema_is_told_once_and_works(shop: Project, pg: Connection) -> None:
    shop.table("shop", "002")
    with role(pg, "poor", *OWNER) as url:
        shop.env["SHOP_URL"] = url
        answer = done(shop, "apply", "--yes")
        assert answer.stderr.count("stays in a schema of the application") == 1
        assert "dataops docs operations rights" in answer.stderr
        assert where(pg) == ["public.alembic_version", "public.dataops_journal"]
        assert shop("status", "--check").code == 0
        done(shop, "rollback", "--yes", "--steps", "1")
        pg.execute(f"GRANT CREATE ON DATABASE {pg.info.dbname} TO {urlsplit(url).username}".encode())
        assert "stays in" not in done(shop, "apply", "--yes").stderr
        assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
        assert len(events(shop)) == 8


def test_a_schema_that_was_made_for_us_is_used(shop: Project, pg: Connection) -> None:
    with role(pg, "poor", *OWNER, "CREATE SCHEMA dataops_history AUTHORIZATION {role}") as url:
        shop.env["SHOP_URL"] = url
        assert "stays in" not in done(shop, "apply", "--yes").stderr
        assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]


READS = {
    "a grant before it is moved": "GRANT SELECT ON public.alembic_version, public.dataops_journal TO {role}",
    "to everybody": "GRANT SELECT ON public.alembic_version, public.dataops_journal TO PUBLIC",
}


@pytest.mark.parametrize("grant", READS.values(), ids=READS)
def test_who_could_read_the_journal_can_read_it_after_the_move(shop: Project, pg: Connection, grant: str) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    with role(pg, "looker", grant) as url:
        looker = {"SHOP_URL": url}
        assert shop("status", env=looker).code == 0
        done(shop, "apply", "--yes")
        for question in (["status", "--check"], ["plan"], ["history"]):
            answer = shop(*question, env=looker)
            assert (answer.code, answer.stderr) == (0, "")


def test_default_privileges_of_the_records_schema_count_for_a_new_journal(shop: Project, pg: Connection) -> None:
    with role(pg, "looker", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role}") as url:
        done(shop, "apply", "--yes")
        assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
        answer = shop("status", "--check", env={"SHOP_URL": url})
        assert (answer.code, answer.stderr) == (0, "")


def test_who_could_not_read_the_journal_cannot_read_it_after_the_move(shop: Project, pg: Connection) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    shop.table("shop", "002")
    with role(pg, "nobody") as url:
        done(shop, "apply", "--yes")
        answer = shop("status", env={"SHOP_URL": url})
        assert (answer.code, "dataops docs operations rights" in answer.stderr) == (10, True)
        name = urlsplit(url).username
        assert pg.execute("SELECT has_schema_privilege(%s, 'dataops_history', 'USAGE')", [name]).fetchone() == (False,)


TAKEN = {
    "a table of our name": "CREATE TABLE dataops_journal (day date, text text)",
    "a schema of our name": "CREATE SCHEMA dataops_history; CREATE TABLE dataops_history.battles (id int)",
    "both, and our table's name in it": (
        "CREATE SCHEMA dataops_history; CREATE TABLE dataops_history.dataops_journal (id int);"
        "CREATE TABLE dataops_journal (id int)"
    ),
}


@pytest.mark.parametrize("theirs", TAKEN.values(), ids=TAKEN)
def test_what_the_application_calls_as_we_do_is_not_taken_for_ours(shop: Project, pg: Connection, theirs: str) -> None:
    pg.execute(theirs.encode())
    before = where(pg, "dataops_journal", "battles")
    shop.table("shop", "002")
    done(shop, "apply", "--yes", "--steps", "1")
    done(shop, "apply", "--yes")
    done(shop, "rollback", "--yes", "--steps", "1")
    assert set(before) < set(where(pg, "dataops_journal", "battles"))
    assert len(where(pg, "dataops_journal", "battles")) == len(before) + 1
    assert [name for name, event in events(shop) if event == "succeeded"] == ["001", "002", "002"]


def test_two_services_that_share_a_database_by_schema_have_a_journal_each(
    project: Project, pg: Connection, pg_url: str, tmp_path: Path
) -> None:
    """The same ids in both, as in the schemas of two tenants."""
    for name in ("one", "two"):
        pg.execute(f"CREATE SCHEMA {name}".encode())
    projects = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mine = Project(tmp_path / name)
        url = f"{pg_url}{'&' if '?' in pg_url else '?'}options=-csearch_path%3D{name}"
        mine.add("shop", url, onto_existing=True)
        mine.table("shop", "001")
        projects.append(mine)
    for mine in projects:
        done(mine, "apply", "--yes")
    assert where(pg, "alembic_version", "t_001") == [
        "one.alembic_version", "one.t_001", "two.alembic_version", "two.t_001",
    ]  # fmt: skip
    assert where(pg, "dataops_journal") == [
        "dataops_history.dataops_journal", "dataops_history_two.dataops_journal",
    ]  # fmt: skip
    for mine in projects:
        assert events(mine) == [("001", "started"), ("001", "succeeded")]
    done(projects[0], "rollback", "--yes", "--steps", "1")
    assert len(events(projects[0])) == 4
    assert len(events(projects[1])) == 2
    assert projects[1]("status", "--check").code == 0


def test_an_older_version_that_wrote_a_second_journal_is_told(shop: Project, pg: Connection) -> None:
    """It looks for its journal in the search_path, finds none, and makes one there."""
    done(shop, "apply", "--yes")
    older = OurTables(Table("public", "alembic_version"), Table("public", "dataops_journal"))
    older.execute(pg, sql.CREATE_JOURNAL)
    for command in (["status"], ["apply", "--yes"], ["history"]):
        answer = shop(*command)
        assert (answer.code, "there are 2 journals for one record" in answer.stderr) == (4, True)
        assert "dataops docs operations two-journals" in answer.stderr
    older.execute(pg, sql.WRITE, THEIR_ENTRY)
    section = OPERATIONS.read_text().partition("\n### Two journals\n")[2]
    pg.execute(section.partition("```sql\n")[2].partition("```")[0].encode())
    assert events(shop) == [("001", "started"), ("001", "succeeded"), ("001", "failed")]
    assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    done(shop, "status", "--check")


OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
THEIR_ENTRY = to_fields(Entry("r", "001", Direction.APPLY, JournalEvent.FAILED, actor="a", host="h", version="0"))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_record_whose_schema_is_renamed_between_two_runs_keeps_its_journal(
    project: Project, pg: Connection, pg_url: str, legacy: bool
) -> None:
    pg.execute("CREATE SCHEMA app")
    pg.execute(f"ALTER DATABASE {pg.info.dbname} SET search_path = app".encode())
    project.add("shop", pg_url, onto_existing=True)
    project.table("shop", "001")
    done(project, "apply", "--yes")
    if legacy:
        as_an_older_version_left_it(pg, "app")
    pg.execute("ALTER SCHEMA app RENAME TO app2")
    pg.execute(f"ALTER DATABASE {pg.info.dbname} SET search_path = app2".encode())
    done(project, "status", "--check")
    project.table("shop", "002")
    done(project, "apply", "--yes")
    assert where(pg) == ["app2.alembic_version", "dataops_history.dataops_journal"]
    assert [name for name, event in events(project) if event == "succeeded"] == ["001", "002"]


def test_a_record_of_somebody_else_in_the_new_search_path_is_not_taken(shop: Project, pg: Connection) -> None:
    done(shop, "apply", "--yes")
    pg.execute("CREATE SCHEMA billing; CREATE TABLE billing.alembic_version (version_num varchar(32) PRIMARY KEY)")
    pg.execute("INSERT INTO billing.alembic_version VALUES ('ffff')")
    pg.execute(f"ALTER DATABASE {pg.info.dbname} SET search_path = billing".encode())
    done(shop, "status", "--check")
    shop.file("shop", "002", "op.execute('CREATE TABLE public.more (id int)')")
    done(shop, "apply", "--yes")
    assert (heads(pg), heads(pg, "billing.alembic_version")) == (["002"], ["ffff"])


def test_a_journal_that_has_lost_its_comment_is_found_by_its_files(shop: Project, pg: Connection) -> None:
    """As `pg_dump --no-comments` leaves it."""
    done(shop, "apply", "--yes")
    pg.execute("COMMENT ON TABLE dataops_history.dataops_journal IS NULL")
    done(shop, "status", "--check")
    shop.table("shop", "002")
    done(shop, "apply", "--yes")
    assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    assert [name for name, event in events(shop) if event == "succeeded"] == ["001", "002"]
    assert pg.execute("SELECT obj_description('dataops_history.dataops_journal'::regclass)").fetchone() != (None,)


# --- what moves the search_path


MOVES = {
    "pg_dump's, for the session": "op.execute(\"SELECT pg_catalog.set_config('search_path', '', false)\")",
    "SET LOCAL": "op.execute('SET LOCAL search_path TO billing')",
    "SET": "op.execute('SET search_path TO billing')",
    "the database's": "op.execute('ALTER DATABASE {db} SET search_path TO billing')",
    "the role's": "op.execute('ALTER ROLE CURRENT_USER IN DATABASE {db} SET search_path TO billing')",
    "a schema with the name of the user": "op.execute('CREATE SCHEMA {user}')",
    "that schema with an Alembic of somebody else in it": (
        "op.execute('CREATE SCHEMA {user}')\n"
        "op.execute('CREATE TABLE {user}.alembic_version (version_num varchar(32) PRIMARY KEY)')"
    ),
    "a schema is renamed": "op.execute('ALTER SCHEMA billing RENAME TO {user}')",
}


@pytest.mark.parametrize("native", [False, True], ids=["dataops", "alembic"])
@pytest.mark.parametrize("legacy", [False, True], ids=["own schema", "no right to one"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_whatever_a_file_does_to_the_search_path_there_is_one_record(
    shop: Project, pg: Connection, move: str, legacy: bool, native: bool
) -> None:
    pg.execute("CREATE SCHEMA billing")
    if legacy:  # nobody may have a schema for the journal
        pg.execute("CREATE SCHEMA dataops_history; CREATE TABLE dataops_history.x ()")
        pg.execute("CREATE SCHEMA dataops_history_public; CREATE TABLE dataops_history_public.x ()")
    body = move.format(db=pg.info.dbname, user=pg.info.user) + "\nop.execute('CREATE TABLE public.moved (id int)')"
    shop.file("shop", "002", body, "op.execute('DROP TABLE public.moved')")
    shop.file("shop", "003", "op.execute('CREATE TABLE public.last (id int)')", "op.execute('DROP TABLE public.last')")
    for expected in ("001", "002", "003"):
        answer = alembic(shop, "upgrade", "+1") if native else shop("apply", "--yes", "--steps", "1")
        assert (answer.code, answer.stderr if answer.code else "") == (0, "")
        assert heads(pg) == [expected]
    done(shop, "rollback", "--yes", "--steps", "1")
    assert heads(pg) == ["002"]
    assert alembic(shop, "stamp", "001").code == 0
    assert heads(pg) == ["001"]
    assert alembic(shop, "stamp", "002").code == 0
    assert heads(pg) == ["002"]
    assert alembic(shop, "current").stdout.split()[0] == "002"
    assert alembic(shop, "stamp", "003").code == 0
    assert heads(pg) == ["003"]
    done(shop, "status", "--check")
    journals = where(pg, "dataops_journal")
    assert len(journals) == 1, journals
    assert [t for t in where(pg, "alembic_version") if "dataops." not in t] == ["public.alembic_version"]


def test_the_first_file_may_be_a_pg_dump(shop: Project, pg: Connection) -> None:
    dump = "op.execute(\"SELECT pg_catalog.set_config('search_path', '', false)\")\n"
    dump += "op.execute('CREATE TABLE public.a (id int)')"
    shop.path("shop", "001").unlink()
    shop.file("shop", "001", dump, parent=None)
    done(shop, "apply", "--yes")
    assert where(pg, "a", "alembic_version") == ["public.a", "public.alembic_version"]


def test_names_are_quoted(project: Project, pg: Connection, pg_url: str) -> None:
    schema = 'We "sell" 100%s'
    pg.execute(f"CREATE SCHEMA {sql.quoted(schema)}".encode())
    pg.execute(f"ALTER DATABASE {pg.info.dbname} SET search_path = {sql.quoted(schema)}".encode())
    project.add("shop", pg_url, onto_existing=True)
    project.table("shop", "001")
    project.table("shop", "002")
    done(project, "apply", "--yes", "--steps", "1")
    pg.execute(f"ALTER DATABASE {pg.info.dbname} RESET search_path".encode())
    done(project, "apply", "--yes")
    done(project, "rollback", "--yes", "--steps", "1")
    done(project, "apply", "--yes")
    query = (
        "SELECT nspname FROM pg_namespace n JOIN pg_class c ON relnamespace = n.oid WHERE relname = 'alembic_version'"
    )
    assert pg.execute(query.encode()).fetchall() == [(schema,)]


def test_two_records_of_one_history_outside_of_the_search_path_are_refused(
    project: Project, pg: Connection, pg_url: str
) -> None:
    separator = "&" if "?" in pg_url else "?"
    for name in ("one", "two"):
        pg.execute(f"CREATE SCHEMA {name}".encode())
        project.add("shop", f"{pg_url}{separator}options=-csearch_path%3D{name}", onto_existing=True)
        if name == "one":
            project.table("shop", "001")
        done(project, "apply", "--yes")
    project.env["SHOP_URL"] = pg_url
    for command in (["status"], ["plan"], ["apply", "--yes"]):
        answer = project(*command)
        assert answer.code == 4
        assert "this history is recorded in one.alembic_version and in two.alembic_version" in answer.stderr
        assert "options=-csearch_path" in answer.stderr
    assert where(pg, "t_001") == ["one.t_001", "two.t_001"]


def test_another_application_with_the_same_ids_begins_a_history_of_its_own(
    project: Project, pg: Connection, pg_url: str, tmp_path: Path
) -> None:
    """Its files are others, so a record elsewhere in the database is not taken for its own."""
    pg.execute("CREATE SCHEMA other")
    separator = "&" if "?" in pg_url else "?"
    (tmp_path / "o").mkdir()
    other = Project(tmp_path / "o").add("shop", f"{pg_url}{separator}options=-csearch_path%3Dother", onto_existing=True)
    other.table("shop", "001", "theirs")
    done(other, "apply", "--yes")
    project.add("shop", pg_url, onto_existing=True)
    project.table("shop", "001", "mine")
    done(project, "apply", "--yes")
    assert where(pg, "mine", "theirs") == ["other.theirs", "public.mine"]


def test_tables_and_views_that_are_called_as_the_servers_do_not_answer_instead_of_them(
    project: Project, pg: Connection, pg_url: str
) -> None:
    pg.execute("CREATE SCHEMA app")
    for name, column in (("pg_locks", "locktype text"), ("pg_class", "relname name"), ("pg_namespace", "nspname name")):
        pg.execute(f"CREATE TABLE app.{name} ({column})".encode())
    pg.execute("CREATE FUNCTION app.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass'")
    pg.execute(f"ALTER DATABASE {pg.info.dbname} SET search_path = app, pg_catalog".encode())
    project.add("shop", pg_url, onto_existing=True)
    project.table("shop", "001")
    project.file("shop", "002", "op.execute('CREATE TEMP TABLE pg_locks (locktype text)')")
    done(project, "apply", "--yes")
    assert project("status", "--check").code == 0


# --- what a project's own tools see of ours


PLAIN_ENV = """
import os
import sqlalchemy as sa
from alembic import context
metadata = sa.MetaData()
sa.Table("base", metadata, sa.Column("id", sa.Integer))
{model}
engine = sa.create_engine(os.environ["SHOP_URL"].replace("postgres://", "postgresql+psycopg://"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, {options})
    with context.begin_transaction():
        context.run_migrations()
"""

OUR_ENV = """
import sqlalchemy as sa
from dataops.backends.postgres.env import run
metadata = sa.MetaData()
sa.Table("base", metadata, sa.Column("id", sa.Integer))
{model}
run("shop", target_metadata=metadata, {options})
"""


@pytest.mark.parametrize(
    ("env", "options", "legacy"),
    [
        (PLAIN_ENV, "", False),
        (OUR_ENV, "", False),
        (OUR_ENV, "include_schemas=True", False),
        (OUR_ENV, "include_schemas=True", True),
        (OUR_ENV, "include_name=lambda name, type_, parents: name != 'other'", True),
    ],
    ids=["plain", "ours", "ours, all schemas", "ours, all schemas, journal not moved", "ours, a hook of its own"],
)
def test_autogenerate_sees_nothing_of_ours(shop: Project, pg: Connection, env: str, options: str, legacy: bool) -> None:
    done(shop, "apply", "--yes")
    pg.execute("CREATE SCHEMA dataops_stash_001; CREATE TABLE dataops_stash_001.old (id int)")
    if "other" in options:
        pg.execute("CREATE TABLE other (id int)")
    if legacy:
        as_an_older_version_left_it(pg)
    answer = alembic(shop, "check", env=env.format(model="", options=options))
    assert (answer.code, answer.stdout) == (0, "No new upgrade operations detected.\n"), answer.stderr
    model = "sa.Table('more', metadata, sa.Column('id', sa.Integer))"
    answer = alembic(shop, "revision", "--autogenerate", "-m", "x", env=env.format(model=model, options=options))
    assert answer.code == 0, answer.stderr
    (made,) = shop.place("shop").glob("*_x.py")
    assert "create_table('more'" in made.read_text()
    assert "drop_table('" not in made.read_text().partition("def downgrade")[0]
    assert "dataops" not in made.read_text()


# --- a file that changes what is ours


HARMS = {
    "autogenerate's": "op.drop_table('dataops_journal')",
    "in SQL": "op.execute('DROP TABLE IF EXISTS dataops_history.dataops_journal CASCADE')",
    "the schema": "op.execute('DROP SCHEMA dataops_history CASCADE')",
    "the record": "op.execute('TRUNCATE alembic_version')",
    "rows of the record": "op.execute(\"UPDATE public.alembic_version SET version_num = '001'\")",
    "in a block": "op.execute('DO $$ BEGIN DELETE FROM alembic_version; END $$')",
    "the stash of another": "op.execute('DROP SCHEMA dataops_stash_001 CASCADE')",
    "a second journal": "op.execute('CREATE TABLE dataops_journal (seq int)')",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_file_that_changes_what_is_ours_is_an_error_of_lint_and_of_the_plan(
    shop: Project, pg: Connection, harm: str
) -> None:
    done(shop, "apply", "--yes")
    path = shop.file("shop", "002", f"op.execute('CREATE TABLE more (id int)')\n{harm}")
    line = 1 + next(at for at, text in enumerate(path.read_text().splitlines()) if harm in text)
    found = shop("lint", "--no-squawk", "--json").json["findings"]
    assert ("P004", line) in [(finding["code"], finding["line"]) for finding in found]
    for command in (["plan"], ["plan", "--json"], ["apply", "--yes"]):
        answer = shop(*command)
        assert answer.code == 4
        assert "002.py changes what dataops keeps in the database" in answer.stderr + answer.stdout
    assert heads(pg) == ["001"]
    assert where(pg, "more") == []


HIDDEN = {
    "the journal": "DROP TABLE dataops_history.dataops_journal",
    "the schema of the journal": "DROP SCHEMA dataops_history CASCADE",
    "the record": "DROP TABLE public.alembic_version",
    "a new record": "DROP TABLE public.alembic_version; CREATE TABLE public.alembic_version (version_num varchar(32))",
    "the schema of the record": "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    "moved": "ALTER TABLE dataops_history.dataops_journal SET SCHEMA public",
}


@pytest.mark.parametrize("harm", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("native", [False, True], ids=["dataops", "alembic"])
def test_what_a_file_hides_is_found_when_it_has_run_and_rolled_back(
    shop: Project, pg: Connection, harm: str, native: bool
) -> None:
    done(shop, "apply", "--yes")
    shop.file("shop", "002", f"for part in {harm.split('; ')!r}:\n    op.get_bind().exec_driver_sql(part)")
    answer = alembic(shop, "upgrade", "head") if native else shop("apply", "--yes")
    assert answer.code == (255 if native else 1), answer.stderr
    assert "002 dropped, moved or replaced" in answer.stderr
    assert where(pg) == ["dataops_history.dataops_journal", "public.alembic_version"]
    assert heads(pg) == ["001"]
    assert events(shop)[-2:] == [("002", "started"), ("002", "failed")]
    assert where(pg, "base") == ["public.base"]


ROWS = {
    "a row of the record": "INSERT INTO public.alembic_version VALUES ('zzz')",
    "all rows of the record": "DELETE FROM public.alembic_version",
    "the revision": "UPDATE public.alembic_version SET version_num = '000'",
    "the journal's": "DELETE FROM dataops_history.dataops_journal",
    "one entry": "DELETE FROM dataops_history.dataops_journal WHERE seq = 1",
}


@pytest.mark.parametrize("harm", ROWS.values(), ids=ROWS)
def test_rows_of_ours_that_a_file_changes_unseen_are_found_and_rolled_back(
    shop: Project, pg: Connection, harm: str
) -> None:
    done(shop, "apply", "--yes")
    shop.file("shop", "002", f"op.get_bind().exec_driver_sql({harm[:3]!r} + {harm[3:]!r}) if time else None")
    answer = shop("apply", "--yes")
    assert (answer.code, "002 changed the rows of" in answer.stderr) == (1, True), answer.stderr
    assert heads(pg) == ["001"]
    assert events(shop) == [("001", "started"), ("001", "succeeded"), ("002", "started"), ("002", "failed")]


SHAPES = {
    "a column of the journal has another name": "ALTER TABLE dataops_history.dataops_journal RENAME COLUMN at TO since",
    "a column of the journal is gone": "ALTER TABLE dataops_history.dataops_journal DROP COLUMN reason",
    "rows of the record are hidden": "ALTER TABLE public.alembic_version ENABLE ROW LEVEL SECURITY",
    "rows of the journal are hidden": "ALTER TABLE dataops_history.dataops_journal ENABLE ROW LEVEL SECURITY",
}


@pytest.mark.parametrize("harm", SHAPES.values(), ids=SHAPES)
def test_tables_of_ours_that_a_file_alters_unseen_are_found_and_rolled_back(
    shop: Project, pg: Connection, harm: str
) -> None:
    """A journal without one of its columns is not found by the next run, which would say that nothing was ever done."""
    done(shop, "apply", "--yes")
    shop.file("shop", "002", f"op.get_bind().exec_driver_sql({harm[:3]!r} + {harm[3:]!r}) if time else None")
    answer = shop("apply", "--yes")
    assert (answer.code, "002 altered" in answer.stderr) == (1, True), answer.stderr
    assert heads(pg) == ["001"]
    assert events(shop) == [("001", "started"), ("001", "succeeded"), ("002", "started"), ("002", "failed")]


@pytest.mark.parametrize("table", ["public.alembic_version", "dataops_history.dataops_journal"])
def test_rows_that_the_server_hides_from_a_user_are_not_taken_for_none(
    shop: Project, pg: Connection, table: str
) -> None:
    """Row-level security without a policy: a reader sees an empty table, and not an error."""
    done(shop, "apply", "--yes")
    pg.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
    grants = "GRANT SELECT ON public.alembic_version, dataops_history.dataops_journal TO {role}"
    with role(pg, "looker", "GRANT USAGE ON SCHEMA dataops_history TO {role}", grants) as url:
        shop.env["SHOP_URL"] = url
        for command in (["status"], ["plan"], ["wait", "--timeout", "1s"], ["history"], ["apply", "--yes"]):
            if command == ["history"] and "journal" not in table:
                continue
            answer = shop(*command)
            assert answer.code == 10, (command, answer)
            assert f"row-level security hides the rows of {table}" in answer.stderr
        pg.execute(f"CREATE POLICY all_rows ON {table} FOR SELECT USING (true)".encode())
        done(shop, "status", "--check")


def test_a_group_that_owns_the_journal_can_use_it_after_one_of_its_members_moved_it(
    shop: Project, pg: Connection
) -> None:
    done(shop, "apply", "--yes")
    as_an_older_version_left_it(pg)
    group = f"owners_{pg.info.dbname}"
    rights = [f"GRANT {group} TO {{role}}", "GRANT ALL ON DATABASE {db} TO {role}", *OWNER]
    pg.execute(f"CREATE ROLE {group}".encode())
    pg.execute(f"GRANT ALL ON SCHEMA public TO {group}; ALTER TABLE public.dataops_journal OWNER TO {group}".encode())
    pg.execute(f"ALTER TABLE public.alembic_version OWNER TO {group}".encode())
    with role(pg, "anna", *rights) as anna, role(pg, "bert", *rights) as bert:
        for at, url in enumerate((anna, bert)):
            shop.env["SHOP_URL"] = url
            shop.table("shop", f"00{at + 2}")
            assert "stays in" not in done(shop, "apply", "--yes").stderr
        assert where(pg, "dataops_journal") == ["dataops_history.dataops_journal"]
    pg.execute(f"REASSIGN OWNED BY {group} TO CURRENT_USER; DROP OWNED BY {group}; DROP ROLE {group}".encode())


ALLOWED = {
    "a dump says whose it is": "op.execute('ALTER TABLE public.alembic_version OWNER TO CURRENT_USER')",
    "a wider column": "op.execute('ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(255)')",
    "a copy in another schema": (
        "op.execute('CREATE SCHEMA old')\nop.execute('CREATE TABLE old.dataops_journal (id int)')\n"
        "op.execute('DROP TABLE old.dataops_journal')"
    ),
    "its own stash": "op.execute('CREATE SCHEMA dataops_stash_002')\nop.execute('DROP SCHEMA dataops_stash_002')",
    "only a text": "op.execute(\"COMMENT ON TABLE base IS 'DROP TABLE dataops_journal' -- DROP TABLE base\")",
    "a table that only begins so": (
        "op.execute('CREATE TABLE dataops_journal_x ()')\nop.execute('DROP TABLE dataops_journal_x')"
    ),
    "a dump that makes the record": (
        "op.execute('CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(32) NOT NULL)')"
    ),
}


@pytest.mark.parametrize("harmless", ALLOWED.values(), ids=ALLOWED)
def test_what_does_no_harm_is_applied(shop: Project, pg: Connection, harmless: str) -> None:
    shop.file("shop", "002", harmless)
    done(shop, "apply", "--yes")
    assert heads(pg) == ["002"]


MONGO_HARMS = {
    "drop": "db.dataops_journal.drop()",
    "by name": "db.drop_collection('pymongo_migrate')",
    "delete": "db['pymongo_migrate'].delete_many({})",
    "update": "db.dataops_lock.update_one({}, {'$set': {'x': 1}})",
    "rename": "db.pymongo_migrate.rename('old')",
    "rename over it": "db.base.rename('dataops_journal', dropTarget=True)",
    "a pipeline": "db.base.aggregate([{'$match': {}}, {'$out': 'pymongo_migrate'}])",
    "the whole database": "db.client.drop_database(db.name)",
    "the whole database, by a command": "db.command('dropDatabase')",
    "by a command": "db.command({'drop': 'dataops_journal'})",
}


@pytest.mark.parametrize("harm", MONGO_HARMS.values(), ids=MONGO_HARMS)
def test_a_mongodb_file_that_changes_what_is_ours_is_an_error_of_lint_and_of_the_plan(
    project: Project, mongo_url: str, mongo_db: Database[dict[str, Any]], harm: str
) -> None:
    project.add("bank", mongo_url)
    project.table("bank", "001", "base")
    done(project, "apply", "--yes")
    path = project.file("bank", "002", harm)
    line = 1 + next(at for at, text in enumerate(path.read_text().splitlines()) if harm in text)
    found = project("lint", "--no-squawk", "--json").json["findings"]
    assert ("M011", line) in [(finding["code"], finding["line"]) for finding in found]
    for command in (["plan"], ["apply", "--yes"]):
        answer = project(*command)
        assert (answer.code, "002.py changes what dataops keeps in the database" in answer.stderr) == (4, True)
    assert {"base", "pymongo_migrate", "dataops_journal", "dataops_lock"} <= set(mongo_db.list_collection_names())


def test_a_mongodb_file_may_drop_another_database_and_read_ours(
    project: Project, mongo_url: str, mongo_db: Database[dict[str, Any]]
) -> None:
    project.add("bank", mongo_url)
    project.table("bank", "001", "base")
    other = f"{mongo_db.name}_old"
    project.file("bank", "002", f"db.client.drop_database('{other}')\nfor _ in db.pymongo_migrate.find():\n    pass")
    found = project("lint", "--no-squawk", "--json").json["findings"]
    assert "M011" not in [finding["code"] for finding in found]
    done(project, "apply", "--yes")
