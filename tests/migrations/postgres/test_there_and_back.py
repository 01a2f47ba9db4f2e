"""Every file on its own, with rows in place: there, back, and there again.

before -- file --> after -- undone --> before -- file --> after
"""

from __future__ import annotations

import pytest

from tests.migrations.postgres import catalogue, chain
from tests.migrations.postgres.chain import EVERY_FILE, Db
from tests.migrations.postgres.seeds import ROOM, sow

State = tuple[catalogue.Catalogue, dict[str, list[dict[str, object]]]]


def state(db: Db) -> State:
    return catalogue.read(db), catalogue.rows(db)


@pytest.mark.parametrize(("service", "version"), EVERY_FILE)
def test_undoing_gives_the_database_as_it_was_and_doing_again_as_it_became(service: str, version: str, db: Db) -> None:
    file = [chain.find(service, version)]
    chain.apply(db, chain.before(service, version))
    sow(db, service)
    before = state(db)
    chain.apply(db, file)
    after = state(db)
    assert after != before
    chain.rollback(db, file)
    assert without_extensions(state(db)) == without_extensions(before)
    chain.apply(db, file)
    assert state(db) == after


@pytest.mark.parametrize(("service", "version"), EVERY_FILE)
def test_what_was_written_after_the_apply_survives_undoing_and_doing_again(service: str, version: str, db: Db) -> None:
    file = [chain.find(service, version)]
    chain.apply(db, chain.up_to(service, version))
    sow(db, service)
    after = state(db)
    chain.rollback(db, file)
    before = state(db)
    chain.apply(db, file)
    assert state(db) == after
    chain.rollback(db, file)
    assert state(db) == before


@pytest.mark.parametrize(("service", "version"), EVERY_FILE)
def test_rows_that_come_while_it_is_undone_do_no_harm(service: str, version: str, db: Db) -> None:
    """What is said of such rows, file by file, is in test_decisions."""
    file = [chain.find(service, version)]
    chain.apply(db, chain.up_to(service, version))
    sow(db, service)
    tables = catalogue.read(db)
    chain.rollback(db, file)
    sow(db, service, ROOM * 2)
    chain.apply(db, file)
    assert catalogue.read(db) == tables


@pytest.mark.parametrize(("service", "version"), EVERY_FILE)
def test_a_pruned_stash_stands_in_nobodys_way(service: str, version: str, db: Db) -> None:
    file = [chain.find(service, version)]
    chain.apply(db, chain.before(service, version))
    sow(db, service)
    before = catalogue.read(db)
    chain.apply(db, file)
    after = catalogue.read(db)
    prune(db)
    chain.rollback(db, file)
    assert catalogue.read(db) | {"extensions": []} == before | {"extensions": []}
    prune(db)
    chain.apply(db, file)
    assert catalogue.read(db) == after


def prune(db: Db) -> None:
    for name in catalogue.stashes(db):
        db.execute(f"DROP SCHEMA {name} CASCADE".encode())


def without_extensions(given: State) -> State:
    """The first file of a history leaves the extension that it created."""
    return given[0] | {"extensions": []}, given[1]
