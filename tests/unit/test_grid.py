"""Tables that fit: nothing broken that a person copies, at any width."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from dataops.errors import DataopsError, Unreachable
from dataops.model import JournalEvent
from dataops.planning.story import stories
from dataops.show import grid, tables
from dataops.show.grid import ALWAYS, Cell, Column, Table
from dataops.show.reports import Look
from tests.unit.sample import entry, state

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
WIDTHS = (60, 80, 100, 120, 200)
NAMES = {
    4: ["api", "api-keys", "notifications", "voucher"],
    30: [f"service-of-the-tenant-{at:03}" for at in range(30)],
    300: [f"メッセージ-{at}" if at % 2 else f"me\u0301moire-{at:03}" for at in range(300)],
}


def looks(count: int) -> list[Look]:
    last = entry("20240520210910", JournalEvent.SUCCEEDED)
    found = []
    for at, name in enumerate(NAMES[count]):
        now = state("20231106063422* -- 20240520210910" + "*" * (at % 3 > 0), last=last)
        problem = DataopsError("20231106063422_a_long_name.py was edited after it was applied") if at % 5 == 4 else None
        found.append(Look(replace(now.service, name=name), now, problem))
    found[0] = Look(found[0].service, Unreachable("cannot connect to db-7.internal:5432/voucher: Connection refused"))
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [4, 30, 300])
def test_status_fits_and_breaks_no_name(count: int, width: int) -> None:
    table = tables.status(looks(count), NOW)
    lines = [text for text, _ in grid.fitted(table, width)]
    assert max(map(cell_len, lines)) <= width
    shown = "\n".join(lines)
    for name in (*NAMES[count], "20240520210910"):
        assert name in shown
    words = " ".join(shown.split())
    assert "Connection refused" in words or "Connection" in words.split()
    assert all(line == line.rstrip() for line in lines)


def test_columns_go_by_worth_as_the_width_shrinks_and_at_last_the_rows_are_blocks() -> None:
    table = Table(
        [
            Column("name", ALWAYS),
            Column("old", 10),
            Column("who", 20),
            Column("n", 90, number=True),
            Column("state", ALWAYS, folds=True),
        ],
        [["shop", Cell("2026-11-24", "3 h ago"), "bob@pod", "12", "something is wrong with this one"]],
        ["red"],
    )
    assert [text for text, _ in grid.fitted(table, 80)] == [
        "name  old      who       n  state",
        "shop  3 h ago  bob@pod  12  something is wrong with this one",
    ]
    assert [text for text, _ in grid.fitted(table, 50)] == [
        "name  who       n  state",
        "shop  bob@pod  12  something is wrong with this",
        "                   one",
    ]
    assert [text for text, _ in grid.fitted(table, 38)] == [
        "name   n  state",
        "shop  12  something is wrong with this",
        "          one",
    ]
    assert grid.fitted(table, 30) == [
        ("shop", "bold red"),
        ("  old    3 h ago", ""),
        ("  who    bob@pod", ""),
        ("  n      12", ""),
        ("  state  something is wrong", ""),
        ("         with this one", ""),
    ]


def test_in_full_every_column_is_there_and_nothing_is_relative() -> None:
    table = Table(
        [Column("name", ALWAYS), Column("when", 10)],
        [["shop", grid.moment(NOW - timedelta(hours=3), NOW)], ["a\tb", ""]],
    )
    assert [text for text, _ in grid.whole(table)] == ["name  when", "shop  2026-11-24 06:30:00", "a\\tb"]
    assert grid.comma_separated(table) == "name,when\nshop,2026-11-24 06:30:00\na\\tb,\n"
    assert grid.names(table) == "shop\na\\tb\n"


def test_wide_and_combining_characters_take_the_columns_that_a_terminal_gives_them() -> None:
    table = Table([Column("name", ALWAYS), Column("n", 10)], [["倉庫", "1"], ["me\u0301moire", "2"], ["shop", "3"]])
    ends = [cell_len(text) for text, _ in grid.fitted(table, 80)]
    assert ends == [10, 10, 10, 10]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "now"),
        (0.4, "now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3 * 3600 + 59, "3 h ago"),
        (90 * 86400, "90 d ago"),
    ],
)
def test_an_age(seconds: float, shown: str) -> None:
    assert grid.age(seconds) == shown


def test_a_word_that_is_wider_than_its_column_stays_whole() -> None:
    id_ = "x" * 70
    table = Table([Column("service", ALWAYS), Column("state", ALWAYS, folds=True)], [["shop", f"missing {id_} here"]])
    assert any(id_ in text for text, _ in grid.fitted(table, 60))


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_fit(width: int) -> None:
    told = {
        "shop": [
            replace(entry("a", JournalEvent.STARTED), seq=1, run="20261124T093000-1f2e3d"),
            replace(entry("a", JournalEvent.FAILED), run="20261124T093000-1f2e3d", error="no"),
        ]
    }
    lines = [text for text, _ in grid.fitted(tables.runs(stories(told), NOW), width)]
    assert max(map(len, lines)) <= width
    assert "1f2e3d" in "\n".join(lines)


@pytest.mark.parametrize("width", [*WIDTHS, 79, 81, 133])
def test_two_columns_that_fold_share_what_is_left(width: int) -> None:
    """a short one takes no more than it needs; two long ones take the same"""
    columns = (Column("service", ALWAYS), Column("expected", ALWAYS, folds=True), Column("here", ALWAYS, folds=True))
    long = " ".join(["word"] * 60)
    for row in (["api", long, long], ["api", long, "short"], ["api", "short", long]):
        lines = [line for line, _ in grid.fitted(Table(columns, [row]), width)]
        assert max(map(len, lines)) <= width
        assert max(map(len, lines)) > width - 12, "nothing is left unused"
        assert sorted(" ".join(lines).split()).count("word") == row.count(long) * 60
