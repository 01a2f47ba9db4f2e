"""The chart, rendered by Helm itself over a matrix of values: what it promises holds in every cell."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import helm_python as helm
import pytest
import yaml

from dataops import __version__, cli, config
from dataops.errors import ExitCode
from tests.deploy.charts import (
    CHART,
    VALUES,
    VERSIONS,
    Invalid,
    Object,
    application_chart,
    container,
    pod_of,
    refused,
    render,
    validate,
)
from tests.servers import ROOT

BACKUP: dict[str, Any] = {
    "enabled": True,
    "image": {"repository": "registry.example.com/backup", "tag": "1.2"},
    "command": ["mongodump", "--uri=$(MONGODB_CON)"],
    "args": ["--archive=/backups/api.gz"],
    "resources": {"limits": {"memory": "1Gi"}},
    "volumeMounts": [{"name": "backups", "mountPath": "/backups"}],
}
OWN_BACKUP = {"voucher": {"backup": {"command": ["pg_dump", "$(VOUCHER_PG_CON)"], "image": {"repository": "postgres"}}}}
CLAIM = {"extraVolumes": [{"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}}]}
PARTS = {
    "MONGODB_CON": None,
    "MONGODB_ADDRESS": {"value": "galoy-mongodb-0.galoy-mongodb-headless,galoy-mongodb-1.galoy-mongodb-headless"},
    "MONGODB_USER": {"value": "testGaloy"},
    "MONGODB_PASSWORD": {"secret": "galoy-mongodb", "key": "mongodb-passwords"},
}
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.com/dataops", "digest": f"sha256:{'a' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "payments"},
    "actor": "pipeline",
    "logFormat": "text",
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    **CLAIM,
    "extraVolumeMounts": [{"name": "backups", "mountPath": "/metrics"}],
    "jobs": {
        "perService": True,
        "mode": "hook",
        "hook": {"events": ["pre-install", "pre-upgrade"], "weight": -5, "deletePolicy": ["before-hook-creation"]},
        "nameSuffix": "v1.2_3",
        "ttlSecondsAfterFinished": None,
        "onFailedMigration": "Count",
        "lockTimeout": "",
        "extraArgs": ["--jobs=1"],
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "podLabels": {"e": "f"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
    },
    "wait": {"allowAhead": True, "timeout": "30m"},
    "backup": {**BACKUP, "env": [{"name": "BUCKET", "value": "b"}], "envFrom": [{"secretRef": {"name": "backup"}}]},
    "check": {"enabled": True, "timeZone": "Etc/UTC", "labels": {"a": "b"}, "podAnnotations": {"c": "d"}},
    "serviceAccount": {"create": True, "annotations": {"iam.gke.io/gcp-service-account": "x@y"}},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "db", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
    "priorityClassName": "high",
}
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a-job-each": {"jobs": {"perService": True}},
    "hook": {"jobs": {"mode": "hook"}, "serviceAccount": {"create": True}},
    "files": {"secretsAs": "files", "check": {"enabled": True}},
    "files-each": {"secretsAs": "files", "jobs": {"perService": True}, "backup": BACKUP, **CLAIM},
    "one-service": {"services": {name: {"enabled": False} for name in ("api", "api-keys", "voucher")}},
    "a-fifth": {"services": {"bank": {"env": {"BANK_PG_CON": {"secret": "bank", "key": "url"}}}}},
    "mongodb-in-parts": {
        "services": {"api": {"env": PARTS, "jobName": "mongodb-migrate"}},
        "jobs": {"perService": True},
    },
    "reading-role": {"services": {"api": {"readEnv": {"MONGODB_CON": {"secret": "reader", "key": "url"}}}}},
    "backup": {"backup": BACKUP, **CLAIM},
    "own-backup": {"backup": BACKUP, "services": OWN_BACKUP, **CLAIM},
    "own-backup-each": {
        "backup": {**BACKUP, "shell": False, "inheritEnv": False},
        "services": OWN_BACKUP,
        "jobs": {"perService": True},
        **CLAIM,
    },
    "no-environment": {"services": {"api": {"env": {"MONGODB_CON": None}}}},
    "check": {"check": {"enabled": True}},
    "drift": {"drift": {"enabled": True, "extraArgs": ["--full"]}, "check": {"timeZone": "Etc/UTC"}},
    "both": {"drift": {"enabled": True}, "check": {"enabled": True}},
    "background": {"background": {"enabled": True}, "backup": BACKUP, **CLAIM},
    "background-as-files": {"background": {"enabled": True}, "secretsAs": "files"},
    "shared": {"jobs": {"shards": 8}},
    "shared-each": {
        "jobs": {"perService": True, "mode": "hook"},
        "services": {"api": {"shards": 4}},
        "background": {"enabled": True},
    },
    "no-job": {"jobs": {"enabled": False}},
    "everything": EVERYTHING,
    "everything-as-files": {**EVERYTHING, "secretsAs": "files"},
}


def ours(one: Object) -> Iterator[Object]:
    """The containers that run dataops."""
    pod = pod_of(one)
    yield from (c for c in [*pod.get("initContainers", []), *pod["containers"]] if not c["name"].startswith("backup"))


def workloads(values: dict[str, Any]) -> list[Object]:
    return [one for one in render(values).objects if one["kind"] in ("Job", "CronJob")]


def variables(one: Object) -> dict[str, Any]:
    return {variable["name"]: variable for variable in one.get("env", [])}


CELLS = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())


# --- what a cluster takes


@CELLS
def test_every_object_is_valid_on_the_oldest_and_the_newest_kubernetes(values: dict[str, Any]) -> None:
    for one in render(values).objects:
        for version in (VERSIONS[0], VERSIONS[-1]):
            validate(one, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_is_valid_on_every_version_in_between(version: str) -> None:
    for one in render({**EVERYTHING, "secretsAs": "files"}).objects:
        validate(one, version)


def test_the_oldest_version_is_the_one_that_the_chart_names() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_an_object_that_is_wrong_would_be_found() -> None:
    job = render().one("Job")
    pod_of(job)["containers"][0]["arguments"] = []
    with pytest.raises(Invalid):
        validate(job, VERSIONS[-1])


@CELLS
def test_helm_has_nothing_to_say_against_the_chart(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True, namespace="galoy")
    assert [one for one in report["messages"] if one["severity"] > 1] == []
    assert report["errors"] == []


@CELLS
def test_every_pod_is_one_that_the_restricted_pod_security_standard_admits(values: dict[str, Any]) -> None:
    for one in workloads(values):
        pod = pod_of(one)
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"emptyDir", "projected", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
        for each in [*pod.get("initContainers", []), *pod["containers"]]:
            assert_restricted(each)


def assert_restricted(one: Object) -> None:
    context = one["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["runAsNonRoot"] is True
    assert "runAsUser" not in context, "OpenShift gives a user id of its own"
    assert not context.get("privileged")


@CELLS
def test_every_container_has_what_it_mounts_and_every_volume_is_mounted(values: dict[str, Any]) -> None:
    for one in workloads(values):
        pod = pod_of(one)
        volumes = [volume["name"] for volume in pod["volumes"]]
        mounts = [
            {mount["name"] for mount in each.get("volumeMounts", [])}
            for each in [*pod.get("initContainers", []), *pod["containers"]]
        ]
        assert len(set(volumes)) == len(volumes)
        assert set().union(*mounts) <= set(volumes)
        assert "tmp" in mounts[-1], "the root file system is read-only"


# --- what dataops understands


@CELLS
def test_every_command_line_is_one_that_dataops_understands(values: dict[str, Any]) -> None:
    for one in workloads(values):
        for each in ours(one):
            understood(each["args"])


def understood(arguments: list[str]) -> click.Context:
    command = cli.main_group.get_command(click.Context(cli.main_group), arguments[0])
    assert command is not None
    return command.make_context(arguments[0], list(arguments[1:]))


def test_the_services_are_those_of_dataops_toml_and_their_variables_are_the_ones_it_reads() -> None:
    """With what the chart sets and nothing else, the configuration is complete."""
    found = config.load(ROOT / config.FILE_NAME, with_urls=False).services
    assert set(VALUES["services"]) == {service.name for service in found}
    urls = {"api": "mongodb://h/galoy"}
    for name, service in VALUES["services"].items():
        environ = dict.fromkeys(service["env"], urls.get(name, f"postgres://h/{name}"))
        loaded = config.load(ROOT / config.FILE_NAME, environ=environ, selected=[name])
        assert [one.name for one in loaded.services] == [name]
    whole = container(render().one("Job"))
    assert set(variables(whole)) == {"DATAOPS_ACTOR"} | {v for one in VALUES["services"].values() for v in one["env"]}


def test_the_secrets_are_named_as_in_the_charts_of_blink() -> None:
    found = {
        name: (one["valueFrom"]["secretKeyRef"]["name"], one["valueFrom"]["secretKeyRef"]["key"])
        for name, one in variables(container(render().one("Job"))).items()
        if "valueFrom" in one
    }
    assert found == {
        "MONGODB_CON": ("galoy-mongodb-connection-string", "mongodb-con"),
        "API_KEYS_PG_CON": ("api-keys", "pg-con"),
        "NOTIFICATIONS_PG_CON": ("notifications", "pg-con"),
        "VOUCHER_PG_CON": ("voucher", "pg-con"),
    }


def test_as_files_every_variable_names_a_file_that_is_mounted() -> None:
    for one in workloads({"secretsAs": "files", "check": {"enabled": True}, "jobs": {"perService": True}}):
        (volume,) = [volume for volume in pod_of(one)["volumes"] if volume["name"] == "secrets"]
        items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
        (each,) = ours(one)
        (mount,) = [mount for mount in each["volumeMounts"] if mount["name"] == "secrets"]
        files = {f"{mount['mountPath']}/{item['path']}" for item in items}
        named = {name: v["value"] for name, v in variables(each).items() if name.endswith("_FILE")}
        assert set(named.values()) == files
        assert all(path.endswith("/" + name.removesuffix("_FILE")) for name, path in named.items())
        assert volume["projected"]["defaultMode"] == 0o444, "an arbitrary user id has to be able to read it"


def test_a_job_of_one_service_has_the_secrets_of_that_service_only() -> None:
    for job in render({"jobs": {"perService": True}}).all("Job"):
        service = job["metadata"]["labels"]["dataops/service"]
        each = container(job)
        assert set(variables(each)) - {"DATAOPS_ACTOR"} == set(VALUES["services"][service]["env"])
        assert [word for word in each["args"] if word.startswith("--service")] == [f"--service={service}"]


def test_who_only_looks_may_have_a_role_of_its_own(tmp_path: Path) -> None:
    values = {"check": {"enabled": True}, **MATRIX["reading-role"]}
    chart = application_chart(tmp_path, {"api": "api"}, values)
    found = render(chart=chart)
    reader = {"secretKeyRef": {"name": "reader", "key": "url"}}
    waiting = container(found.one("Deployment"), "wait-for-api-migrations")
    assert variables(waiting)["MONGODB_CON"]["valueFrom"] == reader
    assert variables(container(found.one("CronJob")))["MONGODB_CON"]["valueFrom"] == reader
    assert variables(container(found.one("Job")))["MONGODB_CON"]["valueFrom"] != reader


def test_drift_has_a_cronjob_of_its_own_which_is_like_the_check_where_nothing_else_is_said() -> None:
    check = {"enabled": True, "timeZone": "Etc/UTC", "extraArgs": ["-v"]}
    values = {"check": check, "drift": {"enabled": True, "extraArgs": ["--full"]}}
    looks, compares = render(values).all("CronJob")
    assert (looks["metadata"]["name"], compares["metadata"]["name"]) == ("blink-dataops-check", "blink-dataops-drift")
    assert container(looks)["args"][:2] == ["status", "--check"]
    arguments = container(compares)["args"]
    assert (arguments[0], arguments[-1], "--check" in arguments, "-v" in arguments) == ("drift", "--full", False, False)
    assert compares["spec"]["timeZone"] == "Etc/UTC"
    assert looks["spec"]["schedule"] != compares["spec"]["schedule"]
    assert render({"check": {"enabled": True}}).one("CronJob")["metadata"]["name"] == "blink-dataops-check"
    assert variables(container(looks)) == variables(container(compares))


def test_what_is_for_the_background_waits_for_the_rest_and_then_runs_in_a_job_of_each_service() -> None:
    wanted = {"enabled": True, "extraArgs": ["-v"], "resources": {"limits": {"memory": "1Gi"}}}
    values = {"background": wanted, "backup": BACKUP, "jobs": {"mode": "hook", "extraArgs": ["--jobs=1"]}, **CLAIM}
    jobs = render(values).all("Job")
    each = [job for job in jobs if job["metadata"]["labels"]["app.kubernetes.io/component"] == "background"]
    assert [job["metadata"]["name"] for job in each] == [
        f"blink-{name}-background-7" for name in sorted(VALUES["services"])
    ]
    assert len(jobs) == len(each) + 1
    job = next(job for job in each if "voucher" in job["metadata"]["name"])
    assert "annotations" not in job["metadata"]  # no hook, which a deployment would wait for
    assert job["spec"]["activeDeadlineSeconds"] == 7 * 86400
    (waits,) = pod_of(job)["initContainers"]
    assert waits["args"][:2] == ["wait", "--service=voucher"]
    arguments = container(job)["args"]
    assert arguments[:3] == ["apply", "--yes", "--service=voucher"]
    assert arguments[-2:] == ["--background", "-v"]
    assert not any("backup" in one for one in arguments)
    assert container(job)["resources"] == {"limits": {"memory": "1Gi"}}
    assert set(variables(container(job))) == {"DATAOPS_ACTOR", "VOUCHER_PG_CON"}


# --- the Job


@CELLS
def test_every_exit_code_is_in_exactly_one_rule_and_every_rule_is_one_that_kubernetes_takes(
    values: dict[str, Any],
) -> None:
    for one in workloads(values):
        spec = one["spec"] if one["kind"] == "Job" else one["spec"]["jobTemplate"]["spec"]
        assert pod_of(one)["restartPolicy"] == "Never"
        codes: list[int] = []
        for rule in spec["podFailurePolicy"]["rules"]:
            if on := rule.get("onExitCodes"):
                assert on["operator"] == "In" and on["values"] == sorted(set(on["values"])) and 0 not in on["values"]
                assert on["containerName"] in [c["name"] for c in pod_of(one)["containers"]]
                codes += on["values"]
        assert len(codes) == len(set(codes))
        if one["kind"] == "Job":
            counted = {ExitCode.FAILED} if values.get("jobs", {}).get("onFailedMigration") == "Count" else set()
            assert set(codes) == set(ExitCode) - {ExitCode.OK} - counted


def test_what_is_set_arrives_in_the_job_and_its_pod() -> None:
    jobs = {
        "backoffLimit": 2,
        "activeDeadlineSeconds": 71,
        "ttlSecondsAfterFinished": 72,
        "terminationGracePeriodSeconds": 73,
        "waitForDatabase": "74s",
        "lockTimeout": "75s",
        "resources": {"limits": {"memory": "76Mi"}},
    }
    job = render({**EVERYTHING, "jobs": {**EVERYTHING["jobs"], "perService": False, **jobs}}).one("Job")
    pod, each = pod_of(job), container(job)
    assert [job["spec"][key] for key in ("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")] == [
        2,
        71,
        72,
    ]
    assert pod["terminationGracePeriodSeconds"] == 73
    assert each["args"] == [
        "apply",
        "--yes",
        *(f"--service={name}" for name in sorted(VALUES["services"])),
        "--wait=74s",
        "--lock-timeout=75s",
        "--require-backup-marker=/var/run/dataops-backup/done",
        "--backup-max-age=1h",
        "--log-format=text",
        "--jobs=1",
    ]
    assert each["image"] == f"registry.example.com/dataops@sha256:{'a' * 64}" and each["imagePullPolicy"] == "Always"
    assert each["resources"]["limits"]["memory"] == "76Mi"
    assert {"name": "DATAOPS_ACTOR", "value": "pipeline"} in each["env"]
    assert EVERYTHING["extraEnv"][0] in each["env"]
    for key in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"):
        assert pod[key] == EVERYTHING[key]
    assert (pod["priorityClassName"], pod["serviceAccountName"]) == ("high", "blink-dataops")
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels.items() >= {"team": "payments", "app.kubernetes.io/component": "migrate"}.items()
    assert job["metadata"]["labels"]["a"] == "b" and job["metadata"]["annotations"]["c"] == "d"
    assert job["spec"]["template"]["metadata"]["labels"]["e"] == "f"


def test_pods_that_share_the_databases_are_an_indexed_job_whose_pods_all_run_at_once() -> None:
    job = render({"jobs": {"shards": 8}}).one("Job")
    assert {key: job["spec"][key] for key in ("completionMode", "completions", "parallelism")} == {
        "completionMode": "Indexed",
        "completions": 8,
        "parallelism": 8,
    }
    env = variables(container(job))
    assert env["DATAOPS_SHARDS"]["value"] == "8"
    path = "metadata.labels['batch.kubernetes.io/controller-uid']"  # of the Job, and so the same for all its pods
    assert env["DATAOPS_ROLLOUT"]["valueFrom"]["fieldRef"]["fieldPath"] == path
    alone = render().one("Job")
    assert "completionMode" not in alone["spec"] and "DATAOPS_SHARDS" not in variables(container(alone))


def test_with_a_job_each_only_the_service_that_says_so_is_shared() -> None:
    shared = {"jobs": {"perService": True}, "services": {"api": {"shards": 4}}, "background": {"enabled": True}}
    jobs = {job["metadata"]["name"]: job for job in render(shared).all("Job")}
    found = {name: job["spec"]["completions"] for name, job in jobs.items() if "completions" in job["spec"]}
    assert found == {"blink-api-migrate-7": 4, "blink-api-background-7": 4}
    assert all(("DATAOPS_SHARDS" in variables(container(job))) == (name in found) for name, job in jobs.items())


def test_what_each_exit_code_does_to_the_job() -> None:
    rules = render().one("Job")["spec"]["podFailurePolicy"]["rules"]
    assert [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in rules] == [
        ("FailJob", [1, 2, 4, 5, 6, 7, 8, 9, 64]),
        ("Ignore", [3, 10, 75]),
        ("Ignore", None),
    ]
    assert rules[2]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_the_pages_say_of_each_exit_code_what_the_chart_does() -> None:
    words = {"FailJob": "fails at once", "Ignore": "tries again"}
    rules = render().one("Job")["spec"]["podFailurePolicy"]["rules"]
    does = {code: words[rule["action"]] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    rows = {int(code): told for code, told in re.findall(r"^\| (\d+) \|[^|]*\| ([^|]*?) \|", page, re.MULTILINE)}
    assert {code: rows.get(code) for code in does} == does


@pytest.mark.parametrize("name", ["blink", "a-release-with-quite-a-long-name-for-a-cluster-of-ours"])
def test_the_name_ends_in_the_revision_and_fits_into_a_label(name: str) -> None:
    for values in ({}, {"jobs": {"perService": True}}, {"jobs": {"nameSuffix": "v1.2.3-rc.1"}}):
        for job in render(values, name=name, revision=1234).all("Job"):
            suffix = "v1-2-3-rc-1" if "nameSuffix" in values.get("jobs", {}) else "1234"
            found = job["metadata"]["name"]
            assert re.fullmatch(rf"{name[:20]}[a-z0-9-]*[a-z0-9]-{suffix}", found) and len(found) <= 63
            assert job["metadata"]["labels"]["dataops/revision"] == suffix


def test_init_containers_of_blink_that_wait_for_a_job_by_name_find_it() -> None:
    """`job-wr RELEASE-mongodb-migrate-REVISION`, in the deployments of galoy's chart."""
    each = {"perService": True}
    jobs = render({"services": {"api": {"jobName": "mongodb-migrate"}}, "jobs": each}).all("Job")
    assert "blink-mongodb-migrate-7" in [job["metadata"]["name"] for job in jobs]
    whole = render({"jobs": {"name": "mongodb-migrate"}}).one("Job")
    assert whole["metadata"]["name"] == "blink-mongodb-migrate-7"


def test_two_revisions_never_share_a_job() -> None:
    names = {render(revision=revision).one("Job")["metadata"]["name"] for revision in (7, 8)}
    assert names == {"blink-dataops-migrate-7", "blink-dataops-migrate-8"}


def test_as_a_hook_the_job_runs_before_the_rest_and_its_service_account_before_it() -> None:
    found = render({"jobs": {"mode": "hook"}, "serviceAccount": {"create": True}})
    job, account = (found.one(kind)["metadata"]["annotations"] for kind in ("Job", "ServiceAccount"))
    assert job["helm.sh/hook"] == account["helm.sh/hook"] == "pre-upgrade"
    assert int(account["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    plain = render({"serviceAccount": {"create": True}})
    assert not any("annotations" in one["metadata"] for one in plain.objects)


def test_ttl_and_lock_timeout_can_be_left_out() -> None:
    job = render({"jobs": {"ttlSecondsAfterFinished": None, "lockTimeout": ""}}).one("Job")
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert not any(word.startswith("--lock-timeout") for word in container(job)["args"])
    assert render({"jobs": {"ttlSecondsAfterFinished": 0}}).one("Job")["spec"]["ttlSecondsAfterFinished"] == 0


# --- the init container of applications


@pytest.mark.parametrize("as_what", ["env", "files"])
def test_an_application_chart_includes_the_wait_and_its_pods_need_no_rights(tmp_path: Path, as_what: str) -> None:
    values = {"secretsAs": as_what, "jobs": {"enabled": False}, "wait": {"allowAhead": True}}
    found = render(chart=application_chart(tmp_path, {"pay": "notifications", "gift": "voucher"}, values))
    assert {one["kind"] for one in found.objects} == {"Deployment"}
    for one in found.objects:
        validate(one, VERSIONS[0])
        validate(one, VERSIONS[-1])
        service = {"pay": "notifications", "gift": "voucher"}[one["metadata"]["name"]]
        each = container(one, f"wait-for-{service}-migrations")
        assert_restricted(each)
        assert each["args"][:2] == ["wait", f"--service={service}"]
        assert understood(each["args"]).params["allow_ahead"] is True
        variable = f"{service.upper()}_PG_CON"
        assert set(variables(each)) == {variable if as_what == "env" else f"{variable}_FILE"}
        mounted = {mount["name"] for mount in each.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod_of(one).get("volumes", [])}
        assert bool(mounted) == (as_what == "files")


def test_to_wait_for_a_service_that_is_not_there_is_refused(tmp_path: Path) -> None:
    chart = application_chart(tmp_path, {"pay": "notification"}, {})
    assert 'no enabled service "notification"' in refused({}, chart=chart)


# --- the backup


def test_the_backup_comes_first_and_apply_insists_on_it() -> None:
    job = render({"backup": {**BACKUP, "maxAge": "30m"}, **CLAIM}).one("Job")
    (backup,) = pod_of(job)["initContainers"]
    each = container(job)
    marker = variables(backup)["DATAOPS_BACKUP_MARKER"]["value"]
    assert f"--require-backup-marker={marker}" in each["args"] and "--backup-max-age=30m" in each["args"]
    assert "MONGODB_CON" in variables(backup)
    folders = [
        next(mount for mount in one["volumeMounts"] if mount["name"] == "backup-marker") for one in (backup, each)
    ]
    assert {mount["mountPath"] for mount in folders} == {os.path.dirname(marker)}
    assert "readOnly" not in folders[0] and folders[1]["readOnly"] is True
    assert {"name": "backup-marker", "emptyDir": {"sizeLimit": "1Mi"}} in pod_of(job)["volumes"]


@pytest.mark.parametrize("succeeds", [True, False])
def test_the_marker_is_written_when_and_only_when_the_backup_succeeded(tmp_path: Path, succeeds: bool) -> None:
    """The very command of the rendered container, run."""
    script = f"test \"$1\" = 'two words' && {'true' if succeeds else 'exit 3'}"
    job = render({"backup": {**BACKUP, "command": ["/bin/sh", "-c", script, "x"], "args": ["two words"]}, **CLAIM})
    (backup,) = pod_of(job.one("Job"))["initContainers"]
    marker = tmp_path / "done"
    env = {"DATAOPS_BACKUP_MARKER": str(marker), "PATH": os.defpath}
    ended = subprocess.run([*backup["command"], *backup["args"]], env=env, check=False)
    assert ended.returncode == (0 if succeeds else 3)
    assert marker.exists() is succeeds
    assert not succeeds or marker.read_text().strip()


def test_each_service_may_have_a_backup_of_its_own() -> None:
    jobs = render({"backup": BACKUP, "services": OWN_BACKUP, "jobs": {"perService": True}, **CLAIM}).all("Job")
    found = {job["metadata"]["labels"]["dataops/service"]: pod_of(job)["initContainers"] for job in jobs}
    assert {name: [one["name"] for one in several] for name, several in found.items()} == {
        name: ["backup-voucher", "backup"] if name == "voucher" else ["backup"] for name in VALUES["services"]
    }
    assert found["voucher"][0]["image"] == "postgres:1.2"
    assert "pg_dump" in found["voucher"][0]["command"]


# --- values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"service": {}}, "additional properties 'service' not allowed"),
        ({"jobs": {"perservice": True}}, "'perservice' not allowed"),
        ({"jobs": {"mode": "job"}}, "/jobs/mode"),
        ({"jobs": {"waitForDatabase": "5 minutes"}}, "/jobs/waitForDatabase"),
        ({"jobs": {"activeDeadlineSeconds": None}}, "missing property 'activeDeadlineSeconds'"),
        ({"jobs": {"nameSuffix": "-x"}}, "/jobs/nameSuffix"),
        ({"jobs": {"shards": 0}}, "/jobs/shards"),
        ({"jobs": {"onFailedMigration": "Ignore"}}, "/jobs/onFailedMigration"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"digest": "sha256:1"}}, "/image/digest"),
        ({"services": {"API": {}}}, "'API'"),
        ({"services": {"api": {"env": {"X": {"secret": "a"}}}}}, "missing property 'key'"),
        ({"services": {"api": {"env": {"X": {"value": "postgres://u:p@h/d"}}}}}, "/services/api/env/X"),
        ({"services": {"api": {"backup": {"enabled": True}}}}, "/services/api/backup"),
        ({"services": {name: {"enabled": False} for name in VALUES["services"]}}, "needs a service"),
        ({"backup": {"enabled": True}}, "needs a backup.command"),
        ({"backup": {"enabled": True, "command": ["x"]}}, "needs an image"),
        ({"check": {"schedule": ""}}, "/check/schedule"),
    ],
)
def test_values_that_are_wrong_are_refused_by_name(values: dict[str, Any], words: str) -> None:
    assert words in refused(values)


def test_every_value_is_in_the_schema_and_the_schema_knows_no_other() -> None:
    schema = helm.Chart.load(CHART).schema
    assert schema is not None
    definitions = schema["definitions"]

    def known(part: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in part:
            part = definitions[part["$ref"].rpartition("/")[2]]
        for each in part.get("allOf", []):
            if "$ref" in each:
                part = known(each)
        return part

    def same(values: dict[str, Any], part: dict[str, Any], where: str) -> None:
        properties = known(part).get("properties")
        if properties is None or where == ".services":
            return
        assert set(properties) - {"global", "claims"} == set(values), where
        for name, value in values.items():
            if isinstance(value, dict) and not (where == ".backup" and name == "resources") and name != "resources":
                same(value, properties[name], f"{where}.{name}")

    same(VALUES, schema, "")


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z]\w+:", line) and lines[number - 1] == "":
            assert line.split(":")[0] in ("jobs", "nameOverride", "serviceAccount"), f"no comment above {line}"


def test_the_version_is_that_of_dataops() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@CELLS
def test_the_notes_name_every_job_and_no_secret(values: dict[str, Any]) -> None:
    found = render(values)
    for job in [*found.all("Job"), *found.all("CronJob")]:
        assert job["metadata"]["name"] in found.notes
    assert "<no value>" not in found.notes and "%!" not in found.notes
