"""In which waves a fleet is changed: pure, without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataops.errors import UsageError
from dataops.fleet import waves
from dataops.fleet.control import Shard, parse
from dataops.kinds import POSTGRESQL
from dataops.model import Direction, Member, Rollout, Service, Wave


def fleet(
    names: str, *rules: Wave, labels: Mapping[str, Mapping[str, str]] | None = None, **more: Any
) -> list[Service]:
    """A fleet `f` with a database for each letter; `labels` by letter."""
    rollout = Rollout(rules or Rollout().waves, **more)
    one = Service("f", POSTGRESQL, "", Path(), rollout=rollout)
    return [one.at(Member("f", name, (labels or {}).get(name, {})), "") for name in names]


def names_of(services: Sequence[Service], direction: Direction = Direction.APPLY, **how: Any) -> list[str]:
    """The letters of each wave."""
    sizes = how.pop("sizes", {})
    course = waves.courses(services, direction, sizes=lambda ones: {f"f@{k}": v for k, v in sizes.items()}, **how)["f"]
    return ["".join(name.removeprefix("f@") for name in wave) for wave in course.waves]


def test_by_default_the_smallest_comes_first_then_a_tenth_then_the_rest() -> None:
    assert names_of(fleet("abcdefghijklmnopqrst"), sizes={"a": 9, "c": 1, "d": 5}) == ["c", "ab", "defghijklmnopqrst"]


def test_where_sizes_are_not_known_the_order_is_that_of_the_names_and_unknown_ones_are_not_the_smallest() -> None:
    assert names_of(fleet("dcba")) == ["a", "b", "cd"]
    assert names_of(fleet("abc"), sizes={"c": 10**12})[0] == "c"


def test_sizes_are_only_asked_where_a_rule_needs_them() -> None:
    def ask(services: Sequence[Service]) -> dict[str, int]:
        raise AssertionError("nobody needs them")

    found = waves.courses(fleet("abc", Wave(share=0.5), Wave()), Direction.APPLY, sizes=ask)
    assert [len(wave) for wave in found["f"].waves] == [2, 1]


def test_a_share_is_of_the_whole_fleet_and_at_least_one() -> None:
    rules = (Wave(smallest=2), Wave(share=0.3), Wave(share=0.3), Wave())
    assert names_of(fleet("abcdefghij", *rules)) == ["ab", "cde", "fgh", "ij"]
    assert names_of(fleet("ab", Wave(share=0.01), Wave())) == ["a", "b"]


def test_names_patterns_and_labels_take_those_that_no_wave_before_has() -> None:
    labels = {"a": {"region": "eu"}, "b": {"region": "eu"}, "c": {"region": "us"}}
    rules = (Wave(databases=("a", "c")), Wave(labels={"region": "eu"}), Wave())
    assert names_of(fleet("abcd", *rules, labels=labels)) == ["ac", "b", "d"]
    assert names_of(fleet("abcd", Wave(databases=("[bc]",)), Wave())) == ["bc", "ad"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Wave(databases=("aa",)), "wave 1 selects nothing: no database fits databases = aa"),
        (Wave(labels={"region": "eu"}), "wave 1 selects nothing: no database has labels region = eu"),
    ],
)
def test_a_rule_that_fits_no_database_is_refused_unless_only_some_are_chosen(rule: Wave, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        names_of(fleet("ab", rule, Wave(), labels={"a": {"region": "us"}}))
    assert refused.value.message == words and refused.value.hint.startswith("nothing was done")
    assert names_of(fleet("ab", rule, Wave()), chosen=True) == ["ab"]


def test_a_wave_for_which_nothing_is_left_is_left_out_with_what_it_waits_for() -> None:
    course = waves.courses(fleet("a", Wave(smallest=1), Wave(pause=9)), Direction.APPLY, sizes=lambda _: {})["f"]
    assert (course.waves, course.rules) == ((("f@a",),), (Wave(smallest=1),))


def test_a_rollback_goes_backwards_and_waits_for_nothing() -> None:
    services = fleet("abc", Wave(smallest=1), Wave(pause=9, ask=True))
    assert names_of(services, Direction.ROLLBACK) == ["bc", "a"]
    course = waves.courses(services, Direction.ROLLBACK, sizes=lambda _: {})["f"]
    assert not any(rule.holds for rule in course.rules)


def test_units_come_after_those_they_depend_on_and_in_a_rollback_the_other_way_round() -> None:
    shop = Service("shop", POSTGRESQL, "", Path(), depends_on=("f",))
    for direction, after in ((Direction.APPLY, ((), ("f",))), (Direction.ROLLBACK, (("shop",), ()))):
        found = waves.courses([*fleet("ab"), shop], direction, sizes=lambda _: {})
        assert (found["f"].after, found["shop"].after) == after
    assert found["shop"].waves == (("shop",),)


def test_shards_share_every_wave_and_nobody_has_a_database_twice() -> None:
    course = waves.courses(fleet("abcdefg", Wave(smallest=1), Wave()), Direction.APPLY, sizes=lambda _: {})["f"]
    parts = [course.part(index, 3).waves for index in range(3)]
    assert [["".join(name[2:] for name in wave) for wave in part] for part in parts] == [
        ["a", "be"],
        ["", "cf"],
        ["", "dg"],
    ]


def test_a_shard_is_written_as_its_number_and_how_many_there_are() -> None:
    assert (parse("0/8"), parse(" 7/8 "), str(Shard(7, 8))) == (Shard(0, 8), Shard(7, 8), "7/8")
    for wrong in ("8/8", "x", "1", "-1/8", "1/", "0/0", "٣/8"):
        with pytest.raises(UsageError, match="--shard"):
            parse(wrong)
