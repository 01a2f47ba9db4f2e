"""What each migration decides about values that only one side of it knows, as its docstring says.

apply -- the new application writes --> rollback -- the old one writes --> apply
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from dataops.model import Migration
from tests.migrations.postgres import catalogue, chain
from tests.migrations.postgres.chain import Db
from tests.migrations.postgres.seeds import NIL, sow


def ids(db: Db, query: str) -> list[int]:
    return sorted(row[0].int for row in db.execute(query.encode()))


def one(db: Db, query: str) -> Any:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def at(db: Db, service: str, version: str) -> list[Migration]:
    """Bring an empty database to the point after this file; the file, to undo and do again."""
    chain.apply(db, chain.up_to(service, version))
    return [chain.find(service, version)]


# --- api-keys ----------------------------------------------------------------------------------------------


def add_keys(db: Db, **columns: str) -> None:
    """Keys 1, 2, 3, ... with these values (SQL), all the same."""
    db.execute("INSERT INTO identities (id, subject_id) VALUES ('00000000-0000-0000-0000-000000000063', 's')")
    for n in range(1, 5):
        add_key(db, n, **columns)


def add_key(db: Db, n: int, **columns: str) -> None:
    given = {"expires_at": "'2030-01-01 00:00:00+00'"} | columns
    db.execute(
        f"INSERT INTO identity_api_keys (id, identity_id, name, encrypted_key, {', '.join(given)})"
        f" VALUES (%s, '00000000-0000-0000-0000-000000000063', 'n', 'e', {', '.join(given.values())})".encode(),
        (UUID(int=n),),
    )


def change_key(db: Db, n: int, assignment: str) -> None:
    db.execute(f"UPDATE identity_api_keys SET {assignment} WHERE id = %s".encode(), (UUID(int=n),))


def keys(db: Db, column: str) -> dict[int, Any]:
    rows = db.execute(f"SELECT id, {column} FROM identity_api_keys".encode())
    return {id_.int: value for id_, value in rows}


def test_read_only_keys_stay_so_and_keys_from_in_between_may_write(db: Db) -> None:
    file = at(db, "api-keys", "20231115113501")
    add_keys(db)
    change_key(db, 2, "read_only = true")
    change_key(db, 3, "read_only = true")
    chain.rollback(db, file)
    db.execute("DELETE FROM identity_api_keys WHERE id::text LIKE '%3'")
    add_key(db, 9)
    chain.apply(db, file)
    assert keys(db, "read_only") == {1: False, 2: True, 4: False, 9: False}


def test_a_key_without_an_end_goes_on_working_while_rolled_back(db: Db) -> None:
    file = at(db, "api-keys", "20231205080519")
    add_keys(db, expires_at="NULL")
    chain.rollback(db, file)
    assert one(db, "SELECT bool_and(expires_at > now() + interval '1000 years') FROM identity_api_keys")
    with pytest.raises(errors.NotNullViolation):
        change_key(db, 1, "expires_at = NULL")


def test_an_end_that_is_set_while_rolled_back_stays_and_every_other_key_has_none_again(db: Db) -> None:
    file = at(db, "api-keys", "20231205080519")
    add_keys(db, expires_at="NULL")
    change_key(db, 1, "expires_at = '9999-01-01 00:00:00+00'")  # somebody's own
    chain.rollback(db, file)
    change_key(db, 3, "expires_at = '2031-01-01 00:00:00+00'")
    add_key(db, 9, expires_at="'9999-01-01 00:00:00+00'")
    chain.apply(db, file)
    assert {n: end and end.year for n, end in keys(db, "expires_at").items()} == {
        1: 9999,
        2: None,
        3: 2031,
        4: None,
        9: 9999,
    }


def test_scopes_come_from_read_only(db: Db) -> None:
    chain.apply(db, chain.before("api-keys", "20231215145636"))
    add_keys(db, read_only="false")
    change_key(db, 2, "read_only = true")
    at_scopes = [chain.find("api-keys", "20231215145636")]
    chain.apply(db, at_scopes)
    both = ["read", "write"]
    assert keys(db, "scopes") == {1: both, 2: ["read"], 3: both, 4: both}
    assert catalogue.stashes(db) == []


@pytest.mark.parametrize(
    ("scopes", "read_only"),
    [
        ("{read}", True),
        ("{read,write}", False),
        ("{write,read}", False),
        ("{write}", False),
        ("{receive}", True),
        ("{read,receive}", True),
        ("{read,write,receive}", False),
        ("{}", True),
        ("{read,NULL}", True),
        ("{NULL,write}", False),
    ],
)
def test_a_rollback_makes_read_only_what_may_not_write(db: Db, scopes: str, read_only: bool) -> None:
    """From the scopes as they are now: key 2 was read-only before the apply."""
    chain.apply(db, chain.before("api-keys", "20231215145636"))
    add_keys(db, read_only="true")
    file = [chain.find("api-keys", "20231215145636")]
    chain.apply(db, file)
    change_key(db, 2, f"scopes = '{scopes}'")
    chain.rollback(db, file)
    assert keys(db, "read_only") == {1: True, 2: read_only, 3: True, 4: True}


def test_scopes_come_back_as_they_were_unless_read_only_was_changed_while_rolled_back(db: Db) -> None:
    file = at(db, "api-keys", "20231215145636")
    add_keys(db, scopes="'{receive}'")
    chain.rollback(db, file)
    change_key(db, 2, "read_only = false")
    add_key(db, 8)
    add_key(db, 9, read_only="true")
    chain.apply(db, file)
    stays, both = ["receive"], ["read", "write"]
    assert keys(db, "scopes") == {1: stays, 2: both, 3: stays, 4: stays, 8: both, 9: ["read"]}


def test_every_key_has_its_own_hash_again_and_one_from_in_between_has_random_bytes(db: Db) -> None:
    file = at(db, "api-keys", "20240112183422")
    add_keys(db, scopes="'{read}'", hashed_key="gen_random_bytes(32)")
    change_key(db, 2, "hashed_key = NULL")
    before = keys(db, "hashed_key")
    chain.rollback(db, file)
    add_key(db, 8, scopes="'{read}'")
    add_key(db, 9, scopes="'{read}'")
    chain.apply(db, file)
    after = keys(db, "hashed_key")
    fresh = (after.pop(8), after.pop(9))
    assert after == before
    assert [len(value) for value in fresh] == [256, 256] and fresh[0] != fresh[1]


def test_existing_keys_get_256_random_bytes_each(db: Db) -> None:
    chain.apply(db, chain.before("api-keys", "20240112183422"))
    add_keys(db, scopes="'{read}'")
    chain.apply(db, [chain.find("api-keys", "20240112183422")])
    values = keys(db, "hashed_key").values()
    assert [len(value) for value in values] == [256] * 4 and len(set(values)) == 4


# --- notifications -----------------------------------------------------------------------------------------


def test_messages_survive_the_queue_and_can_be_polled_again(db: Db) -> None:
    file = at(db, "notifications", "20210316025847")
    sow(db, "notifications")
    sentinel = one(db, f"SELECT created_at FROM mq_msgs WHERE id = '{NIL}'")
    chain.rollback(db, file)
    chain.apply(db, file)
    assert one(db, f"SELECT created_at FROM mq_msgs WHERE id = '{NIL}'") == sentinel
    assert ids(db, "SELECT id FROM mq_poll(NULL, 10)") == [101, 103]


def test_a_lost_sentinel_is_made_anew(db: Db) -> None:
    file = at(db, "notifications", "20210316025847")
    db.execute("DELETE FROM mq_msgs")
    chain.rollback(db, file)
    chain.apply(db, file)
    assert ids(db, "SELECT id FROM mq_msgs") == [0]


def test_a_cool_off_goes_on_where_it_was(db: Db) -> None:
    file = at(db, "notifications", "20240229144542")
    db.execute("UPDATE notification_cool_off_tracker SET last_triggered_at = '2024-05-06 07:08:09+00'")
    chain.rollback(db, file)
    chain.apply(db, file)
    assert one(db, "SELECT event_type, last_triggered_at::date::text FROM notification_cool_off_tracker") == (
        "price_changed",
        "2024-05-06",
    )


def test_a_missing_tracker_row_is_added_again(db: Db) -> None:
    file = at(db, "notifications", "20240229144542")
    db.execute("DELETE FROM notification_cool_off_tracker")
    chain.rollback(db, file)
    chain.apply(db, file)
    assert one(db, "SELECT * FROM notification_cool_off_tracker") == ("price_changed", None)


def test_in_app_notifications_may_be_missing_when_they_are_removed(db: Db) -> None:
    version = "20240418115910"
    file = [chain.find("notifications", version)]
    chain.apply(db, chain.before("notifications", version))
    before = catalogue.read(db)
    db.execute("DROP TABLE in_app_notifications")
    chain.apply(db, file)
    chain.rollback(db, file)
    assert catalogue.read(db) == before
    assert catalogue.stashes(db) == []
    chain.apply(db, file)


def test_in_app_notifications_written_after_the_rollback_are_put_aside_too(db: Db) -> None:
    version = "20240418115910"
    file = [chain.find("notifications", version)]
    chain.apply(db, chain.before("notifications", version))
    add = "INSERT INTO in_app_notifications (galoy_user_id, title, body) VALUES (%s, '', '')"
    db.execute(add, ("before",))
    chain.apply(db, file)
    chain.rollback(db, file)
    db.execute(add, ("after",))
    chain.apply(db, file)
    stashed = db.execute(f"SELECT galoy_user_id FROM dataops_stash_{version}.in_app_notifications".encode())
    assert sorted(stashed.fetchall()) == [("after",), ("before",)]


@pytest.mark.parametrize(
    ("version", "column"), [("20240429083109", "acknowledged"), ("20240506184652", "bulletin_enabled")]
)
def test_a_flag_comes_back_true_false_or_null_and_is_false_for_rows_from_in_between(
    db: Db, version: str, column: str
) -> None:
    file = at(db, "notifications", version)
    add = f"INSERT INTO stateful_notifications (galoy_user_id, {column}) VALUES (%s, %s)".encode()
    for value in (True, False, None):
        db.execute(add, (str(value), value))
    chain.rollback(db, file)
    db.execute("INSERT INTO stateful_notifications (galoy_user_id) VALUES ('in between')")
    chain.apply(db, file)
    values = dict(db.execute(f"SELECT galoy_user_id, {column} FROM stateful_notifications".encode()).fetchall())
    assert values == {"True": True, "False": False, "None": None, "in between": False}


# --- voucher -----------------------------------------------------------------------------------------------


def add_link(db: Db, n: int, cents: str = "100", **columns: object) -> None:
    values = {
        "id": UUID(int=n),
        "userId": "u",
        **{column: f"{column} {n}" for column in ("identifierCode", "voucherSecret", "k1", "uniqueHash")},
        "voucherAmountInCents": 1,
        "salesAmountInCents": cents,
        **columns,
    }
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(["%s"] * len(values))
    db.execute(f'INSERT INTO "WithdrawLinks" ({names}) VALUES ({places})'.encode(), list(values.values()))


def links(db: Db, columns: str) -> dict[int, Any]:
    rows = db.execute(f'SELECT id, {columns} FROM "WithdrawLinks"'.encode())
    return {id_.int: rest[0] if len(rest) == 1 else tuple(rest) for id_, *rest in rows}


@pytest.mark.parametrize(
    ("cents", "price"),
    [
        ("0", "0.00 USD"),
        ("1", "0.01 USD"),
        ("5.5", "0.06 USD"),
        ("0.49", "0.00 USD"),
        ("99", "0.99 USD"),
        ("100", "1.00 USD"),
        ("250.25", "2.50 USD"),
        ("12345", "123.45 USD"),
        ("12345.67", "123.46 USD"),
        ("999999.99", "10000.00 USD"),
        ("-150", "-1.50 USD"),
    ],
)
def test_the_price_is_the_sales_amount_in_dollars(db: Db, cents: str, price: str) -> None:
    chain.apply(db, chain.before("voucher", "20240530124319"))
    add_link(db, 1, cents)
    chain.apply(db, [chain.find("voucher", "20240530124319")])
    assert links(db, '"displayVoucherPrice", "displayCurrency"') == {1: (price, "USD")}


def test_prices_come_back_unless_the_sales_amount_was_changed_while_rolled_back(db: Db) -> None:
    file = at(db, "voucher", "20240530124319")
    add_link(db, 1, displayVoucherPrice="0.92 EUR", displayCurrency="EUR")
    add_link(db, 2, displayVoucherPrice="0.92 EUR", displayCurrency="EUR")
    add_link(db, 3, displayVoucherPrice="one dollar", displayCurrency="USD")
    add_link(db, 4, displayVoucherPrice="1.00 USD", displayCurrency="USD")
    chain.rollback(db, file)
    assert len(db.execute('SELECT FROM dataops_stash_20240530124319."WithdrawLinks"').fetchall()) == 3
    db.execute('UPDATE "WithdrawLinks" SET "salesAmountInCents" = 200 WHERE k1 = %s', ("k1 2",))
    add_link(db, 9)
    chain.apply(db, file)
    assert links(db, '"displayVoucherPrice", "displayCurrency"') == {
        1: ("0.92 EUR", "EUR"),
        2: ("2.00 USD", "USD"),
        3: ("one dollar", "USD"),
        4: ("1.00 USD", "USD"),
        9: ("1.00 USD", "USD"),
    }


def test_fees_come_back_and_a_link_from_in_between_costs_nothing(db: Db) -> None:
    file = at(db, "voucher", "20240520210910")
    add_link(db, 1, platformFee="1.25")
    add_link(db, 2)
    chain.rollback(db, file)
    add_link(db, 9)
    chain.apply(db, file)
    assert links(db, '"platformFee"::text') == {1: "1.25", 2: "0.00", 9: "0.00"}


def test_amounts_in_sats_come_back_and_a_link_from_in_between_has_none(db: Db) -> None:
    chain.apply(db, chain.up_to("voucher", "20250210133521"))
    file = [chain.find("voucher", "20250210133521")]
    price = {"displayVoucherPrice": "", "displayCurrency": ""}
    add_link(db, 1, voucherAmountInSats=0, **price)
    add_link(db, 2, voucherAmountInSatsAt="2025-02-10 00:00:00+00", **price)
    add_link(db, 3, **price)
    chain.rollback(db, file)
    add_link(db, 9, **price)
    chain.apply(db, file)
    columns = '"voucherAmountInSats", "voucherAmountInSatsAt"::date::text'
    assert links(db, columns) == {1: (0, None), 2: (None, "2025-02-10"), 3: (None, None), 9: (None, None)}
