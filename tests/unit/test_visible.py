"""What is not ours is shown, in every format: nothing in it is obeyed, hidden, or more than the format takes."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from dataops import config
from dataops.backends.journal import from_fields, to_fields
from dataops.cli import termination
from dataops.errors import BrokenFile, Unreachable
from dataops.files import chain
from dataops.kinds import MONGODB
from dataops.lint import RULES, Finding, Report
from dataops.model import JournalEvent, Migration, Plan, Service, State
from dataops.planning import planner
from dataops.proof import Counterexample, Proof
from dataops.show import markdown, sarif, writers
from dataops.show.reports import LintReport, Look, PlanReport, ProofReport, StatusReport
from dataops.text import json_text, on_one_line, shortened, visible
from tests.unit.sample import entry, service, state
from tests.unit.test_no_secret_leaves import Foreign, shown

ROOT = Path("/nowhere")
STAYS = "äß€ 漢字 é नमस्ते می‌خواهم 👨‍👩‍👧 🏳️‍🌈 👍🏽 שלום מרחבא"
HOSTILE = (
    "\x00", "\x07", "\x08", "\r", "\x1b[31m", "\x1b]8;;http://x\x07", "\x7f", "\x85", "\x9b31m", "\xad", "\u061c",
    "\u200b", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\ufffe",
    "\ud800", "\udcff", "\udfff", "a\u200db", "\u3164", "\U000e0041",
)  # fmt: skip
MARKUP = (
    "](http://x) <img src=x> ", "![a](http://x)", "[a](http://x)", "<script>", "**b**", "_i_ __b__", "`c`", "``", "|",
    "\\|", "@someone", "#123", "GH-1", "http://x.example", "www.x.example", "a@b.example", ":x:", ":white_check_mark:",
    "$x^2$", "&lt;",
    "[link=http://x]a[/link]", "[bold]b[/bold]", "~~s~~", "- x", "1. x", "# x", "> x", "{0}", "%0A::error::x",
    "::error::x", "</details>", "<!-- ", "-->", "[x]: http://x", "[a][x]", "***", "---", "\\",
)  # fmt: skip


def dangerous(text: str) -> list[str]:
    """The characters that a terminal obeys, hides or cannot take, as Unicode itself classifies them."""
    joiners = {
        at for at, c in enumerate(text) if c in "\u200c\u200d" and 0 < at < len(text) - 1 and text[at - 1] > "\x7f"
    }
    return [
        f"{character!a} at {at}"
        for at, character in enumerate(text)
        if character not in "\n\t"
        and at not in joiners
        and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


# --- the one function


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_terminal_obeys_or_hides_is_an_escape(hostile: str) -> None:
    told = visible(f"é{hostile}x")
    assert not dangerous(told)
    assert "\\" in told
    assert told.encode()


def test_every_character_that_unicode_calls_hidden_is_an_escape_and_every_other_one_stays() -> None:
    prepended = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2}  # they are seen, with the digits after them
    seen = {*prepended, 0x110BD, 0x110CD, *range(0x13430, 0x13440), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)}
    for number in range(0x110000):
        character = chr(number)
        if number in seen or character in "\n\t":
            continue
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert visible(f"a{character}b") != f"a{character}b", hex(number)
        elif unicodedata.category(character)[0] in "LNPSZ" and visible(character) != character:
            assert number in {0x115F, 0x1160, 0x3164, 0xFFA0}, hex(number)


def test_what_people_write_stays_as_it_is() -> None:
    assert visible(STAYS) == on_one_line(STAYS) == STAYS
    assert json.loads(json_text([STAYS])) == [STAYS]
    assert on_one_line("a\nb\tc\r") == r"a\nb\tc\r"
    assert visible("a\nb\tc") == "a\nb\tc"


def test_json_keeps_every_character_but_lone_surrogates() -> None:
    for hostile in HOSTILE:
        text = json_text({"a": hostile})
        assert not dangerous(text)
        assert json.loads(text)["a"] == "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in hostile)


def test_a_long_text_keeps_its_beginning_and_its_end_and_says_how_much_is_gone() -> None:
    text = shortened("a" * 50_000 + "b" * 50_000, 1000)
    assert len(text) <= 1000
    assert re.fullmatch(r"a+\n… 99,040 characters cut …\nb+", text)
    assert shortened("a" * 1000, 1000) == "a" * 1000


# --- every format


def hostile_texts(number: int) -> list[str]:
    chance = random.Random(number)
    pieces = [*HOSTILE, *MARKUP, STAYS, " ", "word"]
    return ["".join(chance.choices(pieces, k=chance.randint(1, 12))) for _ in range(number)]


@pytest.mark.parametrize("said", [*HOSTILE, *MARKUP, *hostile_texts(30)])
def test_no_format_passes_on_what_a_terminal_obeys_or_hides(said: str) -> None:
    for name, text in shown(Foreign("said " + said.replace("\x00", "\x01"))).items():  # Python reads no file with NUL
        if name == "terminal tables":  # rows as values: the console writes them
            continue
        assert not dangerous(text), name
        assert text.encode(), name
        if name.startswith("junit"):
            ElementTree.fromstring(text)


def inline(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in [token, *(token.children or ())]]


@pytest.mark.parametrize("said", [*MARKUP, *HOSTILE, *hostile_texts(60)])
def test_markdown_shows_it_as_it_is(said: str) -> None:
    """As a reader of GitHub's dialect understands it: only text, and exactly that text."""
    now = state("a* -- b")
    look = Look(now.service, now, Unreachable(f"x {said} y", service="voucher", hint=said))
    text = markdown.status(StatusReport([look], ROOT))
    found = inline(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))
    allowed = {"heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "code_inline"}
    allowed |= {"text_special", "html_inline"}
    allowed |= {f"{kind}_{end}" for kind in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")}
    allowed |= {f"{kind}_{end}" for kind in ("bullet_list", "list_item") for end in ("open", "close")}
    assert {token.type for token in found} <= allowed
    assert {token.content for token in found if token.type == "html_inline"} <= {"<!-- -->", "<span>", "</span>"}
    assert len([token for token in found if token.type == "bullet_list_open"]) == 1
    plain = "".join(token.content for token in found if token.type == "text")
    assert "".join(visible(said).split()) in "".join(plain.split())
    for active in (r"@\w", r"#\d", r"GH-\d", r"\w://", r"www\.", r"(?<!:)(?<!\w):[\w+-]+:(?!\w)"):
        between = re.sub(r":white_check_mark:|:x: (?=edited|x )", "", text)
        assert not re.search(active, between), active


def test_sarif_has_neither_placeholders_nor_links() -> None:
    finding = Finding(RULES["P002"], Path("/nowhere/\udcff.py"), 1, "{0} [a](1) [b] {c}\x1b", "voucher")
    told = json.loads(sarif.lint(LintReport(Report((), (finding,)), ROOT)))["runs"][0]["results"][0]
    assert told["message"]["text"].startswith(r"{{0}} \[a](1) [b] {c}\x1b. ")
    assert told["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "%FF.py"


# --- limits


def many(number: int, title: str) -> tuple[Service, State]:
    one = service("a1")
    files = []
    for at in range(number):
        id_, parent = f"m{at}", f"m{at - 1}" if at else None
        text = f'"""{title}"""\nrevision = {id_!r}\ndown_revision = {parent!r}\ndef upgrade():\n    pass\n'
        files.append(Migration(id_, (parent,) if parent else (), ROOT / f"{id_}.py", one.kind, text.encode()))
    whole = replace(one, migrations=tuple(files))
    return whole, replace(state("a1"), service=whole, applied=(), last=None, holder=None)


TITLES = ["short", "long " * 40, "@" * 300, "| <b> " * 400, "漢" * 500]


@pytest.mark.parametrize("title", TITLES, ids=range(len(TITLES)))
def test_markdown_keeps_its_limit_with_500_migrations_and_says_what_is_left_out(title: str) -> None:
    one, now = many(500, title)
    planned = planner.plan_apply([now])
    texts = [
        markdown.plan(PlanReport(planned, {}, ROOT)),
        markdown.status(StatusReport([Look(one, now)], ROOT)),
        markdown.proof(ProofReport([Proof(one, one.migrations, [Counterexample("a", "m", "w", title)] * 500)], ROOT)),
    ]
    for text in texts:
        assert len(text) <= markdown.LONGEST
        left = re.findall(r"^… and ([\d,]+) more ", text, re.MULTILINE)
        told = len(re.findall(r"^(?:\| \d+ \| voucher|- )", text, re.MULTILINE))
        assert sum(map(int, left)) + told == 500


@pytest.mark.parametrize("title", TITLES, ids=range(len(TITLES)))
def test_markdown_keeps_its_limit_with_500_services(title: str) -> None:
    looks, states = [], []
    for at in range(500):
        _, now = many(1, title)
        mine = replace(now.service, name=f"s{at}")
        states.append(replace(now, service=mine, server=title, identity=replace(now.identity, database=f"d{at}")))
        looks.append(Look(mine, Unreachable(title, service=mine.name)))
    planned = Plan(planner.plan_apply(states[:1]).direction, planner.plan_apply(states).steps, tuple(states))
    for text in (markdown.status(StatusReport(looks, ROOT)), markdown.plan(PlanReport(planned, {}, ROOT))):
        assert len(text) <= markdown.LONGEST
        for found in re.findall(r"\n\n((?:\|.*\|\n)+)", text):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in found.splitlines()}) == 1


def test_every_format_takes_500_services() -> None:
    looks = [Look(replace(service("a1"), name=f"s{at}"), Unreachable("no " * 200)) for at in range(500)]
    for name, write in writers("status").items():
        text = write(StatusReport(looks, ROOT))
        assert name == "markdown" or len(re.findall(r"\bs499\b", text)) >= 1


@pytest.mark.parametrize("title", TITLES, ids=range(len(TITLES)))
def test_the_last_words_keep_their_limit_and_say_how_much_is_gone(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("DATAOPS_TERMINATION_LOG", str(path))
    termination.forget()
    termination.note(*[f"{at} {title}\udcff" for at in range(500)])
    termination.write(1)
    said = path.read_bytes()
    assert len(said) <= 4096
    assert re.search(r"…\n[\d,]+ bytes more\n$", said.decode())


# --- what is stored


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_journal_stores_what_every_database_takes(hostile: str) -> None:
    said = f"no {hostile}"
    stored = to_fields(replace(entry("a1", JournalEvent.FAILED), error=said, reason=said, actor=said, host=said))
    for key in ("error", "reason", "actor", "host"):
        assert stored[key] == visible(said)
        assert "\x00" not in stored[key].encode().decode()
    old = {**stored, "error": said, "reason": said, "seq": 1, "at": None}
    assert from_fields(old).error == visible(said)


def test_an_actor_that_is_no_utf8_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAOPS_ACTOR", "ann\udcff\nb")
    assert config.author().actor == r"ann\udcff\nb"


def test_an_id_that_cannot_be_seen_or_stored_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m.py").write_text("dependencies = []\n")
    with pytest.raises(BrokenFile, match=r"its id has a character that cannot be seen or stored: a\\x1b\[31m"):
        chain.load("docs", MONGODB, tmp_path)
