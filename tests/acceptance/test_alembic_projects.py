"""Projects that Alembic has made, as they are: nothing of theirs is changed, and a paragraph of dataops.toml is enough."""

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


# --- merge revisions


def test_a_history_with_a_merge_is_applied_in_alembics_order_and_undone(forked: AlembicProject, pg: Connection) -> None:
    dataops = forked.dataops
    answer = dataops("apply", "--yes", "--json")
    assert answer.code == 0, answer.stderr
    assert record(pg) == {"c1"}
    assert tables(pg) == {"a1", "b1", "b2", "m1", "c1"}
    forked.alembic("current", "--check-heads")
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
    assert 'down_revision = "c1"' in path.read_text()
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
