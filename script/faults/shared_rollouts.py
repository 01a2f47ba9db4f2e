"""A campaign of shared rollouts: processes that share a run are killed and replaced at random, as pods are.

    .venv/bin/python script/faults/shared_rollouts.py [--seed 1] [--rounds 1] [--databases 300] [--shards 8]
                                                      [--kills 24] [--every 4] [--jobs 4] [--kind mixed]

Each round has so many new databases in three waves, and two migrations that note when they run, by the server's clock.
A mixed round has a fleet of PostgreSQL and one of MongoDB, a service that comes before both, and one that comes after.
Its control database is of the one kind or the other, by the seed.
The processes apply them, and then roll back that run, and are killed at moments that the seed chooses. A round is wrong
when a process ends as nobody wants it, when a migration was not done exactly once in a database, when a wave began
before the one before had ended, or when more than one run did it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server  # noqa: E402
from tests.fleets import Fleet, fleet  # noqa: E402
from tests.projects import Project  # noqa: E402
from tests.shards import AGAIN, play, waves_of, wrong_with  # noqa: E402


@contextmanager
def services_of(
    project: Project, servers: Sequence[PostgresServer | MongoServer], options: argparse.Namespace, seed: int
) -> Iterator[list[Fleet]]:
    """The services of a round, in the order in which they are done."""
    with ExitStack() as scope:
        if len(servers) == 1:
            found = [scope.enter_context(fleet(project, servers[0], options.databases))]
        else:
            found = [
                scope.enter_context(fleet(project, servers[seed % 2], 1, "base", alone=True)),
                scope.enter_context(fleet(project, servers[0], options.databases)),
                scope.enter_context(fleet(project, servers[1], options.databases, "books")),
                scope.enter_context(fleet(project, servers[1 - seed % 2], 1, "summary", alone=True)),
            ]
        units = [one.service for one in found if not one.alone]
        for one in found:
            if one.alone:
                one.configure(after=units if one.service == "summary" else ())
            else:
                before = ["base"] if len(found) > 1 else []
                one.configure(after=before, waves=waves_of(one.names)[0], control_env="CONTROL_URL")
            one.file("001", "time.sleep(0.02)")
            one.file("002", "time.sleep(0.02)")
        project.env["CONTROL_URL"] = found[seed % len(found)].control
        yield found


def runs_of(services: Sequence[Fleet]) -> set[str]:
    return set().union(*(one.runs() for one in services))


def wrong_in(services: Sequence[Fleet]) -> list[str]:
    """What is wrong after an apply."""
    found = [text for one in services for text in wrong_with(one, ["001", "002"], waves_of(one.names)[1])]
    if len(services) > 1:
        base, *units, summary = [one.times(one.names) for one in services]
        found += ["a fleet began too early" for one in units if one and base and one[0] <= base[-1]]
        found += ["summary began too early" for one in units if one and summary and summary[0] <= one[-1]]
    runs = runs_of(services)
    return found + ([f"runs {sorted(runs)}"] if len(runs) != 1 else [])


def round_of(servers: Sequence[PostgresServer | MongoServer], options: argparse.Namespace, seed: int) -> list[str]:
    """What was wrong in one round."""
    with (
        tempfile.TemporaryDirectory() as folder,
        services_of(Project(Path(folder)), servers, options, seed) as services,
    ):
        wrong = []
        for direction in ("apply", "rollback"):
            command = [direction, "--yes", "--jobs", str(options.jobs)]
            if direction == "rollback":
                runs = runs_of(services)
                command += ["--run", *runs] if len(runs) == 1 else ["--to", "tenants/001"]
            began = time.monotonic()
            played = play(
                services[0], command, options.shards, seed=seed, kills=options.kills, every=options.every, seconds=3600
            )
            print(
                f"seed {seed}: {direction}: {time.monotonic() - began:.0f} s, {played.kills} killed, "
                f"ended with {sorted(played.codes)}",
                flush=True,
            )
            bad = [code for code in played.codes if code != 0 and code not in AGAIN]
            wrong += (
                [f"{direction}: a process ended with {bad}: {list(played.said.values())[-1][-600:]}"] if bad else []
            )
            if direction == "apply":
                wrong += wrong_in(services)
            else:
                every = {name: done for one in services for name, done in one.applied().items()}
                wrong += [f"{name}: {done} after the rollback" for name, done in every.items() if done]
        return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--databases", type=int, default=300)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--every", type=float, default=4.0, help="at most so many seconds between two kills")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--kind", choices=["postgresql", "mongodb", "mixed"], default="postgresql")
    options = parser.parse_args()
    wrong: list[str] = []
    with ExitStack() as scope:
        servers: list[PostgresServer | MongoServer] = []
        if options.kind != "mongodb":
            servers.append(scope.enter_context(postgres_server()))
        if options.kind != "postgresql":
            servers.append(scope.enter_context(mongodb_server(replica_set=True)))
        for seed in range(options.seed, options.seed + options.rounds):
            found = round_of(servers, options, seed)
            wrong += [f"seed {seed}: {text}" for text in found]
    print("\n".join(wrong) or "nothing was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
