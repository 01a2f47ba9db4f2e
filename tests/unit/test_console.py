"""What a person sees, as whole texts. Without a terminal: the same text, plain."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dataops import events
from dataops.errors import DatabaseAhead, DataopsError, LockNotObtained, MigrationFailed, Unreachable
from dataops.kinds import MONGODB
from dataops.model import (
    Ahead,
    Direction,
    Doing,
    Effect,
    Failure,
    JournalEvent,
    Plan,
    Rendering,
    Result,
    Risk,
    State,
)
from dataops.planning import planner
from dataops.planning.story import stories
from dataops.redaction import redact
from dataops.show import plans, tables
from dataops.show.grid import Column, Table
from dataops.show.paragraphs import result_lines
from dataops.show.plans import plan_lines
from dataops.show.printed import Printed
from dataops.show.progress import Line, event_line
from dataops.show.reports import Look
from dataops.show.terminal import Console
from dataops.stash.entry import StashEntry
from tests.unit.sample import HOLDER, NOW, entry, state, step


def text(lines: list[Line]) -> str:
    return "\n".join(line for line, _ in lines) + "\n"


# --- a plan

API = state("m* -- n+ -- o", name="api", kind=MONGODB)
VOUCHER = state("a* -- b -- c~! -- d", depends_on=("api",))
PLAN = planner.plan_apply([API, VOUCHER])
LONG = "CREATE TABLE b (\n    " + ",\n    ".join(f"column_{at} INT" for at in range(20)) + "\n)"
RENDERINGS = {
    "api/n": Rendering(
        ('update users {"q": {}}', "insert dataops_stash_n {}", "drop dataops_stash_n"),
        notes=("users: 1,234 documents match",),
        puts_aside=("users: about 1,234 documents",),
        stash=frozenset({1, 2}),
    ),
    "api/o": Rendering((), opaque="it needs answers that only a real run gives (KeyError: 'x')"),
    "voucher/b": Rendering((LONG, "CREATE INDEX i ON b (x)", "DROP TABLE z")),
    "voucher/c": Rendering(()),
}


def test_a_plan_fits_the_terminal() -> None:
    """Commands are cut, and other lines are broken between words; through a pipe, both are whole."""
    long = Risk("will-fail", "e.g. 3 rows of public.accounts have the same email, name and country, with id = 17")
    command = "CREATE UNIQUE INDEX accounts_email ON public.accounts (email, name, country, created_at, updated_at)"
    rendering = Rendering((command,), effects=(Effect(0, (), (), None, (long,)),))
    narrow = [
        "      > CREATE UNIQUE INDEX accounts_email ON public.accounts (email, name, cou…",
        "        ! will-fail: e.g. 3 rows of public.accounts have the same email, name",
        "          and country, with id = 17",
    ]
    whole = [f"      > {command}", f"        ! will-fail: {long.text}"]
    for width, wanted in ((80, narrow), (120, whole), (None, whole)):
        lines = text(plan_lines(PLAN, {PLAN.steps[0].id: rendering}, verbose=False, width=width)).splitlines()
        at = next(at for at, line in enumerate(lines) if line.startswith("      > "))
        assert lines[at : at + len(wanted)] == wanted
        assert width is None or all(len(line) <= width for line in lines)


def test_a_plan_is_shown_with_what_a_reader_has_to_know() -> None:
    assert text(plan_lines(PLAN, RENDERINGS, verbose=False, width=118)) == (
        """\
1 step needs a decision:
  voucher/c: irreversible
  what they mean: dataops explain HAZARD

api: MongoDB 7.0.6, standalone, db:5432/api
  1 applied, newest m (2026-11-24 09:30 UTC), 2 to apply
  + n  Do n.
      not transactional, repeatable, reversible
      > update users {"q": {}}
      … and 2 more, all for what is put aside (-v shows all)
      puts aside: users: about 1,234 documents
      note: users: 1,234 documents match
  + o  Do o.
      not transactional, not repeatable, reversible
      opaque: it needs answers that only a real run gives (KeyError: 'x')

voucher: PostgreSQL 15.1, db:5432/voucher
  1 applied, newest a (2026-11-24 09:30 UTC), 3 to apply
  + b  Do b.
      transactional, reversible
      > CREATE TABLE b ( column_0 INT, column_1 INT, column_2 INT, column_3 INT, column_4 INT, column_5 INT, column_6…
      > CREATE INDEX i ON b (x)
      … and 1 more (-v shows all)
  + c  Do c.
      not transactional, not repeatable, IRREVERSIBLE: c throws things away
      no commands
  + d  Do d.
      transactional, reversible

Order: api, voucher, side by side, but voucher after api
Undo: only back to voucher/c, which is irreversible
Plan: 5 to apply in 2 services (1 irreversible)
"""
    )


def test_a_verbose_plan_shows_every_command_in_full_and_what_is_applied() -> None:
    plan = planner.plan_apply([VOUCHER], to=VOUCHER.service.by_id["b"])
    lines = text(plan_lines(plan, RENDERINGS, verbose=True)).splitlines()
    assert lines[:8] == [
        "voucher: PostgreSQL 15.1, db:5432/voucher",
        "  1 applied, newest a (2026-11-24 09:30 UTC), 1 to apply, 2 more pending",
        "    a (2026-11-24 09:30 UTC)",
        "  + b  Do b.",
        "      transactional, reversible",
        "      > CREATE TABLE b (",
        "      |     column_0 INT,",
        "      |     column_1 INT,",
    ]
    assert lines[-5:] == [
        "      > CREATE INDEX i ON b (x)",
        "      > DROP TABLE z",
        "",
        "Undo: dataops rollback",
        "Plan: 1 to apply in 1 service",
    ]


def test_a_plan_to_roll_back() -> None:
    plan = planner.plan_rollback([state("a* -- b* -- c")], steps=1)
    assert text(plan_lines(plan, {}, verbose=False)) == (
        """\
voucher: PostgreSQL 15.1, db:5432/voucher
  2 applied, newest b (2026-11-24 09:31 UTC), 1 to roll back
  - b  Do b.
      transactional, reversible

Plan: 1 to roll back in 1 service
"""
    )


def test_a_plan_with_nothing_to_do_says_what_is_there() -> None:
    states = [
        state("", name="api"),
        state("a* -- (b)* -- (c)*", ahead=Ahead.ALLOW, holder=HOLDER, runs={"a": None}),
    ]
    assert text(plan_lines(planner.plan_apply(states), {}, verbose=False)) == (
        """\
api: PostgreSQL 15.1, db:5432/api
  0 applied, nothing to apply

voucher: PostgreSQL 15.1, db:5432/voucher
  1 applied, newest a, nothing to apply
  ahead of this code by b, c
  locked now by bob@pod-2 (run run-9) since 2026-11-24 09:30:00 UTC

Plan: nothing to apply
"""
    )


def test_of_a_very_long_plan_the_beginning_and_the_end_are_shown() -> None:
    now = state(" -- ".join(f"r{at:03}" for at in range(130)))
    lines = text(plan_lines(planner.plan_apply([now]), {}, verbose=False)).splitlines()
    assert sum(line.startswith("  + ") for line in lines) == plans.SHOWN_STEPS == 100
    assert "  … and 30 more, up to r129: what they do was not looked at (-v looks at all)" in lines
    looked_at = {f"voucher/r{at:03}": Rendering(()) for at in range(130)}
    looked_at["voucher/r120"] = Rendering(("DROP x",), effects=(Effect(0, risks=(Risk("will-fail", "no x"),)),))
    for at in range(30):
        looked_at[f"voucher/r{at:03}"] = Rendering(("X",), effects=(Effect(0, risks=(Risk("takes-long", "x"),)),))
    lines = text(plan_lines(planner.plan_apply([now]), looked_at, verbose=False)).splitlines()
    assert "  … and 30 more, up to r129 (-v shows all)" in lines
    assert lines[:2] == ["31 steps need a decision:", "  voucher/r120: will-fail"]  # the worst first
    assert lines[-1] == "Plan: 130 to apply in 1 service"
    verbose = text(plan_lines(planner.plan_apply([now]), {}, verbose=True)).splitlines()
    assert sum(line.startswith("  + ") for line in verbose) == 130


def test_a_title_that_only_repeats_the_name_of_the_file_is_left_out() -> None:
    now = state("a")
    untitled = replace(now.service.migrations[0], text=b"def upgrade(): pass\n")
    plan = planner.plan_apply([replace(now, service=replace(now.service, migrations=(untitled,)))])
    assert "  + a\n" in text(plan_lines(plan, {}, verbose=False))


# --- a result


def result(**changes: object) -> Result:
    made = Result("run-2", PLAN, done=(step(API, "n"), step(VOUCHER, "b")), seconds=1.26)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_result_is_one_line() -> None:
    assert text(result_lines(result())) == "Run run-2: 2 applied in 2 services (1.3 s)\n"
    undone = Plan(Direction.ROLLBACK, (), ())
    assert text(result_lines(result(plan=undone, done=(step(API, "n"),)))) == (
        "Run run-2: 1 rolled back in 1 service (1.3 s)\n"
    )
    assert text(result_lines(result(done=()))) == "Run run-2: nothing applied (1.3 s)\n"


def test_a_failure_says_what_stands_what_failed_and_what_is_left() -> None:
    error = MigrationFailed(
        "apply c failed\n  LockNotAvailable: canceling statement\n  The change was rolled back.",
        service="voucher",
        hint="run again",
    )
    failed = result(failures=(Failure("voucher", step(VOUCHER, "c"), error, 2),), left=(step(VOUCHER, "d"),))
    assert text(result_lines(failed)) == (
        """\
error: voucher: apply c failed
  LockNotAvailable: canceling statement
  The change was rolled back.
  voucher: 2 applied before it, 1 not run
hint: run again
Run run-2: 2 applied in 2 services, 1 failed, 1 left (1.3 s)
"""
    )


def test_a_stopped_run_says_what_is_left() -> None:
    stopped = result(left=(step(VOUCHER, "d"),), stopped=True)
    assert text(result_lines(stopped)) == "Run run-2: 2 applied in 2 services, 0 failed, 1 left (1.3 s)\n"


# --- status and history

LAST = replace(entry("b", JournalEvent.SUCCEEDED), at=NOW)


@pytest.mark.parametrize(
    ("now", "problem", "row", "style"),
    [
        (
            state("a* -- b*", last=LAST),
            None,
            ["b", "2", "0", "run-8", "bob@pod-2", "2026-11-24 09:30:00", "up to date"],
            "green",
        ),
        (state("a -- b"), None, ["none", "0", "2", "", "", "", "2 pending"], "yellow"),
        (
            state("a* -- (b)*", last=LAST),
            DatabaseAhead(),
            ["b", "1", "0", "run-8", "bob@pod-2", "2026-11-24 09:30:00", "✗ ahead"],
            "bold red",
        ),
        (
            state("a* -- b~", last=entry("b", JournalEvent.STARTED)),
            DataopsError("x"),
            ["a", "1", "1", "run-8", "bob@pod-2", "2026-11-24 09:30:00", "✗ interrupted: apply b, 1 pending"],
            "bold red",
        ),
        (
            state("a* -- b", last=entry("b", JournalEvent.FAILED)),
            None,
            ["a", "1", "1", "run-8", "bob@pod-2", "2026-11-24 09:30:00", "✗ failed: apply b, 1 pending"],
            "bold red",
        ),
        (
            state("a* -- b~", last=entry("b", JournalEvent.STARTED), holder=HOLDER),
            None,
            [
                "a", "1", "1", "run-8", "bob@pod-2", "2026-11-24 09:30:00",
                "running: apply b for 0.0 s by bob@pod-2 (run run-9) since 2026-11-24 09:30:00 UTC, 1 pending",
            ],
            "bold yellow",
        ),
        (
            state("a* -- b -- c*"),
            DataopsError("c is applied, but b is not"),
            ["c", "2", "1", "", "", "", "✗ c is applied, but b is not, 1 pending"],
            "bold red",
        ),
    ],
    ids=["up to date", "pending", "ahead", "interrupted", "failed", "running", "gap"],
)  # fmt: skip
def test_a_row_of_status(now: State, problem: DataopsError | None, row: list[str], style: str) -> None:
    table = tables.status([Look(now.service, now, problem)], NOW)
    assert (table.texts()[0], table.styles[0]) == (["voucher", *row], style)


def test_a_row_of_a_service_that_cannot_be_reached() -> None:
    error = Unreachable("cannot connect to db:5432/voucher", service="voucher")
    table = tables.status([Look(state("a").service, error)], NOW)
    assert table.texts() == [["voucher", "?", "?", "?", "", "", "", "✗ cannot connect to db:5432/voucher"]]
    assert table.styles == ["red"]


def test_runs_are_a_line_each_and_one_is_shown_by_its_steps() -> None:
    began = replace(entry("b", JournalEvent.STARTED), seq=1)
    done = replace(LAST, seq=2, seconds=1.234, at=NOW + timedelta(seconds=2))
    failed = replace(entry("c", JournalEvent.FAILED, Direction.ROLLBACK), run="t-2", at=None, error="ValueError: no")
    resolved = replace(entry("c", JournalEvent.RESOLVED), run="t-2", seq=9, reason="looked at it")
    newer, older = stories({"api": [began, done], "voucher": [failed, replace(began, seq=2), resolved]})
    now = NOW + timedelta(hours=3)
    assert tables.runs([newer, older], now).texts(short=True) == [
        ["2", "3 h ago", "bob@pod-2", "1 resolved in voucher", "0.0 s", "ok"],
        ["8", "3 h ago", "bob@pod-2", "1 applied in 2 services", "2.0 s", "✗ no end at voucher/b"],
    ]
    assert tables.steps(newer, now).texts() == [
        ["c", "voucher", "", "✗ rollback failed", "", "ValueError: no"],
        ["c", "voucher", "2026-11-24 09:30:00", "resolved as applied", "", "looked at it"],
    ]
    assert tables.steps(older, now).texts(short=True) == [
        ["b", "api", "3 h ago", "applied", "1.23 s", ""],
        ["b", "voucher", "3 h ago", "✗ apply has no end", "", ""],
    ]


def test_a_step_that_somebody_has_stopped_did_not_fail() -> None:
    error = "stopped between two batches of orders: 37 % done, 123 rows changed"
    ended = replace(entry("c", JournalEvent.FAILED), error=error, reason="a part of it is done")
    [story] = stories({"voucher": [entry("c", JournalEvent.STARTED), replace(ended, seq=9)]})
    assert (story.outcome, story.well, story.failed, story.stopped) == (
        "stopped at voucher/c",
        True,
        (),
        ("voucher/c",),
    )
    table = tables.steps(story, NOW)
    assert (table.texts()[0][3], table.styles) == ("apply stopped", ["yellow"])
    [raised] = stories({"voucher": [replace(ended, error="ValueError: stopped by nobody")]})
    assert (raised.outcome, raised.well) == ("failed at voucher/c", False)


def test_what_is_the_same_for_many_services_is_said_once() -> None:
    streams = Streams()
    names = [f"tenant-{at}" for at in range(30)]
    refused = [DataopsError("no route to db", hint="is the VPN up?", service=name) for name in names]
    streams.console.errors([*refused, DataopsError("it is locked", hint="wait", service="shop"), DataopsError("x")])
    assert streams.both[1].splitlines() == [
        "error: tenant-0, tenant-1 and 28 more: no route to db",
        "hint: is the VPN up?",
        "error: shop: it is locked",
        "hint: wait",
        "error: x",
    ]
    warned = [replace(state("a", name=name), warnings=("naming is not honoured",)) for name in names]
    told = text(plan_lines(planner.plan_apply([*warned, state("a", name="shop")]), {}, verbose=False))
    assert told.startswith("tenant-0, tenant-1 and 28 more: warning: naming is not honoured\n\ntenant-0: ")
    assert told.count("naming") == 1


def test_rows_of_the_stash() -> None:
    sizes = [(0, "0 B"), (1023, "1023 B"), (2048, "2 kB"), (5 * 1024**2, "5 MB"), (3 * 1024**3, "3.0 GB")]
    for size, shown in sizes:
        kept = StashEntry("n", "dataops_stash_n.users", "users", 1234, size, NOW)
        assert tables.stash([("api", kept)], NOW).texts() == [
            ["api", "n", "users", "dataops_stash_n.users", "1,234", shown, "2026-11-24 09:30:00"]
        ]
    assert tables.stash([("api", StashEntry("n", "p", "s", 0, 0, None))], NOW).texts()[0][-1] == "unknown"


# --- events as lines

STEP = step(VOUCHER, "b")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.RunStarted(run="run-2", steps=3), "run run-2: 3 steps"),
        (events.ServerAwaited("api", reason="refused"), "api: waiting for the server: refused"),
        (events.LockAwaited("api", holder="bob (run run-9)"), "api: waiting for the lock of bob (run run-9)"),
        (events.LockTaken("api"), None),
        (events.NothingLeft("api"), "api: nothing left to do, another run did it"),
        (events.StepStarted("voucher", STEP), "voucher: apply b …"),
        (events.StepProgressed("voucher", STEP, 1, 2, "rows"), None),
        (events.ServerBusy("voucher", STEP, Doing("index on t: scanning table", 1, 2, "blocks")), None),
        (
            events.StillRunning(
                "voucher", STEP, 61.2, Doing("index on t: scanning table", 5, 10, "blocks"), 0.25, 20.0
            ),
            "voucher: apply b still running, 1 min 1 s, index on t: scanning table, 5 of 10 blocks, 0.25 a second, "
            "20 s left",
        ),
        (
            events.StillRunning("voucher", STEP, 61.2, Doing("", 12_000, 40_000, "rows")),
            "voucher: apply b still running, 1 min 1 s, 12,000 of 40,000 rows",
        ),
        (
            events.StillRunning("voucher", STEP, 61.2, Doing("", 5, None, "rows")),
            "voucher: apply b still running, 1 min 1 s, 5 rows",
        ),
        (events.StillRunning("voucher", STEP, 61.2), "voucher: apply b still running, 1 min 1 s"),
        (
            events.StepRetried("voucher", STEP, 2, 1.55, "LockNotAvailable"),
            "voucher: apply b rolled back, again in 1.6 s (attempt 2): LockNotAvailable",
        ),
        (events.StepFinished("voucher", STEP, 0.5), "voucher: apply b done (0.50 s)"),
        (events.StepFailed("voucher", STEP, 0.5, "no"), "voucher: apply b FAILED (0.50 s)"),
        (events.WaveAwaited("tenants", 2, "a pause of 40 s"), "tenants: wave 2 waits: a pause of 40 s"),
        (events.WaveStarted("tenants", 2, 3, 20), "tenants: wave 2 of 3: 20 databases"),
        (events.WaveFinished("tenants", 2, 3, 19, 1, 4.0), "tenants: wave 2 of 3 ended: 19 done, 1 failed (4.0 s)"),
        (events.WaveFinished("tenants", 1, 3, 1, 0, 0.5), "tenants: wave 1 of 3 ended: 1 done (0.5 s)"),
        (events.Warned("api", message="careful"), "warning: careful"),
        (
            events.StopRequested(signal="SIGTERM"),
            "SIGTERM: stopping after the running steps; again to stop now",
        ),
        (events.StopRequested(signal="SIGINT", now=True), "SIGINT: stopping now"),
        (events.RunFinished(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, events.Event) else "",
)
def test_an_event_is_a_line_or_none(event: events.Event, line: str | None) -> None:
    found = event_line(event)
    assert (found[0] if found else None) == line


def test_every_event_has_a_line_or_is_left_out_on_purpose() -> None:
    silent = {events.LockTaken, events.StepProgressed, events.ServerBusy, events.RunFinished}
    without = set()
    for kind in events.Event.__subclasses__():
        event = kind()
        if "step" in kind.__dataclass_fields__:
            object.__setattr__(event, "step", STEP)
        if event_line(event) is None:
            without.add(kind)
    assert without == silent


# --- streams


class Streams:
    def __init__(self, *, quiet: bool = False) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.console = Console(self.out, self.err, quiet=quiet)

    @property
    def both(self) -> tuple[str, str]:
        return self.out.getvalue(), self.err.getvalue()


def test_data_goes_to_stdout_and_talk_to_stderr() -> None:
    streams = Streams()
    streams.console.data([("data", "bold")])
    streams.console.messages([("talk", "red")])
    streams.console.say("more")
    assert streams.both == ("data\n", "talk\nmore\n")


def test_an_error_is_its_message_and_its_hint() -> None:
    streams = Streams()
    streams.console.error(LockNotObtained("held by bob", hint="wait", service="api"))
    streams.console.error(DataopsError("no hint"))
    assert streams.both == ("", "error: api: held by bob\nhint: wait\nerror: no hint\n")


def test_quiet_leaves_talk_and_errors_to_the_json_log() -> None:
    streams = Streams(quiet=True)
    streams.console.say("talk")
    streams.console.error(DataopsError("error"))
    streams.console.progress()(events.LockAwaited("api", holder="bob"))
    streams.console.data([("data", "")])
    assert streams.both == ("data\n", "")


def test_without_a_terminal_there_is_a_line_an_event() -> None:
    streams = Streams()
    tell = streams.console.progress()
    for event in (events.StepStarted("voucher", STEP), events.StepProgressed("voucher", STEP, 1, 2)):
        tell(event)
    assert streams.both == ("", "voucher: apply b …\n")


def test_a_table_is_as_wide_as_it_has_to_be_and_no_line_ends_in_blanks() -> None:
    streams = Streams()
    streams.console.table(Table([Column("service", 1), Column("n", 1)], [["api", "10"], ["notifications", ""]]))
    assert streams.both[0] == "service        n\napi            10\nnotifications\n"


def test_what_is_written_is_written_as_it_is_whatever_the_password() -> None:
    """Text is redacted where it enters. With the password `data`, our own words stay what they are."""
    redact.learn("postgres://someone:data@db/x")
    streams = Streams()
    streams.console.data([("data", "")])
    streams.console.table(Table([Column("data", 1)], [["data"]]))
    streams.console.say("data")
    streams.console.error(DataopsError("data", hint="data"))
    assert streams.both == ("data\ndata\ndata\n", "data\nerror: data\nhint: data\n")


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_data_that_cannot_be_written_stops_nothing_and_is_remembered() -> None:
    err = io.StringIO()
    console_ = Console(Full(), err)
    console_.data([("data", "")])
    console_.table(Table([Column("a", 1)], [["b"]]))
    console_.answer("{}")
    console_.say("talk")
    assert console_.lost is not None
    assert (console_.lost.strerror, err.getvalue()) == ("No space left on device", "talk\n")


def test_talk_that_cannot_be_written_stops_nothing() -> None:
    out = io.StringIO()
    console_ = Console(out, Full())
    console_.say("talk")
    console_.error(DataopsError("error"))
    console_.data([("data", "")])
    assert (console_.lost, out.getvalue()) == (None, "data\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_unless_no_color_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLORTERM", raising=False)
    seen = {}
    for no_color in ("", "1"):
        if no_color:
            monkeypatch.setenv("NO_COLOR", no_color)
        out = Terminal()
        Console(out, io.StringIO()).data([("Plan: 1 to apply [in] 1 service :smile:", "green")])
        seen[no_color] = out.getvalue()
    assert "\x1b[32m" in seen[""]
    assert "\x1b[3" not in seen["1"]
    for told in seen.values():
        assert "Plan: 1 to apply [in] 1 service :smile:" in told  # our text is no markup


def test_a_dumb_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    Console(out, io.StringIO()).data([("plain", "green")])
    assert out.getvalue() == "plain\n"


def test_a_terminal_shows_a_bar_for_a_long_step_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    err = Terminal()
    tell = Console(io.StringIO(), err).progress()
    tell(events.RunStarted(run="run-2", steps=1))
    tell(events.StepStarted("voucher", STEP))
    tell(events.StepProgressed("voucher", STEP, 12_000, 40_000, "rows"))
    tell(events.StillRunning("voucher", STEP, 60.0))
    tell(events.StepFinished("voucher", STEP, 61.0))
    tell(events.RunFinished())
    told = err.getvalue()
    assert "run run-2: 1 step" in told
    assert "voucher: apply b done (61.00 s)" in told
    assert "still running" not in told  # the bar shows it


def test_what_migrations_print_is_told_by_whole_lines() -> None:
    told: list[str] = []
    printed = Printed(told.append)
    print("one", file=printed)
    printed.write("two, ")
    printed.write("and its end\nthree")
    assert told == ["one", "two, and its end"]
    printed.finish()
    printed.finish()
    assert told == ["one", "two, and its end", "three"]


def test_times_are_those_of_the_server_in_utc() -> None:
    now = state("a*", holder=replace(HOLDER, since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    assert "since 2026-01-02 03:04:05 UTC" in text(plan_lines(planner.plan_apply([now]), {}, verbose=False))
