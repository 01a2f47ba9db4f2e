"""Processes that share a run, killed and replaced at random, as the pods of an indexed Job are."""

from __future__ import annotations

import itertools
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dataops.errors import ExitCode
from tests.fleets import Fleet

AGAIN = (-9, ExitCode.LOCKED, ExitCode.UNREACHABLE, ExitCode.STOPPED)
"""How a process ends in whose place another one comes, as `podFailurePolicy` in the chart says."""


@dataclass
class Played:
    """What became of the processes: how each ended, in order, and what the last one of each number said."""

    kills: int = 0
    codes: list[int] = field(default_factory=list)
    said: dict[int, str] = field(default_factory=dict)


def waves_of(names: tuple[str, ...]) -> tuple[list[dict[str, object]], list[tuple[str, ...]]]:
    """Three waves: one database, about a third, the rest; as configured, and the names of each."""
    third = 1 + len(names) // 3
    return [{"databases": [names[0]]}, {"databases": list(names[1:third])}], [names[:1], names[1:third], names[third:]]


def play(
    fleet: Fleet,
    command: Sequence[str],
    shards: int,
    *,
    seed: int,
    kills: int,
    every: float = 2.0,
    seconds: float = 600,
) -> Played:
    """Run the command in so many processes until all have ended well, or one has ended as nobody wants it.

    `kills` processes are killed, each at most `every` seconds after the one before, at moments and in an order that the
    seed chooses, and every one is replaced.
    """
    chance, played, deadline = random.Random(seed), Played(), time.monotonic() + seconds
    running: dict[int, tuple[subprocess.Popen[str], Any]] = {}

    def begin(index: int) -> None:
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed when the process has ended
        process = fleet.project.start(
            *command, "--shard", f"{index}/{shards}", stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        running[index] = process, said

    order = list(range(shards))
    chance.shuffle(order)
    for index in order:
        begin(index)
    next_kill = time.monotonic() + chance.uniform(0, every)
    try:
        while running:
            assert time.monotonic() < deadline, f"not ended after {seconds} s: {sorted(running)}"
            if played.kills < kills and time.monotonic() >= next_kill:
                running[chance.choice(sorted(running))][0].kill()
                played.kills += 1
                next_kill = time.monotonic() + chance.uniform(0, every)
            for index, (process, said) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[index]
                said.seek(0)
                played.said[index] = said.read()
                said.close()
                played.codes.append(code)
                if code in AGAIN:
                    begin(index)
                elif code != 0:
                    return played
            time.sleep(0.02)
    finally:
        for process, said in running.values():
            process.kill()
            process.wait()
            said.close()
    return played


def wrong_with(fleet: Fleet, ids: Sequence[str], waves: Sequence[Sequence[str]]) -> list[str]:
    """What is not as it has to be: each migration once in each database, no wave before the last has ended, one run."""
    found = [f"{name}: {done}" for name, done in fleet.applied().items() if done != list(ids)]
    times = [fleet.times(wave) for wave in waves]
    for number, (one, other) in enumerate(itertools.pairwise(times), 1):
        if one and other and one[-1] >= other[0]:
            found.append(f"wave {number + 1} began at {other[0]}, and wave {number} ended at {one[-1]}")
    runs = fleet.runs()
    return found + ([f"runs {sorted(runs)}"] if len(runs) != 1 else [])
