"""What the MongoDB migrations #20 to #38 promise, one by one; what all of them promise is in test_every_file.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database
from pymongo.errors import OperationFailure

from tests.migrations.mongo.history import Document, file
from tests.migrations.mongo.wire import Wire

AMOUNTS = (
    "satsAmount",
    "satsFee",
    "centsAmount",
    "centsFee",
    "displayAmount",
    "displayFee",
    "displayCurrency",
    "satsAmountMigration",
)
WHEN = datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def db(mongo_standalone_db: Database[Document]) -> Database[Document]:
    return mongo_standalone_db


def one(db: Database[Document], collection: str, key: Any) -> Document:
    found = db[collection].find_one({"_id": key})
    assert found is not None
    return found


def all_of(db: Database[Document], collection: str) -> list[Document]:
    return list(db[collection].find({}, sort=[("_id", 1)]))


# #20 to #22: amounts in the ledger

group_of = pytest.mark.parametrize(
    ("number", "kind", "key"),
    [
        (20, "onchain_payment", "hash"),
        (21, "invoice", "_journal"),
        (21, "onchain_receipt", "_journal"),
        (22, "on_us", "_journal"),
        (22, "onchain_on_us", "_journal"),
    ],
)


def entries(key: str, *documents: Document, kind: str) -> list[Document]:
    group = "a hash" if key == "hash" else ObjectId()
    return [
        {"_id": n, "type": kind, "currency": "BTC", "debit": 0, key: group} | document
        for n, document in enumerate(documents)
    ]


@group_of
def test_amounts_are_those_of_the_facts(db: Database[Document], number: int, kind: str, key: str) -> None:
    """Both entries of the group get them, and so does one of another type in another currency."""
    values = {"fee": 10, "usd": 1.235, "feeUsd": 0.015}
    documents = entries(key, {"debit": 1010} | values, values, {"type": "fee", "currency": "USD"}, kind=kind)
    db["medici_transactions"].insert_many(documents)
    file(number).upgrade(db)
    for entry in all_of(db, "medici_transactions"):
        found = tuple(entry[field] for field in AMOUNTS)
        assert found == (1000, 10, 122, 2, 122, 2, "USD", True)
        assert {type(value) for value in found} == {int, str, bool}


@pytest.mark.parametrize(
    ("entry", "sats", "cents"),
    [
        ({"debit": 100.5, "fee": 0}, 101, 0),
        ({"debit": 2.5, "fee": None, "usd": 0.005, "feeUsd": 0}, 3, 1),
        ({"debit": -2.5, "fee": 0, "usd": -0.025, "feeUsd": 0}, -2, -2),
        ({"debit": "1010", "fee": "10", "usd": "1.235", "feeUsd": "0"}, 1000, 124),
        ({"debit": 5_000_000_000, "fee": 1, "usd": 30_000_000.0}, 4_999_999_999, 3_000_000_000),
        ({}, 0, 0),
    ],
)
def test_amounts_are_rounded_half_upwards_and_nothing_counts_as_zero(
    db: Database[Document], entry: Document, sats: int, cents: int
) -> None:
    db["medici_transactions"].insert_many(entries("hash", entry, kind="onchain_payment"))
    file(20).upgrade(db)
    found = one(db, "medici_transactions", 0)
    assert (found["satsAmount"], found["centsAmount"], found["displayAmount"]) == (sats, cents, cents)
    assert found["satsFee"] == entry.get("fee")


@group_of
@pytest.mark.parametrize("field", ["debit", "fee", "usd", "feeUsd"])
@pytest.mark.parametrize(
    "amount", [[1], [], "none", "", {"n": 1}, float("nan"), float("inf"), Decimal128("NaN"), WHEN, True], ids=repr
)
def test_entries_with_an_amount_that_is_no_number_are_left_as_they_are(
    db: Database[Document], number: int, kind: str, key: str, field: str, amount: Any
) -> None:
    values = {"debit": 1010, "fee": 10, "usd": 1.235, "feeUsd": 0.015}
    odd = entries(key, values | {field: amount}, values, {"type": "fee"}, kind=kind)
    good = [document | {"_id": 10 + document["_id"]} for document in entries(key, values, kind=kind)]
    if key == "hash":
        good[0]["hash"] = "another hash"
    db["medici_transactions"].insert_many([*odd, *good])
    file(number).upgrade(db)
    amounts = [entry.get("satsAmount") for entry in all_of(db, "medici_transactions")]
    assert amounts == [None, None, None, 1000]


@group_of
def test_an_entry_with_an_amount_of_its_own_keeps_it(db: Database[Document], number: int, kind: str, key: str) -> None:
    own = {"satsAmount": 7, "centsAmount": 8, "displayCurrency": "EUR"}
    documents = entries(key, {"debit": 20}, {"debit": 99} | own, kind=kind)
    db["medici_transactions"].insert_many(documents)
    file(number).upgrade(db)
    assert one(db, "medici_transactions", 0)["satsAmount"] == 20
    assert one(db, "medici_transactions", 1) == documents[1]


@group_of
def test_entries_of_no_group_do_not_share_amounts(db: Database[Document], number: int, kind: str, key: str) -> None:
    documents = [
        {"_id": n, "type": kind, "currency": "BTC", "debit": 5} | ({} if value is ... else {key: value})
        for n, value in enumerate((..., None, ""))
    ]
    documents.append({"_id": "another", "type": "fee"})
    db["medici_transactions"].insert_many(documents)
    file(number).upgrade(db)
    assert list(db["medici_transactions"].find({"satsAmount": {"$exists": True}})) == []


@group_of
def test_an_amount_that_the_application_wrote_since_stays_on_the_way_back(
    db: Database[Document], number: int, kind: str, key: str
) -> None:
    documents = entries(key, {"debit": 20, "displayCurrency": "EUR"}, {}, kind=kind)
    db["medici_transactions"].insert_many(documents)
    file(number).upgrade(db)
    db["medici_transactions"].update_one({"_id": 0}, {"$set": {"satsAmount": 21, "memo": "new"}})
    file(number).downgrade(db)
    assert one(db, "medici_transactions", 0) == documents[0] | {"satsAmount": 21, "memo": "new"}
    assert one(db, "medici_transactions", 1) == documents[1]


# #23


def test_a_request_id_of_the_application_is_not_renamed_back(db: Database[Document]) -> None:
    ledger = db["medici_transactions"]
    ledger.insert_many([{"_id": 1, "new_address_request_id": "a", "request_id": "b"}, {"_id": 2, "request_id": "c"}])
    file(23).upgrade(db)
    assert all_of(db, "medici_transactions") == [{"_id": 1, "request_id": "a"}, {"_id": 2, "request_id": "c"}]
    ledger.insert_one({"_id": 3, "request_id": "d"})
    file(23).downgrade(db)
    assert all_of(db, "medici_transactions") == [
        {"_id": 1, "new_address_request_id": "a", "request_id": "b"},
        {"_id": 2, "request_id": "c"},
        {"_id": 3, "request_id": "d"},
    ]


# #24 and #31: settings of an account


@pytest.mark.parametrize(("number", "field"), [(24, "depositFeeRatio"), (31, "withdrawFee")])
def test_a_setting_that_the_application_wrote_since_stays(db: Database[Document], number: int, field: str) -> None:
    db["accounts"].insert_many([{"_id": 1, field: 2000}, {"_id": 2, field: None}, {"_id": 3}])
    file(number).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1}, {"_id": 2}, {"_id": 3}]
    db["accounts"].update_one({"_id": 1}, {"$set": {field: 5}})
    file(number).downgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1, field: 5}, {"_id": 2, field: None}, {"_id": 3}]


# #25


def test_an_ip_becomes_a_document_with_null_for_what_is_missing(db: Database[Document]) -> None:
    db["accounts"].insert_one({"_id": 1, "lastIPs": [{"_id": ObjectId(), "ip": "10.0.0.1", "proxy": True}, "10.0.0.2"]})
    file(25).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1}]
    [row] = all_of(db, "accountips")
    assert isinstance(row.pop("_id"), ObjectId)
    nothing = dict.fromkeys(("provider", "country", "isoCode", "region", "city", "Type", "asn"), None)
    assert row == {
        "ip": "10.0.0.1",
        "metadata": nothing | {"proxy": True},
        "firstConnection": None,
        "lastConnection": None,
        "_accountId": 1,
    }


def test_an_ip_that_came_after_a_stop_is_moved_too(db: Database[Document], wire: Wire) -> None:
    """The second run makes documents for what is new, and none again for what it had planned or inserted."""
    from pymongo import MongoClient

    first, second = {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}
    client: MongoClient[Document]
    with MongoClient(wire.uri) as client:
        for write in range(1, 12):
            db.client.drop_database(db.name)
            db["accounts"].insert_one({"_id": 1, "lastIPs": [first, first]})
            wire.cut_at(write)
            try:
                file(25).upgrade(client[db.name])
            except OperationFailure:
                wire.mend()
            else:
                wire.mend()
                assert write > 6
                return
            db["accounts"].update_one({"_id": 1, "lastIPs": {"$exists": True}}, {"$push": {"lastIPs": second}})
            was_there = db["accounts"].count_documents({"lastIPs": second})
            file(25).upgrade(db)
            ips = sorted(row["ip"] for row in all_of(db, "accountips"))
            assert ips == ["10.0.0.1", "10.0.0.1"] + ["10.0.0.2"] * was_there, f"cut at {write}"


def test_a_run_of_the_original_that_was_stopped_is_finished(db: Database[Document]) -> None:
    """It had inserted one of two, and not yet removed the list."""
    db["accounts"].insert_one({"_id": 1, "lastIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]})
    db["accountips"].insert_one({"_id": 1, "_accountId": 1, "ip": "10.0.0.1"})
    file(25).upgrade(db)
    assert sorted(row["ip"] for row in all_of(db, "accountips")) == ["10.0.0.1", "10.0.0.2"]
    file(25).downgrade(db)
    assert all_of(db, "accountips") == [{"_id": 1, "_accountId": 1, "ip": "10.0.0.1"}]


def test_an_ip_that_the_application_noted_since_stays(db: Database[Document]) -> None:
    account = {"_id": 1, "lastIPs": [{"ip": "10.0.0.1"}], "lastConnection": WHEN.replace(tzinfo=None)}
    db["accounts"].insert_one(account)
    file(25).upgrade(db)
    db["accountips"].insert_one({"_id": 1, "accountId": "x", "ip": "10.0.0.9"})
    file(25).downgrade(db)
    assert all_of(db, "accountips") == [{"_id": 1, "accountId": "x", "ip": "10.0.0.9"}]
    assert all_of(db, "accounts") == [account]


# #26


def test_a_deleted_phone_closes_the_account_of_its_user_and_no_other(db: Database[Document]) -> None:
    db["users"].insert_many([{"_id": 1, "userId": "u", "deletedPhone": "+1"}, {"_id": 2, "deletedPhone": "+2"}])
    db["accounts"].insert_many([{"_id": 1, "role": "dealer"}, {"_id": 2, "kratosUserId": "u"}])
    file(26).upgrade(db)
    assert all_of(db, "users") == [
        {"_id": 1, "userId": "u", "deletedPhones": ["+1"]},
        {"_id": 2, "deletedPhones": ["+2"]},
    ]
    dealer, closed = all_of(db, "accounts")
    assert dealer == {"_id": 1, "role": "dealer"}
    [entry] = closed["statusHistory"]
    assert (entry["status"], entry["comment"]) == ("closed", "Account closed via migration")
    assert isinstance(entry["updatedAt"], datetime)


@pytest.mark.parametrize("history", [None, [], "active", [{"status": "new"}]])
def test_closing_adds_to_a_history_and_reopening_takes_out_only_that(db: Database[Document], history: Any) -> None:
    db["users"].insert_one({"_id": 1, "userId": "u", "deletedPhone": "+1", "deletedPhones": ["+0"]})
    db["accounts"].insert_one({"_id": 1, "kratosUserId": "u", "statusHistory": history})
    file(26).upgrade(db)
    assert one(db, "users", 1)["deletedPhones"] == ["+0", "+1"]
    before = history if isinstance(history, list) else []
    assert [entry["status"] for entry in one(db, "accounts", 1)["statusHistory"]] == [
        *(entry["status"] for entry in before),
        "closed",
    ]
    db["accounts"].update_one({"_id": 1}, {"$push": {"statusHistory": {"status": "active"}}})
    file(26).downgrade(db)
    assert one(db, "accounts", 1)["statusHistory"] == [*before, {"status": "active"}]
    assert one(db, "users", 1) == {"_id": 1, "userId": "u", "deletedPhone": "+1", "deletedPhones": ["+0"]}


# #27


@pytest.mark.parametrize(
    ("key", "uuid"),
    [
        ("60f5c1e2a1b2c3d4e5f60718", "b9b31804-c7c3-549f-8352-8894b142e519"),
        ("000000000000000000000001", "39fa391c-dbbe-531e-8003-2f1be951dcba"),
        ("5fc2f1d9a3b4c5d6e7f80912", "1e16af8d-7323-5fd9-8bc5-6185c98e20d7"),
        ("63a1b2c3d4e5f60718293a4b", "14b573b2-b13d-5128-a694-c5a4b1ac5196"),
    ],
)
def test_an_account_without_uuid_gets_the_id_that_the_facts_give(db: Database[Document], key: str, uuid: str) -> None:
    db["accounts"].insert_one({"_id": ObjectId(key)})
    file(27).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": ObjectId(key), "id": uuid}]


def test_an_account_keeps_its_id_else_takes_its_uuid(db: Database[Document]) -> None:
    accounts = [{"_id": 1, "id": "mine", "uuid": "other"}, {"_id": 2, "uuid": "aaaa-uuid"}]
    db["accounts"].insert_many(accounts)
    file(27).upgrade(db)
    file(27).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1, "id": "mine"}, {"_id": 2, "id": "aaaa-uuid"}]
    file(27).downgrade(db)
    assert all_of(db, "accounts") == accounts


# #28


def test_the_id_of_the_account_is_noted_in_wallets_and_ips(db: Database[Document]) -> None:
    db["accounts"].insert_many([{"_id": 1, "id": "a"}, {"_id": 2}])
    rows: list[Document] = [
        {"_id": 1, "_accountId": 1},
        {"_id": 2, "_accountId": 2, "accountId": "old"},
        {"_id": 3, "_accountId": 9},
    ]
    for collection in ("wallets", "accountips"):
        db[collection].insert_many(rows)
    file(28).upgrade(db)
    for collection in ("wallets", "accountips"):
        assert all_of(db, collection) == [{"_id": 1, "_accountId": 1, "accountId": "a"}, *rows[1:]]
    db["wallets"].update_one({"_id": 1}, {"$set": {"accountId": "by the application"}})
    file(28).downgrade(db)
    assert all_of(db, "wallets") == [{"_id": 1, "_accountId": 1, "accountId": "by the application"}, *rows[1:]]
    assert all_of(db, "accountips") == rows


# #29


def test_every_wrong_spelling_of_a_list_is_put_right_and_nothing_else(db: Database[Document]) -> None:
    wrong, right = "moneySocialAggrement", "moneySocialAgreement"
    accounts: list[Document] = [{"_id": 1, "earn": [wrong, "sat", wrong, [wrong]]}, {"_id": 2, "earn": wrong}]
    db["accounts"].insert_many(accounts)
    file(29).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1, "earn": [right, "sat", right, [wrong]]}, accounts[1]]
    db["accounts"].update_one({"_id": 1}, {"$push": {"earn": "new"}})
    file(29).downgrade(db)
    assert one(db, "accounts", 1)["earn"] == [right, "sat", right, [wrong], "new"]


# #30


def test_only_invoices_that_were_marked_here_are_unmarked(db: Database[Document]) -> None:
    db["invoiceusers"].insert_many([{"_id": "a"}, {"_id": "b", "processingCompleted": None}, {"_id": "c"}])
    file(30).upgrade(db)
    assert [invoice["processingCompleted"] for invoice in all_of(db, "invoiceusers")] == [True, None, True]
    db["invoiceusers"].update_one({"_id": "c"}, {"$set": {"processingCompleted": False}})
    db["invoiceusers"].insert_one({"_id": "d", "processingCompleted": True})
    file(30).downgrade(db)
    assert all_of(db, "invoiceusers") == [
        {"_id": "a"},
        {"_id": "b", "processingCompleted": None},
        {"_id": "c", "processingCompleted": False},
        {"_id": "d", "processingCompleted": True},
    ]


# #32 and #33


def test_each_thing_earned_becomes_one_quiz(db: Database[Document]) -> None:
    db["accounts"].insert_many(
        [
            {"_id": 1, "id": "a", "earn": ["sat", "sat", "coin"]},
            {"_id": 2, "id": "b", "earn": "sat"},
            {"_id": 3, "earn": ["sat"]},
        ]
    )
    db["quizzes"].insert_one({"_id": 1, "accountId": "a", "quizId": "coin"})
    file(32).upgrade(db)
    pairs = sorted((quiz["accountId"], quiz["quizId"]) for quiz in all_of(db, "quizzes"))
    assert pairs == [("a", "coin"), ("a", "sat")]
    new = db["quizzes"].find_one({"quizId": "sat"})
    assert new is not None
    assert new.keys() == {"_id", "accountId", "quizId", "createdAt"}
    db["quizzes"].insert_one({"_id": 2, "accountId": "c", "quizId": "sat"})
    file(32).downgrade(db)
    assert [quiz["_id"] for quiz in all_of(db, "quizzes")] == [1, 2]


def test_what_was_earned_comes_back_in_its_order_with_its_duplicates(db: Database[Document]) -> None:
    account = {"_id": 1, "id": "a", "earn": ["sat", "coin", "sat"]}
    db["accounts"].insert_one(account)
    db["quizzes"].insert_one({"_id": 1, "createAt": 1, "createdAt": 2})
    file(33).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1, "id": "a"}]
    assert all_of(db, "quizzes") == [{"_id": 1, "createdAt": 1}]
    file(33).downgrade(db)
    assert all_of(db, "accounts") == [account]
    assert all_of(db, "quizzes") == [{"_id": 1, "createAt": 1, "createdAt": 2}]


# #34 and #35


def test_only_a_shop_on_the_globe_becomes_a_merchant(db: Database[Document]) -> None:
    good: list[tuple[Any, Any]] = [(13, -89), (90, 180), (-90.0, -180.0)]
    bad: list[tuple[Any, Any]] = [(91, 0), (0, 181), (None, 1), ("1", 2), (float("nan"), 0), (True, 0)]
    db["accounts"].insert_many(
        {"_id": n, "title": "Shop", "coordinates": {"latitude": latitude, "longitude": longitude}}
        for n, (latitude, longitude) in enumerate(good + bad)
    )
    file(34).upgrade(db)
    places = [merchant["location"]["coordinates"] for merchant in all_of(db, "merchants")]
    assert places == [[longitude, latitude] for latitude, longitude in good]
    assert "2dsphere" in db["merchants"].index_information()["location_2dsphere"]["key"][0]


def test_a_merchant_has_what_the_account_had(db: Database[Document]) -> None:
    here = {"latitude": 13.5, "longitude": -89.4}
    db["accounts"].insert_many(
        [
            {"_id": 1, "title": "Shop", "coordinates": here, "username": "ann", "created_at": WHEN},
            {"_id": 2, "title": "", "coordinates": here},
            {"_id": 3, "title": "Shop", "coordinates": here, "username": "bob"},
        ]
    )
    db["merchants"].insert_one({"_id": "bob's", "username": "bob"})
    file(34).upgrade(db)
    ann, nameless, bob = all_of(db, "merchants")
    where = {"type": "Point", "coordinates": [-89.4, 13.5]}
    ids = {ann.pop("id"), nameless.pop("id")}
    assert {value[14] for value in ids} == {"4"}
    assert len(ids) == 2
    when = WHEN.replace(tzinfo=None)
    assert ann == {
        "_id": 1,
        "username": "ann",
        "title": "Shop",
        "location": where,
        "createdAt": when,
        "validated": True,
    }
    assert nameless == {"_id": 2, "title": "", "location": where, "validated": True}
    assert bob == {"_id": "bob's", "username": "bob"}


def test_a_shop_that_became_no_merchant_comes_back_whole(db: Database[Document]) -> None:
    accounts: list[Document] = [
        {"_id": 1, "title": "Shop"},
        {"_id": 2, "coordinates": {"latitude": 99}},
        {"_id": 3, "title": None},
    ]
    db["accounts"].insert_many(accounts)
    file(34).upgrade(db)
    file(35).upgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1}, {"_id": 2}, {"_id": 3}]
    assert all_of(db, "merchants") == []
    db["accounts"].update_one({"_id": 1}, {"$set": {"title": "New shop"}})
    file(35).downgrade(db)
    assert all_of(db, "accounts") == [{"_id": 1, "title": "New shop"}, *accounts[1:]]


# #36 and #38


def test_invoices_marked_by_another_run_stay_marked(db: Database[Document]) -> None:
    marked = {
        "_id": "a",
        "externalId": "a",
        "migratedExternalId": True,
        "accountId": "x",
        "migratedAccountId": True,
        "walletId": "w",
    }
    db["wallets"].insert_one({"_id": 1, "id": "w", "accountId": "x"})
    db["invoiceusers"].insert_many([marked, {"_id": "b", "walletId": "w"}])
    file(36).upgrade(db)
    file(38).upgrade(db)
    assert all_of(db, "invoiceusers") == [marked, marked | {"_id": "b", "externalId": "b"}]
    file(38).downgrade(db)
    file(36).downgrade(db)
    assert all_of(db, "invoiceusers") == [marked, {"_id": "b", "walletId": "w"}]


def test_an_external_id_of_the_application_stays(db: Database[Document]) -> None:
    db["invoiceusers"].insert_many([{"_id": "a"}, {"_id": "b", "externalId": None}, {"_id": "c"}])
    file(36).upgrade(db)
    assert [invoice["externalId"] for invoice in all_of(db, "invoiceusers")] == ["a", None, "c"]
    db["invoiceusers"].update_one({"_id": "c"}, {"$set": {"externalId": "order"}})
    file(36).downgrade(db)
    assert all_of(db, "invoiceusers") == [
        {"_id": "a"},
        {"_id": "b", "externalId": None},
        {"_id": "c", "externalId": "order", "migratedExternalId": True},
    ]


def test_an_invoice_gets_an_account_only_from_a_wallet_that_has_one(db: Database[Document]) -> None:
    db["wallets"].insert_many(
        [{"_id": 1, "id": "w", "accountId": "x"}, {"_id": 2, "id": "bare"}, {"_id": 3, "accountId": "nobody's"}]
    )
    invoices: list[Document] = [
        {"_id": "a", "walletId": "w"},
        {"_id": "b", "walletId": "bare"},
        {"_id": "c", "walletId": "unknown"},
        {"_id": "d"},
        {"_id": "e", "walletId": None},
        {"_id": "f", "walletId": "w", "accountId": None},
    ]
    db["invoiceusers"].insert_many(invoices)
    file(38).upgrade(db)
    assert all_of(db, "invoiceusers") == [
        invoices[0] | {"accountId": "x", "migratedAccountId": True},
        *invoices[1:],
    ]


# #37


def test_the_old_indexes_of_the_ledger_come_back_with_their_options(db: Database[Document]) -> None:
    """Whatever their options were: their definitions are kept, not guessed from their names."""
    ledger = db["medici_transactions"]
    ledger.create_index([("datetime", -1), ("timestamp", -1)], sparse=True)
    ledger.create_index([("account_path.0", 1), ("book", 1)])
    ledger.create_index([("book", 1), ("accounts", 1), ("datetime", -1)], sparse=True)
    before = ledger.index_information()
    file(37).upgrade(db)
    assert {name: index["key"] for name, index in ledger.index_information().items()} == {
        "_id_": [("_id", 1)],
        "book_1_accounts_1_datetime_-1": [("book", 1), ("accounts", 1), ("datetime", -1)],
        "book_1_account_path.0_1_account_path.1_1_account_path.2_1_datetime_-1": [
            ("book", 1),
            ("account_path.0", 1),
            ("account_path.1", 1),
            ("account_path.2", 1),
            ("datetime", -1),
        ],
    }
    assert "sparse" not in ledger.index_information()["book_1_accounts_1_datetime_-1"]
    file(37).downgrade(db)
    assert ledger.index_information() == before


def test_an_index_with_the_wanted_key_under_another_name_is_what_was_wanted(db: Database[Document]) -> None:
    ledger = db["medici_transactions"]
    ledger.create_index([("book", 1), ("accounts", 1), ("datetime", -1)], name="by hand")
    before = ledger.index_information()
    for _ in range(2):
        file(37).upgrade(db)
        assert set(ledger.index_information()) == {
            "_id_",
            "by hand",
            "book_1_account_path.0_1_account_path.1_1_account_path.2_1_datetime_-1",
        }
    file(37).downgrade(db)
    assert ledger.index_information() == before


def test_an_index_with_the_wanted_key_and_other_options_is_not_what_was_wanted(db: Database[Document]) -> None:
    ledger = db["medici_transactions"]
    ledger.create_index([("book", 1), ("accounts", 1), ("datetime", -1)], name="by hand", sparse=True)
    before = ledger.index_information()
    file(37).upgrade(db)
    assert {"by hand", "book_1_accounts_1_datetime_-1"} < set(ledger.index_information())
    file(37).downgrade(db)
    assert ledger.index_information() == before
