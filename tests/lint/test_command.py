"""`dataops lint` as it is typed: what goes where, and the exit codes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from dataops import cli
from dataops.errors import ExitCode
from dataops.kinds import MONGODB, POSTGRESQL
from tests.lint.samples import mongo_file, postgres_file, project

CONFIG = """
[services.api]
engine = "mongodb"
folder = "api"

[services.voucher]
engine = "postgresql"
folder = "voucher"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a fault, and us in it. There are no URLs."""
    (tmp_path / "dataops.toml").write_text(CONFIG)
    project(tmp_path / "api", {"20240101000000-a.py": mongo_file("db.create_collection('a')")})
    project(tmp_path / "voucher", {"a.py": postgres_file("op.execute('SELECT 1')")}, POSTGRESQL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoil(place: Path) -> None:
    """A finding in each service, and a broken file beside each."""
    project(place / "api", {"20240101000000-a.py": mongo_file("db.users.drop()"), "broken.py": "def ("})
    broken = postgres_file("print('loud')\nop.drop_table('t')")
    project(place / "voucher", {"a.py": broken, "b.py": "a = '\n"}, POSTGRESQL)


WRONG = [
    "api/20240101000000-a.py:10: error M005",
    "api/broken.py:1: error H001",
    "voucher/versions/a.py:8: error squawk/ban-drop-table",
    "voucher/versions/b.py:1: error H001",
]


def told(out: str) -> list[str]:
    return re.findall(r"^\S+:\d+: \w+ \S+", out, re.MULTILINE)


def test_nothing_wrong_is_0(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lint"]) == ExitCode.OK
    assert capsys.readouterr().out == "2 files, no errors\n"


def test_something_wrong_is_7_and_every_file_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(place)
    assert cli.run(["lint"]) == ExitCode.BLOCKED
    shown = capsys.readouterr()
    assert told(shown.out) == WRONG
    assert shown.out.endswith("4 files, 4 errors\n")
    assert "dataops docs rules" in shown.err
    assert "loud" not in shown.out + shown.err


def test_a_warning_is_0(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(place / "api", {"20240101000000-a.py": mongo_file("pass  # dataops: ignore[M001] once there was one")})
    assert cli.run(["lint"]) == ExitCode.OK
    assert told(capsys.readouterr().out) == ["api/20240101000000-a.py:10: warning I003"]


PLAIN_ALEMBIC = {
    "a.py": '''"""create account table

Revision ID: 1975ea83b712
Revises:

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa

revision: str = '1975ea83b712'
down_revision: Union[str, Sequence[str], None] = None
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    op.create_table(
        'account',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('name', sa.String(50), nullable=False),
        sa.Column('code', sa.CHAR(3)),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index('ix_account_name', 'account', ['name'], unique=True)


def downgrade() -> None:
    op.drop_index('ix_account_name', table_name='account')
    op.drop_table('account')
''',
    "b.py": '''"""Add a column"""
from alembic import op
import sqlalchemy as sa

revision = 'ae1027a6acf'
down_revision = '1975ea83b712'


def upgrade():
    op.add_column('account', sa.Column('last_transaction_date', sa.DateTime))
    op.get_bind().execute(sa.text('SELECT id FROM account')).fetchall()


def downgrade():
    pass
''',
}
"""As `alembic init`, `alembic revision --autogenerate` and Alembic's tutorial write files."""

PLAIN_MONGO = {
    "20190101000000_first.py": '''"""
Migration description here!
"""
import pymongo

name = '20190101000000_first'
dependencies = []


def upgrade(db: "pymongo.database.Database"):
    db.users.create_index("mail", unique=True)
    for user in db.users.find():
        db.users.update_one({"_id": user["_id"]}, {"$set": {"active": True}})


def downgrade(db: "pymongo.database.Database"):
    db.users.drop_index("mail_1")
''',
}
"""As `pymongo-migrate generate` writes files."""


@pytest.mark.parametrize(
    ("service", "files", "expected"),
    [
        ("voucher", PLAIN_ALEMBIC, {"H010", "P002", "squawk/ban-char-field", "squawk/prefer-identity",
                                    "squawk/prefer-text-field", "squawk/prefer-timestamp-tz"}),
        ("api", PLAIN_MONGO, {"M002", "M003", "M010"}),
    ],
)  # fmt: skip
def test_plain_projects_have_warnings_and_no_errors(
    place: Path, capsys: pytest.CaptureFixture[str], service: str, files: dict[str, str], expected: set[str]
) -> None:
    for path in [*(place / service).rglob("*.py")]:
        path.unlink()
    project(place / service, files, POSTGRESQL if service == "voucher" else MONGODB)
    assert cli.run(["lint", "--service", service]) == ExitCode.OK
    assert {one.split()[1:][1] for one in told(capsys.readouterr().out)} == expected
    assert cli.run(["lint", "--service", service, "--json"]) == ExitCode.OK
    assert {one["severity"] for one in json.loads(capsys.readouterr().out)["findings"]} == {"warning"}


def test_one_service(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(place)
    assert cli.run(["lint", "--service", "voucher"]) == ExitCode.BLOCKED
    assert told(capsys.readouterr().out) == WRONG[2:]


def test_without_squawk(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(place)
    assert cli.run(["lint", "--service", "voucher", "--no-squawk"]) == ExitCode.BLOCKED
    assert told(capsys.readouterr().out) == WRONG[3:]


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"], ["--json", "--format", "json"]])
def test_json(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    spoil(place)
    assert cli.run(["lint", *arguments]) == ExitCode.BLOCKED
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 7
    assert [f"{one['file']}:{one['line']}: {one['severity']} {one['code']}" for one in answer["findings"]] == WRONG


@pytest.mark.parametrize(("form", "begins"), [("junit", "<?xml"), ("github", "::error file=api/"), ("sarif", "{")])
def test_the_other_formats_go_to_stdout_alone_or_to_a_file_beside_the_text(
    place: Path, capsys: pytest.CaptureFixture[str], form: str, begins: str
) -> None:
    spoil(place)
    assert cli.run(["lint", "--format", form]) == ExitCode.BLOCKED
    document = capsys.readouterr().out
    assert document.startswith(begins)
    assert cli.run(["lint", "--format", form, "--out", "report"]) == ExitCode.BLOCKED
    assert told(capsys.readouterr().out) == WRONG
    assert Path("report").read_text() == document


def test_json_and_another_format_need_two_places(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lint", "--json", "--format", "sarif"]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"
    assert cli.run(["lint", "--json", "--format", "sarif", "--out", "lint.sarif"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert json.loads(Path("lint.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize("out", ["nowhere/report", "api"])
def test_a_report_that_cannot_be_written_is_10_and_the_text_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    spoil(place)
    assert cli.run(["lint", "--format", "junit", "--out", out]) == ExitCode.UNREACHABLE
    shown = capsys.readouterr()
    assert told(shown.out) == WRONG
    assert f"error: {out}: " in shown.err
    assert "hint: " in shown.err


def test_paths_are_those_of_the_checkout(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    checkout/.git
    └── services/dataops.toml    the project; we are in api/, below it
    """
    spoil(place)
    services = place / "checkout" / "services"
    services.mkdir(parents=True)
    for name in ("dataops.toml", "api", "voucher"):
        (place / name).rename(services / name)
    (place / "checkout" / ".git").mkdir()
    (services / "api" / "x").mkdir()
    monkeypatch.chdir(services / "api")
    assert cli.run(["lint", "--format", "github"]) == ExitCode.BLOCKED
    assert capsys.readouterr().out.startswith("::error file=services/api/20240101000000-a.py,line=10,title=M005::")
    assert cli.run(["lint"]) == ExitCode.BLOCKED
    assert told(capsys.readouterr().out)[0] == "20240101000000-a.py:10: error M005"


def test_a_base_leaves_old_files_out_unless_all_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    project(place / "api", {"20240101000000-a.py": mongo_file("db.users.drop()")})
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    assert cli.run(["lint", "--base", "HEAD"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert shown.out == "2 files, no errors, 1 left out\n"
    assert "--all shows it" in shown.err
    assert cli.run(["lint", "--base", "HEAD", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["left_out"] == 1
    assert cli.run(["lint", "--base", "HEAD", "--all"]) == ExitCode.BLOCKED
    assert told(capsys.readouterr().out) == WRONG[:1]


def test_a_base_that_is_none_is_64(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    assert cli.run(["lint", "--base", "nobody"]) == ExitCode.USAGE
    assert "git knows no revision nobody" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_4(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "dataops.toml").write_text(CONFIG.replace('"api"', '"apis"'))
    assert cli.run(["lint"]) == ExitCode.INVALID
    assert "apis does not exist" in capsys.readouterr().err
