"""The plain manifests: written from the chart, built by Kustomize, and the same as what Helm makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import VALUES, VERSIONS, Object, application_chart, container, pod_of, render, validate
from tests.deploy.kustomize import build
from tests.servers import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATIONS = sorted(path.parent for path in FOLDER.rglob("kustomization.yaml"))
WHOLE = [folder for folder in KUSTOMIZATIONS if "components" not in folder.parts]
HELMS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "dataops/revision"}

BACKUP: dict[str, Any] = {
    "enabled": True,
    "image": {"repository": "backup", "tag": "latest"},
    "command": ["/bin/false"],
    "inheritEnv": False,
}


def plain(one: Any) -> Any:
    """Without what only means something to Helm, or is a kustomization's to say."""
    if isinstance(one, dict):
        return {key: plain(value) for key, value in one.items() if key not in HELMS | {"namespace"}}
    return [plain(each) for each in one] if isinstance(one, list) else one


def from_helm(values: dict[str, Any]) -> list[Object]:
    """As the chart makes them, for a release called `dataops`."""
    return [plain(one) for one in render({"actor": "kubernetes", **values}, name="dataops", revision=1).objects]


def kustomized(folder: Path, **kustomization: Any) -> list[Object]:
    """A kustomization of somebody's own, beside a copy of ours."""
    folder.mkdir()
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({**kind, **kustomization}))
    return build(folder)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", FOLDER, tmp_path / "kubernetes"], check=True)
    return tmp_path / "kubernetes"


def test_the_manifests_are_the_ones_that_the_chart_makes() -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "script" / "kubernetes-manifests.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("folder", WHOLE, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_kustomization_builds_into_what_a_cluster_takes(folder: Path) -> None:
    found = build(folder)
    assert found
    for one in found:
        validate(one, VERSIONS[0])
        validate(one, VERSIONS[-1])


def test_nothing_lies_about_that_no_kustomization_names() -> None:
    for folder in KUSTOMIZATIONS:
        text = (folder / "kustomization.yaml").read_text()
        for path in folder.glob("*.yaml"):
            assert path.name == "kustomization.yaml" or f" {path.name}\n" in text


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("base", {"jobs": {"name": "migrate", "nameSuffix": "x"}}),
        ("per-service", {"jobs": {"perService": True, "nameSuffix": "x"}}),
        ("shared", {"jobs": {"name": "migrate", "nameSuffix": "x", "shards": 8}}),
        ("check", {"check": {"enabled": True}, "jobs": {"enabled": False}}),
    ],
)
def test_kustomize_makes_what_helm_makes(copy: Path, folder: str, values: dict[str, Any]) -> None:
    suffix = {} if folder == "check" else {"nameSuffix": "-x"}
    found = kustomized(copy / "mine", resources=[f"../{folder}"], **suffix)

    def by_name(several: list[Object]) -> dict[str, Object]:
        return {one["metadata"]["name"]: one for one in several}

    assert by_name(found) == by_name(from_helm(values))


def test_with_the_backup_too(copy: Path) -> None:
    found = kustomized(copy / "mine", resources=["../base"], components=["../components/backup"], nameSuffix="-x")
    (wanted,) = from_helm({"jobs": {"name": "migrate", "nameSuffix": "x"}, "backup": BACKUP})
    for one in (found[0], wanted):
        for part in (container(one)["args"], container(one)["volumeMounts"], pod_of(one)["volumes"]):
            part.sort(key=lambda each: json.dumps(each, sort_keys=True))  # a patch adds at the end
    assert found == [wanted]


def test_as_it_stands_the_backup_fails_and_nothing_is_migrated(copy: Path, tmp_path: Path) -> None:
    (job,) = kustomized(copy / "mine", resources=["../per-service"], components=["../components/backup"])[:1]
    (backup,) = pod_of(job)["initContainers"]
    marker = tmp_path / "done"
    ended = subprocess.run(backup["command"], env={"DATAOPS_BACKUP_MARKER": str(marker)}, check=False)
    assert ended.returncode != 0 and not marker.exists()


@pytest.mark.parametrize("service", sorted(VALUES["services"]))
def test_a_deployment_with_the_label_waits_as_one_of_the_chart_does(copy: Path, tmp_path: Path, service: str) -> None:
    (wanted,) = render({}, chart=application_chart(tmp_path, {"pay": service}, {})).all("Deployment")
    bare = yaml.safe_load(yaml.safe_dump(wanted))
    del pod_of(bare)["initContainers"]
    (copy / "other.yaml").write_text(yaml.safe_dump({**bare, "metadata": {"name": "other"}}))
    bare["metadata"]["labels"] = {"dataops/wait-for": service}
    (copy / "pay.yaml").write_text(yaml.safe_dump(bare))
    (copy / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["pay.yaml", "other.yaml"], "components": ["components/wait"]})
    )
    found = {one["metadata"]["name"]: one for one in build(copy)}
    assert pod_of(found["pay"]) == pod_of(wanted)
    assert "initContainers" not in pod_of(found["other"])
    validate(found["pay"], VERSIONS[-1])


def test_the_example_changes_the_name_of_the_job_only() -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in build(FOLDER / "example")}
    assert set(found) == {("Job", "dataops-migrate-1"), ("CronJob", "dataops-check")}
    for one in found.values():
        assert one["metadata"]["namespace"] == "galoy"
        assert container(one)["image"] == "registry.example.com/dataops:0.1.0"
