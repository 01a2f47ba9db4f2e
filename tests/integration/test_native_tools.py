"""The tools whose files we use agree with us before and after every command; a bare Alembic goes through our doors."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.projects import Project, ended
from tests.servers import COMMAND, ROOT, Answer, Cli, clean_environment

SERVICES = ("api-keys", "notifications", "voucher")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what an image holds: configuration and migrations."""
    for name in ("dataops.toml", "alembic.ini"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("pg_migrations", "mongo_migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


class Native:
    """The real `alembic` and `pymongo-migrate`, in subprocesses."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = {**clean_environment(), **env}

    def __call__(self, program: str, *args: str) -> Answer:
        command = [str(COMMAND.with_name(program)), *args]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def alembic(self, service: str, *args: str) -> Answer:
        return self("alembic", "-n", service, *args)

    def revision(self, service: str) -> str | None:
        """What `alembic current` says."""
        answer = self.alembic(service, "current")
        assert answer.code == 0, answer.stderr
        found = re.match(r"\d+", answer.stdout)
        return found[0] if found else None

    def mongo_applied(self) -> set[str]:
        """What `pymongo-migrate show` says is applied."""
        database = self.env["MONGODB_CON"].rpartition("/")[2].partition("?")[0]
        answer = self(
            "pymongo-migrate", "show", "-u", self.env["MONGODB_CON"], "-d", database, "-m", "mongo_migrations"
        )
        assert answer.code == 0, answer.stderr
        rows = [line.split("\t") for line in answer.stdout.splitlines()[1:]]
        return {name.strip() for name, applied in rows if applied != "Not applied"}


@pytest.fixture
def native(checkout: Path, all_urls: dict[str, str]) -> Native:
    return Native(checkout, all_urls)


def test_the_native_tools_agree_before_and_after_every_command(dataops_cli: Cli, native: Native) -> None:
    def agree() -> dict[str, int]:
        rows = {row["service"]: row for row in dataops_cli("status", "--json", cwd=native.folder).json["services"]}
        for service in SERVICES:
            assert native.revision(service) == rows[service]["revision"]
        applied = native.mongo_applied()
        assert len(applied) == rows["api"]["applied"]
        assert not applied & set(rows["api"]["pending"])
        return {name: row["applied"] for name, row in rows.items()}

    assert set(agree().values()) == {0}
    for command in (
        ["plan"],
        ["apply", "--yes", "--to", "api/20220203152515"],
        ["apply", "--yes", "--service", "voucher"],
        ["apply", "--yes"],
        ["rollback", "--yes", "--to", "notifications/20220713122907"],
        ["rollback", "--yes", "--to", "api/20220203152515"],
        ["rollback", "--yes", "--steps", "2", "--service", "voucher"],
        ["apply", "--yes"],
    ):
        answer = dataops_cli(*command, cwd=native.folder)
        assert (command, answer.code, answer.stderr if answer.code else "") == (command, 0, "")
        counts = agree()
    assert counts == {"api": 38, "api-keys": 5, "notifications": 15, "voucher": 4}


def test_a_bare_alembic_writes_our_journal_and_we_go_on_from_there(dataops_cli: Cli, native: Native) -> None:
    assert native.alembic("notifications", "upgrade", "+2").code == 0
    assert native.alembic("notifications", "downgrade", "-1").code == 0

    def said(*args: str) -> Any:
        return dataops_cli(*args, "--service", "notifications", "--json", cwd=native.folder).json

    entries = said("history")["entries"]
    assert [(e["migration"], e["direction"], e["event"]) for e in reversed(entries)] == [
        ("20210316025847", "apply", "started"),
        ("20210316025847", "apply", "succeeded"),
        ("20210921115907", "apply", "started"),
        ("20210921115907", "apply", "succeeded"),
        ("20210921115907", "rollback", "started"),
        ("20210921115907", "rollback", "succeeded"),
    ]
    assert said("apply", "--yes")["exit_code"] == 0
    assert native.revision("notifications") == "20240506184652"


def test_a_bare_stamp_is_journalled_and_no_disagreement(dataops_cli: Cli, native: Native) -> None:
    assert native.alembic("voucher", "upgrade", "head").code == 0
    assert native.alembic("voucher", "stamp", "20240520210910").code == 0
    row = dataops_cli("status", "--service", "voucher", "--json", cwd=native.folder).json["services"][0]
    assert (row["revision"], row["problem"]) == ("20240520210910", None)


def test_a_bare_alembic_waits_for_our_lock(two: Project, pg_url: str) -> None:
    """A migration of ours is in the middle; Alembic comes, waits, and finds nothing to do."""
    two.file("shop", "003", "here('middle')")
    (two.folder / "shop" / "env.py").write_text('from dataops.backends.postgres.env import run\n\nrun("shop")\n')
    (two.folder / "alembic.ini").write_text("[shop]\nscript_location = %(here)s/shop\npath_separator = os\n")
    alembic = Native(two.folder, two.env)
    with two.running("apply", "--yes", "--service", "shop") as ours:
        two.reached("middle")
        theirs = subprocess.Popen(
            [str(COMMAND.with_name("alembic")), "-n", "shop", "upgrade", "head"],
            cwd=two.folder, env=alembic.env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with psycopg.connect(pg_url, autocommit=True) as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dataops/2%'"
            from tests.projects import until

            until(lambda: (connection.execute(waiting).fetchone() or [0])[0] == 2, what="both are connected")
        assert theirs.poll() is None
        two.go("middle")
        assert ended(ours).code == 0
        assert ended(theirs).code == 0
    events = [
        e["event"] for e in two("history", "--service", "shop", "--json").json["entries"] if e["migration"] == "003"
    ]
    assert events == ["succeeded", "started"]


def test_an_edited_file_is_refused_by_a_bare_alembic_too(native: Native) -> None:
    assert native.alembic("voucher", "upgrade", "+1").code == 0
    path = next((native.folder / "pg_migrations/voucher/versions").glob("20240406102113*.py"))
    path.write_text(path.read_text().replace("PENDING", "pending"))
    answer = native.alembic("voucher", "upgrade", "head")
    assert answer.code != 0
    assert "was edited after it had been applied" in answer.stderr + answer.stdout
    assert native.revision("voucher") == "20240406102113"


def test_what_pymongo_migrate_did_by_hand_is_seen_and_its_disagreement_is_told(
    dataops_cli: Cli, native: Native
) -> None:
    database = native.env["MONGODB_CON"].rpartition("/")[2].partition("?")[0]
    where = ["-u", native.env["MONGODB_CON"], "-d", database, "-m", "mongo_migrations"]
    first, second = "20210922002129-add-wallet-public-id", "20211202002129-coordinate-to-coordinates"

    assert native("pymongo-migrate", "upgrade", *where, first).code == 0
    assert dataops_cli("apply", "--yes", "--to", f"api/{second}", cwd=native.folder).code == 0
    assert native.mongo_applied() == {first, second}

    assert native("pymongo-migrate", "downgrade", *where, first).code == 0
    answer = dataops_cli("apply", "--yes", "--service", "api", cwd=native.folder)
    assert answer.code == 4
    assert "the journal says" in answer.stderr
    said = dataops_cli("resolve", f"api/{second}", "--not-applied", "--reason", "by hand", cwd=native.folder)
    assert said.code == 0
    assert dataops_cli("apply", "--yes", "--service", "api", cwd=native.folder).code == 0
    assert len(native.mongo_applied()) == 38
