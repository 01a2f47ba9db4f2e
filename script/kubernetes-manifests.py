"""Write the plain manifests of deploy/kubernetes from the Helm chart, so that the two cannot drift apart.

.venv/bin/python script/kubernetes-manifests.py            write them
.venv/bin/python script/kubernetes-manifests.py --check    exit 1 when they are not what the chart says

The kustomizations beside them, and the patch for a backup, are written by hand.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import helm_python as helm

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "dataops"
FOLDER = ROOT / "deploy" / "kubernetes"

HEAD = "# Written by script/kubernetes-manifests.py from deploy/helm/dataops; change the chart and run it again.\n"
# Lines that mean something to Helm only, or that a kustomization adds: namespace, revision, instance.
HELMS = r"^ *(?:helm\.sh/chart|app\.kubernetes\.io/(?:managed-by|instance)|dataops/revision|namespace): .*\n"

INCLUDE = '{{ include "dataops.waitContainer" (dict "context" . "service" "SERVICE") }}'
WAITING = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: any
spec:
  template:
    spec:
      initContainers:
"""


def render(values: dict[str, Any], template: str) -> str:
    """A template of the chart, as an object for people without Helm. `template` may be one that we add: its text."""
    with tempfile.TemporaryDirectory() as scratch:
        chart = Path(scratch, "dataops")
        shutil.copytree(CHART, chart)
        if "{{" in template:
            Path(chart, "templates", "added.yaml").write_text(template)
            template = "added.yaml"
        with helm.Chart.load(chart) as loaded:
            rendered = loaded.render({"actor": "kubernetes", **values}, name="dataops", revision=1)
    text = re.sub(HELMS, "", rendered[f"dataops/templates/{template}"], flags=re.MULTILINE)
    text = re.sub(r"^(  name: dataops-.*)-1$", r"\1", text, flags=re.MULTILINE)
    return text.strip().removeprefix("---").strip() + "\n"


def manifests() -> dict[Path, str]:
    """Every file that is written, and its content."""
    with helm.Chart.load(CHART) as chart:
        services = sorted(chart.values["services"])
    written = {
        "base/job.yaml": render({"jobs": {"name": "migrate"}}, "jobs.yaml"),
        "shared/job.yaml": render({"jobs": {"name": "migrate", "shards": 8}}, "jobs.yaml"),
        "per-service/jobs.yaml": render({"jobs": {"perService": True}}, "jobs.yaml"),
        "check/cronjob.yaml": render({"check": {"enabled": True}}, "check.yaml"),
    }
    for service in services:
        include = INCLUDE.replace("SERVICE", service)
        written[f"components/wait/wait-for-{service}.yaml"] = WAITING + textwrap.indent(render({}, include), 8 * " ")
    return {FOLDER / name: HEAD + text for name, text in written.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when a file is out of date")
    check = parser.parse_args().check
    for path, text in manifests().items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.relative_to(ROOT)} is out of date: run script/kubernetes-manifests.py")


if __name__ == "__main__":
    main()
