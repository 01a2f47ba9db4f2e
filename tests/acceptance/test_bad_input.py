"""Wrong input and a hostile world: one clear sentence, a hint, the right exit code, and nothing lost."""

from __future__ import annotations

import re
import resource
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo.database import Database

from tests.projects import Project, ended
from tests.servers import Answer


def refused(answer: Answer, code: int, *words: str) -> None:
    """The code, every word in one error, a hint, and no traceback."""
    assert answer.code == code, answer.stderr
    for word in words:
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count("error: ") >= 1
    assert "hint: " in answer.stderr


def test_unknown_names_are_usage_errors_that_show_the_nearest(two: Project) -> None:
    refused(two("plan", "--service", "shopp"), 64, "no service shopp", "did you mean shop?")
    refused(two("plan", "--to", "00"), 64, "could be any of")
    refused(two("plan", "--to", "01"), 64, "no migration 01", "001")
    refused(two("plan", "--env", "prod"), 64, "no environment prod")
    refused(two("rollback", "--yes", "--run", "x"), 64, "run x")
    for wrong in (["plann"], ["plan", "--bogus"], ["plan", "--steps", "0"], ["apply", "--wait", "soon"], []):
        answer = two(*wrong)
        assert answer.code == 64
        assert "Traceback" not in answer.stderr


def test_malformed_configuration_is_told_with_file_and_line(two: Project) -> None:
    path = two.folder / "dataops.toml"
    text = path.read_text()
    path.write_text(text + "\n[services.shop\n")
    line = len(path.read_text().splitlines())
    refused(two("status"), 4, f"{path}:{line}")
    path.write_text(text.replace('engine = "postgresql"', 'engine = "mysql"'))
    assert two("status").code == 4
    path.write_text(text.replace("folder", "foldr", 1))
    refused(two("status"), 4, "foldr", "folder")


def test_a_missing_variable_is_named_and_nothing_is_guessed(two: Project) -> None:
    del two.env["SHOP_URL"]
    refused(two("status"), 4, "SHOP_URL is not set")


def test_histories_that_are_no_chain_name_the_files(two: Project) -> None:
    second = two.path("shop", "002")
    text = second.read_text()

    two.path("shop", "003").write_text(text.replace("'002'", "'003'"))
    refused(two("plan"), 4, "two heads", "002.py", "003.py")
    two.path("shop", "003").unlink()

    second.write_text(text.replace("'001'", "'000'"))
    refused(two("plan"), 4, "002.py", "parent 000")
    second.write_text(text)

    first = two.path("shop", "001")
    first_text = first.read_text()
    first.write_text(first_text.replace("down_revision = None", "down_revision = '002'"))
    refused(two("plan"), 4, "cycle")
    first.write_text(first_text)

    second.write_text("def broken(:\n")
    refused(two("plan"), 4, "002.py:1")
    second.write_text(text)
    assert two("plan").code == 0


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_file_that_raises_on_import_stops_everything_before_anything_runs(two: Project, service: str) -> None:
    two.file(service, "003", head="raise RuntimeError('on import')")
    for command in (["plan"], ["apply", "--yes"]):
        refused(two(*command), 4, "003.py", "raises on import")
    rows = {row["service"]: row["applied"] for row in two("status", "--json").json["services"]}
    assert rows == {"shop": 0, "bank": 0}


def test_a_postgresql_migration_that_raises_half_way_leaves_nothing(two: Project, pg_url: str) -> None:
    two.file("shop", "003", "op.execute('CREATE TABLE half (id int)')\nop.execute('SELECT 1 / 0')")
    two.table("shop", "004")
    answer = two("apply", "--yes", "--service", "shop")
    refused(answer, 1, "apply 003 failed", "division by zero", "rolled back", "2 applied before it, 1 not run")
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    two.file("shop", "003", "op.execute('CREATE TABLE half (id int)')", parent="002")
    assert two("apply", "--yes", "--service", "shop").code == 0


def test_a_mongodb_migration_that_raises_half_way_says_that_its_effects_stay(
    two: Project, mongo_db: Database[dict[str, Any]]
) -> None:
    two.file("bank", "003", "db.half.insert_one({'_id': 1})\nraise RuntimeError('half-way')", head="repeatable = True")
    answer = two("apply", "--yes", "--service", "bank")
    refused(answer, 1, "apply 003 failed", "half-way", "stays")
    assert mongo_db.half.count_documents({}) == 1
    events = [
        e["event"] for e in two("history", "--service", "bank", "--json").json["entries"] if e["migration"] == "003"
    ]
    assert events == ["failed", "started"]


def test_a_failure_in_one_service_tells_what_stands_everywhere(two: Project) -> None:
    two.file("shop", "003", "op.execute('SELECT 1 / 0')")
    two.table("shop", "004")
    result = two("apply", "--yes", "--json").json
    assert result["exit_code"] == 1
    assert [failed["step"] for failed in result["failed"]] == ["shop/003"]
    assert "shop/004" in result["left"]
    assert {"shop/001", "shop/002"} <= set(result["done"])
    assert sorted([*result["done"], *result["left"], "shop/003"]) == sorted(
        [f"shop/00{number}" for number in range(1, 5)] + ["bank/001", "bank/002"]
    )


@pytest.mark.parametrize(
    "command", [["status"], ["plan"], ["apply", "--yes"], ["history"], ["wait", "--timeout", "1s"]]
)
def test_servers_that_do_not_answer_are_10(two: Project, command: list[str]) -> None:
    nowhere = {"SHOP_URL": "postgres://u:p@127.0.0.1:1/x", "BANK_URL_CON": "mongodb://127.0.0.1:1/x"}
    for changed in nowhere.items():
        refused(two(*command, env=dict([changed])), 10, "127.0.0.1:1")


def test_wrong_credentials_and_missing_databases_are_10(two: Project, pg_url: str) -> None:
    parts = urlsplit(pg_url)
    host = parts.netloc.rpartition("@")[2]
    refused(two("status", env={"SHOP_URL": f"postgres://nobody:wrong@{host}/x"}), 10, "shop")
    refused(two("status", env={"SHOP_URL": pg_url.replace(parts.path, "/missing")}), 10, "missing", "does not exist")


def test_the_servers_that_do_answer_are_still_shown(two: Project) -> None:
    answer = two("status", env={"SHOP_URL": "postgres://u:p@127.0.0.1:1/x"})
    assert answer.code == 10
    assert re.search(r"^bank +none +0 +2", answer.stdout, re.MULTILINE)


def test_no_terminal_and_no_yes_is_refused(two: Project) -> None:
    refused(two("apply", stdin="y\n"), 64, "--yes")
    rows = {row["service"]: row["applied"] for row in two("status", "--json").json["services"]}
    assert rows == {"shop": 0, "bank": 0}


def test_a_full_disk_loses_no_migration_and_says_what_was_not_written(two: Project) -> None:
    with open("/dev/full", "w") as full:
        process = two.start("apply", "--yes", stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 10
    assert "No space left" in errors
    assert two("status", "--check").code == 0


def test_a_plan_file_that_cannot_be_written_is_refused(two: Project) -> None:
    refused(two("plan", "--out", str(two.folder / "no" / "folder" / "x.plan")), 10, "x.plan")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    target = two.folder / "big.plan"
    process = subprocess.run(
        [*_command(two), "plan", "--out", str(target)],
        cwd=two.folder, env=_environment(two), capture_output=True, text=True, preexec_fn=small_files, check=False,
    )  # fmt: skip
    assert process.returncode == 10
    assert not target.exists()
    assert list(two.folder.glob(".*.part")) == []


def _command(project: Project) -> list[str]:
    from tests.servers import COMMAND

    return [str(COMMAND)]


def _environment(project: Project) -> dict[str, str]:
    from tests.servers import clean_environment

    return {**clean_environment(), **project.env}


def test_a_reader_that_goes_away_changes_nothing(two: Project) -> None:
    with two.running("apply", "--yes") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        assert process.wait(60) == 0
        process.stdout = process.stderr = None
    assert two("status", "--check").code == 0


def test_a_database_that_is_read_only_is_10_and_untouched(two: Project, pg_url: str) -> None:
    name = urlsplit(pg_url).path.lstrip("/")
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert two("status").code == 0
    refused(two("apply", "--yes", "--service", "shop"), 10, "read-only")
    assert two("status", "--json", "--service", "shop").json["services"][0]["applied"] == 0


def test_two_services_in_one_database_are_refused(project: Project, pg_url: str) -> None:
    project.add("one", pg_url).add("two", pg_url)
    project.table("one", "001")
    project.table("two", "001")
    refused(project("plan"), 4, "one and two are the same database")


def test_a_server_that_comes_up_later_is_waited_for(two: Project, tmp_path: Path) -> None:
    """The port is taken by nobody at first; then something answers there that hands on to the real server."""
    import socket
    import socketserver
    import threading

    parts = urlsplit(two.env["SHOP_URL"])
    target = (parts.hostname or "", parts.port or 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as server:
                forth = threading.Thread(target=_pump, args=[self.request, server], daemon=True)
                forth.start()
                _pump(server, self.request)

    url = two.env["SHOP_URL"].replace(f":{parts.port}", f":{port}")
    with two.running("apply", "--yes", "--service", "shop", "--wait", "30s", env={"SHOP_URL": url}) as process:
        assert process.stderr is not None
        assert "waiting for the server" in process.stderr.readline()
        with socketserver.ThreadingTCPServer(("127.0.0.1", port), Relay) as relay:
            relay.daemon_threads = True
            threading.Thread(target=relay.serve_forever, daemon=True).start()
            assert ended(process).code == 0
            relay.shutdown()


def _pump(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(1)
    except OSError:
        return
