"""What a policy forbids, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dataops.config import policy as policies
from dataops.errors import Blocked, ConfigError
from dataops.files import toml
from dataops.model import Effect, Plan, Policy, Rendering, Risk, Span, Verb, Work
from dataops.planning import planner
from dataops.planning.policies import refuse, violations
from tests.unit.sample import state

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)  # a Wednesday
STATE = state("a -- b")


def plan() -> Plan:
    return planner.plan_apply([STATE])


def rendering(*effects: Effect) -> dict[str, Rendering]:
    return {plan().steps[0].id: Rendering(("ALTER TABLE t",), effects=effects)}


def read(text: dict[str, object], environment: str | None = None) -> Policy:
    return policies.read(toml.Table(text, "[policy]", ""), Path("/top")).of(environment)


BLOCKS = Effect(
    0,
    work=(Work(Verb.REWRITES, "app.t", 2_000_000, 3 * 1024**3),),
    span=Span(2.0, 40.0, "the size of the table"),
    risks=(Risk("rewrites-table", "app.t"), Risk("blocks-reads", "app.t cannot be read")),
)


def told(policy: Policy, *allowed: str, now: datetime = NOW) -> list[str]:
    return [str(one) for one in violations(policy, plan(), rendering(BLOCKS), allowed, now)]


def test_without_a_policy_everything_is_allowed() -> None:
    assert told(Policy()) == []


def test_a_hazard_is_refused_or_asked_for_and_only_what_is_asked_for_can_be_allowed() -> None:
    step = plan().steps[0].id
    assert told(Policy(refuse=("blocks-reads",))) == [f"{step}: app.t cannot be read (refuse blocks-reads)"]
    assert told(Policy(refuse=("blocks-reads",)), "blocks-reads") != []
    assert told(Policy(ask=("blocks-reads", "rewrites-table")), "rewrites-table") == [
        f"{step}: app.t cannot be read (ask blocks-reads)"
    ]
    assert told(Policy(ask=("blocks-reads",)), "blocks-reads") == []
    assert told(Policy(ask=("takes-long",))) == []


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (Policy(rows=1_000_000), "reads app.t, 2,000,000 rows (rows = 1_000_000)"),
        (Policy(bytes=1024**3), "rewrites app.t, 3.0 GB (bytes = 1.0 GB)"),
        (Policy(blocked=10.0), "others may have to wait up to 40 s (blocked = 10s)"),
    ],
)
def test_limits_are_held_against_sizes_and_the_upper_estimate(policy: Policy, rule: str) -> None:
    [found] = told(policy)
    assert found.endswith(rule.replace("reads app", "rewrites app"))


def test_limits_that_are_not_reached_forbid_nothing() -> None:
    assert told(Policy(rows=2_000_000, bytes=3 * 1024**3, blocked=40.0)) == []


def test_a_plan_without_steps_is_always_allowed() -> None:
    nothing = Plan(plan().direction, (), (STATE,))
    assert violations(read({"windows": ["Sun 00:00-00:01 UTC"]}), nothing, {}, (), NOW) == ()


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("Mon-Fri 09:00-16:00 UTC", NOW, True),
        ("Mon-Fri 09:00-16:00 Europe/Zurich", NOW.replace(hour=15, minute=30), False),
        ("Mon-Fri 09:00-16:00 Europe/Zurich", NOW.replace(hour=14, minute=30), True),
        ("Wed 10:00-10:01", NOW, True),
        ("Thu 09:00-16:00", NOW, False),
        ("Fri-Tue 09:00-16:00", NOW, False),
        ("Fri-Wed 09:00-16:00", NOW, True),
        ("22:00-04:00", NOW.replace(hour=3), True),
        ("22:00-04:00", NOW.replace(hour=23), True),
        ("22:00-04:00", NOW, False),
        ("Tue 22:00-04:00", NOW.replace(hour=3), True),
        ("Wed 22:00-04:00", NOW.replace(hour=3), False),
    ],
)
def test_windows_are_times_of_the_week_somewhere(window: str, moment: datetime, is_open: bool) -> None:
    assert told(read({"windows": [window]}), now=moment) == (
        [] if is_open else [f"this is not the time for it, only {window} (windows)"]
    )


def test_an_environment_has_what_the_policy_says_but_for_what_it_says_itself() -> None:
    text: dict[str, object] = {
        "refuse": ["will-fail"],
        "rows": 5,
        "environments": {"live": {"rows": 7, "bytes": "2 GB", "backup": "marker", "backup_max_age": "2h"}},
    }
    general, live = read(text), read(text, "live")
    assert (general.refuse, general.rows, general.bytes) == (("will-fail",), 5, None)
    assert (live.refuse, live.rows, live.bytes) == (("will-fail",), 7, 2 * 1024**3)
    assert (live.backup, live.backup_max_age) == (Path("/top/marker"), 7200.0)
    assert live.where == "[policy.environments.live]"
    assert read(text, "other") == general


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"refuse": ["block-reads"]}, "there is no hazard 'block-reads'"),
        ({"refuses": []}, "unknown key 'refuses'"),
        ({"rows": "5"}, "rows has to be a number"),
        ({"bytes": "5 miles"}, "'5 miles' is not a size"),
        ({"blocked": "soon"}, "'soon' is not a duration"),
        ({"windows": ["Mon-Fri"]}, "'Mon-Fri' is not a time of the week"),
        ({"windows": ["Mon 25:00-26:00"]}, "no such day, time or zone"),
        ({"windows": ["Mon 09:00-10:00 Mars/Base"]}, "no such day, time or zone"),
        ({"environments": {"live": {"rows": -1}}}, "[policy.environments.live]: rows has to be a number"),
    ],
)
def test_what_makes_no_sense_is_refused_whichever_environment_is_meant(text: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert message in refused.value.message


def test_the_refusal_names_the_rule_the_step_and_the_way_to_allow_it() -> None:
    found = violations(Policy(ask=("blocks-reads", "rewrites-table")), plan(), rendering(BLOCKS), (), NOW)
    with pytest.raises(Blocked) as refused:
        refuse(Policy(), found, "dataops apply")
    step = plan().steps[0].id
    assert refused.value.message == (
        f"[policy] forbids this: {step}: app.t cannot be read (ask blocks-reads); {step}: app.t (ask rewrites-table)"
    ) or refused.value.message == (
        f"[policy] forbids this: {step}: app.t (ask rewrites-table); {step}: app.t cannot be read (ask blocks-reads)"
    )
    assert "dataops apply --allow blocks-reads --allow rewrites-table" in refused.value.hint
