"""`dataops new` in a project of Alembic: Alembic writes the file, as the project says, and nothing of ours is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_alembic_projects import FLASK, AlembicProject, record
from tests.acceptance.test_bad_input import refused
from tests.projects import Project

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
sa.Table(
    "customers", metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("mail", sa.Text, unique=True), schema="shop",
)
sa.Table("mirrored", metadata, sa.Column("id", sa.Integer), info={"left_out": True})
"""

OPTIONS = """version_table="shop_version", include_schemas=True,
            include_object=lambda thing, *_: not thing.info.get("left_out"),
            include_name=lambda name, kind, _: kind != "schema" or name in (None, "shop"),
            process_revision_directives=titled, template_args={"team": "payments"}"""

TITLED = """
def titled(context, revision, directives):
    if directives[0].upgrade_ops.is_empty():
        return
    directives[0].message += " by titled"

"""


def project_with_models(project: Project, url: str, template: str) -> AlembicProject:
    made = AlembicProject(project, url, template=template)
    (project.folder / "models.py").write_text(MODELS)
    url = 'os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg:")'
    made._replace(
        made.env,
        "config = context.config",
        f"import os\nconfig = context.config\nconfig.set_main_option('sqlalchemy.url', {url})",
    )
    made._replace(
        made.env, "target_metadata = None", "from models import metadata\ntarget_metadata = metadata\n" + TITLED
    )
    online = "connection=connection, target_metadata=target_metadata"
    made._replace(made.env, online, f"{online}, {OPTIONS}")
    mako = made.env.with_name("script.py.mako")
    made._replace(mako, "import sqlalchemy as sa", "# team: ${team}\nimport sqlalchemy as sa")
    return made


@pytest.mark.parametrize("template", ["generic", "async"])
def test_what_the_models_have_becomes_a_file_that_alembic_agrees_with(
    project: Project, pg_url: str, pg: psycopg.Connection[Any], template: str
) -> None:
    """a1 -- b1 -- m1 -- what the models have, and b2 beside b1. Files and database are Alembic's before we come."""
    made = project_with_models(project, pg_url, template)
    text = made.ini.read_text()
    text = text.replace("# file_template = %%(year)", "file_template = %%(year)", 1).replace(
        "# timezone =", "timezone = Europe/Berlin"
    )
    text = text.replace("# truncate_slug_length = 40", "truncate_slug_length = 12")
    made.ini.write_text(
        text.replace(
            "[post_write_hooks]", "[post_write_hooks]\nhooks = note\nnote.type = exec\nnote.executable = true\n"
        )
    )
    files = [made.file("a1"), made.file("b1", "a1"), made.file("b2", "a1"), made.file("m1", "b1", "b2")]
    for path in files:
        up, down = ("CREATE SCHEMA shop", "DROP SCHEMA shop") if path.stem == "a1_" else ("SELECT 1", "SELECT 1")
        path.write_text(re.sub('CREATE TABLE [^"]*', up, re.sub('DROP TABLE [^"]*', down, path.read_text())))
    made.alembic("upgrade", "b1")
    refused(project("new", "shop", "early", "--autogenerate"), 4, "alembic upgrade m1")
    made.alembic("upgrade", "b2")
    toml = project.folder / "dataops.toml"
    toml.unlink()
    found = project("init", "--yes")
    assert found.code == 0 and "3 of 4 migrations applied, by the record of alembic" in found.stdout, found.stderr
    toml.write_text(toml.read_text().replace(f"[services.{project.folder.name.lower()}]", "[services.shop]"))
    refused(project("new", "shop", "early", "--autogenerate"), 2, "1 migration pending", "dataops apply --service shop")
    assert project("apply", "--yes").code == 0

    answer = project("new", "shop", "What the models have got by now", "--autogenerate", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["found"] == ["Detected added table 'shop.customers'"]
    (path,) = map(Path, answer.json["files"])
    assert path.name.endswith("what_the_.py") and path.name.startswith("20")
    text = path.read_text()
    assert '"""What the models have got by now by titled' in text
    assert "down_revision: Union[str, Sequence[str], None] = 'm1'" in text
    assert "# team: payments" in text and "+0" in text.partition("Create Date:")[2].partition("\n")[0]
    assert "op.f('uq_customers_mail')" in text and "mirrored" not in text and "dataops" not in text

    assert project("apply", "--yes").code == 0
    assert pg.execute("SELECT to_regclass('shop.customers')").fetchone() == ("shop.customers",)
    made.alembic("current", "--check-heads")
    made.alembic("check")
    again = project("new", "shop", "nothing", "--autogenerate")
    assert (again.code, again.stdout) == (0, "")
    assert "nothing was written" in again.stderr
    assert project("rollback", "--yes", "--steps", "1").code == 0
    assert record(pg, "shop_version") == {"m1"}
    made.alembic("upgrade", "head")  # by itself
    assert project("status", "--check").code == 4
    caught_up = project("adopt", "--write")
    assert caught_up.code == 0, caught_up.stderr
    assert project("status", "--check").code == 0


def test_an_ini_is_honoured_without_a_database_and_a_file_is_never_overwritten(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made._replace(made.ini, "prepend_sys_path = .", "prepend_sys_path = .\nfile_template = only_%%(slug)s")
    project.env["SHOP_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    answer = project("new", "shop", "one more")
    assert answer.code == 0, answer.stderr
    path = Path(answer.stdout.strip())
    assert path.name == "only_one_more.py" and "= 'a1'" in path.read_text()
    before = path.read_bytes()
    refused(project("new", "shop", "one more"), 4, "only_one_more.py exists already")
    assert path.read_bytes() == before
    refused(project("new", "shop", "compare", "--autogenerate"), 10, "127.0.0.1:1")
    made._replace(made.ini, "# timezone =", "timezone = Nowhere/Atall")
    refused(project("new", "shop", "two more"), 4, "Nowhere/Atall", "alembic.ini")
    made._replace(made.ini, "timezone = Nowhere/Atall", "")
    made._replace(
        made.ini, "[post_write_hooks]", "[post_write_hooks]\nhooks = x\nx.type = console_scripts\nx.entrypoint = no\n"
    )
    refused(project("new", "shop", "two more"), 4, "Alembic cannot write the file", "nothing was written")
    made._replace(made.ini, "hooks = x", "")
    made._replace(made.ini, "file_template = only_", "file_template = only_one_more.py/")
    refused(project("new", "shop", "two more"), 10, "Not a directory", "nothing was written")
    assert sorted(one.name for one in path.parent.glob("*.py")) == ["a1_.py", "only_one_more.py"]


def test_what_cannot_be_compared_says_what_to_do(project: Project, pg_url: str, mongo_url: str) -> None:
    made = AlembicProject(project, pg_url)
    project.add("bank", mongo_url)
    refused(
        project("new", "shop", "x", "--autogenerate"), 4, "env.py gives Alembic no target_metadata", "Base.metadata"
    )
    refused(project("new", "bank", "x", "--autogenerate"), 64, "--autogenerate is Alembic's")
    made.env.with_name("script.py.mako").unlink()
    refused(project("new", "shop", "x", "--autogenerate"), 4, "script.py.mako", "cp ")
    made._replace(made.ini, "prepend_sys_path = .", "prepend_sys_path = .\nfile_template = only_%%(slug)s")
    answer = project("new", "shop", "x")
    assert answer.code == 0
    assert "file_template of alembic.ini is not honoured" in answer.stderr


def test_flask_migrate_compares_as_it_does(project: Project, pg_url: str, pg: psycopg.Connection[Any]) -> None:
    project.add("shop", pg_url, folder="migrations")
    (project.folder / "app.py").write_text(FLASK)
    assert (done := project.run("flask", "db", "init")).code == 0, done.stderr
    answer = project("new", "shop", "users", "--autogenerate")
    assert answer.code == 0, answer.stderr
    assert "Detected added table 'user'" in answer.stderr
    assert project("apply", "--yes").code == 0
    assert project.run("flask", "db", "check").code == 0
    assert "(head)" in project.run("flask", "db", "current").stdout
    again = project("new", "shop", "users", "--autogenerate")
    assert (again.code, again.stdout) == (0, "") and "nothing was written" in again.stderr
    assert project("rollback", "--yes", "--steps", "1").code == 0
    assert record(pg, "flask_version") == set()
