"""How long people, pods and pipelines wait: medians of several runs, beside peers measured in the same run.

    .venv/bin/python script/bench/cli.py [--runs 7]

Prints seconds and peak memory of what is called all day (status, wait, a plan with nothing to do), of a plan and of
lint, which run files in a process of their own, of applying the PostgreSQL history to three fresh databases, and of a
service with ten thousand migrations; and beside each the floor (starting Python and importing the drivers) or the
native tools doing the same. It also prints the time that a step and an adoption spend on another tool's record, without
a database: that has to grow in proportion to the rows. Machines differ and are noisy: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dataops.dev import mongodb_server, postgres_server
from dataops.kinds import POSTGRESQL
from dataops.model import Identity, Migration, Service, State
from dataops.othertools import examine, match
from dataops.toolrecords import ToolRecord, ToolRow

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SERVICES = {"api-keys": "API_KEYS_PG_CON", "notifications": "NOTIFICATIONS_PG_CON", "voucher": "VOUCHER_PG_CON"}
MANY = 10_000
ROWS = (62, 500, 1_000)


def run(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> tuple[float, int]:
    """Seconds and peak kilobytes of one command; a failure ends the benchmark."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(environ), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()[-2000:]}")
    return seconds, usage.ru_maxrss


def median(
    runs: int, commands: Sequence[Sequence[str]], environ: Mapping[str, str], folder: Path
) -> tuple[float, float]:
    """Median seconds of all commands one after the other, and the largest peak in MB."""
    totals, peak = [], 0
    for _ in range(runs):
        results = [run(command, environ, folder) for command in commands]
        totals.append(sum(seconds for seconds, _ in results))
        peak = max(peak, *(memory for _, memory in results))
    return statistics.median(totals), peak / 1024


def show(what: str, seconds: float, memory: float | None = None, beside: float | None = None) -> None:
    text = f"{what:58} {seconds:8.3f} s"
    text += f" {memory:6.0f} MB" if memory is not None else " " * 10
    text += f"   {seconds / beside:5.2f} of the peer" if beside else ""
    print(text, flush=True)


def all_day(runs: int, environ: Mapping[str, str], folder: Path) -> None:
    python, dataops = [sys.executable, "-c"], str(BIN / "dataops")
    floor, memory = median(runs, [[*python, "import click, psycopg, pymongo"]], environ, folder)
    show("floor: Python and the imports", floor, memory)
    native = [[str(BIN / "alembic"), "-n", service, "current"] for service in SERVICES]
    native.append(
        [str(BIN / "pymongo-migrate"), "show", "-u", environ["MONGODB_CON"], "-d", "galoy", "-m", "mongo_migrations"]
    )
    # The native tools answer from the record alone, so they are asked without our lock or journal in between.
    peer, memory = median(runs, native, environ, folder)
    show("peer: alembic current three times, pymongo-migrate show", peer, memory)
    for command in (["status"], ["plan"], ["wait"]):
        seconds, memory = median(runs, [[dataops, *command]], environ, folder)
        show(f"dataops {' '.join(command)}, four databases, nothing to do", seconds, memory, peer)


def fresh_history(runs: int, fresh: Callable[[], dict[str, str]], folder: Path) -> None:
    ours, theirs = [], []
    for _ in range(runs):
        environ = fresh()
        command = [str(BIN / "dataops"), "apply", "--yes", *(f"--service={service}" for service in SERVICES)]
        ours.append(run(command, environ, folder)[0])
        environ = fresh()
        upgrades = [[str(BIN / "alembic"), "-n", service, "upgrade", "head"] for service in SERVICES]
        theirs.append(sum(run(command, environ, folder)[0] for command in upgrades))
    peer = statistics.median(theirs)
    show("peer: alembic upgrade head three times, fresh databases", peer)
    show("dataops apply, 24 migrations on three fresh databases", statistics.median(ours), None, peer)


def pending(runs: int, fresh: Callable[[], dict[str, str]], folder: Path) -> None:
    environ = fresh()
    for more in ([], ["-v"]):
        command = [str(BIN / "dataops"), "plan", *more, *(f"--service={service}" for service in SERVICES)]
        show(
            " ".join(["dataops plan", *more, "with 24 pending in three databases"]),
            *median(runs, [command], environ, folder),
        )
    command = [str(BIN / "dataops"), "lint", "--no-squawk"]
    show("dataops lint --no-squawk, 62 files", *median(runs, [command], environ, folder))


def many(runs: int, url: str, scratch: Path) -> None:
    folder = scratch / "many"
    versions = folder / "pg" / "versions"
    versions.mkdir(parents=True)
    parent = None
    for number in range(MANY):
        revision = f"{20200101000000 + number}"
        (versions / f"{revision}_step.py").write_text(
            f'"""Step {number}"""\n\nfrom alembic import op\n\n'
            f'revision = "{revision}"\ndown_revision = {parent!r}\n\n\n'
            f'def upgrade() -> None:\n    op.execute("SELECT {number}")\n\n\n'
            f'def downgrade() -> None:\n    op.execute("SELECT {number}")\n'
        )
        parent = revision
    (folder / "dataops.toml").write_text('[services.many]\nengine = "postgresql"\nfolder = "pg"\n')
    environ = {**os.environ, "MANY_PG_CON": url}
    dataops = str(BIN / "dataops")
    for command in (["status"], ["plan"]):
        seconds, memory = median(runs, [[dataops, *command]], environ, folder)
        show(f"dataops {' '.join(command)}, {MANY:,} migrations pending", seconds, memory)
    began = time.perf_counter()
    run([dataops, "apply", "--yes"], environ, folder)
    show(f"dataops apply, {MANY:,} migrations", time.perf_counter() - began)
    for command in (["status"], ["plan"]):
        seconds, memory = median(runs, [[dataops, *command]], environ, folder)
        show(f"dataops {' '.join(command)}, {MANY:,} migrations applied", seconds, memory)


def other_records(runs: int) -> None:
    """The time for another tool's record. Each run has a new service, so that each makes its table of identities."""
    for number in ROWS:
        mirroring, adopting = [], []
        for _ in range(runs):
            state, record = recorded(number)
            names = [row.name for row in record.rows]
            began = time.perf_counter()
            match.by_migration(state.service, record)
            match.names_by_migration(state.service, record.tool, names)
            mirroring.append(time.perf_counter() - began)
            state, record = recorded(number)
            began = time.perf_counter()
            examine.refuse_unfit(examine.examine(state, record))
            adopting.append(time.perf_counter() - began)
        show(f"a mirrored step, {number:,} rows in the other record", statistics.median(mirroring))
        show(f"an adoption, {number:,} rows in the other record", statistics.median(adopting))


def recorded(number: int) -> tuple[State, ToolRecord]:
    """A new service with so many migrations, all of them in the record of knex and none in ours."""
    match.identities_of.cache_clear()
    ids = [f"{20200101000000 + at}_step" for at in range(number)]
    migrations = tuple(
        Migration(id_, tuple(ids[at - 1 : at]), Path(f"{id_}.py"), POSTGRESQL, b"") for at, id_ in enumerate(ids)
    )
    service = Service("bench", POSTGRESQL, "", Path("pg"), migrations, mirror="knex")
    record = ToolRecord("knex", "knex_migrations", tuple(ToolRow((f"{id_}.js",)) for id_ in ids))
    return State(service, Identity("", "", ""), "", tool_records=(record,)), record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="how often each is measured")
    runs = parser.parse_args().runs
    other_records(runs)
    scratch = Path(tempfile.mkdtemp(prefix="dataops-bench-"))
    try:
        with postgres_server() as postgres, mongodb_server(replica_set=True) as mongodb:
            made = 0

            def fresh() -> dict[str, str]:
                nonlocal made
                made += 1
                urls = {
                    variable: postgres.create_database(f"bench_{number}_{made}")
                    for number, variable in enumerate(SERVICES.values())
                }
                return {**os.environ, **urls, "MONGODB_CON": mongodb.url("galoy")}

            environ = fresh()
            run([str(BIN / "dataops"), "apply", "--yes"], environ, ROOT)
            all_day(runs, environ, ROOT)
            pending(runs, fresh, ROOT)
            fresh_history(max(3, runs // 2), fresh, ROOT)
            many(max(3, runs // 2), postgres.create_database("many"), scratch)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
