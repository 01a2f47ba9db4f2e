"""What a pipeline reads of `status`, `plan` and `prove`: held to the schemas of those who read it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from dataops.errors import HistoryError, Unreachable
from dataops.model import Direction, Effect, Plan, Rendering, Risk
from dataops.planning import planner
from dataops.planning.policies import Violation
from dataops.proof import Counterexample, Proof
from dataops.show import writers
from dataops.show.reports import Look, PlanReport, ProofReport, StatusReport
from tests.unit.sample import state

XSD = xmlschema.XMLSchema(Path(__file__).parents[1] / "lint" / "data" / "junit-10.xsd")
ROOT = Path.cwd()
NOW = state("a* -- b -- c!")
LOOKED = [
    Look(NOW.service, NOW),
    Look(replace(NOW.service, name="down"), Unreachable("no answer | at all", service="down", hint="is it up?")),
]
WRONG = HistoryError("edited", service="voucher", migration="a", hint="put it back")


def plan() -> tuple[Plan, dict[str, Rendering]]:
    planned = planner.plan_apply([NOW])
    return planned, {
        "voucher/b": Rendering(("CREATE TABLE b ()", "COMMENT ON TABLE b IS '```'"), notes=("b: 5 rows",)),
        "voucher/c": Rendering((), opaque="it asks the database", puts_aside=("old_table",)),
    }


def test_junit_of_a_status_is_valid_and_has_a_case_for_each_migration() -> None:
    for check, failed in ((True, ["b", "c", "database"]), (False, ["database"])):
        text = writers("status")["junit"](StatusReport(LOOKED, ROOT, check=check))
        XSD.validate(text)
        cases = ElementTree.fromstring(text).iter("testcase")
        assert [case.get("name") for case in cases if case.find("failure") is not None] == failed
    names = [case.get("name") for case in ElementTree.fromstring(text).iter("testcase")]
    assert names == ["history", "a", "b", "c", "database"]


def test_junit_of_a_plan_is_valid_and_says_what_would_run() -> None:
    text = writers("plan")["junit"](PlanReport(*plan(), ROOT))
    XSD.validate(text)
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    assert [case.get("name") for case in cases] == ["b", "c"]
    assert "CREATE TABLE b ()" in (cases[0].findtext("system-out") or "")
    assert "opaque: it asks the database" in (cases[1].findtext("system-out") or "")


GRAMMAR = re.compile(r"::(error|warning|notice)( (file|line|title)=[^,:\n]*(,(file|line|title)=[^,:\n]*)*)?::[^\n]+")


@pytest.mark.parametrize("check", [True, False])
def test_annotations_are_on_the_migration_files(check: bool) -> None:
    lines = writers("status")["github"](StatusReport(LOOKED, ROOT, check=check)).splitlines()
    assert all(GRAMMAR.fullmatch(line) for line in lines)
    level = "error" if check else "notice"
    assert [line.partition("::")[2].partition("::")[0] for line in lines] == [
        f"{level} file=b.py,line=1,title=voucher/b",
        f"{level} file=c.py,line=1,title=voucher/c",
        "error title=dataops%3A down",
    ]


def test_a_risky_step_is_a_warning() -> None:
    lines = writers("plan")["github"](PlanReport(*plan(), ROOT)).splitlines()
    assert all(GRAMMAR.fullmatch(line) for line in lines)
    assert [line.split()[0] for line in lines] == ["::notice", "::warning"]
    assert "IRREVERSIBLE" in lines[1]


@pytest.mark.parametrize("form", list(writers("plan")))
def test_every_format_leads_with_what_the_live_database_says_will_fail(form: str) -> None:
    planned, renderings = plan()
    effect = Effect(0, risks=(Risk("will-fail", "public.b exists"), Risk("destroys-data", "5 rows of b")))
    renderings = {**renderings, "voucher/b": replace(renderings["voucher/b"], effects=(effect,))}
    forbidden = [Violation("refuse destroys-data", "5 rows of b", "voucher/b")]
    text = writers("plan")[form](PlanReport(planned, renderings, ROOT, forbidden=forbidden))
    assert "public.b exists" in text and "destroys-data" in text
    if form == "junit":
        XSD.validate(text)
        assert [one.get("message") for one in ElementTree.fromstring(text).iter("failure")] == ["public.b exists"]
    else:
        assert "refuse destroys-data" in text
    if form == "github":
        assert all(GRAMMAR.fullmatch(line) for line in text.splitlines())
        assert [line.split()[0].partition("::voucher")[0] for line in text.splitlines()][1] == "::error"


def test_markdown_of_a_plan_is_for_a_reviewer() -> None:
    text = writers("plan")["markdown"](PlanReport(*plan(), ROOT))
    assert text.startswith("### Plan: 2 to apply in 1 service (1 irreversible)\n")
    assert "| 2 | voucher | `c` | Do c. | IRREVERSIBLE: c throws things away, opaque, puts data aside |" in text
    assert "````sql\nCREATE TABLE b ();\nCOMMENT ON TABLE b IS '```'\n````" in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert "note: b: 5 rows" in text


def test_markdown_never_grows_over_what_github_takes() -> None:
    planned, renderings = plan()
    huge = {key: replace(rendering, commands=("x" * 50_000,)) for key, rendering in renderings.items()}
    text = writers("plan")["markdown"](PlanReport(planned, huge, ROOT))
    assert len(text) < 65_536
    assert "The commands of 1 more" in text


def test_markdown_of_a_status_escapes_what_would_break_its_table() -> None:
    text = writers("status")["markdown"](
        StatusReport([*LOOKED, Look(replace(NOW.service, name="bad"), NOW, WRONG)], ROOT, check=True)
    )
    assert "no answer \\| at all" in text
    assert "- [ ] voucher: `b` Do b." in text
    assert ":x: edited" in text
    assert "- bad: put it back" in text


@pytest.mark.parametrize("form", writers("refusal"))
def test_a_refusal_is_told_in_every_format(form: str) -> None:
    text = writers("refusal")[form]("dataops plan", WRONG)
    assert "edited" in text
    if form == "junit":
        XSD.validate(text)
    if form == "github":
        assert GRAMMAR.fullmatch(text.strip())


def test_what_was_not_proved_is_told_where_it_belongs() -> None:
    lost = Counterexample("voucher", "b", "rolled back", "column t.note: missing here")
    proof = Proof(NOW.service, NOW.service.migrations, [lost, replace(lost, migration="")], seeded=True)
    text = writers("proof")["junit"](ProofReport([proof], ROOT))
    XSD.validate(text)
    failed = [
        case.get("name") for case in ElementTree.fromstring(text).iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["b", "the whole way"]
    lines = writers("proof")["github"](ProofReport([proof], ROOT)).splitlines()
    assert all(GRAMMAR.fullmatch(line) for line in lines)
    assert "file=b.py" in lines[0]
    assert "file=" not in lines[1]
    assert "| voucher | 3 | yes | :x: 2 |" in writers("proof")["markdown"](ProofReport([proof], ROOT))


def test_a_rollback_is_told_as_one() -> None:
    planned = planner.plan_rollback([state("a* -- b*")], steps=1)
    assert planned.direction is Direction.ROLLBACK
    assert "| to roll back |" in writers("plan")["markdown"](PlanReport(planned, {}, ROOT))
