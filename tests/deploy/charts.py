"""The chart as Helm's own engine renders it, and what a Kubernetes API server of some version would say to that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from tests.servers import ROOT

CHART = ROOT / "deploy" / "helm" / "dataops"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The objects of a release, and what NOTES.txt says."""

    objects: tuple[Object, ...]
    notes: str

    def all(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str) -> Object:
        (found,) = self.all(kind)
        return found


def render(
    values: Mapping[str, Any] | None = None, *, chart: Path = CHART, name: str = "blink", revision: int = 7
) -> Rendered:
    """As `helm upgrade` would, for revision 7 of the release `blink` in the namespace `galoy`."""
    with helm.Chart.load(chart) as loaded:
        files = loaded.render(
            dict(values or {}), name=name, namespace="galoy", revision=revision, is_install=False, is_upgrade=True
        )
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    found = [one for path, text in files.items() if path.endswith(".yaml") for one in objects(text)]
    return Rendered(tuple(found), notes)


def objects(text: str) -> Iterator[Object]:
    yield from (one for one in yaml.safe_load_all(text) if one)


def refused(values: Mapping[str, Any], *, chart: Path = CHART) -> str:
    """What Helm says to values that are not right; fails when it takes them."""
    try:
        render(values, chart=chart)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"Helm takes {values}")


Invalid = kubernetes_validate.ValidationError


def validate(one: Object, version: str) -> None:
    """As an API server of that version with strict field validation: unknown fields are errors. Raises Invalid."""
    kubernetes_validate.validate(one, version, strict=True)


def pod_of(one: Object) -> Object:
    """The pod's spec of a Job, a CronJob or a Deployment."""
    spec = one["spec"]
    if one["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Object = spec["template"]["spec"]
    return found


def container(one: Object, name: str = "dataops") -> Object:
    pod = pod_of(one)
    (found,) = [c for c in [*pod.get("initContainers", []), *pod["containers"]] if c["name"] == name]
    result: Object = found
    return result


def application_chart(folder: Path, deployments: Mapping[str, str], dataops: Mapping[str, Any]) -> Path:
    """A chart of somebody's application, with ours as a dependency: Deployment name -> the service it waits for."""
    chart = folder / "application"
    (chart / "templates").mkdir(parents=True)
    shutil.copytree(CHART, chart / "charts" / "dataops")
    meta = {"apiVersion": "v2", "name": "application", "version": "1.0.0"}
    meta["dependencies"] = [{"name": "dataops", "version": "0.x.x"}]  # type: ignore[assignment]
    (chart / "Chart.yaml").write_text(yaml.safe_dump(meta))
    (chart / "values.yaml").write_text(yaml.safe_dump({"dataops": dict(dataops)}))
    for name, service in deployments.items():
        (chart / "templates" / f"{name}.yaml").write_text(DEPLOYMENT % {"name": name, "service": service})
    return chart


DEPLOYMENT = """\
{{- $wait := dict "context" .Subcharts.dataops "service" "%(service)s" }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %(name)s
spec:
  replicas: 3
  selector:
    matchLabels: { app: %(name)s }
  template:
    metadata:
      labels: { app: %(name)s }
    spec:
      initContainers:
        {{- include "dataops.waitContainer" $wait | nindent 8 }}
      containers:
        - name: server
          image: %(name)s:1
      {{- with include "dataops.waitVolumes" $wait }}
      volumes:
        {{- . | nindent 8 }}
      {{- end }}
"""
