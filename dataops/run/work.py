"""What all threads of one run share: what it is to do, how, and what has come of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from dataops.events import Emit
from dataops.model import Author, Failure, Plan, Step, fleet
from dataops.run.stop import StopSignal
from dataops.run.watching import Running


class Failures:
    """What has failed in a run, and whether it is so much that nothing more begins.

    One failure of a service is enough, unless `limits` allows more databases of its unit to fail. Every thread may use
    it.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._found: list[Failure] = []
        self._services: dict[str, set[str]] = {}
        self._mutex = threading.Lock()
        self._enough = threading.Event()

    def count(self, service: str) -> None:
        """Something has failed in a service, or in a whole unit, and is added soon."""
        unit = fleet.unit_of(service)
        with self._mutex:
            services = self._services.setdefault(unit, set())
            services.add(service)
            if len(services) >= self._limits.get(unit, 1):
                self._enough.set()

    def add(self, failure: Failure) -> None:
        """Add a failure to what the result lists."""
        self.count(failure.service)
        with self._mutex:
            self._found.append(failure)

    def stop_all(self) -> None:
        """Let nothing more begin, whatever has failed."""
        self._enough.set()

    @property
    def enough(self) -> bool:
        """Whether nothing more may begin: what runs ends its step."""
        return self._enough.is_set()

    @property
    def found(self) -> tuple[Failure, ...]:
        """All of them, in the order in which they happened."""
        with self._mutex:
            return tuple(self._found)

    def of(self, unit: str) -> frozenset[str]:
        """The services of a unit in which something has failed."""
        with self._mutex:
            return frozenset(self._services.get(unit, ()))


@dataclass
class Work:
    """One run of one plan. `lock_timeout` (seconds) replaces the timeout of every service.

    `confirmed` are the steps that were left under the lock, by service, `done` those that succeeded, by their ids, and
    `running` those that run now, by service.
    """

    plan: Plan
    author: Author
    emit: Emit
    stop: StopSignal
    lock_timeout: float | None
    failures: Failures
    confirmed: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    done: dict[str, Step] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)

    def ends(self) -> bool:
        """Whether nothing more may begin."""
        return self.stop() or self.failures.enough


__all__ = ["Failures", "Work"]
