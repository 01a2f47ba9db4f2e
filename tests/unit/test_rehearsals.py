"""What a rehearsal has measured is kept without data, carried over to live sizes, and forgotten when it is wrong."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dataops.config import read
from dataops.errors import ConfigError
from dataops.model import (
    Direction,
    Effect,
    Measured,
    Observed,
    Plan,
    Rehearsed,
    Rendering,
    Risk,
    Sampled,
    Span,
    StepMeasured,
    Verb,
    Work,
    recognized,
)
from dataops.planning import planner, rehearsals
from dataops.planning.rehearsals import carried, database_of, measured, paired
from dataops.statements import comparable, without_values
from tests.unit.sample import NOW, state

TABLES = {"public.t": Sampled(1_000, 100_000), "public.all": Sampled(50, 50), "public.none": Sampled(0, 700)}
UPDATE = "UPDATE t SET a = 'x' WHERE b = 7"


def ran(text: str, seconds: float = 0.101, changed: int | None = None) -> Measured:
    locks = Observed((("public.t", "AccessExclusiveLock"),))
    return Measured("", seconds, recognized(comparable(without_values(text))), changed, locks)


def effect(*works: Work, risks: tuple[Risk, ...] = (), span: Span | None = None) -> Effect:
    return Effect(0, (), works, span, risks)


@pytest.mark.parametrize(
    ("work", "changed", "low", "high"),
    [
        (
            Work(Verb.REWRITES, "public.t"),
            None,
            2.911,
            30.301,
        ),  # 0.1 s, a hundred times as many rows, a third of it, tripled
        (Work(Verb.BUILDS, "i on public.t"), None, 4.85, 50.5),  # and the logarithm of the rows
        (Work(Verb.REWRITES, "public.all"), None, 0.030, 0.304),
        (Work(Verb.CHANGES, "public.t", 20_000), 200, 2.911, 30.301),
        (Work(Verb.CHANGES, "public.t", 5), 5, 0.030, 30.301),  # five rows: by an index, or by looking at all
        (Work(Verb.ADDS, "public.t", 5), 5, 0.030, 0.304),
    ],
)
def test_times_are_carried_over_by_rows(work: Work, changed: int | None, low: float, high: float) -> None:
    span = carried(ran(UPDATE, changed=changed), effect(work), TABLES)
    assert span is not None
    assert span.low == pytest.approx(low, abs=0.01)
    assert span.high == pytest.approx(high, abs=0.05)
    assert span.basis == f"measured on a sample of 1 in {1 if work.place == 'public.all' else 100}"


def test_a_plan_and_a_rehearsal_together_say_more_than_each() -> None:
    """Where they agree at all: otherwise what was measured counts."""
    work = Work(Verb.REWRITES, "public.t")
    narrow = carried(ran(UPDATE), effect(work, span=Span(4.0, 20.0, "the size of the table")), TABLES)
    assert narrow is not None
    assert (narrow.low, narrow.high) == (4.0, 20.0)
    far = carried(ran(UPDATE), effect(work, span=Span(0.0, 1.0, "the size of the table")), TABLES)
    assert far is not None
    assert far.low > 1.0


def test_rows_that_go_into_a_table_of_the_plan_are_carried_over_by_their_number() -> None:
    span = carried(ran("CREATE TABLE n AS SELECT 1", changed=10), effect(Work(Verb.ADDS, "public.n", 1_000)), TABLES)
    assert span is not None
    assert span.high == pytest.approx(30.3, abs=0.1)


def test_a_percent_sign_is_the_same_in_a_plan_and_as_the_driver_sends_it() -> None:
    assert paired(["UPDATE t SET a = 1 WHERE b % 10 = 0"], [ran("UPDATE t SET a = 1 WHERE b %% 10 = 0")])


def test_nothing_is_said_of_a_table_that_was_empty_in_the_sample_or_not_touched() -> None:
    assert carried(ran(UPDATE), effect(Work(Verb.REWRITES, "public.none")), TABLES) is None
    assert carried(ran(UPDATE), effect(), TABLES) is None
    assert carried(ran(UPDATE), None, TABLES) is None
    unknown = carried(ran("DO $$ x $$"), effect(risks=(Risk("unknown", "DO"),)), TABLES)
    assert unknown is not None
    assert unknown.low == pytest.approx(0.030, abs=0.001)
    assert unknown.high == pytest.approx(30.301)


def test_commands_are_recognized_by_order_and_text_without_values() -> None:
    commands = [UPDATE, "SELECT 1", UPDATE, 'insert users {"a": 1}', "ALTER TABLE t ADD b int"]
    insert = replace(ran(""), digest=recognized("insert users"), changed=3)
    statements = [
        ran("SET x = 1"),
        ran("UPDATE t SET a = %(a_1)s::VARCHAR WHERE b = %(b)s", 1.0),
        ran("UPDATE t SET a = 'y' WHERE b = 8", 2.0),
        insert,
        insert,
    ]
    found = paired(commands, statements)
    assert {at: there for at, (there, _) in found.items()} == {0: 1, 2: 2, 3: 3}
    assert (found[0][1].seconds, found[3][1].changed) == (1.0, 6)
    assert found[3][1].seconds == pytest.approx(0.202)


def test_a_plan_takes_the_newest_rehearsal_of_the_same_file_and_database(tmp_path: Path) -> None:
    """a* -- b   (* applied)"""
    now = state("a* -- b")
    plan = planner.plan_apply([now])
    [step] = plan.steps
    before = Span(1.0, 90.0, "the size of the table")
    risks = (Risk("blocks-reads", f"public.t cannot be read or written for {before}"), Risk("takes-long", "so"))
    foreseen = effect(Work(Verb.REWRITES, "public.t"), risks=risks, span=before)
    renderings = {step.id: Rendering((UPDATE,), effects=(foreseen,))}

    def rehearsed(seconds: float = 0.101, checksum: str = step.migration.checksum) -> Rehearsed:
        steps = [StepMeasured("b", checksum, Direction.APPLY, 1.0, (ran(UPDATE, seconds),))]
        return Rehearsed(now.service.name, database_of(now.identity), NOW, TABLES, steps)

    def seen(plan: Plan, days: int = 1) -> Effect:
        later = NOW + timedelta(days=days)
        [found] = measured(plan, renderings, rehearsals.load(tmp_path), later)[step.id].effects
        return found

    assert rehearsals.load(tmp_path) == []
    rehearsals.save(tmp_path, [rehearsed()])
    path = tmp_path / ".dataops" / "rehearsal.json"
    assert (stat.S_IMODE(path.stat().st_mode), (path.parent / ".gitignore").read_text()) == (0o600, "*\n")
    one = seen(plan)
    assert one.span is not None
    assert (round(one.span.low), round(one.span.high), one.span.basis) == (3, 30, "measured on a sample of 1 in 100")
    assert [risk.hazard for risk in one.risks] == ["blocks-reads"]
    assert one.risks[0].text == f"public.t cannot be read or written for {one.span}"

    rehearsals.save(tmp_path, [rehearsed(1.001)])
    assert seen(plan).risks[-1].hazard == "takes-long"
    assert seen(plan, days=31).span == before
    elsewhere = replace(plan, states=(replace(now, identity=replace(now.identity, database="another")),))
    assert seen(elsewhere).span == before
    rehearsals.save(tmp_path, [rehearsed(checksum="another")])
    assert seen(plan).span == before
    for broken in ("{", "[]", json.dumps({"version": 1, "rehearsals": [{}]}), json.dumps({"version": 2})):
        path.write_text(broken)
        assert rehearsals.load(tmp_path) == []


@pytest.mark.parametrize(
    "wrong", ["sample = 0", 'sample = "x"', 'mask = "a.b"', 'mask = ["a"]', 'mask = ["a."]', "x = 1"]
)
def test_what_the_configuration_says_of_rehearsals_is_checked(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "dataops.toml"
    service = '[services.shop]\nengine = "postgresql"\nfolder = "shop"\nurl_env = "URL"\n'
    path.write_text(f'{service}[rehearse]\nsample = 7\nmask = ["a.b", "s.a.b"]\n')
    found = read(path).rehearse
    assert (found.sample, found.masks) == (7, ("a.b", "s.a.b"))
    path.write_text(f"{service}[rehearse]\n{wrong}\n")
    with pytest.raises(ConfigError, match="rehearse"):
        read(path)
