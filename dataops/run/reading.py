"""Reads many databases side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar, cast

from dataops.backends import Watches, opened
from dataops.errors import DataopsError, Unreachable
from dataops.events import Emit, ServerAwaited
from dataops.model import Doing, Service, State
from dataops.run.stop import StopSignal

_READ_PAUSE = 0.5
_WAKE_SECONDS = 0.5
AT_ONCE = 16
"""So many databases are asked at once, unless a caller says how many."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Readings:
    """The states that were read, and why some databases of fleets could not be read, by the names of their services."""

    states: tuple[State, ...]
    troubles: Mapping[str, DataopsError] = field(default_factory=dict)

    def complete(self) -> tuple[State, ...]:
        """All states. Raises the first of the troubles."""
        for error in self.troubles.values():
            raise error
        return self.states


def read_all(
    services: Sequence[Service],
    *,
    emit: Emit,
    wait_seconds: float = 0.0,
    stop: StopSignal | None = None,
    jobs: int | None = None,
) -> Readings:
    """Read every service, `jobs` of them at once. Raises the first error of a service that is no database of a fleet.

    A server that cannot be reached is tried again for `wait_seconds`.
    """
    return sorted_out(services, look(services, emit=emit, wait_seconds=wait_seconds, stop=stop, jobs=jobs))


def sorted_out(services: Sequence[Service], outcomes: Sequence[State | DataopsError]) -> Readings:
    """The outcomes as readings. Raises the first error of a service that is no database of a fleet."""
    troubles: dict[str, DataopsError] = {}
    for service, outcome in zip(services, outcomes, strict=True):
        if isinstance(outcome, DataopsError):
            if service.member is None:
                raise outcome
            troubles[service.name] = outcome
    return Readings(tuple(outcome for outcome in outcomes if isinstance(outcome, State)), troubles)


def look(
    services: Sequence[Service],
    *,
    emit: Emit,
    wait_seconds: float = 0.0,
    stop: StopSignal | None = None,
    jobs: int | None = None,
) -> list[State | DataopsError]:
    """Like `read_all`, but each error is returned in the place of its service, and none is raised."""
    deadline = time.monotonic() + wait_seconds

    def one(service: Service) -> State | DataopsError:
        reported = False
        while True:
            try:
                with opened(service) as database:
                    return database.read()
            except Unreachable as error:
                if time.monotonic() >= deadline or (stop is not None and stop()):
                    return error
                if not reported:
                    emit(ServerAwaited(service.name, reason=error.message))
                    reported = True
            except DataopsError as error:
                error.service = error.service or service.name
                return error
            (stop or StopSignal()).pause(_READ_PAUSE)

    return side_by_side(one, services, jobs)


def doings(states: Sequence[State | DataopsError]) -> list[Doing | None]:
    """For each state whose lock is held: how far the holder's step is.

    It is what the server does for the holder, as far as it says so to this user, or else what the run itself has told.
    """

    def one(state: State | DataopsError) -> Doing | None:
        if isinstance(state, DataopsError) or state.holder is None:
            return None
        try:
            with opened(state.service) as database:
                return (database.doing() or database.told()) if isinstance(database, Watches) else None
        except DataopsError:  # the state was read, and is worth more than how far a step is
            return None

    return side_by_side(one, states)


def of_the_reachable(work: Callable[[Service], R], services: Sequence[Service]) -> tuple[list[R], list[DataopsError]]:
    """Call `work` with each service, side by side: what it returns, and the errors of the services where it fails.

    Raises the first error where it fails for all.
    """

    def one(service: Service) -> tuple[R | None, DataopsError | None]:
        try:
            return work(service), None
        except DataopsError as error:
            error.service = error.service or service.name
            return None, error

    outcomes = side_by_side(one, services)
    errors = [error for _, error in outcomes if error is not None]
    if errors and len(errors) == len(outcomes):
        raise errors[0]
    return [cast("R", found) for found, error in outcomes if error is None], errors


def side_by_side(work: Callable[[T], R], items: Sequence[T], jobs: int | None = None) -> list[R]:
    """Call `work` with each item, in at most `jobs` threads (None: 16). Results are ordered like `items`."""
    if len(items) < 2 or jobs == 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(max_workers=min(jobs or AT_ONCE, len(items)))
    try:
        made = [pool.submit(work, item) for item in items]
        # Wake up now and then: Python handles a signal that comes just before a wait begins only when the wait is over.
        while wait(made, timeout=_WAKE_SECONDS).not_done:
            pass
        return [future.result() for future in made]
    finally:
        pool.shutdown(
            wait=False, cancel_futures=True
        )  # only a signal leaves threads unfinished; they end with the process
