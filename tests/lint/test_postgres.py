"""SQL: rendered without a database, read by squawk, and led back to the line that wrote it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataops.errors import ConfigError
from dataops.kinds import POSTGRESQL
from dataops.lint import squawk
from tests.lint.samples import lint_postgres, linted, postgres_file, project, told

CONCURRENTLY = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (c)"


def found(tmp_path: Path, upgrade: str, downgrade: str = "pass", more: str = "") -> list[str]:
    return told(lint_postgres(tmp_path, postgres_file(upgrade, downgrade, more=more)))


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ("op.execute('ALTER TABLE t DROP COLUMN c')", ["squawk/ban-drop-column:7"]),
        ("op.drop_column('t', 'c')", ["squawk/ban-drop-column:7"]),
        ("pass\nop.execute('ALTER TABLE t DROP COLUMN c')", ["squawk/ban-drop-column:8"]),
        ("for t in ('a', 'b'):\n    op.drop_table(t)", ["squawk/ban-drop-table:8"] * 2),
        ("op.create_index('i', 't', ['c'])", ["squawk/require-concurrent-index-creation:7"]),
        ("op.execute('selec 1')", ["squawk/syntax-error:7"]),
        ('op.execute("""\n    ALTER TABLE t\n        ADD COLUMN a INT,\n        DROP COLUMN c\n""")',
         ["squawk/ban-drop-column:10"]),
        ("op.execute(SQL)", ["squawk/ban-drop-column:7"]),
        ("drop('t')", ["squawk/ban-drop-table:12"]),
        ("op.execute('CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (c)')",
         ["squawk/ban-concurrent-index-creation-in-transaction:7"]),
        ("op.execute('ALTER TABLE t DROP COLUMN c -- squawk-ignore ban-drop-column')", ["squawk/ban-drop-column:7"]),
        ("op.execute('-- squawk-ignore-file')\nop.execute('ALTER TABLE t DROP COLUMN c')",
         ["squawk/ban-drop-column:8"]),
    ],
)  # fmt: skip
def test_squawk_is_asked_and_its_findings_are_at_the_line_that_wrote_them(
    tmp_path: Path, upgrade: str, expected: list[str]
) -> None:
    more = "SQL = 'ALTER TABLE t DROP COLUMN c'\ndef drop(table):\n    op.drop_table(table)"
    assert found(tmp_path, upgrade, more=more) == expected


@pytest.mark.parametrize(
    "upgrade",
    [
        "op.execute('ALTER TABLE t ADD COLUMN c BIGINT')",
        "op.execute('CREATE TABLE t (id INT)')\nop.execute('CREATE INDEX i ON t (id)')",
        f"with op.get_context().autocommit_block():\n    op.execute('{CONCURRENTLY}')",
        "op.execute('ALTER TABLE t ADD COLUMN c BIGINT')\n"
        f"with op.get_context().autocommit_block():\n    op.execute('{CONCURRENTLY}')\n"
        "op.execute('ALTER TABLE t ADD COLUMN d BIGINT')",
        "op.execute('SELECT 1 -- a remark at the end')\nop.execute('SELECT 2;')",
        "op.execute(\"DO $$ BEGIN PERFORM 1; END $$\")",
        "print('not part of an answer')",
    ],
)  # fmt: skip
def test_what_is_fine_is_left_in_peace(tmp_path: Path, upgrade: str) -> None:
    assert found(tmp_path, upgrade) == []


def test_what_is_outside_of_a_transaction_has_to_be_robust(tmp_path: Path) -> None:
    """After a stop it is run again; in a transaction nothing of it would be there."""
    upgrade = """
        op.execute('CREATE TABLE a (id BIGINT)')
        with op.get_context().autocommit_block():
            op.execute('CREATE INDEX CONCURRENTLY i ON t (c)')
    """
    assert found(tmp_path, upgrade) == ["squawk/prefer-robust-stmts:9"]


def test_the_way_back_may_drop_but_has_to_work(tmp_path: Path) -> None:
    downgrade = """
        op.execute('ALTER TABLE t DROP COLUMN c')
        op.execute('DROP TABLE t')
        op.execute('TRUNCATE t CASCADE')
    """
    assert found(tmp_path, "pass", downgrade) == ["squawk/ban-truncate-cascade:11"]
    assert found(tmp_path, "pass", "op.execute('DROP TABEL t')") == ["squawk/syntax-error:9"]


def test_a_finding_has_the_sql_and_a_hint(tmp_path: Path) -> None:
    (finding,) = lint_postgres(tmp_path, postgres_file("op.create_index('i', 't', ['c'])")).findings
    assert finding.sql == "CREATE INDEX i ON t (c)"
    assert finding.message and finding.fix
    (other,) = lint_postgres(tmp_path, postgres_file("op.drop_column('t', 'c')")).findings
    assert other.fix == "see https://squawkhq.com/docs/ban-drop-column"


def test_every_broken_migration_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    files = {
        "a.py": postgres_file("pass", id_="20240101000000", more="raise ValueError('top level')"),
        "b.py": postgres_file("1 / 0", id_="20240102000000", parent="20240101000000"),
        "c.py": "revision = '20240103000000'\ndown_revision = '20240102000000'\ndef (\n",
        "d.py": postgres_file("op.drop_column('t', 'c')", id_="20240104000000", parent="20240103000000"),
        "e.py": postgres_file("pass", id_="20240105000000", parent="20240104000000").replace("def upgrade", "def up"),
    }
    report = linted([project(tmp_path, files, POSTGRESQL)])
    assert [f"{finding.path.name}:{finding.line} {finding.rule.code}" for finding in report.findings] == [
        "a.py:10 P001",
        "b.py:7 F001",
        "c.py:3 H001",
        "d.py:7 squawk/ban-drop-column",
        "e.py:1 P001",
    ]


@pytest.mark.parametrize(
    "upgrade",
    [
        "op.get_bind().execute('SELECT 1').scalar()",
        "if op.get_bind().dialect.has_table(op.get_bind(), 't'): pass",
        "import sqlalchemy\nsqlalchemy.inspect(op.get_bind())",
        "op.get_bind()\nraise SystemExit(3)",
        "open('seen', 'w')",
    ],
)
def test_statements_that_depend_on_the_database_are_a_finding(tmp_path: Path, upgrade: str) -> None:
    assert [one.partition(":")[0] for one in found(tmp_path, upgrade)] == ["P002"]


def test_what_comes_before_the_question_is_read_all_the_same(tmp_path: Path) -> None:
    upgrade = "op.drop_table('t')\nop.get_bind().scalar()\nop.drop_table('u')"
    assert found(tmp_path, upgrade) == ["squawk/ban-drop-table:7", "P002:8"]


@pytest.mark.parametrize(
    "upgrade", ["{}['x']", "import no_such_module", "op.add_colum('t')", "raise ValueError", "op.execute(':x')"]
)
def test_what_fails_whatever_the_database_answers_is_a_finding_of_its_own(tmp_path: Path, upgrade: str) -> None:
    report = lint_postgres(tmp_path, postgres_file(upgrade))
    (finding,) = (each for each in report.findings if each.rule.code == "F001")
    assert finding.line == 7
    assert "a.py:7 in upgrade" in finding.message
    assert report.fails


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "begin;",
        "COMMIT",
        "START TRANSACTION",
        "ROLLBACK",
        "SAVEPOINT a",
        "end",
        "SELECT 1; COMMIT",
        "-- all of it\nCOMMIT",
    ],
)
def test_a_migration_does_not_end_the_transaction_that_it_is_in(tmp_path: Path, sql: str) -> None:
    assert found(tmp_path, f"op.execute({sql!r})\nop.execute('SELECT 1')") == ["P003:7"]


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN x; COMMIT; END $$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        "DO $a$ BEGIN x; END $a$",
        "SELECT begin FROM t",
        "COMMENT ON TABLE t IS 'a; COMMIT'",
        "SELECT 1 /* ; COMMIT */",
    ],
)
def test_other_statements_may_name_one(tmp_path: Path, sql: str) -> None:
    assert "P003:7" not in found(tmp_path, f"op.execute({sql!r})")


@pytest.mark.parametrize(
    ("upgrade", "line"),
    [
        ("op.drop_table('dataops_journal')", 7),
        ("pass\nop.drop_table('dataops_journal', schema='dataops_history')", 8),
        ("op.execute('DROP TABLE IF EXISTS a, public.\"dataops_journal\" CASCADE')", 7),
        ("op.execute('drop schema dataops_history cascade')", 7),
        ("op.execute('DROP SCHEMA a, dataops_history_billing CASCADE')", 7),
        ("op.execute('ALTER SCHEMA dataops_history RENAME TO x')", 7),
        ("op.execute('ALTER TABLE dataops_journal RENAME TO x')", 7),
        ("op.execute('ALTER TABLE alembic_version SET SCHEMA x')", 7),
        ("op.execute('TRUNCATE ONLY alembic_version')", 7),
        ("op.execute('TRUNCATE TABLE a, alembic_version')", 7),
        ("op.execute('SELECT 1; DELETE FROM ONLY public.alembic_version')", 7),
        ("op.execute('WITH x AS (SELECT 1) UPDATE alembic_version v SET version_num = 1')", 7),
        ("op.execute(\"INSERT INTO alembic_version VALUES ('a')\")", 7),
        ("op.execute('MERGE INTO dataops_journal j USING x ON true WHEN MATCHED THEN DELETE')", 7),
        ("op.execute('DO $x$ BEGIN DROP TABLE alembic_version; END $x$')", 7),
        ("op.execute('DROP /* really */ TABLE\\n-- yes\\n dataops_journal')", 7),
        ("op.execute('DELETE FROM dataops_stash_20200101.t')", 7),
        ("op.execute('DROP SCHEMA dataops_stash_20200101 CASCADE')", 7),
        ("op.create_table('dataops_journal')", 7),
    ],
)
def test_a_migration_does_not_change_what_dataops_keeps(tmp_path: Path, upgrade: str, line: int) -> None:
    report = lint_postgres(tmp_path, postgres_file(upgrade), ask_squawk=False)
    assert f"P004:{line}" in told(report)
    back = lint_postgres(tmp_path, postgres_file("pass", upgrade), ask_squawk=False)
    assert f"P004:{line + 2}" in told(back)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(32))",
        "ALTER TABLE public.alembic_version OWNER TO app",
        "ALTER TABLE ONLY alembic_version ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)",
        "ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(255)",
        "GRANT SELECT ON alembic_version TO app",
        "INSERT INTO t SELECT version_num FROM alembic_version",
        "SELECT * FROM dataops_history.dataops_journal FOR UPDATE",
        "COMMENT ON TABLE t IS 'DROP TABLE alembic_version'",
        "DROP TABLE my_dataops_journal, dataops_journal_2",
        "DROP SCHEMA public CASCADE",
        "DROP SCHEMA dataops_stash_20240101000000",
        "UPDATE t SET a = 1 -- UPDATE alembic_version",
    ],
)
def test_what_only_names_it_or_does_no_harm_is_fine(tmp_path: Path, sql: str) -> None:
    found = told(lint_postgres(tmp_path, postgres_file(f"op.execute({sql!r})"), ask_squawk=False))
    assert not [one for one in found if one.startswith("P004")]


# --- the program


def test_without_squawk_lint_refuses_and_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squawk.program.cache_clear()
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = postgres_file("op.drop_table('t')  # dataops: ignore[squawk/ban-drop-table] it is empty")
    with pytest.raises(ConfigError, match="squawk") as caught:
        lint_postgres(tmp_path / "a", text)
    assert "dataops[lint]" in caught.value.hint
    assert "--no-squawk" in caught.value.hint
    assert told(lint_postgres(tmp_path / "a", text, ask_squawk=False)) == []
    squawk.program.cache_clear()


def test_services_without_sql_need_no_squawk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squawk.program.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(linted([project(tmp_path / "a", {})])) == []
    squawk.program.cache_clear()


def test_an_answer_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a squawk that does not know one of our rules."""
    old = tmp_path / "squawk"
    old.write_text("#!/bin/sh\necho 'error: invalid rule name' >&2\nexit 2\n")
    old.chmod(0o755)
    monkeypatch.setattr(squawk, "program", lambda: str(old))
    with pytest.raises(ConfigError, match="invalid rule name") as caught:
        lint_postgres(tmp_path / "a", postgres_file("op.drop_table('t')"))
    assert "pip install -U" in caught.value.hint


def test_squawk_knows_every_rule_that_is_left_out_or_chosen() -> None:
    assert [rule for rule in (*squawk.LEFT_OUT, *squawk.ON_THE_WAY_BACK) if not squawk.knows(rule)] == []
    assert not squawk.knows("ban-everything")


def test_what_is_left_out_is_really_something_that_squawk_says(tmp_path: Path) -> None:
    """Else the table of them says nothing."""
    sql = tmp_path / "a.sql"
    sql.write_text("ALTER TABLE t ADD COLUMN a INT, ADD COLUMN b SMALLINT;\nCOMMIT;\nBEGIN;\nSELECT 1;\n")
    done = subprocess.run([squawk.program(), str(sql)], capture_output=True, text=True, check=False)
    assert {rule for rule in squawk.LEFT_OUT if rule in re.sub(r"\x1b\S*?m", "", done.stdout)} == set(squawk.LEFT_OUT)
