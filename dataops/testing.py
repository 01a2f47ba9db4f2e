"""A plugin of pytest: real databases with the whole history applied, for the tests of an application.

    def test_an_order(dataops_databases):
        with psycopg.connect(dataops_databases["shop"]) as connection:
            ...

Servers are started and the history is applied once in a session, by the code that migrates for real. Each test gets a
copy of its own, clean and with all that the migrations have made, and the environment variables in which the services
of dataops.toml look for their URLs lead to it. With pytest-xdist, each worker does so by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dataops.backends import Lent
    from dataops.model import Service
    from dataops.scratch import Scratch


class Migrated:
    """The databases of a session: one of each service, with the whole history. Tests get copies of them."""

    def __init__(self, config_path: Path | None, root: Path, scratch: Scratch) -> None:
        """Applies every history. Raises DataopsError."""
        from dataops import config

        path = config_path or config.find(root)
        self.variables = {name: one.url_variable for name, one in config.read(path).services.items()}
        self._scratch = scratch
        self._scope = ExitStack()
        loaded = config.load(path, with_urls=False).services
        scratch.start({service.kind for service in loaded})
        self.services = [self._migrated(service) for service in loaded]

    def _migrated(self, service: Service) -> Service:
        def build(lent: Mapping[str, Lent]) -> Service:
            with ExitStack() as scope:
                made = scope.enter_context(self._scratch.database(service))
                self._scratch.migrate(made, service.migrations[-1] if service.migrations else None, lent)
                self._scope.push(scope.pop_all())
                return made

        return self._scratch.lending(service, None, build)

    def copies(self, scope: ExitStack) -> dict[str, str]:
        """The URL of a copy for each service; all of them are dropped at the end of the scope."""
        return {service.name: scope.enter_context(self._scratch.copy(service)).url for service in self.services}

    def close(self) -> None:
        """Drop the databases."""
        self._scope.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what our fixtures read: --dataops-scratch, and dataops_config of the ini file."""
    group = parser.getgroup("dataops", "databases with migrations applied (dataops_databases)")
    group.addoption(
        "--dataops-scratch",
        action="append",
        default=[],
        metavar="URL",
        help="A server where databases may be created, one for each kind; by default dataops starts it.",
    )
    parser.addini("dataops_config", "The configuration of dataops; by default the nearest dataops.toml.", "string", "")


@pytest.fixture(scope="session")
def dataops_migrated(pytestconfig: pytest.Config) -> Iterator[Migrated]:
    """Databases with the whole history applied, once in a session; tests take `dataops_databases`."""
    from dataops import config
    from dataops.errors import DataopsError
    from dataops.scratch import Scratch

    root = pytestconfig.rootpath
    named = pytestconfig.getini("dataops_config")
    try:
        with Scratch(config.author(), servers=pytestconfig.getoption("dataops_scratch")) as scratch:
            migrated = Migrated(root / named if named else None, root, scratch)
            yield migrated
            migrated.close()
    except DataopsError as error:
        pytest.fail(f"dataops: {error}\nhint: {error.hint}", pytrace=False)


@pytest.fixture
def dataops_databases(dataops_migrated: Migrated, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """The URL of a clean, migrated database of this test alone, by service. The environment leads to them too."""
    with ExitStack() as scope:
        urls = dataops_migrated.copies(scope)
        for name, url in urls.items():
            monkeypatch.setenv(dataops_migrated.variables[name], url)
        yield urls
