"""What is special about the migrations #1 to #19. What all migrations promise is in `test_every_file`."""

from __future__ import annotations

import logging
import math
import uuid
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from dataops.stash.mongo import StashRefused
from tests.migrations.mongo.history import Document, Snapshot, file, state

LEDGER = "medici_transactions"


@pytest.fixture
def empty(db: Database[Document]) -> Database[Document]:
    Snapshot({}, {}).restore(db)
    return db


def docs(db: Database[Document], collection: str) -> list[Document]:
    return list(db[collection].find(sort=[("_id", 1)]))


def column(db: Database[Document], collection: str, field: str) -> list[Any]:
    """The field of every document in order of `_id`; `...` where it is absent."""
    return [document.get(field, ...) for document in docs(db, collection)]


def fill(db: Database[Document], collection: str, *documents: Document) -> None:
    """Insert, with `_id`s 1, 2, 3... where there is none; `...` stands for an absent field."""
    numbered = [{"_id": i, **document} for i, document in enumerate(documents, 1)]
    db[collection].insert_many([{k: v for k, v in document.items() if v is not ...} for document in numbered])


# #1 add-wallet-public-id


def test_01_only_users_without_an_id_get_one_and_each_its_own(empty: Database[Document]) -> None:
    fill(empty, "users", {}, {"walletPublicId": None}, {"walletPublicId": "known"}, {"walletPublicId": [None]})
    file(1).upgrade(empty)
    one, two, *others = column(empty, "users", "walletPublicId")
    assert [uuid.UUID(one).version, uuid.UUID(two).version] == [4, 4]
    assert one != two
    assert others == ["known", [None]]


def test_01_rollback_keeps_an_id_that_the_application_has_written(empty: Database[Document]) -> None:
    fill(empty, "users", {}, {})
    file(1).upgrade(empty)
    empty["users"].update_one({"_id": 1}, {"$set": {"walletPublicId": "the application's"}})
    empty["users"].insert_one({"_id": 3, "walletPublicId": "new user's"})
    file(1).downgrade(empty)
    assert column(empty, "users", "walletPublicId") == ["the application's", ..., "new user's"]


# #2 coordinate-to-coordinates


def test_02_newer_coordinates_are_not_overwritten_on_any_run(empty: Database[Document]) -> None:
    old, new = {"latitude": 1}, {"latitude": 2}
    fill(empty, "users", {"coordinate": old}, {"coordinate": old, "coordinates": new}, {"coordinate": None})
    file(2).upgrade(empty)
    assert column(empty, "users", "coordinates") == [old, new, None]
    empty["users"].update_one({"_id": 1}, {"$set": {"coordinates": new}})
    file(2).upgrade(empty)
    file(2).downgrade(empty)
    assert column(empty, "users", "coordinates") == [new, new, ...]


# #3 use-walletid-for-ledger


def test_03_the_ledger_names_wallets_and_remembers_users(empty: Database[Document]) -> None:
    owner, nobody = ObjectId(), ObjectId()
    path = ["Liabilities", str(owner)]
    fill(empty, "users", {"_id": owner, "walletPublicId": "w"}, {"_id": nobody})
    fill(
        empty,
        LEDGER,
        {"account_path": path, "accounts": ":".join(path)},
        {"account_path": ["Liabilities", str(nobody)], "accounts": f"Liabilities:{nobody}"},
        {"account_path": ["Assets", "Reserve"], "accounts": "Assets:Reserve"},
    )
    fill(empty, "invoiceusers", {"uid": str(owner)}, {"uid": str(nobody)}, {"uid": None})
    file(3).upgrade(empty)
    assert docs(empty, LEDGER) == [
        {
            "_id": 1,
            "account_path": ["Liabilities", "w"],
            "accounts": "Liabilities:w",
            "account_path_old_userid": path,
            "accounts_old_userid": ":".join(path),
        },
        {
            "_id": 2,
            "account_path": ["Liabilities", str(nobody)],
            "accounts": f"Liabilities:{nobody}",
            "account_path_old_userid": ["Liabilities", str(nobody)],
            "accounts_old_userid": f"Liabilities:{nobody}",
        },
        {"_id": 3, "account_path": ["Assets", "Reserve"], "accounts": "Assets:Reserve"},
    ]
    assert column(empty, "invoiceusers", "walletId") == ["w", ..., ...]


@pytest.mark.parametrize(
    ("number", "text"), [(5, "5"), (Int64(5_000_000_000), "5000000000"), (7.0, "7"), (Decimal128("12"), "12")]
)
def test_03_users_whose_id_is_a_number_are_booked_by_that_number(
    empty: Database[Document], number: Any, text: str
) -> None:
    fill(empty, "users", {"_id": number, "walletPublicId": "w"})
    entry = {"_id": 1, "account_path": ["Liabilities", text], "accounts": f"Liabilities:{text}"}
    fill(empty, LEDGER, entry)
    fill(empty, "invoiceusers", {"uid": text}, {"uid": text + "0"})
    before = state(empty)
    file(3).upgrade(empty)
    assert column(empty, LEDGER, "accounts") == ["Liabilities:w"]
    assert column(empty, LEDGER, "accounts_old_userid") == [entry["accounts"]]
    assert column(empty, "invoiceusers", "walletId") == ["w", ...]
    file(3).downgrade(empty)
    now = state(empty)
    assert {name: now[name]["documents"] for name in (LEDGER, "invoiceusers")} == {
        name: before[name]["documents"] for name in (LEDGER, "invoiceusers")
    }


def test_03_rollback_leaves_new_entries_alone(empty: Database[Document]) -> None:
    owner = ObjectId()
    path = ["Liabilities", str(owner)]
    fill(empty, "users", {"_id": owner, "walletPublicId": "w"})
    fill(empty, LEDGER, {"account_path": path, "accounts": ":".join(path)})
    file(3).upgrade(empty)
    new = {"_id": 2, "account_path": ["Liabilities", "w"], "accounts": "Liabilities:w"}
    empty[LEDGER].insert_one(new)
    file(3).downgrade(empty)
    assert docs(empty, LEDGER) == [{"_id": 1, "account_path": path, "accounts": ":".join(path)}, new]


# #4 separate-wallet-collection


def test_04_one_wallet_for_each_user_with_a_wallet_id(empty: Database[Document]) -> None:
    addresses = [{"pubkey": "p", "address": "a"}]
    fill(empty, "users", {"walletId": "w1", "onchain": addresses}, {"walletId": "w2"}, {"walletId": "w3"}, {})
    fill(empty, "wallets", {"_id": "old", "id": "w3"})
    for _ in range(2):
        file(4).upgrade(empty)
        assert docs(empty, "wallets") == [
            {"_id": 1, "id": "w1", "_accountId": 1, "type": "checking", "currency": "BTC", "onchain": addresses},
            {"_id": 2, "id": "w2", "_accountId": 2, "type": "checking", "currency": "BTC", "onchain": []},
            {"_id": "old", "id": "w3"},
        ]
    assert column(empty, "users", "defaultWalletId") == ["w1", "w2", "w3", ...]


def test_04_rollback_loses_no_address_and_no_wallet_of_the_application(empty: Database[Document]) -> None:
    """#5 too: the addresses of a wallet go back to its user, across both."""
    old, new = {"pubkey": "p", "address": "old"}, {"pubkey": "p", "address": "new"}
    fill(empty, "users", {"walletId": "w1", "onchain": [old]}, {"walletId": "w2"}, {"walletId": "w3", "onchain": None})
    for number in (4, 5):
        file(number).upgrade(empty)
    empty["wallets"].update_many({"_id": {"$lt": 3}}, {"$push": {"onchain": new}})
    empty["wallets"].insert_one({"_id": ObjectId(), "_accountId": 1, "currency": "USD"})
    for number in (5, 4):
        file(number).downgrade(empty)
    assert column(empty, "users", "onchain") == [[old, new], [new], None]
    assert column(empty, "wallets", "currency") == ["USD"]


# #6 add-default-currency-walletinvoices


@pytest.mark.parametrize("clash", ["two new users", "a new user and one of before", "the same id again"])
def test_05_rollback_refuses_before_it_changes_anything_where_the_index_cannot_be_built(
    empty: Database[Document], clash: str
) -> None:
    """walletId_1 was unique and not sparse: of all users one may be without a walletId."""
    users: list[Document] = [{"walletId": "w"}, {"walletId": "v"} if clash == "two new users" else {"onchain": []}]
    fill(empty, "users", *users)
    empty["users"].create_index("walletId", unique=True)
    file(5).upgrade(empty)
    new: list[Document] = [{"_id": 11, "walletId": "w"}] if clash == "the same id again" else [{"_id": 11}]
    fill(empty, "users", *new, *([{"_id": 12}] if clash == "two new users" else []))
    before = state(empty)
    with pytest.raises(StashRefused, match="walletId_1 was unique and not sparse"):
        file(5).downgrade(empty)
    assert state(empty) == before
    for document in new:
        empty["users"].delete_one({"_id": document["_id"]})
    file(5).downgrade(empty)
    assert empty["users"].index_information()["walletId_1"]["unique"] is True
    assert {document["_id"] for document in docs(empty, "users")} == {1, 2} | (
        {12} if clash == "two new users" else set()
    )


@pytest.mark.parametrize("options", [{"unique": True, "sparse": True}, {}], ids=["unique and sparse", "neither"])
def test_05_rollback_builds_an_index_that_allows_users_without(empty: Database[Document], options: Document) -> None:
    fill(empty, "users", {"walletId": "w"})
    empty["users"].create_index("walletId", **options)
    index = empty["users"].index_information()["walletId_1"]
    file(5).upgrade(empty)
    fill(empty, "users", {"_id": 11}, {"_id": 12})
    file(5).downgrade(empty)
    assert column(empty, "users", "walletId") == ["w", ..., ...]
    assert empty["users"].index_information()["walletId_1"] == index


def test_06_invoices_in_dollars_stay_in_dollars(empty: Database[Document]) -> None:
    fill(empty, "invoiceusers", {}, {"currency": "USD"}, {"currency": None}, {})
    file(6).upgrade(empty)
    assert column(empty, "invoiceusers", "currency") == ["BTC", "USD", "BTC", "BTC"]
    empty["invoiceusers"].update_one({"_id": 4}, {"$set": {"currency": "USD"}})
    file(6).downgrade(empty)
    assert column(empty, "invoiceusers", "currency") == [..., "USD", None, "USD"]


# #7 bootstrap_accounts


def test_07_three_accounts_and_four_wallets_once(empty: Database[Document]) -> None:
    for _ in range(2):
        file(7).upgrade(empty)
        users, wallets = docs(empty, "users"), docs(empty, "wallets")
        assert [user["role"] for user in users] == ["dealer", "funder", "bankowner"]
        assert users[0]["phone"] == "+1928282918"
        assert all(user["phone"].startswith("+abc") for user in users[1:])
        assert [(w["currency"], users.index(_owner(users, w))) for w in wallets] == [
            ("BTC", 0),
            ("USD", 0),
            ("BTC", 1),
            ("BTC", 2),
        ]
        assert [user["defaultWalletId"] for user in users] == [w["id"] for w in wallets if w["currency"] == "BTC"]
        assert {k: v for k, v in wallets[0].items() if k in {"__v", "type", "onchain"}} == {
            "__v": 0,
            "type": "checking",
            "onchain": [],
        }


def _owner(users: list[Document], wallet: Document) -> Document:
    return next(user for user in users if user["_id"] == wallet["_accountId"])


def test_07_users_and_wallets_that_are_there_are_taken(empty: Database[Document]) -> None:
    fill(empty, "users", {"role": "dealer"}, {"role": "dealer"}, {"role": "funder", "defaultWalletId": None})
    fill(empty, "wallets", {"_accountId": 1, "currency": "BTC", "id": "w"})
    before = state(empty)
    file(7).upgrade(empty)
    assert column(empty, "users", "defaultWalletId")[:3] == ["w", ..., None]
    assert empty["users"].count_documents({}) == 4
    assert empty["wallets"].count_documents({"_accountId": 1}) == 2
    file(7).downgrade(empty)
    assert state(empty) == before


def test_07_rollback_leaves_a_wallet_that_is_used_and_its_user(empty: Database[Document]) -> None:
    file(7).upgrade(empty)
    funder = empty["users"].find_one({"role": "funder"})
    assert funder is not None
    empty[LEDGER].insert_one({"accounts": f"Liabilities:{funder['defaultWalletId']}"})
    file(7).downgrade(empty)
    assert docs(empty, "users") == [funder]
    assert column(empty, "wallets", "id") == [funder["defaultWalletId"]]


# #8 add-kratos-user-id


@pytest.mark.parametrize("options", [None, {}, {"unique": True}, {"sparse": True}])
def test_08_whatever_index_was_there_two_users_may_be_without_a_phone(
    empty: Database[Document], options: Document | None
) -> None:
    fill(empty, "users", {"phone": "+1"}, {"phone": None})
    if options is not None:
        empty["users"].create_index("phone", **options)
    before = state(empty)
    file(8).upgrade(empty)
    assert empty["users"].index_information()["phone_1"] == {
        "v": 2,
        "key": [("phone", 1)],
        "unique": True,
        "sparse": True,
    }
    empty["users"].insert_many([{"_id": 3}, {"_id": 4}])
    empty["users"].delete_many({"_id": {"$in": [3, 4]}})
    file(8).downgrade(empty)
    assert state(empty) == before


def test_08_a_duplicate_phone_is_an_error_and_nothing_has_changed(empty: Database[Document]) -> None:
    fill(empty, "users", {"phone": "+1"}, {"phone": "+1"}, {"phone": None})
    empty["users"].create_index("phone")
    before = state(empty, stash=False)
    with pytest.raises(DuplicateKeyError, match=r"\+1"):
        file(8).upgrade(empty)
    assert state(empty, stash=False) == before


# #9 fix-lnpayments-millisats


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", Int64(0)),
        ("-7", Int64(-7)),
        (" 1000 ", Int64(1000)),
        ("2147483648", Int64(2147483648)),
        ("9223372036854775807", Int64(2**63 - 1)),
        ("9223372036854775808", 2.0**63),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("", ""),
        ("0x10", "0x10"),
        ("NaN", "NaN"),
        ("12 000", "12 000"),
    ],
)
def test_09_text_that_is_a_number_becomes_one(empty: Database[Document], text: str, number: Any) -> None:
    fill(empty, "lnpayments", {"milliSatsAmount": text})
    file(9).upgrade(empty)
    [found] = column(empty, "lnpayments", "milliSatsAmount")
    assert (type(found), found) == (type(number), number)
    file(9).downgrade(empty)
    assert column(empty, "lnpayments", "milliSatsAmount") == [text]


def test_09_what_stays_text_is_told(empty: Database[Document], caplog: pytest.LogCaptureFixture) -> None:
    fill(empty, "lnpayments", {"milliSatsAmount": "1"}, {"milliSatsAmount": "many"}, {"milliSatsAmount": ""})
    with caplog.at_level(logging.WARNING):
        file(9).upgrade(empty)
    assert [record.getMessage()[:21] for record in caplog.records] == ["2 lightning payments "]


# #10 add-status-history


def test_10_a_history_begins_with_the_status_and_an_existing_one_stays(empty: Database[Document]) -> None:
    mine = [{"status": "new"}]
    fill(empty, "users", {"status": "active"}, {}, {"status": "active", "statusHistory": mine}, {"statusHistory": []})
    file(10).upgrade(empty)
    assert column(empty, "users", "statusHistory") == [
        [{"status": "active", "comment": "Imported Status"}],
        [{"status": None, "comment": "Imported Status"}],
        mine,
        [],
    ]


def test_10_rollback_keeps_a_history_that_has_gone_on(empty: Database[Document]) -> None:
    fill(empty, "users", {"status": "active"}, {"status": "active"})
    file(10).upgrade(empty)
    empty["users"].update_one({"_id": 1}, {"$push": {"statusHistory": {"status": "locked"}}})
    file(10).downgrade(empty)
    histories = column(empty, "users", "statusHistory")
    assert ([entry["status"] for entry in histories[0]], histories[1]) == (["active", "locked"], ...)


# #11 add-sats-amount-prop-to-payments

AMOUNTS = ("satsAmount", "satsFee", "centsAmount", "centsFee", "displayAmount", "displayFee", "displayCurrency")


def amounts(document: Document) -> tuple[Any, ...]:
    return tuple(document.get(field, ...) for field in AMOUNTS)


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"debit": 1010, "fee": 10, "usd": 1.235, "feeUsd": 0.015}, (1000, 10, 122, 2)),
        ({"debit": 10, "fee": 0, "usd": 0.005, "feeUsd": 0}, (10, 0, 1, 0)),
        ({"debit": 10, "fee": 0, "usd": -0.025, "feeUsd": 0.025}, (10, 0, -5, 3)),
        ({"debit": 100.5, "fee": 0}, (100.5, 0, 0, 0)),
        ({"debit": 1010.0, "fee": 10.0, "usd": None}, (1000, 10.0, 0, 0)),
        ({"debit": 10}, (None, None, 0, 0)),
        ({"debit": 10, "fee": "1", "usd": "0.29", "feeUsd": "none"}, (None, "1", 29, 0)),
        ({"debit": Int64(5_000_000_000), "fee": 0, "usd": 3e7}, (5_000_000_000, 0, 3_000_000_000, 0)),
    ],
)
def test_11_amounts_in_the_formulas_of_the_facts(
    empty: Database[Document], entry: Document, wanted: tuple[Any, ...]
) -> None:
    fill(empty, LEDGER, {"type": "payment", "hash": "h", **entry}, {"type": "fee", "hash": "h"})
    file(11).upgrade(empty)
    sats, fee, cents, cents_fee = wanted
    assert [amounts(d) for d in docs(empty, LEDGER)] == [(sats, fee, cents, cents_fee, cents, cents_fee, "USD")] * 2


def test_11_whole_amounts_are_stored_as_integers(empty: Database[Document]) -> None:
    fill(empty, LEDGER, {"type": "payment", "hash": "h", "debit": 1010.0, "fee": 10, "usd": 1.0, "feeUsd": 0.5})
    file(11).upgrade(empty)
    [entry] = docs(empty, LEDGER)
    assert [type(value) for value in amounts(entry)] == [int] * 6 + [str]


def test_11_complete_entries_are_not_touched(empty: Database[Document]) -> None:
    euros = dict(zip(AMOUNTS, (7, 1, 8, 2, 9, 3, "EUR"), strict=True))
    payment = {"type": "payment", "hash": "h", "debit": 20, "fee": 5, "usd": 1.0, "feeUsd": 0}
    fill(empty, LEDGER, payment, payment | euros, {"type": "fee", "hash": "h"} | euros)
    file(11).upgrade(empty)
    assert [amounts(d) for d in docs(empty, LEDGER)] == [
        (15, 5, 100, 0, 100, 0, "USD"),
        tuple(euros.values()),
        tuple(euros.values()),
    ]


def test_11_sats_are_preferred_to_cents_and_no_hash_joins_nothing(empty: Database[Document]) -> None:
    payment = {"type": "payment", "fee": 0}
    fill(
        empty,
        LEDGER,
        payment | {"hash": "h", "currency": "USD", "debit": 41},
        payment | {"hash": "h", "currency": "BTC", "debit": 1000},
        payment | {"hash": "", "debit": 5},
        payment | {"debit": 6},
        {"type": "fee", "hash": ""},
        {"type": "fee"},
    )
    file(11).upgrade(empty)
    assert column(empty, LEDGER, "satsAmount") == [1000, 1000, 5, 6, ..., ...]
    assert column(empty, LEDGER, "displayCurrency") == ["USD", "USD", ..., ..., ..., ...]


def test_11_rollback_removes_only_what_was_written_here(empty: Database[Document]) -> None:
    fill(empty, LEDGER, {"type": "payment", "hash": "h", "debit": 10, "fee": 0}, {"type": "fee", "hash": "h"})
    file(11).upgrade(empty)
    empty[LEDGER].update_one({"_id": 2}, {"$set": {"satsAmount": 3}})
    empty[LEDGER].insert_one({"_id": 3, "type": "payment", "hash": "new", "satsAmount": 4})
    file(11).downgrade(empty)
    assert column(empty, LEDGER, "satsAmount") == [..., 3, 4]
    assert column(empty, LEDGER, "satsFee") == [..., ..., ...]


# #12 fix-reimburse-amounts


def reimbursement(**fields: Any) -> Document:
    return {"type": "fee_reimbursement", "hash": "h", "currency": "BTC", "debit": 0, "credit": 5, "usd": 0.29} | fields


def test_12_the_amounts_are_those_of_the_reimbursement(empty: Database[Document]) -> None:
    fill(
        empty,
        LEDGER,
        {"type": "payment", "hash": "h", "satsAmount": 1000},
        reimbursement(debit=5, credit=0, satsAmount=1000, displayCurrency="USD"),
        reimbursement(),
    )
    file(12).upgrade(empty)
    assert [amounts(d) for d in docs(empty, LEDGER)] == [
        (1000, ..., ..., ..., ..., ..., ...),
        (5, 0, 28, 0, 28, 0, "USD"),
        (5, 0, 28, 0, 28, 0, ...),
    ]


def test_12_each_journal_keeps_its_own_amounts(empty: Database[Document]) -> None:
    """The third has no entry of its own to go by: the first of the hash has to do."""
    fill(
        empty,
        LEDGER,
        reimbursement(_journal=1),
        reimbursement(_journal=2, credit=9, usd=1),
        reimbursement(_journal=3, debit=1),
        reimbursement(hash=..., credit=3),
        reimbursement(hash="", credit=4),
    )
    file(12).upgrade(empty)
    assert column(empty, LEDGER, "satsAmount") == [5, 9, 5, 3, 4]


@pytest.mark.parametrize(
    "odd", [{"usd": ...}, {"usd": None}, {"usd": math.nan}, {"usd": "cheap"}, {"credit": ...}, {"debit": None}]
)
def test_12_nothing_to_go_by_changes_nothing(empty: Database[Document], odd: Document) -> None:
    fill(empty, LEDGER, reimbursement(satsAmount=7) | odd)
    file(12).upgrade(empty)
    assert amounts(docs(empty, LEDGER)[0]) == (7, ..., ..., ..., ..., ..., ...)


# #13 update-contact-enabled


def test_13_contacts_come_back_unless_there_are_new_ones(empty: Database[Document]) -> None:
    ann, bob = [{"id": "ann"}], [{"id": "bob"}]
    fill(empty, "users", *({"role": role, "contacts": ann} for role in ("dealer", "funder", "user")))
    file(13).upgrade(empty)
    assert column(empty, "users", "contacts") == [[], [], ann]
    assert column(empty, "users", "contactEnabled") == [False, False, ...]
    empty["users"].update_one({"_id": 1}, {"$set": {"contacts": bob}})
    file(13).downgrade(empty)
    assert column(empty, "users", "contacts") == [bob, ann, ann]
    assert column(empty, "users", "contactEnabled") == [..., ..., ...]


# #14 add-self-trade-type


@pytest.mark.parametrize(
    ("kind", "lines", "wanted"),
    [
        ("on_us", "ann-btc ann-usd", "self_trade"),
        ("ln_on_us", "ann-btc ann-usd dealer-btc dealer-usd", "ln_self_trade"),
        ("onchain_on_us", "ann-btc ann-usd Assets:x", "onchain_self_trade"),
        ("on_us", "ann-btc bob-usd", "on_us"),
        ("on_us", "ann-btc unknown-usd", "on_us"),
        ("on_us", "ann-usd ann-usd", "on_us"),
        ("on_us", "ann-btc ann-usd ann2-btc", "on_us"),
        ("on_us", "ann-btc ann2-btc", "on_us"),
        ("on_us", "dealer-btc dealer-usd", "on_us"),
        ("xx_on_us_yy", "ann-btc ann-usd", "xx_on_us_yy"),
    ],
)
def test_14_what_is_a_trade_with_oneself(empty: Database[Document], kind: str, lines: str, wanted: str) -> None:
    fill(empty, "users", {"_id": "ann"}, {"_id": "bob"}, {"_id": "dealer", "role": "dealer"})
    wallets = ("ann-btc", "ann-usd", "ann2-btc", "bob-usd", "dealer-btc", "dealer-usd")
    fill(empty, "wallets", *({"id": w, "_accountId": w.split("-")[0].rstrip("2")} for w in wallets))
    accounts = [line if ":" in line else f"Liabilities:{line}" for line in lines.split()]
    entries = [{"_journal": 1, "type": kind, "accounts": a, "currency": a[-3:].upper()} for a in accounts]
    fill(empty, LEDGER, *entries, {"_journal": 1, "type": "fee", "accounts": "Revenue", "currency": "BTC"})
    file(14).upgrade(empty)
    changed = wanted != kind
    assert column(empty, LEDGER, "type") == [wanted] * len(accounts) + [wanted if changed else "fee"]
    assert column(empty, LEDGER, "type_old") == [kind if changed else ...] * len(accounts) + ["fee" if changed else ...]


def test_14_a_leg_without_a_currency_is_in_a_currency_of_its_own(empty: Database[Document]) -> None:
    fill(empty, "wallets", {"id": "a", "_accountId": "ann"}, {"id": "b", "_accountId": "ann"})
    for journal, currency in ((1, ...), (2, None), (3, "BTC"), (4, "USD")):
        one = {"_id": 2 * journal, "type": "on_us", "_journal": journal, "accounts": "Liabilities:a", "currency": "USD"}
        other = {**one, "_id": 2 * journal + 1, "accounts": "Liabilities:b", "currency": currency}
        fill(empty, LEDGER, one, other)
    before = state(empty)
    file(14).upgrade(empty)
    assert column(empty, LEDGER, "type") == ["self_trade"] * 6 + ["on_us"] * 2
    file(14).downgrade(empty)
    assert state(empty) == before


def test_14_entries_without_a_journal_belong_to_none(empty: Database[Document]) -> None:
    fill(empty, "wallets", {"id": "b", "_accountId": 1}, {"id": "u", "_accountId": 1})
    fill(
        empty,
        LEDGER,
        {"type": "on_us", "currency": "USD", "accounts": "Liabilities:u"},
        {"type": "on_us", "currency": "BTC", "accounts": "Liabilities:b", "_journal": None},
    )
    file(14).upgrade(empty)
    assert column(empty, LEDGER, "type") == ["on_us", "on_us"]


# #15 users-to-account


def test_15_an_empty_target_gives_way_and_comes_back(empty: Database[Document]) -> None:
    fill(empty, "users", {"phone": "+1"})
    empty["users"].create_index("phone", unique=True)
    empty["accounts"].create_index("id")
    before = state(empty)
    file(15).upgrade(empty)
    assert column(empty, "accounts", "phone") == ["+1"]
    assert set(empty["accounts"].index_information()) == {"_id_", "phone_1"}
    file(15).downgrade(empty)
    assert state(empty) == before


@pytest.mark.parametrize("users", [False, True])
def test_15_accounts_that_are_there_already_are_left_alone(empty: Database[Document], users: bool) -> None:
    fill(empty, "accounts", {"phone": "+1"})
    if users:
        empty.create_collection("users")
    before = state(empty)
    file(15).upgrade(empty)
    file(15).downgrade(empty)
    assert state(empty) == before


def test_15_two_collections_with_documents_are_an_error_and_nothing_changes(empty: Database[Document]) -> None:
    fill(empty, "users", {})
    fill(empty, "accounts", {})
    before = state(empty)
    with pytest.raises(RuntimeError, match="nothing was renamed"):
        file(15).upgrade(empty)
    assert state(empty) == before


def test_15_rollback_does_not_bury_new_users(empty: Database[Document]) -> None:
    fill(empty, "users", {})
    file(15).upgrade(empty)
    fill(empty, "users", {"userId": "new"})
    before = state(empty)
    with pytest.raises(RuntimeError, match="not renamed back"):
        file(15).downgrade(empty)
    assert state(empty) == before


# #16, #17 users-migration


def test_16_one_user_for_each_account_that_logs_in(empty: Database[Document]) -> None:
    full = {"phone": "+1", "twilio": {"a": 1}, "language": "de", "deviceToken": ["t"], "created_at": 5}
    fill(
        empty,
        "accounts",
        {"kratosUserId": "k1", **full},
        {"kratosUserId": "k2", "phone": None},
        {"kratosUserId": "k2", "phone": "+2"},
        {"phone": "+3"},
        {"phone": "+4", "role": "dealer"},
        {"kratosUserId": "k5", "phone": "+5"},
        {"kratosUserId": "k6", "phone": "+6"},
        {"kratosUserId": "", "phone": "+8", "role": "funder"},
        {"kratosUserId": "", "phone": "+9", "role": "user"},
    )
    fill(empty, "users", {"_id": "a", "userId": "k5"}, {"_id": "b", "phone": "+6"})
    for _ in range(2):
        file(16).upgrade(empty)
        assert docs(empty, "users") == [
            {
                "_id": 1,
                "userId": "k1",
                "phone": "+1",
                "phoneMetadata": {"a": 1},
                "language": "de",
                "deviceTokens": ["t"],
                "createdAt": 5,
            },
            {"_id": 2, "userId": "k2"},
            {"_id": 5, "phone": "+4"},
            {"_id": 8, "phone": "+8"},
            {"_id": "a", "userId": "k5"},
            {"_id": "b", "phone": "+6"},
        ]


def test_16_rollback_takes_back_what_users_have_changed_since(empty: Database[Document]) -> None:
    """#17 too: across both, the phone of today ends in the account."""
    fill(
        empty,
        "accounts",
        {"kratosUserId": "k1", "phone": "+1", "language": "de"},
        {"kratosUserId": "k2", "phone": None, "language": None},
        {"kratosUserId": "k3", "phone": "+3"},
        {"phone": "+4", "language": "en"},
    )
    for number in (16, 17):
        file(number).upgrade(empty)
    assert column(empty, "accounts", "phone") == [..., ..., ..., ...]
    empty["users"].update_one({"_id": 1}, {"$set": {"phone": "+11"}})
    empty["users"].update_one({"_id": 3}, {"$unset": {"phone": ""}})
    empty["users"].insert_one({"_id": "new", "userId": "k9"})
    for number in (17, 16):
        file(number).downgrade(empty)
    assert column(empty, "accounts", "phone") == ["+11", None, ..., "+4"]
    assert column(empty, "accounts", "language") == ["de", None, ..., "en"]
    assert column(empty, "users", "userId") == ["k9"]


# #18 remove-phone-code


def test_18_the_codes_come_back_with_their_indexes(empty: Database[Document]) -> None:
    fill(empty, "phonecodes", {"phone": "+1", "code": 1})
    empty["phonecodes"].create_index("created_at", expireAfterSeconds=300)
    before = state(empty)
    file(18).upgrade(empty)
    assert "phonecodes" not in empty.list_collection_names()
    file(18).downgrade(empty)
    assert state(empty) == before


# #19 fix-onchain-send-usd


@pytest.mark.parametrize(
    ("cents", "fee", "usd"),
    [
        (100, 23, 1.23),
        (12, 0.5, 0.12),  # half to even
        (37, 0.5, 0.38),
        (2, Int64(3), 0.05),
        (None, 3, 9.99),
        (..., 3, 9.99),
        ("5", 3, 9.99),
    ],
)
def test_19_usd_is_what_the_cents_say(empty: Database[Document], cents: Any, fee: Any, usd: float) -> None:
    fill(empty, LEDGER, {"type": "onchain_payment", "centsAmount": cents, "centsFee": fee, "usd": 9.99})
    file(19).upgrade(empty)
    assert column(empty, LEDGER, "usd") == [usd]
    file(19).downgrade(empty)
    assert column(empty, LEDGER, "usd") == [9.99]


def test_19_rollback_keeps_a_newer_usd(empty: Database[Document]) -> None:
    fill(empty, LEDGER, {"type": "onchain_payment", "centsAmount": 1, "centsFee": 1, "usd": 9.99})
    file(19).upgrade(empty)
    empty[LEDGER].update_one({}, {"$set": {"usd": 3.0}})
    file(19).downgrade(empty)
    assert column(empty, LEDGER, "usd") == [3.0]
