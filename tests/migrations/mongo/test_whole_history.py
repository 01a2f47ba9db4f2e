"""All 38 MongoDB migrations, one after the other: there, back, and what an empty database becomes."""

from __future__ import annotations

import pytest
from pymongo.database import Database

from tests.migrations.mongo.history import STASH, Document, State, assert_same, data, files, insert, like, state
from tests.seed import odd_shapes, seed


@pytest.mark.parametrize("wallets", [True, False], ids=["with early wallets", "without wallets"])
def test_the_whole_history_there_and_back_is_the_beginning(mongo_db: Database[Document], wallets: bool) -> None:
    """On a replica set, as in production; the very documents and indexes, and nothing put aside."""
    seed(mongo_db, 16, wallets=wallets)
    before = state(mongo_db)
    for file in files():
        file.upgrade(mongo_db)
    once = state(mongo_db)
    for file in reversed(files()):
        file.downgrade(mongo_db)
    assert_same(state(mongo_db), before)
    for file in files():
        file.upgrade(mongo_db)
    assert_same(like(state(mongo_db), before), like(once, before))


def test_each_step_back_is_the_state_before_it(mongo_standalone_db: Database[Document]) -> None:
    """On a standalone, with odd shapes that come as history goes: they go again on the way back.

    o1 -- 1 -- o2 -- 2 -- ... -- 38, and back: what 2 leaves is what o2 made, then o2 goes, and 1 can be undone
    """
    db = mongo_standalone_db
    seed(db, 16)
    befores: list[tuple[State, set[str]]] = []
    for file in files():
        there = set(db.list_collection_names())
        insert(db, odd_shapes(file.number))
        befores.append((state(db), set(db.list_collection_names()) - there))
        file.upgrade(db)
    for file in reversed(files()):
        before, made = befores.pop()
        file.downgrade(db)
        assert_same(state(db), before, f"after the rollback of {file.name}")
        for name, documents in odd_shapes(file.number).items():
            db[name].delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
        for name in made:
            db.drop_collection(name)


def test_an_empty_database_becomes_the_one_of_the_facts(mongo_standalone_db: Database[Document]) -> None:
    """Three accounts with four wallets and their users; a user has the phone, and no null for what is missing."""
    db = mongo_standalone_db
    for file in files():
        file.upgrade(db)
    left = data(state(db))
    counts = {name: len(collection["documents"]) for name, collection in left.items()}
    assert counts == {
        "accounts": 3,
        "wallets": 4,
        "users": 3,
        "quizzes": 0,
        "merchants": 0,
        "medici_transactions": 0,
    }
    quizzes = db["quizzes"].index_information()
    assert quizzes.keys() == {"_id_", "accountId_1_quizId_1"}
    assert quizzes["accountId_1_quizId_1"]["unique"] is True
    assert db["merchants"].index_information().keys() == {"_id_", "location_2dsphere"}
    assert db["medici_transactions"].index_information().keys() == {
        "_id_",
        "book_1_accounts_1_datetime_-1",
        "book_1_account_path.0_1_account_path.1_1_account_path.2_1_datetime_-1",
    }
    phones = []
    for user in db["users"].find():
        assert user.keys() == {"_id", "phone", "createdAt"}
        phones.append(user["phone"])
    assert "+1928282918" in phones
    accounts = list(db["accounts"].find())
    assert {account["role"] for account in accounts} == {"dealer", "funder", "bankowner"}
    for account in accounts:
        assert account.keys() == {
            "_id",
            "role",
            "created_at",
            "defaultWalletId",
            "statusHistory",
            "contactEnabled",
            "contacts",
            "id",
        }
        assert account["statusHistory"] == [{"status": None, "comment": "Imported Status"}]
        assert (account["contactEnabled"], account["contacts"]) == (False, [])
        wallets = list(db["wallets"].find({"_accountId": account["_id"]}, sort=[("currency", 1)]))
        currencies = ["BTC", "USD"] if account["role"] == "dealer" else ["BTC"]
        assert [wallet["currency"] for wallet in wallets] == currencies
        assert account["defaultWalletId"] == wallets[0]["id"]
        for wallet in wallets:
            assert wallet.keys() == {"_id", "_accountId", "accountId", "currency", "id", "__v", "type", "onchain"}
            assert wallet["accountId"] == account["id"]
            assert (wallet["__v"], wallet["type"], wallet["onchain"]) == (0, "checking", [])


def test_what_is_put_aside_lies_beside_the_data(mongo_standalone_db: Database[Document]) -> None:
    """Every collection that the history adds, beyond the data, has the prefix by which `dataops stash` knows it."""
    seed(mongo_standalone_db, 16)
    before = set(mongo_standalone_db.list_collection_names())
    for file in files():
        file.upgrade(mongo_standalone_db)
    new = set(mongo_standalone_db.list_collection_names()) - before
    assert {name for name in new if not name.startswith(STASH)} == {
        "accounts",
        "accountips",
        "quizzes",
        "merchants",
    }
