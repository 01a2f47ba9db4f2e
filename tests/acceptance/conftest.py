"""Projects of a test's own, on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder that becomes a project with `add`."""
    return Project(tmp_path)


@pytest.fixture
def two(project: Project, pg_url: str, mongo_url: str) -> Project:
    """A PostgreSQL service `shop` and a MongoDB service `bank`, each with two migrations."""
    project.add("shop", pg_url).add("bank", mongo_url, timeouts={"lease": "2s"})
    for service in ("shop", "bank"):
        project.table(service, "001")
        project.table(service, "002")
    return project
