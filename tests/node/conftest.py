"""The packages from npm."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PACKAGES = (
    "knex@3.1.0",
    "pg@8",
    "migrate-mongo@11.0.0",
    "mongodb@6",
    "dbmate@2.36.0",
    "drizzle-kit@0.31.11",
    "drizzle-orm@0.45.4",
    "node-pg-migrate@8.0.4",
    "playwright-core@1",
    "axe-core@4",
)


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch folder with the packages, installed once for all tests."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "node_modules"
