"""A campaign of shared rollouts: processes that share a run are killed and replaced at random, as pods are.

    .venv/bin/python script/faults/shared_rollouts.py [--seed 1] [--rounds 1] [--databases 300] [--shards 8]
                                                      [--kills 24] [--every 4] [--jobs 4] [--kind mongodb]

Each round has so many new databases in three waves, and two migrations that note when they run, by the server's clock.
The processes apply them, and then roll back that run, and are killed at moments that the seed chooses. A round is wrong
when a process ends as nobody wants it, when a migration was not done exactly once in a database, when a wave began
before the one before had ended, or when more than one run did it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server  # noqa: E402
from tests.fleets import fleet  # noqa: E402
from tests.projects import Project  # noqa: E402
from tests.shards import AGAIN, play, waves_of, wrong_with  # noqa: E402


def round_of(server: PostgresServer | MongoServer, options: argparse.Namespace, seed: int) -> list[str]:
    """What was wrong in one round."""
    with tempfile.TemporaryDirectory() as folder, fleet(Project(Path(folder)), server, options.databases) as found:
        waves, names = waves_of(found.names)
        found.configure(waves=waves, control_env="CONTROL_URL")
        found.file("001", "time.sleep(0.02)")
        found.file("002", "time.sleep(0.02)")
        wrong = []
        for direction in ("apply", "rollback"):
            command = [direction, "--yes", "--jobs", str(options.jobs)]
            if direction == "rollback":
                command += ["--run", *found.runs()] if len(found.runs()) == 1 else ["--to", "tenants/001"]
            began = time.monotonic()
            played = play(
                found, command, options.shards, seed=seed, kills=options.kills, every=options.every, seconds=3600
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
                wrong += wrong_with(found, ["001", "002"], names)
            else:
                wrong += [f"{name}: {done} after the rollback" for name, done in found.applied().items() if done]
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
    parser.add_argument("--kind", choices=["postgresql", "mongodb"], default="postgresql")
    options = parser.parse_args()
    wrong: list[str] = []
    with ExitStack() as scope:
        server: PostgresServer | MongoServer
        if options.kind == "postgresql":
            server = scope.enter_context(postgres_server())
        else:
            server = scope.enter_context(mongodb_server(replica_set=True))
        for seed in range(options.seed, options.seed + options.rounds):
            found = round_of(server, options, seed)
            wrong += [f"seed {seed}: {text}" for text in found]
    print("\n".join(wrong) or "nothing was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
