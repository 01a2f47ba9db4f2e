"""What a MongoDB migration does, read without running it: each rule with files that break it and files that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.samples import lint_mongo, mongo_file, told


def found(tmp_path: Path, upgrade: str, downgrade: str = "pass", more: str = "") -> list[str]:
    return told(lint_mongo(tmp_path, mongo_file(upgrade, downgrade, more=more)))


BREAKS = {
    "M001": [
        "rows = list(db.users.find())",
        "rows = list(db['users'].find({'role': 'dealer'}))",
        "rows = sorted(db.users.find({}, {'n': 1}).sort('_id', 1), key=len)",
        "ids = [user['_id'] for user in db.users.find({'role': {'$in': ['a', 'b']}})]",
        "ids = {user['_id'] for user in db.users.find()}",
        "by_id = {user['_id']: user for user in db.users.find()}",
        "ids = set(user['_id'] for user in db.users.find())",
        "rows = [*db.users.find()]",
        "print(*db.users.find())",
        "rows = db.users.find().to_list()",
        "rows = list(db.users.aggregate([{'$match': {}}]))",
        "cursor = db.get_collection('users').find(); rows = list(cursor)",
        "users = db.users; rows = list(users.with_options().find().batch_size(10))",
        "with db.users.find() as cursor: rows = tuple(cursor)",
        "rows = []; \nfor user in db.users.find(): rows.append(user)",
        "rows = {}; \nfor user in track(db.users.find()): rows[user['_id']] = user",
        "todo = []; \nfor user in db.users.find(): todo.append(UpdateOne({'_id': user['_id']}, {'$set': user}))",
        "if (rows := list(db.users.find())): pass",
        "for user in list(db.users.find()): pass",
    ],
    "M002": [
        "for user in db.users.find(): db.users.update_one({'_id': user['_id']}, {'$set': {'a': 1}})",
        "for user in db['users'].find({'a': None}).sort('_id', 1):\n    db['users'].replace_one({'_id': 1}, {})",
        "for user in track(db.users.find()): db.others.insert_one(user)",
        "for at, user in enumerate(db.users.find()): db.others.insert_one(user)",
        "users = db.users; found = users.find(); \nfor user in found: users.update_many({'a': 1}, {'$set': {'b': 1}})",
        "for batch in batches(db, 'users', {}, []):\n"
        "    for user in batch:\n"
        "        db.users.update_one({'_id': user['_id']}, {'$set': {'a': 1}})",
        "done = any(db.users.update_one({'_id': u['_id']}, {'$set': {'a': 1}}) for u in db.users.find())",
        "while user := db.users.find_one({'a': None}): db.users.update_one({'_id': user['_id']}, {'$set': {'a': 1}})",
        "while True:\n"
        "    rows = list(db.users.find({'a': None}).limit(100))\n"
        "    for row in rows:\n"
        "        db.users.update_one({'_id': row['_id']}, {'$set': {'a': 1}})",
        "for user in db.users.aggregate([{'$match': {}}]): db.users.update_one({'_id': 1}, {'$set': {'a': 1}})",
        "for user in db.users.find():\n    if user['a']:\n        db.users.update_one({'_id': 1}, {'$set': {'a': 1}})",
        "with applying(db, name) as stash:\n    for user in db.users.find(): stash.add('users', [user])",
    ],
    "M003": [
        "db.users.create_index('phone', unique=True)",
        "db['users'].create_index([('phone', 1)], name='phone_1', unique=True, sparse=True)",
        "db.users.create_indexes([IndexModel([('phone', 1)], unique=True)])",
        "db.command('createIndexes', 'users', indexes=[{'key': {'phone': 1}, 'name': 'p', 'unique': True}])",
        "with applying(db, name) as stash:\n    stash.create_index('users', 'phone_1', {'phone': 1}, unique=True)",
        "with applying(db, name) as stash:\n    stash.create_indexes('u', {'a_1': {'key': {'a': 1}, 'unique': True}})",
        "try:\n    db.users.create_index('phone', unique=True)\nexcept KeyError:\n    raise",
    ],
    "M004": [
        "db.users.update_many({}, {'$inc': {'balance': 1}})",
        "db.users.update_many({'role': 'dealer'}, {'$push': {'tags': 'new'}})",
        "db.users.update_one({'_id': 1}, {'$mul': {'balance': 100}})",
        "db.users.find_one_and_update({'_id': 1}, {'$pop': {'tags': 1}})",
        "CHANGE = {'$inc': {'n': 1}}\nASKED = {'a': 1}\ndb.users.update_many(ASKED, CHANGE)",
        "db.users.bulk_write([UpdateOne({'_id': 1}, {'$inc': {'n': 1}})])",
        "db.users.update_many({}, [{'$set': {'n': {'$add': ['$n', 1]}}}])",
        "db.users.update_many({'a': 1}, [{'$addFields': {'tags': {'$concatArrays': ['$tags', ['new']]}}}])",
        "db.users.update_many(filter={}, update={'$inc': {'n': 1}})",
        "for user in db.users.find(): db.users.update_one({'_id': user['_id']}, {'$inc': {'version': 1}})",
        "db.users.update_many({'$or': [{'a': 1}, {'b': None}]}, {'$push': {'c': 1}})",
    ],
    "M005": [
        "db.users.drop()",
        "db['users'].drop()",
        "db.drop_collection('users')",
        "db.users.delete_many({'a': 1})",
        "db.users.update_many({}, {'$unset': {'phone': ''}})",
        "db.users.update_many({}, [{'$unset': 'phone'}])",
        "db.users.update_many({}, [{'$set': {'a': 1}}, {'$unset': ['phone', 'name']}])",
        "db.users.update_many({}, {'$unset': dict.fromkeys(['a', 'b'], '')})",
        "db.users.drop_index('phone_1')",
        "db.users.drop_indexes()",
        "db.users.bulk_write([UpdateMany({}, {'$unset': {'a': ''}})])",
        "db.users.aggregate([{'$merge': {'into': 'users', 'whenMatched': [{'$unset': 'phone'}]}}])",
        "with applying(db, name) as stash:\n"
        "    stash.keep('users', {}, ['name'])\n"
        "    db.users.update_many({}, {'$unset': {'phone': ''}})",
        "with applying(db, name) as stash:\n    stash.merge('a', [], 'users', [{'$unset': 'phone'}])",
        "with applying(db, name) as stash:\n    stash.keep('accounts', {})\n    db.users.drop()",
        "with applying(db, name) as stash:\n    stash.keep('users', {}, ['phone'])\n    db.users.drop()",
        "with applying(db, name) as stash:\n"
        "    db.users.update_many({}, {'$unset': {'phone': ''}})\n"
        "    stash.keep('users', {}, ['phone'])",
    ],
    "M006": [
        "db.users.aggregate([{'$match': {}}, {'$out': 'users'}])",
        "db.users.aggregate([{'$match': {}}, {'$out': {'db': 'other', 'coll': 'users'}}])",
    ],
    "M007": [
        "db.users.rename('accounts', dropTarget=True)",
        "db.users.rename('accounts')",
        "db.client.admin.command('x'); users = db['users']; users.rename('accounts')",
        "db.command('renameCollection', 'galoy.users', to='galoy.accounts', dropTarget=True)",
    ],
    "M008": [
        "db.sessions.create_index('at', expireAfterSeconds=3600)",
        "db.sessions.create_indexes([IndexModel('at', expireAfterSeconds=3600)])",
        "db.command({'collMod': 'sessions', 'index': {'name': 'at_1', 'expireAfterSeconds': 60}})",
        "with applying(db, name) as stash:\n    stash.create_index('s', 'at_1', {'at': 1}, expireAfterSeconds=60)",
    ],
    "M009": [
        "db.users.update_many({'a': None}, {'$set': {'a': 1}})\ndb.invoices.create_index('at')",
        "with applying(db, name) as stash:\n    stash.copy('a', [], 'b')\n    stash.merge('c', [], 'd', 'merge')",
        "with applying(db, name) as stash:\n    db.users.insert_one({})\n    stash.create_index('b', 'c_1', {'c': 1})",
    ],
    "M011": [
        "db.dataops_journal.drop()",
        "db['pymongo_migrate'].delete_many({})",
        "record = db.get_collection('pymongo_migrate')\nrecord.update_one({}, {'$set': {'a': 1}})",
        "db.drop_collection('dataops_lock')",
        "db.drop_collection(db.dataops_lock)",
        "for old in ('a', 'dataops_journal'): db[old].drop()",
        "db.dataops_journal.create_index('run')",
        "db.pymongo_migrate.rename('old')",
        "db.users.rename('pymongo_migrate', dropTarget=True)",
        "db.users.aggregate([{'$out': 'pymongo_migrate'}])",
        "db.users.aggregate([{'$merge': {'into': 'dataops_journal'}}])",
        "db.command('drop', 'dataops_journal')",
        "db.command({'delete': 'pymongo_migrate', 'deletes': []})",
        "db.client.admin.command('x'); db.command('renameCollection', 'a.pymongo_migrate', to='a.b')",
        "db.command('dropDatabase')",
        "db.command({'dropDatabase': 1})",
        "db.client.drop_database(db.name)",
        "db.client.drop_database(db)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in BREAKS.items() for text in texts])
def test_a_migration_that_breaks_a_rule_is_found(tmp_path: Path, code: str, text: str) -> None:
    assert {one.partition(":")[0] for one in found(tmp_path, text)} >= {code}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BREAKS["M001"][0], ["M001:10"]),
        (BREAKS["M001"][14], ["M001:11"]),
        (BREAKS["M002"][0], ["M002:10"]),
        (BREAKS["M002"][5], ["M002:12"]),
        (BREAKS["M005"][12], ["M005:12"]),
        ("for user in list(db.users.find()):\n    db.users.update_one({}, {'$set': {'a': 1}})", ["M001:10", "M002:11"]),
    ],
)
def test_a_finding_says_where_and_nothing_else_is_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert found(tmp_path, text) == expected


FINE = [
    # reading
    "for user in db.users.find(): print(user)",
    "rows = list(db.users.find().limit(10))",
    "rows = list(db.users.find({}, limit=10))",
    "rows = list(db.users.find({'_id': 1}))",
    "rows = list(db.users.find({'_id': {'$in': [1, 2]}}))",
    "for batch in batches(db, 'users', {}, []): rows = list(db.b.find({'user': {'$in': [u['_id'] for u in batch]}}))",
    "for user in db.users.find(): rows = list(db.wallets.find({'user': user['_id']}))",
    "[total] = list(db.users.aggregate([{'$match': {}}, {'$count': 'n'}]))",
    "total = sum(user['n'] for user in db.users.find())",
    "names = list(db.list_collection_names()); text = list('abc'); here = 'a'.find('b')",
    "with applying(db, name) as stash:\n    for batch in track(batches(db, 'users', {}, [])):\n"
    "        stash.add('users', [{'_id': user['_id']} for user in batch])",
    # batches by hand
    "rows = []\nfor user in db.users.find():\n    rows.append(InsertOne(user))\n    if len(rows) == 1000:\n"
    "        db.others.bulk_write(rows)\n        rows = []",
    "ids = []\nfor user in db.users.find():\n    ids.append(user['_id'])\n    if len(ids) >= 1000:\n"
    "        db.users.update_many({'_id': {'$in': ids}}, {'$set': {'a': 1}})\n        ids.clear()",
    # writing
    "for role in ('dealer', 'funder'): db.users.update_one({'role': role}, {'$set': {'a': 1}}, upsert=True)",
    "for role, money in {'a': 1}.items(): db.users.insert_one({'_id': role})",
    "for user in db.users.find({'_id': {'$in': [1, 2, 3]}}): db.users.update_one({'_id': 1}, {'$set': {'a': 1}})",
    "for batch in batches(db, 'users', {}, []): db.others.insert_many(batch)",
    "for batch in batches(db, 'users', {}, []):\n    db.users.bulk_write([UpdateOne({'_id': u['_id']}, {'$set': u})"
    " for u in batch])",
    "db.users.update_many({'a': None}, {'$set': {'a': 1}})",
    # unique indexes
    "db.users.create_index('phone')",
    "db.users.create_index('phone', unique=False)",
    "twice = list(db.users.aggregate([{'$group': {'_id': '$phone', 'n': {'$sum': 1}}}, {'$match': {'n': {'$gt': 1}}},"
    " {'$limit': 5}]))\nif twice: raise RuntimeError\ndb.users.create_index('phone', unique=True)",
    "try:\n    db.users.create_index('phone', unique=True)\nexcept errors.DuplicateKeyError:\n    raise",
    "db.create_collection('quizzes')\ndb.quizzes.create_index('id', unique=True)",
    # a second run
    "db.users.update_many({'moved': {'$ne': True}}, {'$inc': {'n': 1}, '$set': {'moved': True}})",
    "db.users.update_many({'tags': {'$ne': 'new'}}, {'$push': {'tags': 'new'}})",
    "db.users.update_one({'_id': 1, 'version': 3}, {'$inc': {'version': 1}})",
    "db.users.update_many({}, {'$addToSet': {'tags': 'new'}})",
    "db.users.update_many({'$expr': {'$lt': ['$n', 1]}}, {'$inc': {'n': 1}})",
    "db.users.update_many({}, [{'$set': {'n': {'$add': ['$m', 1]}}}])",
    "db.users.update_many({'old': {'$exists': True}}, [{'$set': {'n': {'$add': ['$n', 1]}, 'old': 1}}])",
    "db.users.update_many(dict([('x', 1)]), {'$inc': {'n': 1}})",
    # throwing away
    "with applying(db, name) as stash:\n    stash.take('users')",
    "with applying(db, name) as stash:\n    stash.drop_index('users', 'phone_1')",
    "with applying(db, name) as stash:\n    stash.keep('users', {})\n    db.users.drop()",
    "with applying(db, name) as stash:\n    stash.keep('users', {}, ['phone', 'name'])\n"
    "    db.users.update_many({}, {'$unset': {'phone': '', 'name.first': ''}})",
    "with applying(db, name) as stash:\n    stash.plan('a', [])\n    db.a.update_many({}, [{'$unset': 'phone'}])",
    "db.users.aggregate([{'$unset': 'phone'}, {'$merge': {'into': 'users', 'whenMatched': 'keepExisting'}}])",
    "db.create_collection('scratch')\ndb.scratch.drop()",
    # what dataops keeps
    "for one in db.pymongo_migrate.find(): print(one)",
    "stats = db.command('collStats', 'dataops_journal'); rows = db.command({'find': 'pymongo_migrate'})",
    "db.client.drop_database('an_old_one')",
    "print(db.dataops_journal.count_documents({}))",
    # renames, expiry
    "if 'accounts' not in db.list_collection_names(): db.users.rename('accounts')",
    "with applying(db, name) as stash:\n    stash.take('accounts')\n    db.users.rename('accounts')",
    "import pathlib; pathlib.Path('a').rename('b')",
    "db.create_collection('sessions')\ndb.sessions.create_index('at', expireAfterSeconds=3600)",
    # one concern
    "db.users.update_many({'a': None}, {'$set': {'a': 1}})\ndb.users.create_index('a')",
    "db.users.aggregate([{'$merge': {'into': 'accounts'}}])\ndb.accounts.create_index('a')\n"
    "db.users.update_many({'a': None}, {'$set': {'a': 1}})",
    "for name in ('a', 'b'): db[name].update_many({'x': None}, {'$set': {'x': 1}})",
    "ids = db.users.distinct('_id')\ndb.wallets.update_many({'user': {'$in': ids}}, {'$set': {'x': 1}})\n"
    "db.users.create_index('x')",
    "with applying(db, name) as stash:\n    stash.copy('a', [], 'b')\n    db.b.update_many({}, {'$set': {'x': 1}})\n"
    "    stash.merge('c', [{'$lookup': {'from': 'b'}}], 'd', 'merge')",
    "with applying(db, name) as stash:\n    stash.plan('wallets', [], 'users')\n    stash.write('wallets')\n"
    "    db.users.create_index('a')",
    # what is no database
    "{}.update({'$inc': 1}); [].append(1); 'text'.find('t')",
]  # fmt: skip


@pytest.mark.parametrize("text", FINE)
def test_a_migration_that_is_fine_is_left_in_peace(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_helpers_of_the_file_are_followed(tmp_path: Path) -> None:
    """Collections, cursors and documents are handed over to functions of the same file, and come back from them."""
    upgrade = """
        users = collection_of(db, "users")
        for user in everybody(users):
            move(db, user)
        remember(users)
    """
    more = """
        def collection_of(db, which):
            return db[which]

        def everybody(collection):
            return collection.find()

        def move(db, user):
            write(db["others"], user)

        def write(target, user):
            target.insert_one(user)

        def remember(where):
            where.update_many({}, {"$inc": {"n": 1}})
    """
    text = mongo_file(upgrade, more=more)
    lines = text.splitlines()
    expected = [f"M002:{lines.index('        move(db, user)') + 1}"]
    at = next(number for number, line in enumerate(lines, 1) if '"$inc"' in line)
    found_here = [one for one in told(lint_mongo(tmp_path, text)) if not one.startswith("M009")]
    assert found_here == [*expected, f"M004:{at}"]


def test_what_only_the_way_back_does_may_throw_away(tmp_path: Path) -> None:
    assert (
        found(tmp_path, "db.create_collection('a')", "db.a.drop()\ndb.b.update_many({}, {'$unset': {'c': ''}})") == []
    )


def test_what_the_way_back_does_twice_is_found(tmp_path: Path) -> None:
    assert found(tmp_path, "pass", "db.a.update_many({}, {'$inc': {'n': -1}})") == ["M004:12"]


def test_a_migration_that_says_it_cannot_be_undone_needs_no_stash(tmp_path: Path) -> None:
    text = mongo_file("db.users.drop()").replace(
        "reversible = True", 'reversible = False\nirreversible_because = "the law says so"'
    )
    assert told(lint_mongo(tmp_path, text)) == []


def test_a_migration_that_does_not_say_repeatable_is_found(tmp_path: Path) -> None:
    """And one that says it is not."""
    text = mongo_file("pass")
    assert told(lint_mongo(tmp_path, text)) == []
    assert told(lint_mongo(tmp_path, text.replace("repeatable = True\n", ""))) == ["M010:8"]
    assert told(lint_mongo(tmp_path, text.replace("repeatable = True\n", "repeatable = False\n"))) == ["M010:9"]


def test_constants_and_dictionaries_made_of_others_are_followed(tmp_path: Path) -> None:
    upgrade = """
        with applying(db, name) as stash:
            stash.keep(USERS, ALL, FIELDS)
            db[USERS].update_many(ALL | {"x": 1}, {"$unset": dict.fromkeys(FIELDS, "")})
            db[USERS].update_many(ALL, {**CHANGE})
    """
    more = """
        USERS, OTHER = "users", "others"
        FIELDS = ("phone", "name")
        ALL = {"kind": "a"}
        CHANGE = {"$unset": {"mail": ""}, "$inc": {"n": 1}}
    """
    assert found(tmp_path, upgrade, more=more) == ["M004:13", "M005:13"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("db.users.insert_one({})\n{}['x']", 11),
        ("db.users.update_many({'a': 1}, {'$set': {'a': 2}})\nimport no_such_module", 11),
        ("for user in db.users.find().limit(5):\n    pass\nno_such_name", 12),
        ("raise RuntimeError", 10),
    ],
)
def test_what_fails_whatever_the_database_answers_is_a_finding(tmp_path: Path, text: str, line: int) -> None:
    report = lint_mongo(tmp_path, mongo_file(text))
    assert [each.line for each in report.findings if each.rule.code == "F001"] == [line]
    assert report.fails


def test_a_file_that_raises_when_it_is_loaded_is_a_finding(tmp_path: Path) -> None:
    assert found(tmp_path, "pass", more="raise SystemExit('run')") == ["F001:13"]


@pytest.mark.parametrize(
    "text",
    [
        "if db.users.find_one({'_id': 1})['n'] != 3:\n    raise RuntimeError",
        "if db.users.update_many({'a': 1}, {'$set': {'a': 2}}).matched_count != 3:\n    raise RuntimeError",
        "print(open('seen', 'w'))",
    ],
)
def test_what_an_answer_might_change_is_none(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_each_call_of_a_helper_is_read_with_what_it_passes(tmp_path: Path) -> None:
    upgrade = """
        everything(db["users"].find())
        everything(db["users"].find().limit(10))
        remove(db, "phone")
    """
    more = """
        def everything(cursor):
            return list(cursor)

        def remove(db, field):
            db["users"].update_many({}, {"$unset": {field: ""}})
    """
    text = mongo_file(upgrade, more=more)
    lines = text.splitlines()
    at = [next(number for number, line in enumerate(lines, 1) if word in line) for word in ("list(", "$unset")]
    assert told(lint_mongo(tmp_path, text)) == [f"M001:{at[0]}", f"M005:{at[1]}"]


def test_what_is_put_aside_or_looked_at_too_late_does_not_count(tmp_path: Path) -> None:
    late = """
        db.users.rename("accounts")
        db.list_collection_names()
        with applying(db, name) as stash:
            db.accounts.update_many({}, {"$unset": {"phone": ""}})
            keep_phones(stash)
    """
    more = 'def keep_phones(stash):\n    stash.keep("accounts", {}, ["phone"])'
    assert found(tmp_path, late, more=more) == ["M007:10", "M005:13"]


def test_functions_that_call_each_other_again_and_again_are_read_in_finite_time(tmp_path: Path) -> None:
    chain = "\n".join(f"def f{n}(db):\n    f{n + 1}(db); f{n + 1}(db); f{n}(db)" for n in range(30))
    assert found(tmp_path, "f0(db)", more=f"{chain}\ndef f30(db): db.users.drop()") == ["M005:73"]
