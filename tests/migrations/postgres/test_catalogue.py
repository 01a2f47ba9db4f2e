"""The catalogue of each history, in the same words from PostgreSQL 14 to 18, and however a database came to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.backends.postgres import catalogue
from dataops.catalogue import Catalogue, compare
from tests.migrations.postgres import chain
from tests.migrations.postgres.chain import CHAINS, FOLDERS, Db

WRITTEN_DOWN = Path(__file__).with_name("catalogues.txt")


def look(db: Db) -> Catalogue:
    with db.transaction():
        return catalogue.read(db)


def lines(service: str, found: Catalogue) -> list[str]:
    """Without the details, such as comments, and without the versions of extensions, which the server brings along."""
    left_out = {*found.details, "version of extension"}
    objects = sorted((key, text) for key, text in found.objects.items() if key[0] not in left_out)
    return [f"{service}: {kind} {name}: {text}".rstrip(": ") for (kind, name), text in objects]


@pytest.mark.parametrize("service", FOLDERS)
def test_the_catalogue_at_the_end_is_the_one_that_is_written_down(service: str, db: Db) -> None:
    """On every version; with --all-postgres on all of them."""
    chain.apply(db, CHAINS[service])
    written = [line for line in WRITTEN_DOWN.read_text().splitlines() if line.startswith(f"{service}: ")]
    assert lines(service, look(db)) == written


def test_a_database_that_applied_in_another_order_is_no_different(db: Db) -> None:
    """As in production: the file of 2023-12-15 was written after that of 2024-01-12."""
    chain.apply(db, CHAINS["api-keys"])
    expected = look(db)
    chain.rollback(db, CHAINS["api-keys"])
    *before, scopes, hashed_key = CHAINS["api-keys"]
    chain.apply(db, [*before, hashed_key, scopes])
    assert compare(expected, look(db)) == ()
