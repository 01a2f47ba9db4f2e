"""What may be done next, decided from states alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dataops.errors import (
    Blocked,
    BrokenFile,
    ConfigError,
    DatabaseAhead,
    DataopsError,
    EditedAfterApply,
    ExitCode,
    InterruptedStep,
    OutOfOrder,
    RecordMoved,
    StalePlan,
    UsageError,
)
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import (
    ENDS_HALF_DONE,
    HALF_DONE,
    NOT_ONE_TRANSACTION,
    Ahead,
    Direction,
    Entry,
    Identity,
    JournalEvent,
    Plan,
    State,
)
from dataops.planning import checks, native, planfile, planner, recovery
from dataops.planning.decisions import Decision, decide
from dataops.planning.recovery import Recovery
from dataops.planning.target import find_target
from tests.unit.sample import HOLDER, NOW, edited, entry, service, state, step, steps, wanted

APPLY, ROLLBACK = Direction.APPLY, Direction.ROLLBACK
STARTED, SUCCEEDED, FAILED = JournalEvent.STARTED, JournalEvent.SUCCEEDED, JournalEvent.FAILED


def refused(by: type[DataopsError], what: Callable[[], object]) -> DataopsError:
    """The refusal, of exactly this class, with something to do about it."""
    with pytest.raises(by) as caught:
        what()
    assert type(caught.value) is by
    assert caught.value.hint
    return caught.value


# --- the recovery table, a test a cell: the newest journal entry beside what kind of migration it is about


@pytest.mark.parametrize("last", [None, SUCCEEDED, FAILED, JournalEvent.RESOLVED, JournalEvent.ADOPTED])
@pytest.mark.parametrize("kind", ["atomic", "repeatable", "neither"])
@pytest.mark.parametrize("reached", [True, False], ids=["recorded", "not recorded"])
def test_a_step_that_has_an_end_is_no_interruption(last: JournalEvent | None, kind: str, reached: bool) -> None:
    found = recovery.recover(
        entry("a", last) if last else None,
        reached=reached,
        atomic=kind == "atomic",
        repeatable=kind == "repeatable",
        both_ways=False,
    )
    assert found is Recovery.GO_ON


def recovered(picture: str, *, kind: Kind = POSTGRESQL, direction: Direction = APPLY, id_: str = "b") -> Recovery:
    """Of a run that said *started* for `id_` and nothing after it."""
    now = state(picture, kind=kind, last=entry(id_, STARTED, direction))
    half = recovery.half_step(now, direction, locked=True)
    return Recovery.GO_ON if half is None else half.recovery


def test_crash_in_an_atomic_step_that_is_recorded_goes_on() -> None:
    """a* -- b* -- c   apply b: started"""
    assert recovered("a* -- b* -- c") is Recovery.GO_ON


def test_crash_in_an_atomic_step_that_is_not_recorded_goes_on() -> None:
    """a* -- b -- c   apply b: started. The transaction is gone."""
    assert recovered("a* -- b -- c") is Recovery.GO_ON


def test_crash_in_a_step_that_is_neither_but_recorded_goes_on() -> None:
    """a* -- b~* -- c   apply b: started. The record is written last, so b is complete."""
    assert recovered("a* -- b~* -- c") is Recovery.GO_ON
    assert recovered("a* -- b* -- c", kind=MONGODB) is Recovery.GO_ON


def test_crash_in_a_step_that_is_neither_and_not_recorded_is_an_interruption() -> None:
    """a* -- b~ -- c   apply b: started. Nobody knows how far it came."""
    assert recovered("a* -- b~ -- c") is Recovery.DECIDE
    assert recovered("a* -- b -- c", kind=MONGODB) is Recovery.DECIDE


def test_crash_in_a_repeatable_step_that_is_recorded_goes_on() -> None:
    """a* -- b+* -- c   apply b: started"""
    assert recovered("a* -- b+* -- c", kind=MONGODB) is Recovery.GO_ON


def test_crash_in_a_repeatable_step_that_is_not_recorded_goes_on() -> None:
    """a* -- b+ -- c   apply b: started. It is run again."""
    assert recovered("a* -- b+ -- c", kind=MONGODB) is Recovery.AGAIN


def test_crash_in_a_rollback_is_judged_by_whether_the_record_is_gone() -> None:
    """a* -- b~   rollback b: started (gone)    a* -- b~*   rollback b: started (still there)"""
    assert recovered("a* -- b~", direction=ROLLBACK) is Recovery.GO_ON
    assert recovered("a* -- b~*", direction=ROLLBACK) is Recovery.DECIDE
    assert recovered("a* -- b*", direction=ROLLBACK) is Recovery.GO_ON
    assert recovered("a* -- b+*", direction=ROLLBACK, kind=MONGODB) is Recovery.AGAIN


CELLS = [
    # newest entry         shown  atomic repeatable both   same way           other way            other work
    ("started",            True,  False, False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
    ("half done",          True,  False, False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
    ("started",            False, True,  False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
    ("started, marked",    False, True,  False, False, Recovery.DECIDE,   Recovery.DECIDE,    Recovery.DECIDE),
    ("half done",          False, True,  False, False, Recovery.DECIDE,   Recovery.DECIDE,    Recovery.DECIDE),
    ("started",            False, False, False, False, Recovery.DECIDE,   Recovery.DECIDE,    Recovery.DECIDE),
    ("half done",          False, False, False, False, Recovery.DECIDE,   Recovery.DECIDE,    Recovery.DECIDE),
    ("started",            False, False, False, True,  Recovery.DECIDE,   Recovery.DECIDE,    Recovery.DECIDE),
    ("started",            False, False, True,  False, Recovery.AGAIN,    Recovery.END_FIRST, Recovery.END_FIRST),
    ("half done",          False, False, True,  False, Recovery.AGAIN,    Recovery.END_FIRST, Recovery.END_FIRST),
    ("started",            False, False, True,  True,  Recovery.AGAIN,    Recovery.TAKE_BACK, Recovery.END_FIRST),
    ("half done",          False, False, True,  True,  Recovery.AGAIN,    Recovery.TAKE_BACK, Recovery.END_FIRST),
    ("started, to end it", True,  False, True,  True,  Recovery.AGAIN,    Recovery.TAKE_BACK, Recovery.END_FIRST),
    ("failed, to end it",  True,  False, True,  True,  Recovery.AGAIN,    Recovery.TAKE_BACK, Recovery.END_FIRST),
    ("failed, to end it",  False, False, True,  True,  Recovery.AGAIN,    Recovery.TAKE_BACK, Recovery.END_FIRST),
    ("failed",             False, False, False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
    ("succeeded",          False, False, False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
    ("none",               False, False, False, False, Recovery.GO_ON,    Recovery.GO_ON,     Recovery.GO_ON),
]  # fmt: skip
"""Every cell of the recovery table."""
NEWEST = {
    "none": None,
    "succeeded": (SUCCEEDED, ""),
    "failed": (FAILED, ""),
    "started": (STARTED, ""),
    "started, marked": (STARTED, NOT_ONE_TRANSACTION),
    "half done": (FAILED, HALF_DONE),
    "started, to end it": (STARTED, ENDS_HALF_DONE),
    "failed, to end it": (FAILED, ENDS_HALF_DONE),
}


@pytest.mark.parametrize("direction", [APPLY, ROLLBACK])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_recovery_table(cell: tuple[Any, ...], direction: Direction) -> None:
    name, reached, atomic, repeatable, both_ways, same, other, work = cell
    newest = NEWEST[name]
    last = None if newest is None else replace(entry("b", newest[0], direction), reason=newest[1])
    opposite = ROLLBACK if direction is APPLY else APPLY
    for then, expected in ((direction, same), (opposite, other), (None, work)):
        found = recovery.recover(
            last, reached=reached, atomic=atomic, repeatable=repeatable, both_ways=both_ways, direction=then
        )
        assert found is expected


def test_crash_in_a_step_whose_file_is_missing_is_an_interruption_unless_recorded() -> None:
    """a* -- (b)   apply b: started    a* -- (b)*   apply b: started"""
    assert recovered("a* -- (b)") is Recovery.DECIDE
    assert recovered("a* -- (b)*") is Recovery.GO_ON


def test_a_step_that_somebody_is_running_now_is_not_an_interruption_except_under_our_own_lock() -> None:
    """a* -- b~   apply b: started, and the lock is held"""
    last = entry("b", STARTED)
    now = state("a* -- b~", last=last, holder=HOLDER)
    assert recovery.half_step(now) is None
    half = recovery.half_step(now, locked=True)
    assert half is not None
    assert half.entry == last


def test_an_interruption_names_the_two_commands_to_choose_from() -> None:
    """a* -- b~   apply b: started"""
    error = refused(InterruptedStep, lambda: recovery.refuse_half_done(state("a* -- b~", last=entry("b", STARTED))))
    assert (error.service, error.migration, error.exit_code) == ("voucher", "b", ExitCode.INTERRUPTED)
    for answer in ("--applied", "--not-applied"):
        assert f"dataops resolve voucher/b {answer} --reason" in error.hint
    for known in ("bob@pod-2", "run-8", "2026-11-24 09:30:00 UTC"):
        assert known in error.message


def test_a_broken_file_of_a_started_step_is_named_rather_than_a_traceback() -> None:
    """a* -- b   apply b: started, and b does not parse any more"""
    now = edited(state("a* -- b", last=entry("b", STARTED)), "b", b"def upgrade(:\n")
    assert "b.py:1" in refused(BrokenFile, lambda: recovery.refuse_half_done(now)).message


# --- what a crash left out of the journal


def test_closing_writes_nothing_after_an_end() -> None:
    assert [
        recovery.missing_end(state("a*", last=last)) for last in (None, entry("a", SUCCEEDED), entry("a", FAILED))
    ] == [
        None,
        None,
        None,
    ]


def test_closing_writes_succeeded_where_the_record_shows_the_step() -> None:
    """a* -- b*   apply b: started"""
    last = entry("b", STARTED)
    reason = "found done in the native record after a crash"
    assert recovery.missing_end(state("a* -- b*", last=last)) == replace(last, event=SUCCEEDED, reason=reason)


def test_closing_writes_failed_where_the_record_does_not_show_the_step() -> None:
    """a* -- b*   rollback b: started"""
    last = entry("b", STARTED, ROLLBACK)
    error = "the process died before the end; not recorded as done"
    assert recovery.missing_end(state("a* -- b*", last=last)) == replace(last, event=FAILED, error=error)


# --- files and records that make one history, and those that do not


@pytest.mark.parametrize("picture", ["", "a", "a*", "a* -- b* -- c", "a* -- b* -- c*"])
def test_check_accepts_what_is_applied_from_the_first_on(picture: str) -> None:
    checks.check(state(picture))


def test_check_refuses_a_gap_and_names_what_is_missing() -> None:
    """a* -- b -- c*"""
    error = refused(OutOfOrder, lambda: checks.check(state("a* -- b -- c*")))
    assert (error.service, error.migration, error.exit_code) == ("voucher", "b", ExitCode.INVALID)
    assert "dataops resolve voucher/b --applied" in error.hint


def test_check_refuses_a_database_that_is_ahead() -> None:
    """a* -- b* -- (c)* -- (d)*"""
    error = refused(DatabaseAhead, lambda: checks.check(state("a* -- b* -- (c)* -- (d)*")))
    assert (error.service, error.migration, error.exit_code) == ("voucher", "d", ExitCode.AHEAD)


def test_check_accepts_a_database_that_is_ahead_where_the_service_says_so() -> None:
    checks.check(state("a* -- b* -- (c)*", ahead=Ahead.ALLOW))


@pytest.mark.parametrize("ahead", list(Ahead))
def test_check_refuses_unknown_migrations_beside_pending_ones_whatever_the_policy(ahead: Ahead) -> None:
    """a* -- b beside (x)*: a file was removed, or two branches met in one database"""
    error = refused(OutOfOrder, lambda: checks.check(state("a* -- b -- (x)*", ahead=ahead)))
    assert (error.migration, error.exit_code) == ("x", ExitCode.INVALID)


def test_check_refuses_a_journal_that_believes_more_than_the_record() -> None:
    """a* -- b, and the journal says b was applied"""
    error = refused(RecordMoved, lambda: checks.check(replace(state("a* -- b"), claims={"a": True, "b": True})))
    assert (error.migration, error.exit_code) == ("b", ExitCode.INVALID)
    assert "dataops resolve voucher/b --not-applied" in error.hint


def test_check_refuses_a_journal_that_believes_less_than_the_record() -> None:
    """a* -- b*, and the journal says b was rolled back"""
    error = refused(RecordMoved, lambda: checks.check(replace(state("a* -- b*"), claims={"a": True, "b": False})))
    assert error.migration == "b"
    assert "dataops resolve voucher/b --applied" in error.hint


def test_what_alembic_has_moved_by_itself_begins_where_the_journal_begins() -> None:
    """a* -- b* -- c -- d*, and the journal knows b, c as applied: a was there before us"""
    before = replace(state("a* -- b* -- c -- d*"), claims={"b": True, "c": True}, last=None)
    found = native.moved(before)
    assert ([m.id for m in found.applied], [m.id for m in found.rolled_back]) == (["d"], ["c"])
    assert str(found) == "alembic has applied d and rolled back c by itself"
    crashed = replace(before, last=entry("d", JournalEvent.STARTED), claims={"b": True})
    assert not native.moved(crashed)
    assert not native.moved(replace(before, claims={}))


def test_check_refuses_code_edited_after_apply_and_names_the_file() -> None:
    """a* -- b*, and b does something else now"""
    before = state("a* -- b*")
    text = before.service.by_id["b"].text.replace(b"CREATE TABLE b", b"CREATE TABLE bb")
    error = refused(EditedAfterApply, lambda: checks.check(edited(before, "b", text)))
    assert (error.service, error.migration, error.exit_code) == ("voucher", "b", ExitCode.INVALID)
    assert "b.py" in error.message


def test_check_accepts_comments_docstrings_and_formatting_edited_after_apply() -> None:
    before = state("a* -- b*")
    text = before.service.by_id["b"].text.replace(b'"""Do b."""', b'"""Another title."""\n\n# and a comment\n')
    assert text != before.service.by_id["b"].text
    checks.check(edited(before, "b", text))


def test_check_cannot_tell_edits_of_what_another_tool_applied() -> None:
    """a* -- b*, b by `alembic upgrade` before there was a journal"""
    checks.check(edited(state("a* -- b*", runs={"b": None}), "b", b"something = 'else'\n"))


def test_check_names_an_applied_file_that_does_not_parse_any_more() -> None:
    before = state("a* -- b*")
    assert "b.py:2" in refused(BrokenFile, lambda: checks.check(edited(before, "b", b"\ndef upgrade(:\n"))).message


# --- what --to means


SERVICES = [service("a1 -- a2 -- a20", name="api"), service("b1 -- a2b", name="voucher")]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a1", ("api", "a1")),
        ("a2", ("api", "a2")),  # an id in full, although a20 and a2b begin with it
        ("a2b", ("voucher", "a2b")),
        ("b", ("voucher", "b1")),  # the only one that begins so
        ("api/a20", ("api", "a20")),
        ("voucher/a", ("voucher", "a2b")),
        ("voucher/base", ("voucher", None)),
    ],
)
def test_target_finds_an_id_its_beginning_or_one_of_a_named_service(wanted: str, found: tuple[str, str | None]) -> None:
    of, migration = find_target(SERVICES, wanted)
    assert (of.name, migration.id if migration else None) == found


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ("a", "api/a1, api/a2, api/a20, voucher/a2b", "more of the id"),
        ("a21", "there is no migration a21", "did you mean a2"),
        ("zzzzzz", "there is no migration zzzzzz", "there are: "),
        ("api/zz", "there is no migration zz", "there are: a1, a2, a20"),
        ("api/a", "could be any of a1, a2, a20", "more of the id"),
        ("vaucher/b1", "there is no service vaucher", "did you mean voucher?"),
        ("base", "base of which service?", "SERVICE/base"),
    ],
)
def test_target_refuses_with_near_names(wanted: str, message: str, hint: str) -> None:
    error = refused(UsageError, lambda: find_target(SERVICES, wanted))
    assert message in error.message
    assert hint in error.hint


def test_target_base_needs_no_service_where_there_is_one() -> None:
    assert find_target(SERVICES[:1], "base") == (SERVICES[0], None)


# --- plan apply


def test_plan_apply_is_everything_pending_in_order() -> None:
    """a* -- b -- c"""
    now = state("a* -- b -- c")
    assert planner.plan_apply([now]) == Plan(APPLY, (step(now, "b"), step(now, "c")), (now,))


@pytest.mark.parametrize("picture", ["", "a*", "a* -- b*", "a* -- (b)*"])
def test_plan_apply_with_nothing_left_is_an_empty_plan(picture: str) -> None:
    now = state(picture, ahead=Ahead.ALLOW)
    assert planner.plan_apply([now]) == Plan(APPLY, (), (now,))


def test_plan_apply_stops_at_its_target_and_never_goes_backwards() -> None:
    """a* -- b* -- c -- d"""
    now = state("a* -- b* -- c -- d")
    found = {id_: steps(planner.plan_apply([now], to=now.service.by_id[id_])) for id_ in "abcd"}
    assert found == {"a": [], "b": [], "c": ["voucher/c"], "d": ["voucher/c", "voucher/d"]}


def test_plan_apply_counts_steps_over_all_services() -> None:
    """a* -- b -- c    x -- y"""
    states = [state("a* -- b -- c", name="api"), state("x -- y", name="voucher")]
    assert steps(planner.plan_apply(states, steps=3)) == ["api/b", "api/c", "voucher/x"]
    assert steps(planner.plan_apply(states, steps=9)) == ["api/b", "api/c", "voucher/x", "voucher/y"]


def test_plan_apply_puts_those_that_others_depend_on_first_and_keeps_the_order_of_the_file_otherwise() -> None:
    """one (after three) -- two -- three (after four) -- four"""
    states = [
        state("a", name="one", depends_on=("three",)),
        state("b", name="two"),
        state("c", name="three", depends_on=("four", "not chosen")),
        state("d", name="four"),
    ]
    plan = planner.plan_apply(states)
    assert steps(plan) == ["four/d", "three/c", "one/a", "two/b"]
    assert [one.service.name for one in plan.states] == ["four", "three", "one", "two"]


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (state("a* -- b -- c*"), OutOfOrder),
        (state("a* -- (b)*"), DatabaseAhead),
        (state("a* -- b~", last=entry("b", STARTED)), InterruptedStep),
        (edited(state("a*"), "a", b"x = 1\n"), EditedAfterApply),
    ],
    ids=["gap", "ahead", "interrupted", "edited"],
)
def test_plan_apply_refuses_all_when_one_service_is_not_in_order(now: State, error: type[DataopsError]) -> None:
    refused(error, lambda: planner.plan_apply([state("x -- y", name="api"), now]))


def test_plan_apply_does_not_read_closely_what_is_pending_but_whoever_does_is_told() -> None:
    """a* -- b, and b does not parse. Ten thousand pending files are parsed only where something is said of them."""
    plan = planner.plan_apply([edited(state("a* -- b"), "b", b"\n\ndef x(:\n")])
    assert "b.py:3" in refused(BrokenFile, lambda: planner.summary(plan)).message


def test_plan_apply_makes_the_plan_while_somebody_else_is_at_work() -> None:
    """a* -- b~ -- c   apply b: started, and the lock is held"""
    now = state("a* -- b~ -- c", last=entry("b", STARTED), holder=HOLDER)
    assert steps(planner.plan_apply([now])) == ["voucher/b", "voucher/c"]


# --- two services, one database


def test_two_services_in_one_database_are_refused() -> None:
    one = Identity("PostgreSQL system 1", "pg (oid 5)", "db:5431/pg")
    same = replace(one, address="127.0.0.1:5431/pg")
    states = [state("a", name="api", identity=one), state("b", name="voucher", identity=same)]
    error = refused(ConfigError, lambda: checks.refuse_same_database(states))
    assert "api and voucher" in error.message


def test_two_services_with_a_collection_in_common_are_refused() -> None:
    """A standalone MongoDB is only known by its address; its collections have random ids."""
    one = Identity("standalone at localhost:27017", "galoy", "localhost:27017/galoy", frozenset({"aa", "bb"}))
    same = replace(one, server="standalone at db:27017", address="db:27017/galoy", marks=frozenset({"bb", "cc"}))
    states = [state("a", name="api", identity=one), state("b", name="other", identity=same)]
    refused(ConfigError, lambda: checks.refuse_same_database(states))


def test_two_databases_of_one_server_are_two() -> None:
    """Nor are two empty MongoDB databases one, for having no collection in common."""
    server = "PostgreSQL system 1"
    states = [
        state("a", name="one", identity=Identity(server, "pg (oid 5)", "db:5431/pg")),
        state("b", name="two", identity=Identity(server, "pg (oid 6)", "db:5431/other")),
        state("c", name="three", identity=Identity("standalone at a:27017", "galoy", "a:27017/galoy")),
        state("d", name="four", identity=Identity("standalone at b:27017", "galoy", "b:27017/galoy")),
    ]
    checks.refuse_same_database(states)


# --- plan rollback


def test_rollback_undoes_the_newest_run_on_every_service_it_touched_newest_first() -> None:
    """api: a* -- b* -- c* -- d    voucher: x* -- y*    (b, c and y by run-2)"""
    api = state("a* -- b* -- c* -- d", name="api", runs={"b": "run-2", "c": "run-2"})
    voucher = state("x* -- y*", name="voucher", runs={"y": "run-2"}, minute=10)
    expected = (step(voucher, "y", ROLLBACK), step(api, "c", ROLLBACK), step(api, "b", ROLLBACK))
    assert planner.plan_rollback([api, voucher], of_runs=wanted(api, voucher)) == Plan(
        ROLLBACK, expected, (api, voucher)
    )


def test_rollback_undoes_a_named_run() -> None:
    """api: a*    voucher: x* -- y*    (x and y by run-1, a by run-2)"""
    states = [state("a*", name="api", runs={"a": "run-2"}, minute=9), state("x* -- y*", name="voucher")]
    assert steps(planner.plan_rollback(states, of_runs=wanted(*states, ids=("run-2",)))) == ["api/a"]
    assert steps(planner.plan_rollback(states, of_runs=wanted(*states, ids=("run-1",)))) == ["voucher/y", "voucher/x"]


def test_rollback_of_services_that_depend_on_each_other_starts_with_the_dependent_one() -> None:
    """api (after voucher): a*    voucher: x*"""
    states = [state("a*", name="api", depends_on=("voucher",)), state("x*", name="voucher")]
    assert steps(planner.plan_rollback(states, of_runs=wanted(*states))) == ["api/a", "voucher/x"]


def test_rollback_refuses_a_run_that_another_one_stands_on_and_names_it() -> None:
    """a* -- b*   (a by run-1, b by run-2)"""
    now = state("a* -- b*", runs={"b": "run-2"})
    error = refused(OutOfOrder, lambda: planner.plan_rollback([now], of_runs=wanted(now, ids=("run-1",))))
    assert error.hint.endswith("too: dataops rollback --run run-2 --run run-1")
    assert error.migration == "b"
    assert "run-2" in error.message


def test_rollback_refuses_a_run_that_left_nothing_with_near_names() -> None:
    now = state("a*")
    error = refused(UsageError, lambda: planner.plan_rollback([now], of_runs=wanted(now, ids=("run-11",))))
    assert "did you mean run-1?" in error.hint


def test_rollback_of_the_newest_run_refuses_where_no_run_is_known() -> None:
    """a* -- b*   both by another tool"""
    now = state("a* -- b*", runs={"a": None, "b": None})
    assert (
        "--to REV or --steps N" in refused(UsageError, lambda: planner.plan_rollback([now], of_runs=wanted(now))).hint
    )


def test_rollback_of_nothing_is_an_empty_plan() -> None:
    states = [state("a -- b", name="api"), state("", name="voucher")]
    assert planner.plan_rollback(states, of_runs=wanted(*states)) == Plan(ROLLBACK, (), tuple(states))


def test_rollback_by_steps_takes_the_newest_over_all_services() -> None:
    """api: a* b*  applied at minutes 0 and 1    voucher: x* y* z*  applied at minutes 0.5, 1.5 and 2.5"""
    api = state("a* -- b*", name="api")
    voucher = state("x* -- y* -- z*", name="voucher")
    later = tuple(replace(one, at=one.at + timedelta(seconds=30)) for one in voucher.applied if one.at)
    voucher = replace(voucher, applied=later)
    found = {n: sorted(steps(planner.plan_rollback([api, voucher], steps=n))) for n in range(1, 7)}
    assert found[1] == ["voucher/z"]
    assert found[2] == ["voucher/y", "voucher/z"]
    assert found[3] == ["api/b", "voucher/y", "voucher/z"]
    assert found[4] == ["api/b", "voucher/x", "voucher/y", "voucher/z"]
    assert found[5] == found[6] == ["api/a", "api/b", "voucher/x", "voucher/y", "voucher/z"]
    assert steps(planner.plan_rollback([api, voucher], steps=3)) == ["voucher/z", "voucher/y", "api/b"]


def test_rollback_to_a_migration_keeps_it_and_to_base_keeps_nothing() -> None:
    """a* -- b* -- c* -- d"""
    now = state("a* -- b* -- c* -- d")
    by_id = now.service.by_id
    assert steps(planner.plan_rollback([now], to=by_id["a"])) == ["voucher/c", "voucher/b"]
    assert steps(planner.plan_rollback([now], to=by_id["c"])) == []
    assert steps(planner.plan_rollback([now], to=by_id["d"])) == []
    assert steps(planner.plan_rollback([now], to_base=True)) == ["voucher/c", "voucher/b", "voucher/a"]


def test_rollback_needs_no_journal_where_it_is_told_how_far() -> None:
    """a* -- b*   both by another tool"""
    now = state("a* -- b*", runs={"a": None, "b": None})
    assert steps(planner.plan_rollback([now], steps=1)) == ["voucher/b"]
    assert steps(planner.plan_rollback([now], to=now.service.by_id["a"])) == ["voucher/b"]


def test_rollback_with_an_irreversible_step_undoes_nothing_at_all() -> None:
    """a* -- b!* -- c*"""
    now = state("a* -- b!* -- c*")
    error = refused(Blocked, lambda: planner.plan_rollback([now], of_runs=wanted(now)))
    assert (error.service, error.migration, error.exit_code) == ("voucher", "b", ExitCode.BLOCKED)
    assert error.message == "1 of 3 steps cannot be undone: voucher/b: b throws things away"
    assert steps(planner.plan_rollback([now], to=now.service.by_id["b"])) == ["voucher/c"]


def test_rollback_refuses_what_was_edited_after_apply() -> None:
    now = edited(state("a* -- b*"), "b", b"x = 1\n")
    refused(EditedAfterApply, lambda: planner.plan_rollback([now], of_runs=wanted(now)))


def test_rollback_refuses_a_file_that_does_not_parse_also_where_another_tool_applied_it() -> None:
    now = edited(state("a* -- b*", runs={"a": None, "b": None}), "b", b"def x(:\n")
    refused(BrokenFile, lambda: planner.plan_rollback([now], steps=1))


def test_rollback_refuses_a_database_that_is_ahead_even_where_applying_may_go_on() -> None:
    """a* -- (b)*   b stands on a, and nobody here can undo it"""
    now = state("a* -- (b)*", ahead=Ahead.ALLOW)
    error = refused(DatabaseAhead, lambda: planner.plan_rollback([now], of_runs=wanted(now)))
    assert "allow" not in error.hint  # it would not help here


def test_rollback_of_the_newest_run_never_means_an_adoption() -> None:
    adopted = state("a* -- b*")
    adopted = replace(adopted, applied=tuple(replace(one, adopted="sqlx", run="run-1") for one in adopted.applied))
    refused(UsageError, lambda: planner.plan_rollback([adopted], of_runs=wanted(adopted)))
    refused(UsageError, lambda: planner.plan_rollback([adopted], of_runs=wanted(adopted, ids=("run-1",))))
    assert [step.migration.id for step in planner.plan_rollback([adopted], steps=1).steps] == ["b"]


def test_rollback_refuses_after_an_interruption() -> None:
    now = state("a* -- b~", last=entry("b", STARTED))
    refused(InterruptedStep, lambda: planner.plan_rollback([now], of_runs=wanted(now)))


def test_after_a_rollback_the_newest_run_has_to_be_named() -> None:
    """a* -- b* -- c   (a by run-1, b by run-2; c was rolled back last)"""
    now = state("a* -- b* -- c", runs={"b": "run-2"})
    undone = replace(entry("c", SUCCEEDED, ROLLBACK), at=NOW + timedelta(hours=1))
    error = refused(Blocked, lambda: planner.plan_rollback([now], of_runs=wanted(now, more={"voucher": [undone]})))
    assert error.exit_code is ExitCode.BLOCKED
    assert "the rollback of voucher/c by run run-8 (bob@pod-2, 2 hours ago)" in error.message
    assert "run-2 (ann@pod, 2 hours ago, 1 migration of voucher), run-1 (ann@pod, 3 hours ago" in error.message
    assert error.hint.endswith("dataops rollback --run run-2")


@pytest.mark.parametrize("event", [STARTED, FAILED])
def test_a_rollback_that_did_not_end_goes_on_with_the_same_run(event: JournalEvent) -> None:
    """a* -- b* -- c* -- d   (a by run-1, b and c by run-2; d is undone, c was begun)"""
    now = state("a* -- b* -- c* -- d", runs={"b": "run-2", "c": "run-2"})
    begun = replace(entry("c", event, ROLLBACK), at=NOW + timedelta(hours=1))
    plan = planner.plan_rollback([now], of_runs=wanted(now, more={"voucher": [begun]}))
    assert steps(plan) == ["voucher/c", "voucher/b"]


@pytest.mark.parametrize("event", [JournalEvent.RESOLVED, JournalEvent.ADOPTED])
def test_a_decision_or_an_adoption_is_no_run_to_undo(event: JournalEvent) -> None:
    now = state("a* -- b*")
    decided = replace(entry("b", event), at=NOW + timedelta(hours=1))
    refused(Blocked, lambda: planner.plan_rollback([now], of_runs=wanted(now, more={"voucher": [decided]})))


def test_pruning_does_not_hide_the_newest_run() -> None:
    now = state("a* -- b*", runs={"b": "run-2"})
    pruned = replace(entry("a", JournalEvent.PRUNED), at=NOW + timedelta(hours=1))
    plan = planner.plan_rollback([now], of_runs=wanted(now, more={"voucher": [pruned]}))
    assert steps(plan) == ["voucher/b"]


def test_a_run_that_failed_at_its_first_step_left_nothing_and_the_one_before_it_stays() -> None:
    now = state("a* -- b")
    failed = replace(entry("b", FAILED), at=NOW + timedelta(hours=1))
    error = refused(Blocked, lambda: planner.plan_rollback([now], of_runs=wanted(now, more={"voucher": [failed]})))
    assert "run-1" in error.message


def test_a_run_that_is_undone_or_has_failed_leaves_nothing_to_do() -> None:
    """a* -- b   (a by run-1; b was applied and undone, and then failed in run-8)"""
    now = state("a* -- b")
    gone = [entry("b", SUCCEEDED), entry("b", SUCCEEDED, ROLLBACK)]
    for more in (gone, [entry("b", FAILED)]):
        for written in ("run-8", "run-8"[:5]):
            of_runs = wanted(now, ids=(written,), more={"voucher": more})
            assert steps(planner.plan_rollback([now], of_runs=of_runs)) == []


@pytest.mark.parametrize(
    "entries",
    [[entry("b", SUCCEEDED, ROLLBACK)], [entry("b", JournalEvent.ADOPTED)], [entry("a", JournalEvent.PRUNED)]],
)
def test_a_run_that_never_applied_anything_cannot_be_undone(entries: list[Entry]) -> None:
    now = state("a* -- b")
    of_runs = wanted(now, ids=("run-8",), more={"voucher": entries})
    assert "has applied nothing" in refused(UsageError, lambda: planner.plan_rollback([now], of_runs=of_runs)).message


def test_the_beginning_of_a_runs_id_has_to_be_unique() -> None:
    now = state("a* -- b*", runs={"b": "run-2"})
    error = refused(UsageError, lambda: planner.plan_rollback([now], of_runs=wanted(now, ids=("run",))))
    assert "could be any of run-1, run-2" in error.message


def test_what_a_run_began_and_a_person_decided_is_not_undone_in_silence() -> None:
    """a* -- b*   (b was begun by run-8, and recorded as applied by the decision run-9)"""
    now = state("a* -- b*", runs={"b": "run-9"})
    of_runs = wanted(now, ids=("run-8",), more={"voucher": [entry("b", STARTED)]})
    assert refused(Blocked, lambda: planner.plan_rollback([now], of_runs=of_runs)).hint.endswith("--run run-9")


def test_the_command_of_the_refusal_undoes_all_that_stands_on_the_run() -> None:
    """api: a* -- b*    voucher: x* -- y* -- z*    (a, x by run-1; b, y by run-2; z by run-3)"""
    api = state("a* -- b*", name="api", runs={"b": "run-2"})
    voucher = state("x* -- y* -- z*", runs={"y": "run-2", "z": "run-3"})
    both = [api, voucher]
    error = refused(OutOfOrder, lambda: planner.plan_rollback(both, of_runs=wanted(*both, ids=("run-1",))))
    command = "dataops rollback --run run-3 --run run-2 --run run-1"
    assert error.hint.endswith(command)
    named = tuple(command.split(" --run ")[1:])
    assert len(planner.plan_rollback(both, of_runs=wanted(*both, ids=named)).steps) == 5


def test_what_another_tool_applied_on_top_needs_another_command() -> None:
    now = state("a* -- b*", runs={"b": None})
    error = refused(OutOfOrder, lambda: planner.plan_rollback([now], of_runs=wanted(now, ids=("run-1",))))
    assert "--to and --service voucher" in error.hint


def test_confirm_refuses_to_undo_what_another_run_has_applied_again() -> None:
    """a* -- b*   planned: b of run-2; meanwhile b was rolled back, and applied again by run-3"""
    planned = planner.plan_rollback([state("a* -- b*", runs={"b": "run-2"})], steps=1)
    error = refused(StalePlan, lambda: planner.confirm(planned, state("a* -- b*", runs={"b": "run-3"})))
    assert "applied again by run run-3" in error.message


# --- the same plan, seen again under the lock


BEFORE = state("a* -- b -- c -- d")
PLAN = planner.plan_apply([BEFORE], to=BEFORE.service.by_id["c"])
UNDO = planner.plan_rollback([state("a* -- b* -- c* -- d")], steps=2)


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("a* -- b -- c -- d", ["voucher/b", "voucher/c"]),
        ("a* -- b* -- c -- d", ["voucher/c"]),
        ("a* -- b* -- c* -- d", []),
        ("a* -- b* -- c* -- d*", []),
    ],
)
def test_confirm_apply_does_what_another_run_has_left(now: str, left: list[str]) -> None:
    assert [one.id for one in planner.confirm(PLAN, state(now))] == left


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("a* -- b* -- c* -- d", ["voucher/c", "voucher/b"]),
        ("a* -- b* -- c -- d", ["voucher/b"]),
        ("a* -- b -- c -- d", []),
        ("a -- b -- c -- d", []),
    ],
)
def test_confirm_rollback_does_what_another_run_has_left(now: str, left: list[str]) -> None:
    assert [one.id for one in planner.confirm(UNDO, state(now))] == left


def test_confirm_apply_refuses_when_something_below_the_plan_is_gone() -> None:
    """planned on a*, found a"""
    error = refused(StalePlan, lambda: planner.confirm(PLAN, state("a -- b -- c -- d")))
    assert (error.service, error.exit_code) == ("voucher", ExitCode.STALE)
    assert error.message == "the database changed after the plan: a rolled back since"


def test_confirm_rollback_refuses_when_something_stands_on_the_plan() -> None:
    """planned c and b of a* -- b* -- c* -- d, found d*"""
    error = refused(StalePlan, lambda: planner.confirm(UNDO, state("a* -- b* -- c* -- d*")))
    assert error.message == "the database changed after the plan: d applied since"


def test_confirm_refuses_another_database() -> None:
    elsewhere = replace(BEFORE, identity=replace(BEFORE.identity, address="production:5432/voucher"))
    with pytest.raises(StalePlan):
        planner.confirm(PLAN, elsewhere)


def test_confirm_does_not_mind_new_collections() -> None:
    """A run may create some between the plan and the lock."""
    later = replace(BEFORE, identity=replace(BEFORE.identity, marks=frozenset({"aa"})))
    assert len(planner.confirm(PLAN, later)) == 2


@pytest.mark.parametrize("now", ["a -- b -- c -- d", "a* -- b* -- c -- d", "a* -- b* -- c* -- d"])
def test_confirm_holds_a_saved_plan_to_its_exact_state(now: str) -> None:
    saved = replace(PLAN, saved=True)
    assert len(planner.confirm(saved, BEFORE)) == 2
    with pytest.raises(StalePlan):
        planner.confirm(saved, state(now))


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (state("a* -- b -- c* -- d"), OutOfOrder),
        (state("a* -- b~ -- c -- d", last=entry("b", STARTED), holder=HOLDER), InterruptedStep),
        (state("a* -- b* -- c* -- d* -- (e)*"), DatabaseAhead),
        (edited(BEFORE, "a", b"x = 1\n"), EditedAfterApply),
    ],
    ids=["gap", "interrupted", "ahead", "edited"],
)
def test_confirm_refuses_what_a_new_plan_would_refuse(now: State, error: type[DataopsError]) -> None:
    refused(error, lambda: planner.confirm(PLAN, now))


# --- a person's answer


@pytest.mark.parametrize(
    ("picture", "id_", "applied", "in_the_way"),
    [
        ("a* -- b -- c", "b", True, None),
        ("a* -- b -- c", "c", True, "b"),
        ("a* -- b -- c", "a", False, None),
        ("a* -- b* -- c", "b", False, None),
        ("a* -- b* -- c", "a", False, "b"),
        ("a* -- b* -- c", "c", False, None),
        ("a* -- b* -- c", "a", True, None),
        ("a* -- b -- c*", "b", True, None),  # a gap may be filled
    ],
)
def test_a_record_grows_and_shrinks_only_at_its_end(
    picture: str, id_: str, applied: bool, in_the_way: str | None
) -> None:
    now = state(picture)
    now = replace(now, claims={id_: id_ not in now.applied_ids})  # journal and record disagree
    if in_the_way is None:
        decide(now, id_, applied=applied, history=())
    else:
        error = refused(UsageError, lambda: decide(now, id_, applied=applied, history=()))
        assert error.message.startswith(f"{in_the_way} ")


@pytest.mark.parametrize(
    ("picture", "id_", "applied", "says", "leads_to"),
    [
        ("a* -- b* -- c", "b", False, "b is applied", "dataops rollback --to voucher/a"),
        ("a* -- b", "a", False, "a is applied", "dataops rollback --to voucher/base"),
        ("a* -- b* -- c", "b", True, "b is applied", "dataops rollback --to voucher/a"),
        ("a* -- b", "b", True, "b is not applied", "dataops apply --to voucher/b"),
        ("a* -- b", "b", False, "b is not applied", "dataops apply --to voucher/b"),
        ("a* -- b* -- (c)*", "c", False, "c is applied", "only code that has its file"),
        ("a* -- b -- c*", "a", False, "a is applied", "dataops rollback --to voucher/base"),
    ],
)
def test_what_is_not_undecided_cannot_be_decided(
    picture: str, id_: str, applied: bool, says: str, leads_to: str
) -> None:
    error = refused(UsageError, lambda: decide(state(picture), id_, applied=applied, history=()))
    assert error.message.startswith(says)
    assert leads_to in error.hint


@pytest.mark.parametrize(("id_", "applied"), [("b", True), ("c", False)])
def test_a_gap_in_the_record_is_closed_from_below_or_from_above(id_: str, applied: bool) -> None:
    """a* -- b -- c*"""
    assert decide(state("a* -- b -- c*"), id_, applied=applied, history=()) == Decision()


def test_the_same_answer_again_is_recorded_already_unless_something_happened_since() -> None:
    """a* -- b*   (b was resolved as applied)"""
    now, resolved = state("a* -- b*"), entry("b", JournalEvent.RESOLVED)
    assert decide(now, "b", applied=True, history=(resolved,)) == Decision(recorded=True)
    refused(UsageError, lambda: decide(now, "b", applied=False, history=(resolved,)))
    refused(UsageError, lambda: decide(now, "b", applied=True, history=(entry("b", SUCCEEDED), resolved)))


def test_what_is_only_in_the_journal_is_decided_as_the_record_says() -> None:
    """a* -- b   (the journal says that x is applied, which has no file)"""
    now = replace(state("a* -- b"), claims={"a": True, "x": True})
    assert decide(now, "x", applied=False, history=()) == Decision()
    assert "no file" in refused(UsageError, lambda: decide(now, "x", applied=True, history=())).message


def test_a_squashed_file_takes_the_place_of_those_that_are_gone() -> None:
    """(x)* -- (y)* -- a -- b"""
    now = state("(x)* -- (y)* -- a -- b")
    assert decide(now, "a", applied=True, history=()) == Decision(replaced=("x", "y"))
    refused(UsageError, lambda: decide(now, "b", applied=True, history=()))
    refused(UsageError, lambda: decide(now, "a", applied=False, history=()))


def test_a_replacement_that_a_crash_cut_off_is_brought_to_its_end_and_nothing_newer_goes() -> None:
    """(x)* -- a* -- (z)*   (a was resolved as applied after x, and newer code has applied z since)"""
    now = state("(x)* -- a* -- (z)*")
    history = (replace(entry("z", SUCCEEDED), seq=9), replace(entry("a", JournalEvent.RESOLVED), seq=8))
    decided = decide(now, "a", applied=True, history=(*history, replace(entry("x", SUCCEEDED), seq=2)))
    assert decided == Decision(recorded=True, replaced=("x",))


# --- the fingerprint of a saved plan, and its last line


def test_the_fingerprint_does_not_change_with_what_no_plan_relies_on() -> None:
    before = state("a* -- b")
    text = before.service.by_id["b"].text
    same = [
        state("a* -- b", last=entry("a", SUCCEEDED), holder=HOLDER),
        replace(before, server="PostgreSQL 16.0", identity=replace(before.identity, address="other:1/voucher")),
        edited(before, "b", text + b"\n# a comment\n"),
    ]
    assert {planfile.fingerprint(one) for one in same} == {planfile.fingerprint(before)}


def test_the_fingerprint_changes_with_what_a_plan_relies_on() -> None:
    before = state("a* -- b")
    different = [
        before,
        state("a -- b"),
        state("a* -- b*"),
        state("a* -- b -- c"),
        state("b* -- a"),
        state("a* -- b -- (c)*"),
        edited(before, "b", before.service.by_id["b"].text.replace(b"CREATE TABLE b", b"CREATE TABLE c")),
    ]
    assert len({planfile.fingerprint(one) for one in different}) == len(different)


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (planner.plan_apply([state("a*")]), "Plan: nothing to apply"),
        (planner.plan_rollback([state("a")], steps=1), "Plan: nothing to roll back"),
        (planner.plan_apply([state("a")]), "Plan: 1 to apply in 1 service"),
        (
            planner.plan_apply([state("a -- b!", name="api"), state("c", name="voucher")]),
            "Plan: 3 to apply in 2 services (1 irreversible)",
        ),
        (planner.plan_rollback([state("a* -- b*")], steps=2), "Plan: 2 to roll back in 1 service"),
    ],
)
def test_the_summary_is_one_line(plan: Plan, line: str) -> None:
    assert planner.summary(plan) == line


def test_the_order_of_services_is_that_of_the_file_where_nothing_depends() -> None:
    services = [service("a", name=name) for name in ("one", "two", "three")]
    assert planner.order(services) == services


def test_the_samples_are_what_their_pictures_say() -> None:
    """a* -- b!~ -- (c)*"""
    now = state("a* -- b!~ -- (c)*")
    assert [(m.id, m.parent, m.reversible, m.atomic) for m in now.service.migrations] == [
        ("a", None, True, True),
        ("b", "a", False, False),
    ]
    assert ([one.id for one in now.applied], now.unknown, now.applied[0].at) == (["a"], ("c",), NOW)
