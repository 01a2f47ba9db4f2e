"""A comment ignores a finding: where it stands, which rule it names, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.kinds import POSTGRESQL
from dataops.lint import Report
from tests.lint.samples import lint_mongo, lint_postgres, linted, mongo_file, postgres_file, project, told

READS = "rows = list(db.users.find())"


def reasons(report: Report) -> list[str]:
    return [f"{finding.rule.code}: {ignore.reason}" for finding, ignore in report.ignored]


@pytest.mark.parametrize(
    "upgrade",
    [
        f"{READS}  # dataops: ignore[M001] ten of them",
        f"# dataops: ignore[M001] ten of them\n{READS}",
        f"# dataops: ignore[M001] ten of them\n# and a remark that goes on\n\n{READS}",
        f"# dataops: ignore[ M001 , M002 ] ten of them\n{READS}",
        f"# dataops: ignore[M001]: ten of them\n{READS}",
        f"#dataops:ignore[M001] - ten of them\n{READS}",
        "rows = list(\n    db.users.find()  # dataops: ignore[M001] ten of them\n)",
        "rows = list(\n    # dataops: ignore[M001] ten of them\n    db.users.find()\n)",
        "# dataops: ignore[M001] ten of them\nrows = list(\n    db.users.find()\n)",
        f"with applying(db, name) as stash:\n    # dataops: ignore[M001] ten of them\n    {READS}",
        "# dataops: ignore[M001] ten of them\nfor user in list(db.users.find()):\n    print(user)",
        "for user in list(db.users.find()):  # dataops: ignore[M001] ten of them\n    print(user)",
        f"# dataops: ignore-file[M001] ten of them\nx = 1\n{READS}",
        f"{READS}\nx = 1  # dataops: ignore-file[M001] ten of them",
    ],
)
def test_a_comment_ignores_what_it_names(tmp_path: Path, upgrade: str) -> None:
    report = lint_mongo(tmp_path, mongo_file(upgrade))
    assert [one for one in told(report) if not one.startswith("I003")] == []
    assert reasons(report) == ["M001: ten of them"]


@pytest.mark.parametrize(
    "upgrade",
    [
        f"x = 1  # dataops: ignore[M001] ten of them\n{READS}",
        f"{READS}\n# dataops: ignore[M001] ten of them",
        f"# dataops: ignore[M002] ten of them\n{READS}",
        f"# dataops: ignore[M001] ten of them\nfor at in (1, 2):\n    {READS}",
        f"x = '# dataops: ignore[M001] ten of them'; {READS}",
    ],
)
def test_and_nothing_else(tmp_path: Path, upgrade: str) -> None:
    report = lint_mongo(tmp_path, mongo_file(upgrade))
    assert [one.partition(":")[0] for one in told(report) if "I003" not in one] == ["M001"]
    assert report.ignored == ()


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        ("# dataops: ignore[M001]", "I001"),
        ("# dataops: ignore-file[M001]", "I001"),
        ("# dataops: ignore[M001] -", "I001"),
        ("# dataops: ignore[M999] why", "I002"),
        ("# dataops: ignore[m001] why", "I002"),
        ("# dataops: ignore[ban-drop-column] why", "I002"),
        ("# dataops: ignore[squawk/ban-everything] why", "I002"),
        ("# dataops: ignore[H001] why", "I002"),
        ("# dataops: ignore[I003] why", "I002"),
        ("# dataops: ignore M001 why", "I004"),
        ("# dataops: ignore", "I004"),
        ("# dataops: ignore[] why", "I004"),
        ("# dataops: ignore[M001,] why", "I004"),
        ("# dataops: ignore-next[M001] why", "I004"),
    ],
)
def test_a_comment_that_is_wrong_is_a_finding_and_ignores_nothing(tmp_path: Path, comment: str, code: str) -> None:
    report = lint_mongo(tmp_path, mongo_file(f"{comment}\n{READS}"))
    assert told(report) == [f"{code}:10", "M001:11"]
    assert all(finding.fix for finding in report.findings)


def test_of_several_rules_the_good_ones_count(tmp_path: Path) -> None:
    report = lint_mongo(tmp_path, mongo_file(f"# dataops: ignore[M999, M001] ten\n{READS}"))
    assert told(report) == ["I002:10"]
    assert reasons(report) == ["M001: ten"]


@pytest.mark.parametrize("comment", ["# dataops: see the ADR", "# ignore[M001]", "# dataops ignore[M001] why"])
def test_other_comments_are_no_business_of_ours(tmp_path: Path, comment: str) -> None:
    assert told(lint_mongo(tmp_path, mongo_file(f"x = 1  {comment}"))) == []


def test_one_that_ignores_nothing_is_a_warning(tmp_path: Path) -> None:
    report = lint_mongo(tmp_path, mongo_file("x = 1  # dataops: ignore[M001] there was one"))
    assert told(report) == ["I003:10"]
    assert (report.errors, report.warnings) == (0, 1)


def test_one_for_what_was_not_looked_at_is_no_warning(tmp_path: Path) -> None:
    text = postgres_file("x = 1  # dataops: ignore[squawk/ban-drop-column, H012] a reason")
    assert told(lint_postgres(tmp_path, text)) == ["I003:7"]
    assert told(lint_postgres(tmp_path, text, ask_squawk=False)) == []


def test_a_rule_of_squawk_is_ignored_where_its_statement_is(tmp_path: Path) -> None:
    upgrade = """
        # dataops: ignore[squawk/ban-drop-column] nobody reads it any more
        op.execute('''
            ALTER TABLE t
                DROP COLUMN c
        ''')
    """
    report = lint_postgres(tmp_path, postgres_file(upgrade))
    assert told(report) == []
    assert reasons(report) == ["squawk/ban-drop-column: nobody reads it any more"]


@pytest.mark.parametrize("written", ["squawk", "squawk/*"])
def test_all_rules_of_squawk_are_ignored_at_once_but_not_its_syntax_errors(tmp_path: Path, written: str) -> None:
    head = f"# dataops: ignore-file[{written}] it ran elsewhere before"
    drops = postgres_file("op.execute('ALTER TABLE t DROP COLUMN c')", more=head)
    report = lint_postgres(tmp_path, drops)
    assert (told(report), reasons(report)) == ([], ["squawk/ban-drop-column: it ran elsewhere before"])
    assert told(lint_postgres(tmp_path, postgres_file("op.execute('SELECT 1')", more=head))) == []
    assert told(lint_postgres(tmp_path, postgres_file("op.execute('SELEC 1')", more=head))) == ["squawk/syntax-error:7"]


def test_the_history_may_be_ignored_where_that_makes_sense(tmp_path: Path) -> None:
    text = postgres_file("pass").replace(
        '"""Do 20240101000000."""', "# dataops: ignore[H009] generated\nfrom alembic import op"
    )
    assert told(linted([project(tmp_path, {"a.py": text}, POSTGRESQL)])) == []
