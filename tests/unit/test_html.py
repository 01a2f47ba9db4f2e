"""The page of `dataops report`: whole, without a network, and with other people's text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dataops.errors import Blocked, Unreachable
from dataops.kinds import POSTGRESQL
from dataops.model import JournalEvent, Migration, Rendering, State
from dataops.planning import planner
from dataops.planning.story import Story, stories
from dataops.show import writers
from dataops.show.html import page
from dataops.show.reports import Look, PlanReport, StatusReport
from tests.unit.sample import entry, state, text

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
HARD = "<script>alert(1)</script> </style> \x1b[31m \u202egnirts \u2066 & \"quoted\" 'x' ]]> <!--"


class Outline(HTMLParser):
    """The tags of a page, its attributes, and its text; every element that was opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def outline(made: str) -> Outline:
    found = Outline()
    found.feed(made)
    assert found.open == []
    return found


def long_history(count: int, applied: int, title: str) -> State:
    """One history of so many migrations, the first `applied` of them applied; the titles are of somebody else."""
    before = state("a*")
    ids = [f"{at:014}" for at in range(count)]
    made = tuple(
        Migration(
            id_, (ids[at - 1],) if at else (), Path(f"{id_}.py"), POSTGRESQL, text(id_, None, POSTGRESQL).encode()
        )
        for at, id_ in enumerate(ids)
    )
    titled = tuple(replace(m, text=m.text.replace(b"Do ", f"{title} ".encode("unicode_escape"))) for m in made)
    done = tuple(replace(before.applied[0], id=m.id, checksum=None, raw_checksum=None) for m in titled[:applied])
    return replace(before, service=replace(before.service, migrations=titled), applied=done, claims={})


def runs(count: int, names: tuple[str, ...] = ("voucher",)) -> tuple[Story, ...]:
    journal = {
        name: [
            replace(
                entry("a", JournalEvent.SUCCEEDED), seq=at, run=f"2026-{at:06}", actor=HARD, error=HARD,
                at=NOW - timedelta(hours=at), seconds=2.0,
            )
            for at in range(count)
        ]
        for name in names
    }  # fmt: skip
    return stories(journal)


def whole(now: State, *more: State) -> str:
    planned = planner.plan_apply([now])
    renderings = {step.id: Rendering((f"SELECT '{HARD}'",), notes=(HARD,)) for step in planned.steps}
    down = Look(replace(now.service, name="down"), Unreachable(HARD, hint=HARD))
    told = runs(30)
    looks = [*(Look(one.service, one) for one in (now, *more)), down]
    return page.report(looks, told, planned, renderings, told[0], NOW, older=3)


@pytest.mark.parametrize(("count", "applied"), [(62, 40), (2_000, 1_990)])
def test_the_page_is_whole_and_takes_nothing_from_elsewhere(count: int, applied: int) -> None:
    made = whole(long_history(count, applied, HARD))
    found = outline(made)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(found.tags)
    places = {value for name, value in found.attributes if name in ("src", "href", "action", "data")}
    assert {place for place in places if place and not place.startswith("#")} == set()
    assert not re.search(r"url\(|@import", made)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert "<script>alert(1)</script>" in found.text  # as text
    assert f"{count - 1:014}" in found.text
    assert found.tags.count("circle") == count
    assert ("lang", "en") in found.attributes
    for landmark in ("main", "nav", "header", "footer", "h1"):
        assert found.tags.count(landmark) == 1
    assert len(made) < 5_000_000


def test_everything_that_has_to_be_known_stands_on_it() -> None:
    now, ahead = state("a* -- b -- c!"), state("a* -- (x)*", name="shop")
    warned = replace(state("a*", name="docs"), warnings=("naming is not honoured",))
    words = outline(whole(now, ahead, warned)).text
    for wanted in (
        "voucher",
        "ahead",
        "naming is not honoured",
        "IRREVERSIBLE",
        "down",
        "3 older ones are not shown",
        "Run 2026-000000",
        "2 to apply",
    ):
        assert wanted in words, wanted
    refused = page.report([Look(now.service, now)], (), Blocked("not now", hint="later"), {}, None, NOW)
    assert "Nothing yet." in outline(refused).text
    assert "not now" in outline(refused).text


def test_a_history_with_branches_and_services_that_wait_are_drawn() -> None:
    ids = {"a": (), "b": ("a",), "c": ("a",), "m": ("b", "c"), "d": ("m",)}
    forked = tuple(
        Migration(id_, parents, Path(f"{id_}.py"), POSTGRESQL, text(id_, None, POSTGRESQL).encode())
        for id_, parents in ids.items()
    )
    first = state("a*")
    one = replace(first, service=replace(first.service, migrations=forked))
    two = state("a*", name="shop", depends_on=("voucher",))
    made = page.report(
        [Look(one.service, one), Look(two.service, two)], (), planner.plan_apply([one, two]), {}, None, NOW
    )
    assert made.count("<circle") == 6
    assert "Which service waits for which" in made
    rows = {float(y) for y in re.findall(r'<circle cx="\d+" cy="(\d+)"', made.partition("shop</h3>")[0])}
    assert len(rows) == 2


def test_plan_and_status_are_formats_like_any_other() -> None:
    now = state("a* -- b")
    planned = planner.plan_apply([now])
    report = PlanReport(planned, {"voucher/b": Rendering(("CREATE TABLE b ()",))}, Path.cwd())
    assert "CREATE TABLE b ()" in outline(writers("plan")["html"](report)).text
    assert "1 pending" in outline(writers("status")["html"](StatusReport([Look(now.service, now)], Path.cwd()))).text
    assert "why not" in outline(writers("refusal")["html"]("dataops plan", Blocked("why not"))).text
