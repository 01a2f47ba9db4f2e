"""The dashboard and the alerts speak of metrics that exist, and the page about them is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from dataops.kinds import MONGODB
from dataops.model import JournalEvent
from dataops.show.prometheus import METRICS, Collector
from tests.unit.sample import entry, state

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
ALERTS = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
NAMES = {metric.name for metric in METRICS}


def expressions() -> list[str]:
    """Every PromQL expression of the dashboard."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    found += [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    return [*found, *(variable.get("definition", "") for variable in DASHBOARD["templating"]["list"])]


def named(text: str) -> set[str]:
    return set(re.findall(r"\bdataops_\w+", text))


def test_every_metric_that_the_dashboard_names_exists() -> None:
    found = {name for expression in expressions() for name in named(expression)}
    assert found
    assert found <= NAMES


def test_the_dashboard_shows_every_metric() -> None:
    found = {name for expression in expressions() for name in named(expression)}
    assert found == NAMES - {"dataops_build_info"}


def test_every_metric_that_an_alert_names_exists() -> None:
    found = {name for rule in ALERTS for name in named(rule["expr"])}
    assert {"dataops_pending_migrations", "dataops_interrupted", "dataops_ahead"} <= found
    assert found <= NAMES


def test_more_than_a_day_is_a_day() -> None:
    (pending,) = (rule for rule in ALERTS if named(rule["expr"]) == {"dataops_pending_migrations"})
    assert pending["for"] == "1d"


def test_expressions_group_by_labels_that_the_metrics_have() -> None:
    """The page says which; and they are those that are written."""
    labels = dict(re.findall(r"^\| `(dataops_\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
    known = {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in labels.items()}
    for expression in [*expressions(), *(rule["expr"] for rule in ALERTS)]:
        for by in re.findall(r"by \(([\w, ]+)\)", expression):
            for name in named(expression):
                assert set(by.split(", ")) <= known[name], expression


def test_the_page_has_every_metric_and_its_labels() -> None:
    rows = dict(re.findall(r"^\| `(dataops_\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert set(rows) == NAMES
    seen = [state("a* -- b~", last=entry("b", JournalEvent.STARTED)), state("a*", name="api", kind=MONGODB)]
    collector = Collector("apply")
    collector.saw([one.service for one in seen], seen)
    collector.ended([one.service for one in seen])
    for name, labels in collector.values:
        assert [key for key, _ in labels] == re.findall(r"`(\w+)`", rows[name])


def test_the_page_has_every_alert() -> None:
    assert re.findall(r"^\| `(Dataops\w+)` ", PAGE, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def test_what_an_alert_advises_leads_somewhere() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", operations, re.M)}
    wanted = set(re.findall(r"docs/operations\.md#([\w-]+)", str(ALERTS)))
    assert wanted
    assert wanted <= anchors


def test_the_dashboard_asks_for_its_data_source_and_its_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
