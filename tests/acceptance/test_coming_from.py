"""Each page of docs/coming-from does what it says, in its order, on a database that the tool has migrated before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha384
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from dataops.dev import MongoServer, PostgresServer
from tests.contract.test_records import FLYWAY, KNEX, SQLX
from tests.projects import Project
from tests.servers import COMMAND, ROOT, clean_environment

PAGES = sorted((ROOT / "docs" / "coming-from").glob("*.md"))
Mongo = Database[dict[str, Any]]

REVISION = '''"""Create t_{id}."""
from alembic import op

revision = {id!r}
down_revision = {parent!r}


def upgrade():
    op.execute("CREATE TABLE t_{id} (id int)")


def downgrade():
    op.execute("DROP TABLE t_{id}")
'''
STEP = '''"""Create an index."""
dependencies = {parents!r}


def upgrade(db):
    db.receipts.create_index({id!r}, name={id!r})


def downgrade(db):
    db.receipts.drop_index({id!r})
'''
ENV_URL = (
    'config.set_main_option("sqlalchemy.url", os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg:"))\n'
)


def alembic(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    assert project.run("alembic", "init", "migrations").code == 0
    env = project.folder / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace("config = context.config\n", f"import os\nconfig = context.config\n{ENV_URL}")
    )
    for id_, parent in (("a1", None), ("a2", "a1")):
        path = project.folder / "migrations" / "versions" / f"{id_}_.py"
        path.write_text(REVISION.format(id=id_, parent=parent))
    assert project.run("alembic", "upgrade", "a1").code == 0


def pymongo_migrate(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    (project.folder / "receipts").mkdir()
    for id_, parents in (("m1", []), ("m2", ["m1"])):
        (project.folder / "receipts" / f"{id_}.py").write_text(STEP.format(id=id_, parents=parents))
    done = project.run("pymongo-migrate", "migrate", "-u", project.env["RECEIPTS_MONGODB_CON"], "-m", "receipts", "m1")
    assert done.code == 0, done.stderr


def sqlx(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    text = (project.folder / "migrations" / "20240101000000_orders.up.sql").read_bytes()
    pg.execute(SQLX.encode())
    pg.execute(text)
    pg.execute(
        "INSERT INTO _sqlx_migrations VALUES (20240101000000, 'orders', now(), true, %s, 1000)", [sha384(text).digest()]
    )


def flyway(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    pg.execute(FLYWAY.encode())
    pg.execute((project.folder / "sql" / "V1__orders.sql").read_bytes())
    pg.execute(
        "INSERT INTO flyway_schema_history VALUES (1, '1', 'orders', 'SQL', 'V1__orders.sql', 5, 'u', now(), 0, true)"
    )


def knex(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    pg.execute(KNEX.encode())
    pg.execute("CREATE TABLE orders (id serial PRIMARY KEY, note varchar(255))")
    pg.execute(
        "INSERT INTO knex_migrations (name, batch, migration_time) VALUES ('20240101000000_orders.js', 1, now())"
    )


def migrate_mongo(project: Project, pg: psycopg.Connection[Any], db: Mongo) -> None:
    db.receipts.create_index("order", name="by_order")
    db.changelog.insert_one({"fileName": "20240101000000-by-order.js", "appliedAt": datetime(2024, 3, 1, tzinfo=UTC)})


TOOLS: dict[str, Callable[[Project, psycopg.Connection[Any], Mongo], None]] = {
    "alembic": alembic,
    "pymongo-migrate": pymongo_migrate,
    "sqlx": sqlx,
    "flyway": flyway,
    "knex": knex,
    "migrate-mongo": migrate_mongo,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_is_followed_to_the_letter(
    page: Path,
    project: Project,
    pg: psycopg.Connection[Any],
    pg_url: str,
    mongo_db: Mongo,
    mongo_url: str,
    postgres: PostgresServer,
    mongo: MongoServer,
) -> None:
    project.env |= {"SHOP_URL": pg_url, "RECEIPTS_MONGODB_CON": mongo_url, "RECEIPTS_URL": mongo_url}
    project.env["DATAOPS_SCRATCH"] = f"{postgres.url()} {mongo.url()}"
    migrated = False
    ran = 0
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        if language == "bash":
            if not migrated:
                TOOLS[page.stem](project, pg, mongo_db)
                migrated = True
            for line in text.splitlines():
                answer = shell(project, line)
                assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"
                ran += 1
        elif language == "toml":
            (project.folder / "dataops.toml").write_text(text)
        else:
            named = re.search(r"^(?:--|//|#) (\S+\.\w+)$", text, re.MULTILINE)
            assert named, text
            path = project.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            assert page.stem == "alembic" or language != "python" or path.exists(), "import has made the draft"
            path.write_text(text.replace(f"{named[0]}\n", "", 1) if language == "sql" else text)
    assert ran >= 4
    assert project("plan", "--detailed-exitcode").code == 0, "nothing is left to do"


def shell(project: Project, line: str) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), **project.env}
    environment["PATH"] = f"{COMMAND.parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
