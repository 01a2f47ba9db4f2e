"""What several files of these tests begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataops.dev import PostgresServer
from tests.fleets import Fleet, fleet
from tests.projects import Project


@pytest.fixture
def pair(project: Project, postgres: PostgresServer) -> Iterator[Fleet]:
    """Four databases in two waves, of 1 and 3."""
    with fleet(project, postgres, 4) as found:
        found.configure(waves=[{"databases": [found.names[0]]}], control_env="CONTROL_URL")
        found.file("001")
        yield found
