"""Projects that Alembic has made, as they are: nothing of theirs is changed, and a paragraph is enough."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.projects import Project

Connection = psycopg.Connection[Any]

FILE = '''"""{id}."""
from alembic import op

revision = {id!r}
down_revision = {parents!r}
branch_labels = {labels!r}
depends_on = {needs!r}


def upgrade():
    op.execute("CREATE TABLE t_{id} (id int)")


def downgrade():
    op.execute("DROP TABLE t_{id}")
'''


class AlembicProject:
    """A project made by `alembic init` in its own folder, and a service `shop` for it."""

    def __init__(self, project: Project, url: str, *, template: str = "generic", **settings: Any) -> None:
        self.dataops = project
        self.url = url
        self.folder = project.folder
        made = project.run("alembic", "init", "-t", template, "migrations")
        assert made.code == 0, made.stderr
        self.env = self.folder / "migrations" / "env.py"
        self.ini = self.folder / "alembic.ini"
        self._replace(
            self.ini, "driver://user:pass@localhost/dbname", url.replace("postgresql:", "postgresql+psycopg:")
        )
        project.add("shop", url, folder="migrations", **settings)

    def _replace(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text, (old, text)
        path.write_text(text.replace(old, new))

    def configure(self, options: str) -> None:
        """Give these options to every `context.configure` of env.py."""
        self._replace(self.env, "target_metadata=target_metadata", f"target_metadata=target_metadata, {options}")

    def file(
        self, id_: str, *parents: str, needs: Sequence[str] | str | None = None, labels: str | None = None
    ) -> Path:
        path = self.folder / "migrations" / "versions" / f"{id_}_.py"
        named = None if not parents else parents[0] if len(parents) == 1 else parents
        path.write_text(FILE.format(id=id_, parents=named, needs=needs, labels=labels))
        return path

    def alembic(self, *args: str) -> None:
        answer = self.dataops.run("alembic", *args)
        assert answer.code == 0, answer.stderr

    def is_at_head(self) -> None:
        """As `alembic current --check-heads` says, which old versions do not know."""
        answer = self.dataops.run("alembic", "current")
        assert answer.code == 0 and "(head)" in answer.stdout, answer.stderr


@pytest.fixture
def forked(project: Project, pg_url: str) -> AlembicProject:
    """a1 -- b1 -- m1 -- c1, and b2 beside b1."""
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made.file("b1", "a1")
    made.file("b2", "a1")
    made.file("m1", "b1", "b2")
    made.file("c1", "m1")
    return made


def record(pg: Connection, table: str = "alembic_version") -> set[str]:
    return {row[0] for row in pg.execute(f"SELECT version_num FROM {table}".encode())}


def tables(pg: Connection) -> set[str]:
    found = pg.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 't\\_%'")
    return {name.removeprefix("t_") for (name,) in found}


# --- ids


def test_an_id_that_the_record_has_no_room_for_is_refused_before_anything_is_run(
    project: Project, pg_url: str, pg: Connection
) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    long = "b" * 40
    made.file(long, "a1")
    refused = project("plan")
    assert refused.code == 4
    assert f"the id {long} has 40 characters: the record has room for 32" in refused.stderr
    assert "dataops explain H016" in refused.stderr
    assert project("apply", "--yes").code == 4
    assert tables(pg) == set()
    pg.execute("CREATE TABLE alembic_version (version_num varchar(64) PRIMARY KEY)")
    assert project("apply", "--yes").code == 0
    assert record(pg) == {long}


# --- merge revisions


def test_a_history_with_a_merge_is_applied_in_alembics_order_and_undone(forked: AlembicProject, pg: Connection) -> None:
    dataops = forked.dataops
    answer = dataops("apply", "--yes", "--json")
    assert answer.code == 0, answer.stderr
    assert record(pg) == {"c1"}
    assert tables(pg) == {"a1", "b1", "b2", "m1", "c1"}
    forked.is_at_head()
    for left in ({"m1"}, {"b1", "b2"}, {"b2"}, {"a1"}, set()):
        assert dataops("rollback", "--yes", "--steps", "1").code == 0
        assert record(pg) == left
    assert tables(pg) == set()


def test_a_run_that_stopped_inside_of_a_fork_goes_on(forked: AlembicProject, pg: Connection) -> None:
    for heads in ({"a1"}, {"b2"}, {"b1", "b2"}, {"m1"}, {"c1"}):
        assert forked.dataops("apply", "--yes", "--steps", "1").code == 0
        assert record(pg) == heads
        assert forked.dataops("status").code == 0
    assert forked.dataops("status", "--check").code == 0


def test_what_alembic_has_applied_counts(forked: AlembicProject, pg: Connection) -> None:
    forked.alembic("upgrade", "head")
    assert forked.dataops("plan", "--detailed-exitcode").code == 0
    forked.file("d1", "c1")
    assert forked.dataops("apply", "--yes").code == 0
    assert record(pg) == {"d1"}
    forked.alembic("downgrade", "base")
    status = forked.dataops("status", "--json").json["services"][0]
    assert status["applied"] == 0


def test_a_database_in_the_middle_of_a_fork_is_refused_with_the_command_that_ends_it(
    forked: AlembicProject, pg: Connection
) -> None:
    forked.alembic("upgrade", "b1")
    answer = forked.dataops("apply", "--yes")
    assert answer.code == 4, answer.stderr
    assert "middle of a fork" in answer.stderr
    assert "alembic upgrade m1" in answer.stderr
    forked.alembic("upgrade", "m1")
    assert forked.dataops("apply", "--yes").code == 0
    assert record(pg) == {"c1"}


def test_a_new_file_goes_on_from_the_head(forked: AlembicProject, pg: Connection) -> None:
    assert forked.dataops("apply", "--yes").code == 0
    made = forked.dataops("new", "shop", "one more")
    assert made.code == 0, made.stderr
    (path,) = (forked.folder / "migrations" / "versions").glob("*one_more*")
    assert "None] = 'c1'" in path.read_text()
    assert forked.dataops("lint").code in (0, 7)
    assert "H008" not in forked.dataops("lint").stdout


def test_branches_with_labels_and_depends_on_are_one_history(project: Project, pg_url: str, pg: Connection) -> None:
    """a1 -- a2 and b1, which needs the branch `base` to be at a2 and is the only head."""
    made = AlembicProject(project, pg_url)
    made.file("a1", labels="base")
    made.file("a2", "a1")
    made.file("b1", needs="a2")
    made.alembic("upgrade", "heads")
    heads = record(pg)
    assert project("status", "--check").code == 0
    assert project("rollback", "--yes", "--to", "shop/base").code == 0
    assert (record(pg), tables(pg)) == (set(), set())
    answer = project("apply", "--yes")
    assert answer.code == 0, answer.stderr
    assert (record(pg), tables(pg)) == (heads, {"a1", "a2", "b1"})


def test_two_heads_are_refused(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made.file("b1", "a1")
    made.file("b2", "a1")
    answer = project("plan")
    assert answer.code == 4
    assert "two heads: b1_.py and b2_.py both come after a1" in answer.stderr


# --- what env.py says


def test_the_version_table_of_env_py_is_the_record(project: Project, pg_url: str, pg: Connection) -> None:
    pg.execute("CREATE SCHEMA meta")
    made = AlembicProject(project, pg_url)
    made.configure("version_table='shop_version', version_table_schema='meta'")
    made.file("a1")
    made.file("a2", "a1")
    made.alembic("upgrade", "head")
    assert project("plan", "--detailed-exitcode").code == 0
    status = project("status")
    assert "meta.shop_version" in status.stdout
    assert project("status", "--json").json["services"][0]["record"] == "meta.shop_version"
    made.file("a3", "a2")
    assert project("apply", "--yes").code == 0
    assert record(pg, "meta.shop_version") == {"a3"}
    assert pg.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
    made.is_at_head()
    assert project("rollback", "--yes", "--to", "shop/base").code == 0
    assert (record(pg, "meta.shop_version"), tables(pg)) == (set(), set())
    assert project("prove").code == 0


def test_a_version_table_alone_is_found_in_the_search_path(project: Project, pg_url: str, pg: Connection) -> None:
    made = AlembicProject(project, pg_url)
    made.configure("version_table='shop_version'")
    made.file("a1")
    assert project("apply", "--yes").code == 0
    assert record(pg, "shop_version") == {"a1"}
    assert project("status", "--check").code == 0
    made.is_at_head()


@pytest.mark.parametrize("template", ["generic", "async"])
def test_the_naming_convention_of_the_metadata_names_constraints(
    project: Project, pg_url: str, pg: Connection, template: str
) -> None:
    made = AlembicProject(project, pg_url, template=template)
    convention = "{'uq': 'uq_%(table_name)s_%(column_0_name)s'}"
    text = made.env.read_text().replace(
        "target_metadata = None",
        f"from sqlalchemy import MetaData\ntarget_metadata = MetaData(naming_convention={convention})",
    )
    made.env.write_text(text)
    path = made.file("a1")
    path.write_text(
        path.read_text().replace(
            'op.execute("CREATE TABLE t_a1 (id int)")',
            'op.execute("CREATE TABLE t_a1 (mail text)")\n    op.create_unique_constraint(None, "t_a1", ["mail"])',
        )
    )
    assert "uq_t_a1_mail" in project("plan").stderr + project("plan").stdout
    assert project("apply", "--yes").code == 0
    names = {
        name
        for (name,) in pg.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'u' AND conrelid = 't_a1'::regclass"
        )
    }
    assert names == {"uq_t_a1_mail"}


def test_an_option_that_is_not_honoured_is_said(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.configure("on_version_apply=lambda **_: None")
    made.file("a1")
    for command in (["plan"], ["status"], ["apply", "--yes"]):
        answer = project(*command)
        assert answer.code == 0, answer.stderr
        assert "on_version_apply of env.py is not honoured" in " ".join((answer.stdout + answer.stderr).split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise RuntimeError('no settings')", "RuntimeError: no settings"),
        ("open('there/is/no.env')", "FileNotFoundError"),
        ("import psycopg; psycopg.connect('host=127.0.0.1 port=1')", "connects to a server"),
        ("import sys; sys.exit(3)", "exits"),
        ("import shop_that_is_not_there", "No module named 'shop_that_is_not_there'"),
        ("def (", "invalid syntax"),
        ("import os; os._exit(0)", "ended with code 0"),
    ],
)
def test_an_env_py_that_fails_is_an_error_with_its_line(project: Project, pg_url: str, line: str, message: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made.env.write_text(f"# The first line\n{line}\n" + made.env.read_text())
    answer = project("plan")
    assert answer.code == 4, answer.stderr
    assert message in answer.stderr
    assert "env.py:2" in answer.stderr or "_exit" in line
    assert "hint: " in answer.stderr


def test_an_env_py_that_fails_online_only_is_said(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made._replace(
        made.env, "def run_migrations_online() -> None:", "def run_migrations_online() -> None:\n    {}['url']"
    )
    answer = project("plan")
    assert answer.code == 0, answer.stderr
    assert "env.py fails in its online mode" in answer.stdout
    assert "KeyError: 'url'" in answer.stdout


def test_an_ini_as_alembic_wrote_it_needs_no_url(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made._replace(made.ini, pg_url.replace("postgresql:", "postgresql+psycopg:"), "driver://user:pass@localhost/dbname")
    made._replace(
        made.env, "connection=connection, target_metadata", "connection=connection, version_table='v', target_metadata"
    )
    answer = project("plan")
    assert answer.code == 0, answer.stderr
    assert "public.v" in answer.stdout
    assert "warning" not in answer.stdout


def test_an_env_py_may_read_its_url_from_a_variable_and_print(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made.env.write_text("import os\nprint('hello', os.environ['SHOP_URL'])\n" + made.env.read_text())
    answer = project("plan", "--json")
    assert answer.code == 0, answer.stderr
    assert len(answer.json["services"]) == 1
    assert "hello" not in answer.stdout


def test_the_template_multidb_is_refused_by_name(project: Project, pg_url: str) -> None:
    assert project.run("alembic", "init", "-t", "multidb", "migrations").code == 0
    project.add("shop", pg_url, folder="migrations")
    (project.folder / "migrations" / "versions" / "a1.py").write_text(
        FILE.format(id="a1", parents=None, needs=None, labels=None)
    )
    answer = project("plan")
    assert answer.code == 4, answer.stderr
    assert "multidb" in answer.stderr


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2"])
def test_the_driver_of_an_url_is_taken_off(project: Project, pg_url: str, driver: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    scheme, _, rest = pg_url.partition("://")
    project.env["SHOP_URL"] = f"{scheme}+{driver}://{rest}"
    assert project("apply", "--yes").code == 0
    assert project("status", "--check").code == 0


@pytest.mark.parametrize("parameter", ["schema=public", "pgbouncer=true", "ssl=require"])
def test_a_parameter_of_another_client_is_named(project: Project, pg_url: str, parameter: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    project.env["SHOP_URL"] = f"{pg_url}{'&' if '?' in pg_url else '?'}{parameter}"
    answer = project("plan")
    assert answer.code == 4, answer.stderr
    assert f"the parameter {parameter.partition('=')[0]}, which" in answer.stderr


ALONE = """
    from dataops.alembic import run_migrations
    run_migrations("shop", target_metadata=target_metadata, version_table="shop_version")
"""


def test_with_one_line_in_env_py_a_bare_alembic_is_journalled(project: Project, pg_url: str, pg: Connection) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made._replace(made.env, "else:\n    run_migrations_online()", f"else:{ALONE}")
    made._replace(
        made.env,
        "target_metadata = None",
        "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()\n"
        "sa.Table('t_a1', target_metadata, sa.Column('id', sa.Integer))",
    )
    made.alembic("upgrade", "head")
    assert record(pg, "shop_version") == {"a1"}
    assert [entry["event"] for entry in project("history", "--json").json["entries"]] == ["succeeded", "started"]
    made.alembic("check")
    assert project("new", "shop", "nothing", "--autogenerate", "--json").json["files"] == []
    assert project("status", "--check").code == 0
    made.alembic("downgrade", "base")
    assert project("status", "--check").code == 2
    assert project("apply", "--yes").code == 0
    made.is_at_head()


# --- what alembic.ini says


def test_files_in_several_folders_and_below_them_are_one_history(project: Project, pg_url: str, pg: Connection) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    other = project.folder / "more" / "2026"
    other.mkdir(parents=True)
    made.file("a2", "a1").rename(other / "a2.py")
    made._replace(
        made.ini,
        "path_separator = os",
        "path_separator = os\nversion_locations = %(here)s/migrations/versions:%(here)s/more\n"
        "recursive_version_locations = true",
    )
    assert project("apply", "--yes").code == 0
    assert record(pg) == {"a2"}
    made.is_at_head()
    # git keeps no folder that has become empty, as a squash may leave one
    made._replace(made.ini, "/more\n", "/more:%(here)s/emptied\n")
    assert project("status", "--check").code == 0
    made.is_at_head()


def test_folders_with_files_that_alembic_would_not_see_are_refused(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    below = project.folder / "migrations" / "versions" / "2026"
    below.mkdir()
    made.file("a1").rename(below / "a1.py")
    answer = project("wait", "--timeout", "1ms")
    assert answer.code == 4, answer.stderr
    assert "recursive_version_locations" in answer.stderr


IMPORTS = {
    "a module of the project": ("from shop.db import create", "create('t_a1')"),
    "a function of op": ("from alembic.op import execute", "execute('CREATE TABLE t_a1 (id int)')"),
    "alembic itself": ("import alembic", "alembic.op.execute('CREATE TABLE t_a1 (id int)')"),
    "inside of the function": ("", "from alembic import op as mine\n    mine.execute('CREATE TABLE t_a1 (id int)')"),
}


@pytest.mark.parametrize(("head", "body"), IMPORTS.values(), ids=IMPORTS)
def test_op_and_modules_are_imported_as_under_alembic(
    project: Project, pg_url: str, pg: Connection, head: str, body: str
) -> None:
    made = AlembicProject(project, pg_url)
    (project.folder / "shop").mkdir(exist_ok=True)
    (project.folder / "shop" / "__init__.py").touch()
    (project.folder / "shop" / "db.py").write_text(
        "from alembic import op\n\ndef create(name):\n    op.execute(f'CREATE TABLE {name} (id int)')\n"
    )
    path = made.file("a1")
    text = path.read_text().replace('op.execute("CREATE TABLE t_a1 (id int)")', body)
    path.write_text(text.replace("from alembic import op\n", f"from alembic import op\n{head}\n"))
    assert "CREATE TABLE t_a1" in project("plan").stderr + project("plan").stdout
    answer = project("apply", "--yes")
    assert answer.code == 0, answer.stderr
    assert tables(pg) == {"a1"}


def test_an_ini_with_unknown_interpolation_is_named(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made._replace(made.ini, "prepend_sys_path = .", "prepend_sys_path = %(nowhere)s")
    answer = project("plan")
    assert answer.code == 4, answer.stderr
    assert "alembic.ini" in answer.stderr
    assert "prepend_sys_path" in answer.stderr


# --- Flask-Migrate

FLASK = """
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_URL"].replace("postgresql://", "postgresql+psycopg://")
db = SQLAlchemy(app)
Migrate(app, db, version_table="flask_version")


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
"""


def test_a_project_of_flask_migrate_is_an_alembic_project(project: Project, pg_url: str, pg: Connection) -> None:
    project.add("shop", pg_url, folder="migrations")
    (project.folder / "app.py").write_text(FLASK)
    for command in (["init"], ["migrate", "-m", "users"], ["upgrade"]):
        assert (done := project.run("flask", "db", *command)).code == 0, done.stderr
    assert project("plan", "--detailed-exitcode").code == 0
    assert "public.flask_version" in project("status").stdout
    assert project("new", "shop", "more").code == 0
    assert project("apply", "--yes").code == 0
    assert "(head)" in project.run("flask", "db", "current").stdout
    assert project("rollback", "--yes", "--to", "shop/base").code == 0
    assert record(pg, "flask_version") == set()
    assert project("apply", "--yes").code == 0
    assert project.run("flask", "db", "check").code == 0


# --- what Alembic does by itself


def test_what_alembic_has_moved_by_itself_is_told_and_adopted(project: Project, pg_url: str, pg: Connection) -> None:
    """a1 and a2 are ours; then a bare alembic goes down and up, and stamps, past our journal."""
    made = AlembicProject(project, pg_url)
    made.file("a0")
    made.alembic("upgrade", "head")  # before us
    made.file("a1", "a0")
    made.file("a2", "a1")
    assert project("apply", "--yes").code == 0
    assert project("status", "--json").json["services"][0]["moved"] == {"applied": [], "rolled_back": []}

    made.file("a3", "a2")
    made.file("a4", "a3")
    made.alembic("upgrade", "head")
    status = project("status")
    assert "alembic has applied a4 and 1 migration before it by itself" in status.stdout
    look = project("adopt")
    assert look.code == 0, look.stderr
    assert "2 migrations to record" in look.stdout and "--write" in look.stderr
    made.alembic("downgrade", "a1")
    moved = {"applied": [], "rolled_back": ["a2"]}
    assert project("status", "--json").json["services"][0]["moved"] == moved
    plan = project("plan")
    assert plan.code == 4 and "alembic has rolled back a2 by itself" in plan.stderr
    assert "dataops adopt --service shop" in plan.stderr
    assert project("status", "--check").code == 4
    assert project("adopt", "--write").code == 0
    assert project("status", "--check").code == 2
    assert project("apply", "--yes").code == 0
    assert project("rollback", "--yes", "--steps", "3").code == 0

    made.alembic("upgrade", "a3")  # after a rollback of ours
    assert project("plan").code == 4
    answer = project("adopt", "--write", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["services"][0]["to_record"] == ["a2", "a3"]
    assert answer.json["services"][0]["tool"] == "alembic"
    assert project("adopt").stderr.startswith("shop: is ours already")
    newest = project("history", "--json").json["entries"][0]
    assert (newest["migration"], newest["event"]) == ("a3", "adopted") and newest["reason"].startswith("alembic:")
    assert project("plan").code == 0
    assert project("rollback", "--yes", "--to", "shop/a2").code == 0
    assert tables(pg) == {"a0", "a1", "a2"}

    made.alembic("stamp", "a4")  # says what is not true
    refusal = project("adopt", "--write")
    assert refusal.code == 8 and "t_a3" in refusal.stderr, refusal.stderr
    made.alembic("stamp", "a2")
    assert project("status", "--check").code == 2
    made.alembic("current")
