"""Comparing catalogues, and what tables hold: values in, differences out."""

from __future__ import annotations

from dataops.catalogue import Catalogue, Difference, Differs, as_lent, compare
from dataops.contents import Change, TableDigest
from dataops.contents import compare as compare_contents

MESSAGES = {
    ("table", "messages"): "",
    ("column", "messages.id"): "uuid NOT NULL",
    ("index", "messages.messages_at"): "btree (at)",
}


def told(expected: dict[tuple[str, str], str], found: dict[tuple[str, str], str]) -> list[str]:
    return [str(difference) for difference in compare(Catalogue(expected), Catalogue(found))]


def test_a_catalogue_does_not_differ_from_itself() -> None:
    assert compare(Catalogue(MESSAGES), Catalogue(dict(MESSAGES))) == ()


def test_each_object_is_told_in_one_sentence_and_in_the_order_of_names() -> None:
    found = {**MESSAGES, ("column", "messages.body"): "text", ("column", "messages.id"): "integer NOT NULL"}
    del found["index", "messages.messages_at"]
    assert told(MESSAGES, found) == [
        "column messages.body: here, but not expected (text)",
        "column messages.id: here integer NOT NULL, expected uuid NOT NULL",
        "index messages.messages_at: missing here, expected btree (at)",
    ]


def test_a_definition_that_has_nothing_to_tell_is_called_plain() -> None:
    assert told({("table", "a"): ""}, {("table", "a"): "unlogged"}) == ["table a: here unlogged, expected plain"]
    assert told({("table", "a"): ""}, {}) == ["table a: missing here"]


def test_the_parts_of_a_table_that_is_not_there_are_not_told() -> None:
    assert told(MESSAGES, {}) == ["table messages: missing here"]
    assert told({}, MESSAGES) == ["table messages: here, but not expected"]


def test_names_with_dots_belong_to_what_they_begin_with() -> None:
    parts = {("collection", "a.b"): "", ("index", "a.b.c.d_1"): "(c.d: 1)"}
    assert told(parts, {}) == ["collection a.b: missing here"]


def test_of_an_open_kind_there_may_be_more_but_not_less_and_not_other() -> None:
    expected = Catalogue({("extension", "pgcrypto"): ""}, open=frozenset({"extension"}))
    assert compare(expected, Catalogue({**expected.objects, ("extension", "pg_stat_statements"): ""})) == ()
    assert [str(d) for d in compare(expected, Catalogue({}))] == ["extension pgcrypto: missing here"]


def test_what_is_ignored_is_ignored_with_all_its_parts() -> None:
    lock = {("table", "distributed_lock"): "", ("column", "distributed_lock.mutex"): "text"}
    assert compare(Catalogue({}), Catalogue(lock), ignoring=["distributed_lock"]) == ()
    assert compare(Catalogue(lock), Catalogue({}), ignoring=["distributed_lock"]) == ()
    assert compare(Catalogue({}), Catalogue(lock), ignoring=["distributed"]) != ()


def test_a_schema_that_has_only_what_is_ignored_does_not_count() -> None:
    ops = {("schema", "ops"): "", ("table", "ops.a"): "", ("column", "ops.a.id"): "int"}
    assert compare(Catalogue({}), Catalogue(ops), ignoring=["ops.a"]) == ()
    more = Catalogue({**ops, ("table", "ops.b"): ""})
    told = [one.name for one in compare(Catalogue({}), more, ignoring=["ops.a"])]
    assert told == ["ops", "ops.b"]


def test_of_long_definitions_the_place_where_they_part_is_shown() -> None:
    same = "SELECT " + ", ".join(f"column_{number}" for number in range(60))
    difference = str(Difference(Differs.DIFFERENT, "view", "v", f"{same} FROM old", f"{same} FROM new"))
    assert "FROM new, expected ..." in difference and difference.endswith("FROM old")
    assert len(difference) < 400


def test_what_a_history_leaves_alone_of_a_copy_is_right_as_it_is() -> None:
    """A copy lacks options that may refuse a write."""
    collection, a_1, b_1 = ("collection", "t"), ("index", "t.a_1"), ("index", "t.b_1")
    live = Catalogue({collection: "", a_1: "(a: 1) unique", b_1: "(b: 1)"})
    copy = Catalogue({collection: "", a_1: "(a: 1)", b_1: "(b: 1)"})
    assert compare(as_lent(Catalogue({}), copy, copy), live) == ()
    built = Catalogue({collection: "", a_1: "(a: 1)", b_1: "(b: 1) sparse"})
    assert [str(difference) for difference in compare(as_lent(Catalogue({}), copy, built), live)] == [
        "index t.b_1: here (b: 1), expected (b: 1) sparse"
    ]
    own = Catalogue({("collection", "own"): ""})  # what the history has made itself is expected as it has made it
    assert as_lent(own, own, own).objects == own.objects


def test_the_indexes_of_today_do_not_move_to_another_name() -> None:
    """users (lent, with the index of today) -- renamed --> accounts"""
    users = {("collection", "users"): "", ("index", "users.a_1"): "(a: 1)"}
    accounts = {
        ("collection", "accounts"): "",
        ("index", "accounts.a_1"): "(a: 1)",
        ("index", "accounts.b_1"): "(b: 1)",
    }
    copy, built = Catalogue(users, marks={"users": "1"}), Catalogue(accounts, marks={"accounts": "1"})
    assert as_lent(Catalogue({}), copy, built).objects == {
        ("collection", "accounts"): "",
        ("index", "accounts.b_1"): "(b: 1)",
    }


# --- contents


def held(**each: dict[str, int]) -> TableDigest:
    """Rows by key, few enough to be remembered."""
    fields: dict[str, int] = {}
    for row in each.values():
        for field, digest in row.items():
            fields[field] = fields.get(field, 0) + digest
    return TableDigest("rows", len(each), fields, each)


def changes(expected: TableDigest, found: TableDigest) -> list[str]:
    return [str(change) for change in compare_contents({"t": expected}, {"t": found})]


def test_rows_are_told_by_their_keys_and_values_by_their_columns() -> None:
    before = held(a={"x": 1, "y": 1}, b={"x": 2, "y": 2}, c={"x": 3, "y": 3})
    assert changes(before, before) == []
    assert changes(before, held(a={"x": 1, "y": 9}, b={"x": 2, "y": 8}, d={"x": 3, "y": 3})) == [
        "t: 1 row missing here (c)",
        "t: 1 row here, but not expected (d)",
        "t.y: different in 2 rows (a, b)",
    ]


def test_a_field_that_is_gone_is_different_in_the_rows_that_had_it() -> None:
    assert changes(held(a={"x": 1, "y": 1}, b={"x": 2}), held(a={"x": 1}, b={"x": 2})) == [
        "t.y: different in 1 row (a)"
    ]


def test_of_many_rows_five_are_named() -> None:
    before = held(**{f"r{number}": {"x": number} for number in range(9)})
    after = held(**{f"r{number}": {"x": -number - 1} for number in range(9)})
    assert changes(before, after) == ["t.x: different in 9 rows (r0, r1, r2, r3, r4, ...)"]


def test_of_a_large_table_the_number_is_told_or_else_the_columns() -> None:
    before = TableDigest("rows", 20_000, {"x": 1, "y": 2})
    assert changes(before, TableDigest("rows", 19_999, {"x": 7, "y": 7})) == ["t: 1 row missing here"]
    assert changes(before, TableDigest("rows", 21_000, {"x": 7, "y": 7})) == ["t: 1,000 rows here, but not expected"]
    assert changes(before, TableDigest("rows", 20_000, {"x": 1, "y": 7})) == ["t.y: rows are different"]
    assert changes(before, TableDigest("rows", 20_000, {"x": 1})) == ["t.y: rows are different"]


def test_without_a_key_the_columns_are_told_and_if_none_differs_the_rows() -> None:
    before = TableDigest("rows", 2, {"": 1, "x": 1, "y": 2})
    assert changes(before, TableDigest("rows", 2, {"": 9, "x": 1, "y": 9})) == ["t.y: rows are different"]
    assert changes(before, TableDigest("rows", 2, {"": 9, "x": 1, "y": 2})) == ["t: rows are different"]


def test_where_no_row_can_be_named_the_columns_are_told() -> None:
    """Two documents of one _id, as a time series may have: only one of them is remembered."""
    before, after = ({"a": {"x": 1}} for _ in range(2))
    assert changes(TableDigest("rows", 2, {"x": 3}, before), TableDigest("rows", 2, {"x": 4}, after)) == [
        "t.x: rows are different"
    ]


def test_what_one_side_lacks_altogether_is_not_told_here() -> None:
    assert compare_contents({"t": held(a={"x": 1})}, {}) == ()
    assert compare_contents({}, {"t": held(a={"x": 1})}) == ()


def test_a_change_is_told_with_examples() -> None:
    change = Change(Differs.DIFFERENT, "documents", "users", "phone", 2, ("a", "b"))
    assert str(change) == "users.phone: different in 2 documents (a, b)"
