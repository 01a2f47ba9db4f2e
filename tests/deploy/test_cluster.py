"""A cluster without a cluster: pods that start together, are killed at random, and restarted as the chart says."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dataops.dev import MongoServer, PostgresServer
from tests.deploy.charts import application_chart, container, render
from tests.deploy.cluster import Late, Secrets, Workload, action, workload, workloads
from tests.servers import ROOT, Cli

SEED = int(os.environ.get("DATAOPS_TEST_SEED") or random.randrange(10**6))
DEADLINE = 100.0  # far more than it takes, and less than a hung run would need to look like a slow one
STRIKES = 24
FIRST = ["evict", "lose", "out_of_memory"]  # surely in the middle of a run, whatever chance says later

DEPLOYMENTS = {"api": "api", "api-keys": "api-keys", "notifications": "notifications", "voucher": "voucher"}


@pytest.fixture
def image_env(tmp_path: Path) -> dict[str, str]:
    """What the image sets, with our migrations where it has them; a dead MongoDB run's lock is free after 2 s."""
    text = (ROOT / "dataops.toml").read_text()
    changed = text.replace("[services.api]\n", '[services.api]\ntimeouts = { lease = "2s" }\n')
    assert changed != text
    (tmp_path / "dataops.toml").write_text(changed)
    for folder in ("mongo_migrations", "pg_migrations"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return {"DATAOPS_CONFIG": str(tmp_path / "dataops.toml")}


@pytest.fixture
def late(postgres: PostgresServer, mongo: MongoServer) -> Iterator[dict[int, Late]]:
    """Both servers, by their real ports, behind ports that are closed at first."""
    gates = {port: Late(port) for port in (postgres.port, mongo.port)}
    yield gates
    for gate in gates.values():
        gate.close()


@pytest.fixture
def secrets(all_urls: dict[str, str], late: dict[int, Late]) -> Secrets:
    """The Secrets of Blink's charts, whose URLs lead to the late ports."""

    def through(url: str) -> str:
        for port, gate in late.items():
            url = url.replace(f":{port}/", f":{gate.port}/")
        return url

    urls = {name: through(url) for name, url in all_urls.items()}
    assert all(urls[name] != all_urls[name] for name in urls)
    return {
        "galoy-mongodb-connection-string": {"mongodb-con": urls["MONGODB_CON"]},
        "api-keys": {"pg-con": urls["API_KEYS_PG_CON"]},
        "notifications": {"pg-con": urls["NOTIFICATIONS_PG_CON"]},
        "voucher": {"pg-con": urls["VOUCHER_PG_CON"]},
    }


def strike(rng: random.Random, all_of_them: list[Workload], delivered: list[str]) -> bool:
    """One accident; False where the one that is due has no victim yet."""
    number = len(delivered)
    running = [one for one in all_of_them if not one.ended and one.pod.code is None and not one.pod.disrupted]
    working = [one for one in running if one.is_job and one.pod.working]
    kind = FIRST[number] if number < len(FIRST) else rng.choice(["evict", "evict", "lose", "out_of_memory"])
    victims = working if number < len(FIRST) or (working and rng.random() < 0.6) else running
    if not victims:
        return False
    victim = rng.choice(victims)
    if kind == "out_of_memory" and victim.is_job and victim.counted >= victim.backoff_limit - 1:
        kind = "lose"
    where = " in a step" if victim in working else ""
    delivered.append(f"{kind} {victim.pod.log.stem}{where}")
    getattr(victim, kind)()
    return True


def report(all_of_them: list[Workload], delivered: list[str]) -> str:
    lines = [f"seed {SEED}: DATAOPS_TEST_SEED={SEED} runs it again", *delivered]
    for one in all_of_them:
        lines.append(f"{one.name}: {one.ended or 'runs'}; pods ended with {[pod.code for pod in one.pods]}")
        if one.ended != "complete":
            lines.append("\n".join(one.pod.text.splitlines()[-3:]))
    return "\n".join(lines)


@pytest.mark.parametrize("per_service", [False, True], ids=["three-jobs-for-all", "a-job-each"])
def test_whatever_dies_every_migration_runs_once_and_every_wait_ends(
    per_service: bool,
    tmp_path: Path,
    image_env: dict[str, str],
    secrets: Secrets,
    late: dict[int, Late],
    dataops_cli: Cli,
) -> None:
    """Twelve pods that wait and the Jobs start before the databases; then evictions, lost nodes, memory that runs out.

    Three Jobs for all services are three releases that meet: they compete for every lock.
    """
    print(f"seed {SEED}")  # noqa: T201 - shown when it fails
    rng = random.Random(SEED)
    values = {"jobs": {"perService": per_service}}
    chart = application_chart(tmp_path, DEPLOYMENTS, values)
    delivered: list[str] = []
    logs = tmp_path / "logs"
    logs.mkdir()
    with workloads() as all_of_them:
        for revision in [7] if per_service else [7, 8, 9]:
            release = render(chart=chart, revision=revision)
            for job in release.all("Job"):
                all_of_them.append(workload(job["metadata"]["name"], job, "dataops", secrets, logs, image_env))
        jobs = list(all_of_them)
        for deployment in release.all("Deployment"):
            name = deployment["metadata"]["name"]
            for replica in range(deployment["spec"]["replicas"]):
                waiting = f"wait-for-{name}-migrations"
                all_of_them.append(workload(f"{name}-{replica}", deployment, waiting, secrets, logs, image_env))
        assert len(all_of_them) - len(jobs) == 12
        rng.shuffle(all_of_them)
        for one in all_of_them:
            one.start()

        began = time.monotonic()
        due, opened = float("inf"), False
        while not all(one.ended for one in all_of_them):
            assert time.monotonic() - began < DEADLINE, report(all_of_them, delivered)
            for one in all_of_them:
                one.tick()
            if not opened and all("server_awaited" in job.pod.text for job in jobs):
                opened, due = True, 0.0
                for gate in late.values():
                    gate.open()
            if len(delivered) < STRIKES and time.monotonic() >= due and strike(rng, all_of_them, delivered):
                due = time.monotonic() + rng.uniform(0.05, 0.5)
            time.sleep(0.02)

        told = report(all_of_them, delivered)
        assert {one.ended for one in all_of_them} == {"complete"}, told
    entries = dataops_cli("history", "--limit", "10000", "--json").json["entries"]
    done = [entry for entry in entries if entry["event"] == "succeeded"]
    once = Counter((entry["service"], entry["migration"], entry["direction"]) for entry in done)
    assert len(once) == 62 and set(once.values()) == {1}, told
    assert {direction for _, _, direction in once} == {"apply"}
    assert dataops_cli("status", "--check").code == 0
    assert sum(" in a step" in one for one in delivered) >= len(FIRST), f"nothing was hit half-way\n{told}"
    assert len({entry["run"] for entry in done}) >= (4 if per_service else 2), told
    for one in all_of_them:
        if not one.is_job:
            assert one.ended_at >= last(done, one), f"{one.name} started too early\n{told}"


def last(done: list[dict[str, Any]], one: Workload) -> float:
    """When the service that this pod waits for was there."""
    (service,) = [word.partition("=")[2] for word in one.container["args"] if word.startswith("--service=")]
    return max(datetime.fromisoformat(entry["at"]).timestamp() for entry in done if entry["service"] == service)


def test_the_job_fails_at_once_when_nothing_would_get_better_by_itself(
    tmp_path: Path, image_env: dict[str, str], secrets: Secrets, late: dict[int, Late]
) -> None:
    """A secret that leads nowhere is waited for; a file that is not valid is not: one pod, and the Job has failed."""
    (tmp_path / "mongo_migrations").unlink()
    (tmp_path / "mongo_migrations").mkdir()
    (tmp_path / "mongo_migrations" / "20260101000000-broken.py").write_text("def upgrade(db:\n")
    job = render().one("Job")
    with workloads() as all_of_them:
        all_of_them.append(workload("job", job, "dataops", secrets, tmp_path, image_env))
        (one,) = all_of_them
        one.start()
        deadline = time.monotonic() + 30
        while not one.ended and time.monotonic() < deadline:
            one.tick()
            time.sleep(0.02)
    assert (one.ended, len(one.pods)) == ("failed with 4 (FailJob)", 1)


def test_the_controller_of_this_test_does_what_kubernetes_says() -> None:
    """The first rule that matches decides; none counts; another container's code is not asked for."""
    policy = render().one("Job")["spec"]["podFailurePolicy"]
    assert [action(policy, code, disrupted=False) for code in (6, 75, 137)] == ["FailJob", "Ignore", "Count"]
    assert [action(policy, code, disrupted=True) for code in (6, 75, 137)] == ["FailJob", "Ignore", "Ignore"]
    assert action(policy, 6, disrupted=False, name="backup") == "Count"
    assert action(None, 6, disrupted=False) == "Count"
    assert container(render().one("Job"))["name"] == "dataops"
