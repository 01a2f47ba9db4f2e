"""Properties over many secrets: nothing of them leaves in foreign text, nothing of ours changes, every format is valid.

Foreign text comes in through the places where it really does (a driver's error, a migration file, a catalogue, a
journal), and goes out through every format.
"""

from __future__ import annotations

import io
import json
import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree

import pytest
import xmlschema
from prometheus_client.parser import text_string_to_metric_families

from dataops import catalogue, contents, events
from dataops.backends.journal import link_of, to_fields
from dataops.backends.mongo import connection as mongo_connection
from dataops.backends.postgres import connection as postgres_connection
from dataops.backends.postgres import rendering
from dataops.backends.sandbox import Sandbox
from dataops.catalogue import Differs
from dataops.drift import Drift
from dataops.errors import DataopsError, ExitCode, MigrationFailed, Unreachable
from dataops.lint import RULES, Finding, Report
from dataops.lint.ignores import read as read_ignores
from dataops.model import Failure, JournalEvent, Migration, Rendering, Result, State
from dataops.planning import planner
from dataops.planning.story import stories
from dataops.proof import Counterexample, Proof
from dataops.redaction import Redactor, describe, redact, traceback_of
from dataops.show import FORMATS, grid, log, paragraphs, plans, prometheus, tables, terminal, writers
from dataops.show import json as answers
from dataops.show.reports import DriftReport, LintReport, Look, PlanReport, ProofReport, StatusReport
from dataops.statements import without_values
from tests.unit.sample import HOLDER, NOW, entry, service, state

ROOT = Path("/nowhere")
XSD = xmlschema.XMLSchema(Path(__file__).parents[1] / "lint" / "data" / "junit-10.xsd")
WORDS = (
    "voucher", "test", "error", "suites", "ro", '"', "<", "::", "{", "|", "apply", "pending", "service", "migration",
    "null", "true", "10", "2026", "name", "level", "a1", "status", "failures", "run-2", "done", "message",
)  # fmt: skip


def learn(password: str) -> None:
    redact.learn(f"postgres://someone:{quote(password, safe='')}@db/x")


def secrets(seed: int, number: int) -> Iterator[str]:
    """Random secrets of 3 to 30 characters, of letters, digits, punctuation and others."""
    chance = random.Random(seed)
    alphabet = string.ascii_letters + string.digits + string.punctuation.replace("*", "") + " äß€😀"
    for _ in range(number):
        yield "".join(chance.choices(alphabet, k=chance.randint(3, 30)))


def spellings(secret: str) -> list[str]:
    """As a URL, Python, SQL and JSON write it."""
    found = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], ascii(secret)[1:-1]]
    found += [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], secret.replace("'", "''")]
    return list(dict.fromkeys(found))


# --- where foreign text comes in


def migration(id_: str, parent: str | None, said: str) -> Migration:
    text = (
        f"{said!r}\nfrom alembic import op\nrevision = {id_!r}\ndown_revision = {parent!r}\n"
        f"reversible = False\nirreversible_because = {said!r}\n"
        f"def upgrade():\n    op.execute({said!r})\n    raise RuntimeError({said!r})\n"
    )
    return Migration(id_, (parent,) if parent else (), Path(f"{id_}.py"), service("a1").kind, text.encode())


class Foreign:
    """Everything that is shown, with `said` wherever a driver, a server or a file may put text."""

    def __init__(self, said: str) -> None:
        files = (migration("a1", None, said), migration("b2", "a1", said))
        known = replace(service("a1"), migrations=files)
        error = ValueError(f"cannot do {said}")
        error.add_note(said)
        error.statement = f"SELECT {said}"  # type: ignore[attr-defined]
        error.diag = SimpleNamespace(message_detail=said)  # type: ignore[attr-defined]
        mongo_error = ValueError(said)
        mongo_error.details = {"errmsg": said}  # type: ignore[attr-defined]
        text = f"{postgres_connection.error_text(error)}; {mongo_connection.error_text(mongo_error)}"
        failed = replace(entry("a1", JournalEvent.FAILED), error=text, reason=redact(said))
        self.state: State = replace(
            state("a1"), service=known, last=failed, holder=replace(HOLDER, who=redact(said)), server=redact(said)
        )
        self.plan = planner.plan_apply([replace(self.state, holder=None)])
        with Sandbox() as sandbox:
            rendered = {step.id: rendering.render(known, step, sandbox) for step in self.plan.steps}
        self.renderings: dict[str, Rendering] = rendered
        self.error = MigrationFailed(f"apply a1 failed\n  {text}", service=known.name, migration="a1")
        differences: list[Any] = [
            catalogue.Difference(Differs.DIFFERENT, "table", said, "x" * 200 + said, said),
            contents.Change(Differs.MISSING, "rows", said, said, 1, (said,)),
        ]
        self.proof = Proof(known, files, [Counterexample(known.name, "a1", "rolled back", str(d)) for d in differences])
        self.drift = Drift(known, "a1", (differences[0],), self.error)
        self.report = Report((("voucher", Path("a1.py")),), tuple(self.findings(said)))
        self.texts = [without_values(said), describe(error), traceback_of(error)]
        self.events = [
            events.ServerAwaited("voucher", reason=self.error.message),
            events.StepFailed("voucher", self.plan.steps[0], 1.0, text),
            events.StepRetried("voucher", self.plan.steps[0], 1, 1.0, text),
        ]

    def findings(self, said: str) -> Iterator[Finding]:
        comment = f"# dataops: ignore {said.splitlines()[0] if said.splitlines() else ''}\n".encode(errors="replace")
        yield from read_ignores("voucher", Path("a1.py"), comment, lambda name: False)[1]
        yield Finding(RULES["P002"], Path("a1.py"), 1, redact(said), "voucher", sql=redact(said))


# --- how it goes out


def shown(foreign: Foreign) -> dict[str, str]:
    """Everything in every format, by the format's name and what is shown."""
    looks = [
        Look(foreign.state.service, foreign.state, foreign.error),
        Look(foreign.state.service, Unreachable(foreign.error.message, service="voucher")),
    ]
    reports: dict[str, Any] = {
        "status": StatusReport(looks, ROOT, check=True),
        "plan": PlanReport(foreign.plan, foreign.renderings, ROOT, code=ExitCode.PENDING),
        "proof": ProofReport([foreign.proof], ROOT),
        "lint": LintReport(foreign.report, ROOT),
        "drifted": DriftReport([foreign.drift], ROOT),
    }
    texts = {f"{name} {kind}": write(made) for kind, made in reports.items() for name, write in writers(kind).items()}
    texts |= {f"{name} refusal": write("dataops plan", foreign.error) for name, write in writers("refusal").items()}
    result = Result("run-2", foreign.plan, failures=(Failure("voucher", foreign.plan.steps[0], foreign.error),))
    last = foreign.state.last
    assert last is not None
    history = stories({"voucher": [last]})
    texts["json result"] = answers.document(answers.result(result, foreign.renderings), 1)
    texts["json history"] = answers.document(answers.history(history), 0)
    lines = plans.plan_lines(foreign.plan, foreign.renderings, verbose=True) + paragraphs.result_lines(result)
    lines += paragraphs.proof_lines([foreign.proof]) + paragraphs.lint_lines(foreign.report, ROOT)
    drawn = [
        tables.drifted([foreign.drift]),
        tables.status(looks, NOW),
        tables.runs(history, NOW),
        tables.steps(history[0], NOW),
    ]
    rows = [row for table in drawn for row in table.texts()]
    link = link_of({**to_fields(last), "hash": "abc"})
    sealed = [(name, entry, link) for name, entry in history[0].entries]
    texts["csv"] = "".join(map(grid.comma_separated, drawn)) + tables.entries_as_csv(sealed)
    texts["json lines"] = answers.entry_lines(sealed)
    texts["terminal"] = streamed(lambda console: console.data(lines))
    texts["terminal tables"] = "\n".join("  ".join(row) for row in rows)
    texts["terminal progress"] = streamed(lambda console: [console.progress()(event) for event in foreign.events])
    texts["log"] = logged(foreign.events, foreign.error)
    collector = prometheus.Collector("apply")
    collector.saw([foreign.state.service], [foreign.state])
    collector.failed(foreign.error, "voucher")
    values = {key: 0.0 if "timestamp" in key[0] else value for key, value in collector.values.items()}
    texts["prometheus"] = prometheus.text(values)
    return texts


def streamed(write: Callable[[terminal.Console], object]) -> str:
    out = io.StringIO()
    write(terminal.Console(out, out))
    return out.getvalue()


def logged(told: list[Any], error: DataopsError) -> str:
    stream = io.StringIO()
    one = log.JsonLog(stream, "run-2")
    for event in told:
        one(event)
    one.error(error)
    return re.sub(r'"(time|timestamp|pid)": [^,]*', r'"\1": 0', stream.getvalue())


GRAMMAR = re.compile(r"::(error|warning|notice)( (file|line|title)=[^,:\n]*(,(file|line|title)=[^,:\n]*)*)?::[^\n\r]+")


def texts_in(name: str, text: str) -> list[str]:
    """The format is valid; and the texts in it as a reader of the format gets them."""
    form = name.split()[0]
    if form in ("json", "sarif"):
        return strings(json.loads(text))
    if form == "log":
        return [found for line in text.splitlines() for found in strings(json.loads(line))]
    if form == "junit":
        XSD.validate(text)
        root = ElementTree.fromstring(text)
        return [*root.itertext(), *(value for element in root.iter() for value in element.attrib.values())]
    if form == "github":
        assert all(GRAMMAR.fullmatch(line) for line in text.removesuffix("\n").split("\n")), text
    if form == "prometheus":
        assert list(text_string_to_metric_families(text))
    if form == "markdown":
        assert text.count("<details>") == text.count("</details>")
        for _, table in re.findall(r"(\n\n|^)((?:\|.*\|\n)+)", text):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    return [text]


def strings(content: object) -> list[str]:
    if isinstance(content, dict):
        return [*map(str, content), *(text for value in content.values() for text in strings(value))]
    if isinstance(content, list):
        return [text for value in content for text in strings(value)]
    return [content] if isinstance(content, str) else []


# --- the properties


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    """Everything as it is with harmless text and without a secret."""
    return shown(Foreign("ZZ"))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_of_a_secret_leaves_in_any_spelling_and_every_format_is_valid(
    seed: int, plain: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "\n".join(plain.values())
    for secret in secrets(seed, 25):
        if any(spelling in ours for spelling in spellings(secret)):
            continue  # it cannot be told from our own words
        monkeypatch.setattr(redact, "_secrets", frozenset())
        learn(secret)
        foreign = Foreign(" ".join(f"<{spelling}>" for spelling in spellings(secret)))
        for name, text in shown(foreign).items():
            for found in [text, *texts_in(name, text), *foreign.texts]:
                left = found.replace("***", "")
                assert not [spelling for spelling in spellings(secret) if spelling in left], (secret, name)


@pytest.mark.parametrize("word", WORDS)
def test_nothing_of_ours_changes_whatever_the_password(word: str, plain: dict[str, str]) -> None:
    learn(word)
    now = shown(Foreign("ZZ"))
    for name, text in now.items():
        texts_in(name, text)
        assert (name, text) == (name, plain[name])


@pytest.mark.parametrize("word", [word for word in WORDS if len(word) >= 3])
def test_a_word_of_ours_is_masked_where_foreign_text_has_it(word: str) -> None:
    learn(word)
    for name, text in shown(Foreign(f"<<{word}>>")).items():
        assert not [found for found in texts_in(name, text) if f"<{word}>" in found], name


@pytest.mark.parametrize("seed", range(200))
def test_secrets_that_overlap_leave_nothing(seed: int) -> None:
    """Whatever is learned first: one is the beginning, the end or a part of the other, or they overlap."""
    chance = random.Random(seed)
    whole = "".join(chance.choices(string.ascii_letters + "-_", k=chance.randint(6, 20)))
    cut = chance.randint(3, len(whole) - 3)
    overlap = chance.randint(0, cut)
    inner = whole[1:-2] if len(whole) > 6 else whole[1:]
    pair = chance.choice(
        [(whole, whole[:cut]), (whole, whole[cut:]), (whole, inner), (whole[:cut], whole[cut - overlap :])]
    )
    redactor = Redactor()
    for secret in chance.sample(pair, 2):
        redactor.learn(f"postgres://someone:{secret}@db/x")
    assert redactor(f"<{whole}>").replace("***", "") == "<>"


@pytest.mark.parametrize("before", range(0, 600, 7))
def test_text_is_redacted_before_it_is_cut(before: int) -> None:
    """Wherever the cut is: of a driver's error, of a statement, of a definition, of a statement in a trace."""
    secret = "q7w8e9-Q7W8E9-q7w8e9"
    learn(secret)
    said = "x" * before + secret + "y" * 200
    error = ValueError("no")
    error.statement = said  # type: ignore[attr-defined]
    told = [
        mongo_connection.error_text(ValueError(said)),
        postgres_connection.error_text(error),
        str(catalogue.Difference(Differs.DIFFERENT, "table", "t", said, said + "z")),
        without_values(f'"{"x" * (before + 400)}{secret}"'),
    ]
    assert not [text for text in told if "q7w" in text]


def test_every_format_is_looked_at() -> None:
    assert set(FORMATS) == {"json", "github", "html", "junit", "markdown", "sarif"}
