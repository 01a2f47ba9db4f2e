"""Imports run one way, every library has one home, and asking loads nothing that only applying needs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "dataops").rglob("*.py"))

HOMES = {
    "click": {"cli"},
    "rich": {"show/terminal.py", "show/progress.py", "show/grid.py"},
    "pymongo": {"backends/mongo", "dev", "stash"},
    "bson": {"backends/mongo", "dev", "stash"},
    "pymongo_migrate": {"backends/mongo"},
    "sqlalchemy": {"backends/postgres"},
    "alembic": {"backends/postgres"},
    "psycopg": {"backends/postgres", "dev"},
    "postgast": {"backends/postgres/foresight"},
    "opentelemetry": {"show/otel.py"},
    "prometheus_client": {"show/prometheus.py"},
    "pytest": {"testing.py"},
}


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere in it, not counting what is only for the type checker."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_imports_run_one_way() -> None:
    """The order is in pyproject.toml and drawn in docs/architecture.md."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", HOMES)
def test_every_library_has_one_home(library: str) -> None:
    for path in FILES:
        if library in imported(path):
            inside = path.relative_to(ROOT / "dataops").as_posix()
            assert any(inside == home or inside.startswith(f"{home}/") for home in HOMES[library]), inside


def test_only_declared_libraries_are_imported() -> None:
    """What is not ours, not in Python and not above would be missing where dataops is installed."""
    foreign = {name for path in FILES for name in imported(path) if name not in sys.stdlib_module_names}
    assert foreign <= {"dataops", *HOMES}


def test_migration_files_import_no_application_code() -> None:
    allowed = {"alembic", "sqlalchemy", "pymongo", "bson", "dataops", *sys.stdlib_module_names}
    for place in ("mongo_migrations", "pg_migrations"):
        for path in (ROOT / place).rglob("*.py"):
            assert imported(path) <= allowed, path


# --- what is loaded when


def loaded(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """The packages in a fresh process after a command over both kinds of database, which nobody answers for."""
    (folder / "mongo").mkdir(exist_ok=True)
    (folder / "pg" / "versions").mkdir(parents=True, exist_ok=True)
    timeouts = 'timeouts = { connect = "100ms" }'
    (folder / "dataops.toml").write_text(
        f"""
        [services.api]
        engine = "mongodb"
        folder = "mongo"
        {timeouts}

        [services.voucher]
        engine = "postgresql"
        folder = "pg"
        {timeouts}

        [environments.nowhere]
        api = "mongodb://127.0.0.1:1/galoy"
        voucher = "postgres://127.0.0.1:1/voucher"
        """
    )
    program = (
        "import json, os, sys; from dataops import cli; code = cli.run(sys.argv[1:]);"
        "sys.stdout.flush(); print(json.dumps([code, sorted(sys.modules)]), flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


@pytest.mark.parametrize(
    ("arguments", "expected", "drivers"),
    [
        (["--help"], 0, False),
        (["status", "--help"], 0, False),
        (["new", "voucher", "add a column"], 0, False),
        (["status", "--env", "nowhere"], 10, True),
        (["status", "--env", "nowhere", "--json"], 10, True),
        (["wait", "--env", "nowhere", "--timeout", "0"], 10, True),
        (["history", "--env", "nowhere"], 10, True),
        (["plan", "--env", "nowhere"], 10, True),
        (["drift", "--from", "schema", "--env", "nowhere"], 10, True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_asking_loads_no_more_than_the_drivers(
    tmp_path: Path, arguments: list[str], expected: int, drivers: bool
) -> None:
    code, modules = loaded(tmp_path, *arguments)
    assert code == expected
    never = {"alembic", "sqlalchemy", "rich", "pymongo_migrate", "dataops.dev", "unittest", "pytest"}
    never |= {"opentelemetry", "dataops.show.otel", "requests", "prometheus_client", "xml.etree"}
    assert not never & modules
    assert {"psycopg", "pymongo"} & modules == ({"psycopg", "pymongo"} if drivers else set())


def test_a_command_for_one_kind_of_database_loads_one_driver(tmp_path: Path) -> None:
    for service, driver, other in (("api", "pymongo", "psycopg"), ("voucher", "psycopg", "pymongo")):
        _, modules = loaded(tmp_path, "status", "--env", "nowhere", "--service", service)
        assert driver in modules
        assert other not in modules


@pytest.mark.parametrize("lock", ["requirements-dev.txt", "requirements-demo.txt", "deploy/requirements.txt"])
def test_each_library_that_we_need_is_locked(lock: str) -> None:
    """A fresh checkout, the demonstration and the image install these files and nothing else: see script/lock."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^a-z0-9-]", one)[0] for one in needed}
    locked = {line.partition("==")[0] for line in (ROOT / lock).read_text().splitlines() if "==" in line}
    assert names - locked == set()
