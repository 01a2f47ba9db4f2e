"""The waves of the fleets in a run, and what this process does of them where others share the run."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from dataops.cli.options import RunOptions
from dataops.cli.session import Session
from dataops.errors import Blocked, DataopsError, ExitCode, Stopped, Unreachable, UsageError
from dataops.fleet import control, measuring, waves
from dataops.model import Direction, Plan, Service, fleet
from dataops.planning import planner
from dataops.run.stop import StopSignal
from dataops.text import listed

_POLL_SECONDS = 0.3
_AGAIN = (ExitCode.LOCKED, ExitCode.UNREACHABLE, ExitCode.STOPPED)
"""How a process ends whose place another one takes."""


@dataclass(frozen=True)
class Rolling:
    """How a run goes through its fleets. `shared` is None where this process does all."""

    courses: Mapping[str, waves.Course]
    shared: control.Shared | None = None

    def mine(self, services: Sequence[Service]) -> tuple[Service, ...]:
        """Those of the services that this process changes."""
        if self.shared is None:
            return tuple(services)
        names = self._names
        return tuple(service for service in services if service.name in names)

    @property
    def _names(self) -> set[str]:
        """The names of the services in the waves of this process."""
        return {name for course in self.courses.values() for wave in course.waves for name in wave}

    def part_of(self, plan: Plan) -> Plan:
        """What this process does of a plan for all."""
        if self.shared is None:
            return plan
        names = self._names
        return replace(
            plan,
            steps=tuple(step for step in plan.steps if step.service in names),
            states=tuple(state for state in plan.states if state.service.name in names),
            troubles={name: error for name, error in plan.troubles.items() if name in names},
        )

    def refuse_troubles(self, plan: Plan) -> None:
        """Raise the first error of the databases that cannot be planned, where they alone are too many failures."""
        by_unit: dict[str, list[DataopsError]] = {}
        for name, error in plan.troubles.items():
            error.service = error.service or name
            by_unit.setdefault(fleet.unit_of(name), []).append(error)
        for unit, errors in by_unit.items():
            if unit not in self.courses or len(errors) >= self.courses[unit].halt_after:
                if self.shared is not None:
                    for name in plan.troubles:
                        self.shared.failed(name)
                    self.shared.leave()
                    if errors[0].exit_code in _AGAIN:
                        raise Blocked(errors[0].message, service=errors[0].service, hint=errors[0].hint)
                raise errors[0]

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let the processes that share the run end too, where this one ends in the block with what gets no better.

        Where it does, another process takes the place of this one, and they wait for that.
        """
        try:
            yield
        except DataopsError as error:
            if self.shared is not None and error.exit_code not in _AGAIN:
                self.shared.halt(error)
                with suppress(Unreachable, Stopped):
                    self.shared.leave()
            raise


def roll_out(
    session: Session,
    services: Sequence[Service],
    direction: Direction,
    options: RunOptions,
    stop: StopSignal,
    *,
    wants: Sequence[str] = (),
    chosen: bool = False,
    planned: Callable[[], Plan] | None = None,
) -> Rolling:
    """Work out the waves, and take part in the run of others where the options or the environment say so.

    `wants` is what the command line says of what is to be done: processes that share a run have the same. `chosen` says
    that these are not all databases. `planned` makes the plan for all of them: it is called where the run that
    processes share is over, to see whether anything is left. Raises UsageError, ConfigError, and what the control
    database raises.
    """
    courses = waves.courses(
        services,
        direction,
        sizes=measuring.sizes_of,
        chosen=chosen or session.chooses,
        halt_after=options.halt_after,
    )
    shard = _shard(options)
    if shard is None or shard.of == 1:
        return Rolling(courses)
    kept = control.control_of(services)
    named = os.environ.get("DATAOPS_ROLLOUT", "")
    if not named:
        selection = [*session.selected, *session.databases.databases, *map("=".join, session.databases.labels.items())]
        named = control.name_of(courses, direction, [*wants, *selection, str(session.databases.sample)])
    shared = control.join(
        kept,
        f"{direction.value} {named}",
        shard,
        courses,
        run=session.author.run,
        patience=control.Patience(session.sink(), stop, stop.pause, options.wave_timeout),
        is_left=lambda: planned is not None and _does_something(planned()),
    )
    session.take_run(shared.run)
    session.console.say(f"Shard {shard} of run {shared.run}.")
    agreed = {name for waves in shared.waves.values() for wave in waves for name in wave}
    new = [service.name for service in services if service.name not in agreed]
    if new:
        few = f"{listed(new)}: not there when this rollout began, and left out; run all shards again when it has ended"
        session.console.say(few, "yellow")
    gone = sorted(agreed - {service.name for service in services})
    if gone:
        session.console.say(f"{listed(gone)}: there when this rollout began, and not any more; left out", "yellow")
    return Rolling({unit: shared.part(course) for unit, course in courses.items() if unit in shared.waves}, shared)


def _does_something(plan: Plan) -> bool:
    return bool(plan.steps or plan.troubles or planner.to_complete(plan))


def _shard(options: RunOptions) -> control.Shard | None:
    """Which part this process does: by the option, or by what an indexed Job of Kubernetes says."""
    if options.shard:
        return control.parse(options.shard)
    of, index = os.environ.get("DATAOPS_SHARDS", ""), os.environ.get("JOB_COMPLETION_INDEX", "")
    if not of:
        return None
    if not index:
        raise UsageError(
            "DATAOPS_SHARDS is set, and nothing says which shard this is",
            hint="an indexed Job sets JOB_COMPLETION_INDEX; elsewhere: --shard I/N",
        )
    return control.parse(f"{index}/{of}")


def refuse_with_shards(options: RunOptions, given: object, option: str, why: str) -> None:
    """Raise UsageError where an option cannot be shared by processes."""
    shard = _shard(options)
    if given and shard is not None and shard.of > 1:
        raise UsageError(f"{option} and --shard exclude each other: {why}", hint="run one process, without --shard")


def asking(session: Session, stop: StopSignal) -> Callable[[str], bool]:
    """Asks a person between waves, and gives up when a signal comes."""

    def ask(question: str) -> bool:
        session.console.say(f"{question} [y/N]", "bold")
        while not select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            if stop():
                raise Stopped("stopped at a question between two waves")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


__all__ = ["Rolling", "asking", "refuse_with_shards", "roll_out"]
