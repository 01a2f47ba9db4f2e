"""The data on which `dataops prove --seed tests/prove.py` proves the Blink history: what the tests use too."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.migrations.postgres.seeds import ROOM, sow
from tests.seed import seed as accounts

_sown: Counter[str] = Counter()


def seed(service: str, database: Any) -> None:
    """The MongoDB as it stood before the first migration. The others begin without a table."""
    if service == "api":
        accounts(database, 60)


def seed_after(service: str, migration: str, database: Any) -> None:
    """Rows for the columns that there are now."""
    if service != "api":
        _sown[database.info.dbname] += 1
        sow(database, service, ROOM * _sown[database.info.dbname])
