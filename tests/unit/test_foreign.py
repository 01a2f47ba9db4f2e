"""Another tool's record beside our history: whose row is whose, what adopting it comes to, what stands against it.

No database: records and states as values. In the pictures `a* -- b -- c`, `*` is applied here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.errors import (
    Blocked,
    ConfigError,
    DatabaseAhead,
    DataopsError,
    ExitCode,
    HistoryError,
    InterruptedStep,
    LockNotObtained,
    OutOfOrder,
    PermissionDenied,
    UsageError,
)
from dataops.kinds import POSTGRESQL
from dataops.model import Ahead, Service, State
from dataops.othertools import drift, examine, match, mirror, watch
from dataops.othertools.examine import Adoption, Finding
from dataops.planning import planner
from dataops.toolrecords import Alias, Lookalike, Outcome, ToolAliases, ToolRecord, ToolRow
from tests.unit.sample import NOW, service, state, wanted

HALF, FAILED = Outcome.HALF_DONE, Outcome.FAILED


def row(*names: str, minute: int | None = None, outcome: Outcome = Outcome.APPLIED, checksum: str = "") -> ToolRow:
    at = None if minute is None else NOW + timedelta(minutes=minute)
    return ToolRow(names, at, outcome, checksum)


def record(tool: str, *rows: str | ToolRow, locked: str = "", readable: bool = True) -> ToolRecord:
    """Names become rows, applied a minute each after the one before."""
    made = tuple(row(one, minute=at) if isinstance(one, str) else one for at, one in enumerate(rows))
    return ToolRecord(tool, f"the_table_of_{tool}", made, locked, readable)


def beside(
    picture: str, *records: ToolRecord, said: ToolAliases | None = None, adopted: str = "", **more: Any
) -> State:
    """A state with these records in it. `said` is what adopt.toml has; `adopted`: what is applied was, by that tool."""
    made = state(picture)
    changed = replace(made.service, aliases={said.tool: said} if said else {}, **more)
    applied = tuple(replace(one, adopted=adopted) for one in made.applied)
    return replace(made, service=changed, tool_records=records, applied=applied)


def owners(of: Service, found: ToolRecord) -> tuple[dict[str, list[str]], list[str]]:
    ours, others = match.by_migration(of, found)
    return {id_: [one.name for one in rows] for id_, rows in ours.items()}, [one.name for one in others]


def findings(adoption: Adoption) -> dict[str, str]:
    return {line.name: line.finding.value for line in adoption.lines}


def examined(picture: str, found: ToolRecord, said: ToolAliases | None = None, adopted: str = "") -> Adoption:
    return examine.examine(beside(picture, found, said=said, adopted=adopted), found)


def refused(by: type[DataopsError], what: Callable[[], object]) -> DataopsError:
    """What it refuses with, of exactly that class, naming the service and a way out."""
    with pytest.raises(DataopsError) as caught:
        what()
    assert type(caught.value) is by
    assert caught.value.service == "voucher"
    assert caught.value.hint
    return caught.value


# --- whose row is whose


@pytest.mark.parametrize(
    "name", ["a_b", "a_b.ts", "a_b.js", "a_b.mjs", "a_b.cjs", "a_b.py", "a_b.sql", "a_b.up.sql", "a_b.go", "a_b.xml"]
)
def test_a_name_is_ours_with_and_without_its_extension(name: str) -> None:
    assert owners(service("a_b -- c"), record("knex", name)) == ({"a_b": [name]}, [])


@pytest.mark.parametrize("name", ["a_b.tsx", "a_b.ts.bak", "A_B", "a_b2", "x_a_b", "a", "a_b.sql.ts.x", " a_b", ""])
def test_a_name_that_only_looks_like_ours_is_not(name: str) -> None:
    assert owners(service("a_b -- c"), record("knex", name)) == ({}, [name])


def test_only_one_extension_is_taken_off() -> None:
    """`a.ts.ts` is no file that anybody would have meant by `a`."""
    assert owners(service("a"), record("knex", "a.ts.ts")) == ({}, ["a.ts.ts"])


def test_a_number_is_the_only_file_that_begins_with_it() -> None:
    ours = service("20240101_one -- 20240102_two")
    assert owners(ours, record("sqlx", "20240102", "20240103", "2024010")) == (
        {"20240102_two": ["20240102"]},
        ["20240103", "2024010"],
    )


def test_zeros_before_a_number_do_not_count() -> None:
    """golang-migrate, goose and sqlx have 000012_x.up.sql as 12."""
    ours = service("000001_a -- 000002_b -- 000012_c")
    assert owners(ours, record("sqlx", "1", "12"))[0] == {"000001_a": ["1"], "000012_c": ["12"]}
    assert owners(ours, record("golang-migrate", "2")) == ({"000001_a": ["000001_a"], "000002_b": ["2"]}, [])
    assert owners(service("0_a -- 00_b"), record("sqlx", "0")) == ({}, ["0"])


def test_a_number_with_which_two_files_begin_is_nobodys() -> None:
    ours = service("20240101_one -- 20240101_two -- 20240102_three")
    assert owners(ours, record("sqlx", "20240101", "20240102")) == ({"20240102_three": ["20240102"]}, ["20240101"])


def test_three_files_with_one_number_do_not_make_it_somebodys_again() -> None:
    ours = service("1_a -- 1_b -- 1_c")
    assert owners(ours, record("sqlx", "1")) == ({}, ["1"])


def test_a_file_may_have_another_name_than_its_id() -> None:
    """Alembic: the revision is in the file, and the file's name says more."""
    made = service("20240101")
    named = replace(made, migrations=(replace(made.migrations[0], path=Path("20240101_create_links.py")),))
    assert owners(named, record("knex", "20240101_create_links.mjs")) == (
        {"20240101": ["20240101_create_links.mjs"]},
        [],
    )


def test_adopt_toml_has_the_last_word() -> None:
    said = ToolAliases("knex", migrations={"a": Alias(name="first.ts", also=("erste.ts", "a_old"))}, retired=("z.ts",))
    ours = replace(service("a -- b"), aliases={"knex": said})
    rows = ("first.js", "erste", "a_old.ts", "a.ts", "z.mjs", "b.ts", "y.ts")
    assert owners(ours, record("knex", *rows)) == (
        {"a": ["first.js", "erste", "a_old.ts", "a.ts"], "b": ["b.ts"]},
        ["y.ts"],
    )
    assert owners(ours, record("sqlx", "first.ts")) == ({}, ["first.ts"])  # it speaks of knex only


def test_what_is_retired_is_not_ours_whatever_it_looks_like() -> None:
    ours = replace(service("1_a -- 2_b"), aliases={"sqlx": ToolAliases("sqlx", retired=("1",))})
    assert owners(ours, record("sqlx", "1", "2")) == ({"2_b": ["2"]}, [])


def test_golang_migrate_stands_at_one_number_and_has_all_below() -> None:
    ours = service("1_a -- 2_b -- 3_c -- 10_d")
    assert owners(ours, record("golang-migrate", "3")) == ({"1_a": ["1_a"], "2_b": ["2_b"], "3_c": ["3"]}, [])
    assert owners(ours, record("golang-migrate", "11"))[1] == ["11"]
    assert owners(ours, record("golang-migrate")) == ({}, [])


def test_a_version_with_dots_is_that_of_flyway() -> None:
    """1_2 -- 1_10 -- 1_10_1 -- 2 ; flyway writes 1.2.0 as it is in the name of its file"""
    ours = service("1_2 -- 1_10 -- 1_10_1 -- 2")
    found = record("flyway", row("V1_2_0__a.sql", "1.2.0"), row("V1.10__b.sql", "1.10"), row("X.sql", "1.10.1"))
    assert owners(ours, found) == ({"1_2": ["V1_2_0__a.sql"], "1_10": ["V1.10__b.sql"], "1_10_1": ["X.sql"]}, [])
    assert owners(ours, record("flyway", row("V1.1__b.sql", "1.1")))[1] == ["V1.1__b.sql"]


def test_a_baseline_of_flyway_has_all_up_to_its_version() -> None:
    ours = service("1 -- 1_5 -- 2 -- 3")
    base = replace(row("<< Flyway Baseline >>", "2"), baseline=True)
    assert owners(ours, record("flyway", base, row("V3__c.sql", "3"))) == (
        {"1": ["1"], "1_5": ["1_5"], "2": ["2"], "3": ["V3__c.sql"]},
        [],
    )
    assert owners(ours, record("flyway", replace(base, names=("<< x >>", "0")))) == ({}, [])


def of(group: str, *names: str) -> ToolRow:
    return replace(row(*names), group=group)


SHOP_AND_STOCK = (of("shop", "shop.a", "a"), of("stock", "stock.b", "b"))


def test_whose_migration_a_name_of_django_is_has_to_be_said() -> None:
    """a -- b ; django has shop.a and stock.b"""
    there = record("django", *SHOP_AND_STOCK)
    error = refused(HistoryError, lambda: examine.refuse_unfit(examined("a -- b", there)))
    assert 'app = "' in error.hint and "shop, stock" in error.message
    one = examined("a -- b", there, ToolAliases("django", app="shop"))
    assert findings(one) == {"a": "adopted", "b": "missing there", "stock.b": "retired"}
    examine.refuse_unfit(one)
    whole = {"a": Alias("shop.a"), "b": Alias("stock.b")}
    examine.refuse_unfit(examined("a -- b", there, ToolAliases("django", migrations=whole)))
    examine.refuse_unfit(examined("a -- b", there, ToolAliases("django", retired=("stock.*",))))


def test_an_application_of_which_nothing_is_there_is_a_mistake() -> None:
    """Otherwise every row would be somebody else's, and there would be nothing to adopt."""
    said = ToolAliases("django", app="shpo")
    there = examined("a -- b", record("django", *SHOP_AND_STOCK), said)
    error = refused(HistoryError, lambda: examine.refuse_unfit(there))
    assert 'app = "shpo"' in error.message and "shop, stock" in error.message
    assert 'coexist = ["django"]' in error.hint


def test_a_record_that_adopt_toml_names_and_that_is_not_there_is_told() -> None:
    there = state("a")
    named = replace(there.service, aliases={"knex": ToolAliases("knex", record="ops.stpes")})
    error = refused(HistoryError, lambda: examine.choose(replace(there, service=named), None))
    assert "ops.stpes is the record of knex, and it is not in this database" in error.message
    assert "record under [knex]" in error.hint


def test_of_which_file_a_change_set_of_liquibase_is_has_to_be_said_where_two_have_its_id() -> None:
    """a -- b ; liquibase has a in two files"""
    sets = [of(file, id_, file, f"{file}::{id_}::me") for file, id_ in (("x.xml", "a"), ("y.xml", "a"), ("x.xml", "b"))]
    error = refused(HistoryError, lambda: examine.refuse_unfit(examined("a -- b", record("liquibase", *sets))))
    assert 'file = "x.xml" under [liquibase]' in error.hint
    said = ToolAliases("liquibase", file="x.xml")
    assert [line.finding.value for line in examined("a -- b", record("liquibase", *sets), said).lines] == [
        "adopted",
        "adopted",
        "retired",
    ]
    examine.refuse_unfit(examined("a -- b", record("liquibase", *sets), said))
    examine.refuse_unfit(examined("a -- b", record("liquibase", *sets[1:])))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Lookalike("ops.steps", "knex", True), '[knex] with record = "ops.steps"'),
        (Lookalike("SequelizeMeta", "Umzug (Sequelize)"), "dataops baseline voucher --to REV"),
        (Lookalike("x_version", "Alembic"), 'version_table="x_version"'),
    ],
)
def test_what_looks_like_a_record_is_named_with_what_can_be_done(found: Lookalike, told: str) -> None:
    there = replace(beside("a -- b"), lookalikes=(found,))
    error = refused(HistoryError, lambda: examine.choose(there, None))
    assert (str(found) in error.message, told in error.hint) == (True, True)


def test_any_of_the_names_that_a_tool_gives_a_row_may_be_ours() -> None:
    ours = service("20240101_one")
    assert owners(ours, record("flyway", row("V20240101__one.sql", "20240101")))[0] == {
        "20240101_one": ["V20240101__one.sql"]
    }


# --- one line a migration


def test_what_is_there_is_adopted_and_what_is_newer_is_left() -> None:
    found = examined("a -- b -- c", record("knex", "a.ts", "b.ts"))
    assert findings(found) == {"a": "adopted", "b": "adopted", "c": "missing there"}
    assert [line.name for line in found.to_record] == ["a", "b"]
    assert found.head is not None and found.head.id == "b"
    assert [line.at for line in found.lines] == [NOW, NOW + timedelta(minutes=1), None]
    assert (found.nothing_to_do, found.differences) == (False, ())
    examine.refuse_unfit(found)


def test_the_lines_come_in_the_order_of_our_history_then_what_is_left() -> None:
    said = ToolAliases("knex", retired=("old.ts",))
    found = examined("a -- b -- c", record("knex", "old.ts", "b.ts", "x.ts", "a.ts"), said)
    assert [(line.name, line.finding) for line in found.lines] == [
        ("a", Finding.OUT_OF_ORDER),
        ("b", Finding.ADOPTED),
        ("c", Finding.MISSING),
        ("x.ts", Finding.UNKNOWN),
        ("old.ts", Finding.RETIRED),
    ]


def test_out_of_order_is_what_was_applied_after_a_later_one() -> None:
    """As in Blink's production: `20240112183422` before `20231215145636`."""
    found = examined("a -- b -- c -- d", record("sqlx", "a", "d", "b", "c"))
    assert findings(found) == {"a": "adopted", "b": "out of order", "c": "out of order", "d": "adopted"}
    assert {line.name: line.note for line in found.lines if line.finding is Finding.OUT_OF_ORDER} == {
        "b": "applied there after d",
        "c": "applied there after d",
    }
    assert found.head is not None and found.head.id == "d"
    examine.refuse_unfit(found)


def test_two_of_one_moment_are_in_order_and_those_without_a_time_too() -> None:
    together = record("knex", row("b", minute=0), row("a", minute=0), row("c", minute=0))
    assert set(findings(examined("a -- b -- c", together)).values()) == {"adopted"}
    timeless = record("dbmate", row("b"), row("a"), row("c"))
    assert set(findings(examined("a -- b -- c", timeless)).values()) == {"adopted"}


def test_what_is_recorded_here_already_is_left_alone() -> None:
    found = examined("a* -- b* -- c", record("knex", "a.ts", "b.ts"))
    assert findings(found) == {"a": "recorded here already", "b": "recorded here already", "c": "missing there"}
    assert found.nothing_to_do
    examine.refuse_unfit(found)


def test_what_dataops_applied_and_the_other_does_not_have_is_ours() -> None:
    found = examined("a* -- b*", record("knex", "a.ts"))
    assert findings(found) == {"a": "recorded here already", "b": "recorded here already"}
    assert (found.nothing_to_do, found.head and found.head.id) == (True, "b")
    examine.refuse_unfit(found)


def test_what_was_adopted_and_taken_back_there_is_struck_newest_first() -> None:
    found = examined("a* -- b* -- c*", record("knex", "a.ts"), adopted="knex")
    assert findings(found) == {"a": "recorded here already", "b": "taken back there", "c": "taken back there"}
    assert [line.name for line in found.to_remove] == ["c", "b"]
    assert (found.nothing_to_do, found.head and found.head.id) == (False, "a")
    examine.refuse_unfit(found)


def test_an_emptied_record_takes_back_all_that_was_adopted() -> None:
    found = examined("a* -- b*", record("knex"), adopted="knex")
    assert [line.name for line in found.to_remove] == ["b", "a"]
    assert found.head is None
    examine.refuse_unfit(found)


def test_what_was_adopted_from_another_tool_is_not_taken_back_by_this_one() -> None:
    found = examined("a* -- b*", record("sqlx", "a"), adopted="knex")
    assert findings(found) == {"a": "recorded here already", "b": "recorded here already"}


def test_the_same_file_twice_is_adopted_once_and_said() -> None:
    """migrate-mongo has no unique index: two Jobs at once write two documents."""
    found = examined("a -- b", record("migrate-mongo", "a.ts", "a.ts", "b.ts", "a.js"))
    assert [(line.name, line.note) for line in found.to_record] == [("a", "3 times there"), ("b", "")]
    assert found.lines[0].at == NOW  # the first time counts
    examine.refuse_unfit(found)


def test_another_name_there_is_told() -> None:
    said = ToolAliases("knex", migrations={"a": Alias(also=("old_a.ts",))})
    assert [line.note for line in examined("a", record("knex", "old_a.ts"), said).lines] == ["there as old_a.ts"]


def test_a_duplicate_that_failed_counts_more_than_one_that_did_not() -> None:
    found = examined("a", record("liquibase", "a", row("a", minute=1, outcome=FAILED)))
    assert findings(found) == {"a": "failed there"}
    assert found.nothing_to_do


@pytest.mark.parametrize(
    ("known", "checksum", "changed"),
    [
        (Alias(checksum="aa"), "aa", False),
        (Alias(checksum="aa"), "bb", True),
        (Alias(checksum="aa", earlier=("bb",)), "bb", True),
        (Alias(checksum="aa"), "", False),  # the tool keeps none
        (Alias(), "bb", False),  # we know none
    ],
)
def test_a_checksum_that_is_not_the_known_one_is_a_difference(known: Alias, checksum: str, changed: bool) -> None:
    found = examined("a", record("sqlx", row("a", checksum=checksum)), ToolAliases("sqlx", migrations={"a": known}))
    assert findings(found) == {"a": "changed there" if changed else "adopted"}
    assert [line.name for line in found.to_record] == ["a"]
    assert len(found.differences) == changed
    if changed:
        assert ("an earlier release" in found.differences[0]) is bool(known.earlier)


def test_a_changed_file_that_is_recorded_already_is_no_difference_any_more() -> None:
    said = ToolAliases("sqlx", migrations={"a": Alias(checksum="aa")})
    found = examined("a*", record("sqlx", row("a", checksum="bb")), said)
    assert (findings(found), found.differences) == ({"a": "recorded here already"}, ())


def test_the_reason_names_tool_time_and_place_and_is_read_back() -> None:
    found = examined("a -- b", record("migrate-mongo", "b.ts", row("a.ts")))
    texts = [examine.reason(found.record, line) for line in found.lines]
    assert texts == [
        "migrate-mongo: applied there at a time that is not recorded, by the record the_table_of_migrate-mongo",
        "migrate-mongo: applied there at 2026-11-24 09:30:00 UTC, by the record the_table_of_migrate-mongo",
    ]
    assert [examine.adopted_from(text) for text in texts] == ["migrate-mongo"] * 2


# --- which record


def test_the_only_record_is_chosen_and_one_that_is_beside_does_not_count() -> None:
    knex, django = record("knex", "a"), record("django", "x")
    assert examine.choose(beside("a", knex), None) is knex
    assert examine.choose(beside("a", django, knex, coexist=("django",)), None) is knex
    assert examine.choose(beside("a", django, knex), "knex") is knex


def test_two_records_have_to_be_told_apart_by_a_person() -> None:
    error = refused(UsageError, lambda: examine.choose(beside("a", record("knex", "a"), record("goose", "1")), None))
    assert "--from knex" in error.hint and 'coexist = ["goose"]' in error.hint


@pytest.mark.parametrize("records", [[], [record("goose", "1")]])
def test_a_record_that_is_not_there_is_not_found(records: list[ToolRecord]) -> None:
    error = refused(HistoryError, lambda: examine.choose(beside("a", *records), "knex"))
    assert ("goose" in error.message) is bool(records)


def test_no_record_at_all_points_to_apply_and_baseline() -> None:
    error = refused(HistoryError, lambda: examine.choose(beside("a"), None))
    assert "dataops apply" in error.hint and "dataops baseline voucher --to" in error.hint


# --- what stands against it, and which first


def unfit(adoption: Adoption, by: type[DataopsError], *others: Service) -> DataopsError:
    return refused(by, lambda: examine.refuse_unfit(adoption, others))


@pytest.mark.parametrize("outcome", [FAILED, HALF])
@pytest.mark.parametrize("name", ["b", "x", "old"])
def test_a_migration_that_broke_there_is_refused_whosever_it_is(outcome: Outcome, name: str) -> None:
    said = ToolAliases("sqlx", retired=("old",))
    found = examined("a -- b", record("sqlx", "a", row(name, outcome=outcome)), said)
    error = unfit(found, InterruptedStep)
    assert (error.migration, error.exit_code) == (name, ExitCode.INTERRUPTED)


def test_a_record_of_another_service_is_recognized() -> None:
    other = service("x -- y", name="notifications")
    found = examined("a -- b", record("sqlx", "x", "y"))
    assert "notifications" in unfit(found, HistoryError, found.state.service, other).hint
    assert "coexist" in unfit(found, HistoryError, found.state.service).hint


def test_a_record_that_is_partly_ours_and_partly_anothers_is_recognized() -> None:
    other = service("a -- x", name="notifications")
    assert "notifications" in unfit(examined("a -- b", record("sqlx", "a", "x")), HistoryError, other).hint


def test_a_record_that_knows_more_than_all_of_ours_is_ahead() -> None:
    error = unfit(examined("a -- b", record("sqlx", "a", "b", "c", "d")), DatabaseAhead)
    assert (error.migration, error.exit_code) == ("d", ExitCode.AHEAD)
    assert "retired" in error.hint


def test_a_record_that_knows_another_one_while_ours_is_missing_is_no_older_code() -> None:
    error = unfit(examined("a -- b", record("sqlx", "a", "c")), HistoryError)
    assert error.migration == "c"


def test_ahead_is_not_adopted_even_where_ahead_is_allowed() -> None:
    """Nobody could say what the check should expect."""
    at = beside("a -- b", record("sqlx", "a", "b", "c"))
    allowed = replace(at, service=replace(at.service, ahead=Ahead.ALLOW))
    unfit(examine.examine(allowed, allowed.tool_records[0]), HistoryError)


def test_a_hole_is_refused() -> None:
    error = unfit(examined("a -- b -- c", record("knex", "a", "c")), OutOfOrder)
    assert error.migration == "b"


def test_a_hole_that_was_taken_back_is_refused() -> None:
    error = unfit(examined("a* -- b* -- c*", record("knex", "a", "c"), adopted="knex"), OutOfOrder)
    assert error.migration == "b"


def test_a_record_that_its_tool_holds_is_refused_as_held() -> None:
    error = unfit(examined("a", record("knex", "a", locked="is_locked is 1")), LockNotObtained)
    assert "knex migrate:unlock" in error.hint


def test_a_retired_name_may_be_all_of_an_applications() -> None:
    ours = replace(service("0001_initial"), aliases={"django": ToolAliases("django", retired=("auth.*",))})
    rows = record("django", row("auth.0001_initial", "0001_initial"), row("shop.0001_initial", "0001_initial"))
    assert owners(ours, rows) == ({"0001_initial": ["shop.0001_initial"]}, [])


def test_a_repeatable_one_counts_where_a_file_was_made_of_it_and_is_never_the_newest() -> None:
    views = replace(row("R__views.sql", minute=2), repeatable=True)
    found = record("flyway", row("V1__a.sql", "1", minute=1), views)
    said = ToolAliases("flyway", migrations={"v": Alias(name="R__views.sql")})
    assert findings(examined("1 -- v", found, said)) == {"1": "adopted", "v": "adopted"}
    assert findings(examined("1 -- v", found)) == {"1": "adopted", "v": "missing there"}
    newest = watching(found).newest
    assert newest is not None
    assert newest.name == "V1__a.sql"


def test_history_that_is_only_retired_is_an_early_one_and_not_somebody_elses() -> None:
    said = ToolAliases("migrate-mongo", retired=("old.ts",))
    found = examined("a -- b", record("migrate-mongo", "old.ts"), said)
    assert findings(found) == {"a": "missing there", "b": "missing there", "old.ts": "retired"}
    examine.refuse_unfit(found)
    drift.refuse_moved_on(found.state)


def test_what_needs_a_person_most_is_told_first() -> None:
    """Each step mends one: cannot be read, broken, another's, locked, unknown, a hole, then nothing is left."""
    broken, hole, unknown = row("a", outcome=FAILED), row("c"), row("x")
    order: list[tuple[ToolRecord, type[DataopsError] | None]] = [
        (record("knex", readable=False, locked="it is"), PermissionDenied),
        (record("knex", broken, hole, unknown, locked="it is"), InterruptedStep),
        (record("knex", unknown, locked="it is"), HistoryError),
        (record("knex", "a", hole, unknown, locked="it is"), LockNotObtained),
        (record("knex", "a", hole, unknown), HistoryError),
        (record("knex", "a", hole), OutOfOrder),
        (record("knex", "a", "b", hole), None),
    ]
    for found, by in order:
        adoption = examined("a -- b -- c", found)
        if by is not None:
            unfit(adoption, by)
        else:
            examine.refuse_unfit(adoption)


# --- living beside


def test_records_that_agree_differ_in_nothing() -> None:
    at = beside("a* -- b*", record("knex", "a.ts", "b.ts"), adopted="knex")
    assert drift.find_drift(at, at.tool_records[0]) == drift.Drift(at.tool_records[0])
    drift.refuse_moved_on(at)


def test_both_sides_of_a_drift_are_told() -> None:
    at = beside("a* -- b* -- c -- d", record("knex", "a.ts", "c.ts", "x.ts"), adopted="knex")
    found = drift.find_drift(at, at.tool_records[0])
    assert found == drift.Drift(at.tool_records[0], ("c",), ("x.ts",), ("b",), ("b",))


@pytest.mark.parametrize(
    ("picture", "rows", "migration"),
    [
        ("a -- b", ["a"], "a"),  # never adopted: to apply would do it twice
        ("a* -- b", ["a", "b"], "b"),
        ("a* -- b", ["a", "x"], "x"),
        ("a* -- b*", ["a"], "b"),
        ("a -- b", ["x"], None),  # somebody else's database, probably
    ],
)
def test_a_record_that_is_not_what_was_adopted_refuses_a_plan(
    picture: str, rows: list[str], migration: str | None
) -> None:
    at = beside(picture, record("knex", *rows), adopted="knex")
    error = refused(HistoryError, lambda: planner.plan_apply([at]))
    assert (error.migration, error.exit_code) == (migration, ExitCode.INVALID)
    refused(HistoryError, lambda: planner.plan_rollback([at], steps=1))
    told_otherwise = replace(at, service=replace(at.service, coexist=("knex",)))
    planner.plan_apply([told_otherwise])


@pytest.mark.parametrize("outcome", [FAILED, HALF])
def test_a_broken_record_refuses_a_plan_as_interrupted(outcome: Outcome) -> None:
    at = beside("a* -- b", record("knex", "a", row("b", outcome=outcome)), adopted="knex")
    assert refused(InterruptedStep, lambda: planner.plan_apply([at])).migration == "b"


def test_a_record_that_cannot_be_read_refuses_a_plan() -> None:
    at = beside("a* -- b", record("knex", readable=False), adopted="knex")
    error = refused(PermissionDenied, lambda: planner.plan_apply([at]))
    assert "GRANT SELECT" in error.hint


def test_what_dataops_applied_beside_the_other_tool_is_no_reason_to_stop() -> None:
    at = beside("a* -- b* -- c", record("knex", "a"))
    assert [step.migration.id for step in planner.plan_apply([at]).steps] == ["c"]
    assert drift.find_drift(at, at.tool_records[0]).behind == ("b",)


def test_an_empty_record_refuses_nothing() -> None:
    assert len(planner.plan_apply([beside("a -- b", record("knex"))]).steps) == 2


@pytest.mark.parametrize("rows", [["1_a", "2_b", "3_c"], ["1", "2", "03"], ["1_a.ts", "2_b.ts", "3_c.ts"]])
def test_what_both_records_have_and_this_code_does_not_is_ahead_and_not_moved_on(rows: list[str]) -> None:
    """1_a* -- 2_b* -- (3_c)*: a newer image applied 3_c and mirrored it; this one is older."""
    at = beside("1_a* -- 2_b* -- (3_c)*", record("knex", *rows))
    assert drift.find_drift(at, at.tool_records[0]).unknown == ()
    refused(DatabaseAhead, lambda: planner.plan_apply([at]))
    allowed = replace(at, service=replace(at.service, ahead=Ahead.ALLOW))
    assert planner.plan_apply([allowed]).steps == ()
    more = replace(allowed, tool_records=(record("knex", *rows, "4_d"),))
    assert refused(HistoryError, lambda: planner.plan_apply([more])).migration == "4_d"


def test_a_rollback_that_the_other_record_would_not_notice_is_refused() -> None:
    at = beside("a* -- b*", record("knex", "a", "b"), adopted="knex")
    assert refused(HistoryError, lambda: planner.plan_rollback([at], steps=1)).migration == "b"
    for settings in ({"mirror": "knex"}, {"coexist": ("knex",)}):
        allowed = replace(at, service=replace(at.service, **settings))
        assert [step.migration.id for step in planner.plan_rollback([allowed], steps=1).steps] == ["b"]


def test_a_rollback_of_what_only_dataops_has_is_not_their_business() -> None:
    at = beside("a* -- b*", record("knex", "a"))
    assert [step.migration.id for step in planner.plan_rollback([at], steps=1).steps] == ["b"]
    refused(HistoryError, lambda: planner.plan_rollback([at], steps=2))


def test_what_an_adopted_migration_threw_away_cannot_be_given_back() -> None:
    at = beside("a* -- b*", adopted="knex")
    text = at.service.migrations[1].text.replace(b"from alembic import op", b"from alembic import op\n" + STASHING)
    throwing = replace(at.service.migrations[1], text=text.replace(b"def upgrade():", b"def upgrade():\n" + KEEPING))
    assert throwing.facts.puts_aside
    lossy = replace(at, service=replace(at.service, migrations=(at.service.migrations[0], throwing)), claims={})
    lossy = replace(lossy, applied=tuple(replace(one, checksum=None) for one in lossy.applied))
    error = refused(Blocked, lambda: planner.plan_rollback([lossy], steps=1))
    assert (error.migration, "--to b" in error.hint) == ("b", True)
    ours = replace(lossy, applied=tuple(replace(one, adopted="") for one in lossy.applied))
    assert len(planner.plan_rollback([ours], steps=1).steps) == 1


STASHING = b"from dataops.stash import postgres as stash"
KEEPING = b"    [op.execute(s) for s in stash.put_values_aside('b', 'links', 'note', where='true', comment='')]"


def test_an_adoption_is_no_run_that_a_bare_rollback_would_undo() -> None:
    refused_by = beside("a* -- b*", adopted="knex")
    with pytest.raises(UsageError, match="another tool did"):
        planner.plan_rollback([refused_by], of_runs=wanted(refused_by))


# --- observing


def watching(found: ToolRecord | None, expect: str = "") -> watch.Observation:
    made = state("a")
    observed = Service("kratos", POSTGRESQL, "", Path("."), observe=found.tool if found else "pop", expect=expect)
    return watch.watch(replace(made, service=observed, applied=(), tool_records=(found,) if found else ()))


def test_a_database_that_is_migrated_is_waited_for_no_longer() -> None:
    watched = watching(record("knex", "1_a.ts", "2_b.ts"))
    assert (watched.newest and watched.newest.name, watched.waiting, watched.problem) == ("2_b.ts", "", None)


@pytest.mark.parametrize("found", [None, record("pop"), record("knex", "a", locked="is_locked is 1")])
def test_none_empty_and_locked_are_waited_for(found: ToolRecord | None) -> None:
    watched = watching(found)
    assert watched.waiting and watched.problem is None


@pytest.mark.parametrize(
    ("tool", "rows", "expect", "reached"),
    [
        ("pop", ["20230101", "20230202"], "20230202", True),
        ("pop", ["20230101", "20230202"], "20230203", False),
        ("pop", ["20230202", "20230303"], "20230202", True),  # it need not be the newest
        ("pop", ["20230202"], "2023", False),  # a beginning is not enough
        ("knex", ["20230202_x.ts"], "20230202_x.js", True),
        ("knex", ["20230202_x.ts"], "20230202_x", True),
        ("knex", ["20230202_x.ts"], "20230202", True),
        ("goose", ["12"], "00012", True),
        ("knex", ["x"], "", True),  # nothing is expected
        ("golang-migrate", ["9"], "10", False),
        ("golang-migrate", ["10"], "9", True),  # it stands there, and has all below
    ],
)
def test_expect_is_a_migration_by_its_name_or_number(tool: str, rows: list[str], expect: str, reached: bool) -> None:
    watched = watching(record(tool, *rows), expect)
    assert (not watched.waiting) is reached
    assert watched.newest is not None and watched.newest.name == rows[-1]


def test_what_no_waiting_mends_is_a_problem() -> None:
    assert isinstance(watching(record("sqlx", "1", row("2", outcome=FAILED))).problem, InterruptedStep)
    assert isinstance(watching(record("golang-migrate", row("2", outcome=HALF))).problem, InterruptedStep)
    assert isinstance(watching(record("sqlx", readable=False)).problem, PermissionDenied)


def test_another_tools_record_in_the_same_database_is_not_the_one_we_observe() -> None:
    observed = Service("kratos", POSTGRESQL, "", Path("."), observe="pop")
    at = replace(state("a"), service=observed, applied=(), tool_records=(record("sqlx", row("1", outcome=FAILED)),))
    assert watch.watch(at).record is None


# --- the mirror


def mirroring(tool: str, known: Mapping[str, Alias] | None = None, extension: str = "") -> Service:
    said = ToolAliases(tool, extension, migrations=known or {})
    return replace(service("20240101_a -- b"), mirror=tool, aliases={tool: said})


def test_the_row_for_knex_and_migrate_mongo_is_the_file_with_its_extension() -> None:
    for tool in ("knex", "migrate-mongo"):
        a, b = mirroring(tool).migrations
        assert mirror.row_for(mirroring(tool, extension=".mjs"), a).name == "20240101_a.mjs"
        assert mirror.row_for(mirroring(tool), b).name == "b.js"
        assert mirror.row_for(mirroring(tool, {"b": Alias(name="other.ts")}, ".mjs"), b).name == "other.ts"


def test_the_row_for_sqlx_is_the_number_and_what_adopt_toml_says() -> None:
    ours = mirroring("sqlx", {"20240101_a": Alias(description="create a", checksum="ab" * 48)})
    assert mirror.row_for(ours, ours.migrations[0]) == Alias("20240101", description="create a", checksum="ab" * 48)


def test_a_row_for_sqlx_that_nobody_can_know_is_refused_at_the_plan() -> None:
    """Without its checksum, or without a number, the service would not start."""
    described = mirroring("sqlx", {"20240101_a": Alias(checksum="ab"), "b": Alias(checksum="cd" * 48)})
    for of, migration in ((mirroring("sqlx"), 0), (described, 1)):
        error = refused(ConfigError, lambda of=of, at=migration: mirror.row_for(of, of.migrations[at]))  # type: ignore[misc]
        assert (error.exit_code, "adopt.toml" in error.hint) == (ExitCode.INVALID, True)
    at = replace(state("20240101_a* -- b"), service=described)
    refused(ConfigError, lambda: planner.plan_apply([at]))


def test_an_apply_without_a_step_completes_a_record_that_lacks_some() -> None:
    lacking = beside("a* -- b*", record("knex", "a.ts"), mirror="knex")
    plan = planner.plan_apply([lacking])
    assert (plan.steps, planner.to_complete(plan)) == ((), ("voucher",))
    assert planner.to_complete(planner.plan_rollback([lacking], steps=1)) == ()
    whole = replace(lacking, tool_records=(record("knex", "a.ts", "b.ts"),))
    assert planner.to_complete(planner.plan_apply([whole])) == ()
    assert (
        planner.to_complete(planner.plan_apply([replace(lacking, service=replace(lacking.service, mirror=""))])) == ()
    )


def test_what_sqlx_would_have_to_find_is_asked_of_what_is_applied_already_too() -> None:
    at = beside("1_a* -- 2_b", mirror="sqlx", said=ToolAliases("sqlx", migrations={"2_b": Alias(checksum="ab" * 48)}))
    assert "1_a" in refused(ConfigError, lambda: planner.plan_apply([at])).message


def test_what_the_mirror_lacks_is_told_oldest_first() -> None:
    at = beside("a* -- b* -- c* -- d", record("knex", "b.ts"), record("sqlx", "a"), mirror="knex")
    assert [migration.id for migration in mirror.rows_missing(at)] == ["a", "c"]


def test_the_table_of_identities_is_made_once_for_all_rows_and_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the work of one step grows with the square of the history, inside its transaction."""
    made: list[str] = []

    class Counted(match.Identities):
        def __init__(self, of: Service, said: ToolAliases) -> None:
            made.append(said.tool)
            super().__init__(of, said)

    monkeypatch.setattr(match, "Identities", Counted)
    match.identities_of.cache_clear()
    names = [f"m{number}" for number in range(40)]
    files = [f"{name}.ts" for name in names]
    at = beside(" -- ".join(f"{name}*" for name in names), record("knex", *files), mirror="knex")
    (theirs,) = at.tool_records
    for _ in at.service.migrations:  # as every step does
        assert list(match.names_by_migration(at.service, "knex", files)) == names
        assert list(match.by_migration(at.service, theirs)[0]) == names
    examine.refuse_unfit(examine.examine(at, theirs))
    assert mirror.rows_missing(at) == ()
    assert planner.plan_apply([at]).steps == ()
    assert made == ["knex"]
    monkeypatch.undo()
    match.identities_of.cache_clear()


def test_the_rows_of_squashed_files_are_history() -> None:
    """20240102, which replaces 20240101 and itself -- 20240103: knex knows files by name, whose ids are the numbers."""
    files = service("20240102 -- 20240103")
    first = replace(files.migrations[0], replaces={"20240101": ("",), "20240102": ("",)}, path=Path("20240102_b.py"))
    squashed = replace(files, migrations=(first, *files.migrations[1:]))
    rows = record(match.KNEX, "20240101_a.mjs", "20240102_b.mjs", "20240104_d.mjs")
    assert owners(squashed, rows) == ({"20240102": ["20240102_b.mjs"]}, ["20240104_d.mjs"])
