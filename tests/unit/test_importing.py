"""SQL is split where the server would split it, and names and literals hold whatever they are made of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dataops import literals
from dataops.errors import BrokenFile
from dataops.importing import naming
from dataops.importing.originals import File, Original, Part
from dataops.importing.readers import flyway, generated, liquibase, programs, versioned
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE
from dataops.splitting import split, without_frame


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split(sql)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;b', 'it''s;', E'\\';', \"n;\", U&'d;'",
        "SELECT $$;$$, $a$ $$;$b$ $a$, $1",
        "SELECT a$b$c FROM t",
        "-- a;\nSELECT 1 /* b; /* c; */ ; */ + 1",
        "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END",
        "DO $do$ BEGIN PERFORM 1; END $do$",
        "COPY t FROM '/a;b'",
        "SELECT 1::int, a[1:2], '12:30', x := 1",
    ],
)
def test_a_statement_stays_whole(statement: str) -> None:
    assert texts(f"SELECT 0; {statement};\n;SELECT 9") == ["SELECT 0", statement, "SELECT 9"]
    assert not any(one.psql for one in split(statement))


def test_comments_stay_with_the_statement_below_them() -> None:
    assert texts("-- one\nSELECT 1; -- two\nSELECT 2;\n-- the end\n") == ["-- one\nSELECT 1", "-- two\nSELECT 2"]
    assert [one.line for one in split("\n-- one\nSELECT 1;\n\n\nSELECT 2", 10)] == [12, 15]


def test_line_ends_change_outside_of_quotes_only() -> None:
    assert texts("SELECT\r\n 'a\r\nb',\r$$\r\n$$;\r\n") == ["SELECT\n 'a\r\nb',\n$$\r\n$$"]


@pytest.mark.parametrize("sql", ["\\c db\n", "SELECT 1 \\gexec\n", "SELECT :'x'", 'SELECT :"x"', "SELECT a, :x"])
def test_what_only_psql_understands_is_seen(sql: str) -> None:
    assert [bool(one.psql) for one in split(sql)] == [True]


def test_the_rows_of_a_copy_are_no_statements() -> None:
    first, second = split("COPY public.t (a, b) FROM stdin;\n1\tit's;\n\\.\n\nSELECT 2;")
    assert (first.reads_stdin, second.text, second.line) == (True, "SELECT 2", 5)


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", True),
        ("drop index concurrently i", True),
        ("REINDEX (VERBOSE) TABLE CONCURRENTLY t", True),
        ("-- why\nVACUUM t", True),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", True),
        ("CREATE INDEX concurrently_made ON t (a)", False),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", False),
        ("COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'", False),
    ],
)
def test_a_statement_that_the_server_refuses_in_a_transaction_is_known(sql: str, refused: bool) -> None:
    assert [one.refused_in_transaction for one in split(sql)] == [refused]


@pytest.mark.parametrize(
    ("sql", "inside"),
    [
        ("BEGIN; SELECT 1; COMMIT;", ["SELECT 1"]),
        ("begin transaction; SELECT 1; SAVEPOINT a; ROLLBACK TO a; end;", ["SELECT 1", "SAVEPOINT a", "ROLLBACK TO a"]),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", None),
        ("SELECT 1; COMMIT", None),
        ("", None),
    ],
)
def test_a_frame_is_a_begin_and_a_commit_around_everything(sql: str, inside: list[str] | None) -> None:
    found = without_frame(split(sql))
    assert (None if found is None else [one.text for one in found]) == inside


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "",
        'a"',
        "\\",
        "a\\\n",
        '"""',
        "'''",
        "'''\"\"\"",
        "\r\n\\r",
        "\t\f\x1b",
        '"""\r"',
        "é\u202e",
        '\\"""',
        ":a",
    ],
)
def test_a_literal_is_the_text_again(text: str) -> None:
    assert ast.literal_eval(literals.literal(text)).strip("\n") == text.strip("\n")


def original(number: str, words: str, name: str = "x.sql") -> Original:
    return Original(name, number, words, Part(("SELECT 1",)))


def named(*originals: Original) -> list[tuple[str, str]]:
    return [(one.id, one.stem) for one in naming.named(originals, ALEMBIC, ())]


def test_ids_sort_as_numbers_do() -> None:
    assert named(original("9", "b"), original("10", "Ü & co"), original("20240101", "")) == [
        ("00000009", "00000009_b"),
        ("00000010", "00000010_co"),
        ("20240101", "20240101"),
    ]


def test_ids_are_what_alembic_accepts() -> None:
    """At most 32 characters, none of - @ +, no two alike, and no word that means something else."""
    long = "a-very@long+name " * 5
    found = named(original("1", "a"), original("1", "a"), original("", long), original("", long), original("", "head"))
    assert found == [
        ("1_a", "1_a"),
        ("1_a_2", "1_a_2"),
        ("a_very_long_name_a_very_long_nam", "a_very_long_name_a_very_long_nam"),
        ("a_very_long_name_a_very_long_n_2", "a_very_long_name_a_very_long_n_2"),
        ("head_2", "head_2"),
    ]
    assert [id_ for id_, _ in named(original("9" * 40, "x"))] == ["9" * 32]


def test_for_mongodb_the_id_is_the_name_of_the_file() -> None:
    found = naming.named([original("1", "", "2024-a b.js"), original("2", "", "2024-a-b.ts")], PYMONGO_MIGRATE, ())
    assert [(one.id, one.stem) for one in found] == [("2024-a-b", "2024-a-b"), ("2024-a-b_2", "2024-a-b_2")]


def file(name: str, text: str) -> File:
    return File(name, f"folder/{name}", text.encode(), text)


HERE = Path("folder")


def test_dbmates_options_count_for_their_own_block() -> None:
    text = "-- migrate:down transaction:false\nDROP INDEX i;\n-- migrate:up\nCREATE INDEX i ON t (a);\n"
    (one,) = versioned.dbmate([file("20240101_a.sql", text)], HERE).originals
    assert one.up == Part(("CREATE INDEX i ON t (a)",))
    assert one.down == Part(("DROP INDEX i",), transaction=False)


def test_node_pg_migrates_two_kinds_of_times_are_compared_as_times() -> None:
    names = ["20231114221319999_b.sql", "1700000000000_c.sql", "1600000000000_a.sql"]
    found = versioned.node_pg_migrate([file(name, "SELECT 1") for name in names], HERE)
    assert [one.words for one in found.originals] == ["a", "b", "c"]


def test_node_pg_migrate_runs_all_of_a_file_upwards_that_does_not_say_where_that_begins() -> None:
    (one,) = versioned.node_pg_migrate([file("1_a.sql", "SELECT 1;\n-- Down Migration\nSELECT 2;")], HERE).originals
    assert one.up is not None
    assert (one.up.statements, len(one.up.notes)) == (("SELECT 1", "-- Down Migration\nSELECT 2"), 1)
    assert one.down == Part(("SELECT 2",))


def test_gooses_blocks_are_one_statement_each() -> None:
    text = "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\nSELECT 2;\n-- +goose StatementEnd\nSELECT 3; SELECT 4;"
    (one,) = versioned.goose([file("1_a.sql", text)], HERE).originals
    assert one.up == Part(("SELECT 1;\nSELECT 2", "SELECT 3", "SELECT 4"))
    assert one.down is None


def test_only_the_first_line_of_a_file_for_sqlx_may_say_no_transaction() -> None:
    found = versioned.sqlx([file("2_b.sql", "\n-- no-transaction\n"), file("10_a.sql", "-- no-transaction\n")], HERE)
    assert [(one.number, one.up and one.up.transaction) for one in found.originals] == [("2", True), ("10", False)]


def test_flyways_versions_are_compared_number_by_number() -> None:
    names = ["V1.10__c.sql", "V1_9__b.sql", "V001__a.sql", "B1.9.0__x.sql", "U7__y.sql", "R__z.sql", "v2__no.sql"]
    conf = file("V1.10__c.sql.conf", "executeInTransaction=false\n")
    found = flyway.flyway([*(file(name, "SELECT 1") for name in names), conf], HERE)
    assert [(one.number, one.up and one.up.transaction) for one in found.originals] == [
        ("1", True),
        ("1_9", True),
        ("1_10", False),
        ("", True),
    ]
    assert len(found.left_out) == 3


def test_a_baseline_file_is_the_first_where_nothing_leads_to_it() -> None:
    found = flyway.flyway([file("B5__all.sql", "SELECT 1"), file("V6__next.sql", "SELECT 2")], HERE)
    assert [one.name for one in found.originals] == ["B5__all.sql", "V6__next.sql"]


def test_drizzles_pieces_need_no_semicolon() -> None:
    journal = file("meta/_journal.json", '{"dialect": "postgresql", "entries": [{"tag": "0000_a", "when": 5}]}')
    sql = file("0000_a.sql", "SELECT 1\n--> statement-breakpoint\nSELECT 2;--> statement-breakpoint\nSELECT 3")
    (one,) = generated.drizzle([journal, sql], HERE).originals
    assert one.up == Part(("SELECT 1", "SELECT 2", "SELECT 3"))


def test_djangos_migrations_come_in_the_order_of_their_dependencies() -> None:
    needs = 'class Migration:\n    dependencies = [("b", "0001_x"), migrations.swappable_dependency(u)]\n'
    found = programs.django(
        [
            file("a/migrations/0001_x.py", needs),
            file("b/migrations/0001_x.py", ""),
            file("b/migrations/__init__.py", ""),
        ],
        HERE,
    )
    assert [one.recorded for one in found.originals] == [("b.0001_x",), ("a.0001_x",)]
    assert found.left_out == ()


XML = """<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog">
  <!-- <include file="gone.sql"/> -->
  <include file="folder/changes/b.sql"/>
  <include file="more/log.yaml" relativeToChangelogFile="true"/>
</databaseChangeLog>"""
YAML = (
    "databaseChangeLog:\n  # - include:\n  - include:\n      file: changes/a.sql\n  - includeAll:\n      path: later/\n"
)


def formatted(*names: str) -> list[File]:
    return [file(name, f"--liquibase formatted sql\n--changeset ann:{name}\nSELECT 1;\n") for name in names]


def test_the_change_log_gives_the_order_of_the_files_that_it_includes() -> None:
    sql = formatted("changes/a.sql", "changes/b.sql", "changes/c.sql", "later/1.sql", "later/2.sql")
    logs = [file("log.xml", XML), file("more/log.yaml", YAML), file("pom.xml", "<project/>")]
    found = liquibase.liquibase_sql([*sql, *logs], Path("folder"))
    names = [one.name.partition(",")[0] for one in found.originals]
    assert names == ["changes/b.sql", "changes/a.sql", "later/1.sql", "later/2.sql"]
    assert found.left_out == ("changes/c.sql: no change log includes it",)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        ("log.xml", "<databaseChangeLog>\n<changeSet id='1'/></databaseChangeLog>", 2, "are not formatted SQL"),
        ("log.yaml", "databaseChangeLog:\n  - changeSet:\n      id: 1\n", 2, "are not formatted SQL"),
        ("log.json", '{"databaseChangeLog": [{"changeSet": {}}]}', 1, "are not formatted SQL"),
        ("log.json", '{"databaseChangeLog": [{"include": {"file": "x.sql"}}]}', 1, "includes x.sql, which is not here"),
    ],
)
def test_a_change_log_that_cannot_be_followed_is_refused_by_name(name: str, text: str, line: int, words: str) -> None:
    with pytest.raises(BrokenFile, match=rf"folder/{name}:{line}: .*{words}") as refused:
        liquibase.liquibase_sql([*formatted("a.sql"), file(name, text)], Path("folder"))
    assert refused.value.hint
