"""`dataops prove`: applies, rolls back and applies again every migration on a scratch database.

First each migration alone: after the rollback everything must be as before, and after the second apply everything must
be as after the first one. Then the whole way: all are rolled back to the beginning and applied again to the end.
Catalogues are compared with all their details, and contents field by field.

Some values are new each time, such as generated ids and times, and must not count as differences. To find them, there
is a second database, the twin, in which migrations are only applied. What differs between the two databases is such a
value.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from dataops.backends import Lent, driver, opened
from dataops.catalogue import Catalogue, Key
from dataops.errors import DataopsError, MigrationFailed, NotBuilt, Stopped, UsageError
from dataops.model import Author, Direction, Migration, Plan, Service
from dataops.planning import planner
from dataops.redaction import describe, message_of
from dataops.run.executor import execute
from dataops.run.stop import StopSignal
from dataops.scratch import Scratch
from dataops.thereandback import APPLIED_AGAIN, ROLLED_BACK, Look, count_again_from, differences, look

Report = Callable[[str, Migration, int, int], None]
"""Called before each migration is proved: service, migration, its number, of how many."""


@dataclass(frozen=True)
class Counterexample:
    """A difference that should not be there. `migration` is "" for the whole way.

    `when` says after which movement it was found: rolled back, or applied again.
    """

    service: str
    migration: str
    when: str
    difference: str

    def __str__(self) -> str:
        which = f"{self.service}/{self.migration}" if self.migration else f"{self.service}, the whole way"
        return f"{which}, {self.when}: {self.difference}"


@dataclass
class Proof:
    """The result for one service: the migrations that were proved, and what was wrong with them.

    `error` is the failure of a migration, after which the proof of this service ended. `seeded` says that a seed file
    has filled the database.
    """

    service: Service
    migrations: tuple[Migration, ...]
    disproved: list[Counterexample] = field(default_factory=list)
    error: DataopsError | None = None
    seeded: bool = False


class Seeding:
    """A seed file, which fills scratch databases with data.

    It has the function `seed(service, database)`, which is called before the first migration that is proved, or
    `seed_after(service, migration, database)`, which is called after each, or both. `database` is a pymongo Database,
    or a psycopg Connection in autocommit.
    """

    def __init__(self, path: Path | None) -> None:
        """Raises UsageError for a file that cannot be run or has neither function. None means that there is no file."""
        self._module = _run(path) if path is not None else None
        self._path = path

    def before(self, service: Service) -> bool:
        return self._call("seed", service, service.name)

    def after(self, service: Service, migration: Migration) -> None:
        self._call("seed_after", service, service.name, migration.id)

    def _call(self, name: str, service: Service, *arguments: str) -> bool:
        function = getattr(self._module, name, None)
        if function is None:
            return False
        with driver(service) as database:
            try:
                function(*arguments, database)
            except Exception as error:
                raise UsageError(
                    f"{self._path}: {name}({', '.join(map(repr, arguments))}) raised {describe(error)}",
                    service=service.name,
                    hint="mend the seed file",
                ) from error
        return True


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dataops_seed", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path} is not a Python file", hint="dataops docs ci prove says what it has to have")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path.cwd()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be run: {describe(error)}", hint="mend the seed file") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    if not any(callable(getattr(module, name, None)) for name in ("seed", "seed_after")):
        raise UsageError(
            f"{path} has neither seed() nor seed_after()", hint="dataops docs ci prove says what it has to have"
        )
    return module


def prove(
    service: Service,
    scratch: Scratch,
    author: Author,
    *,
    since: Migration | None,
    seeding: Seeding,
    report: Report,
    stop: StopSignal,
) -> Proof:
    """Prove a service's migrations from `since` on (None: all of them). A failing migration is the proof's `error`.

    Raises ServerUnavailable, UsageError (the seed file), Stopped.
    """
    chain = service.migrations
    first = service.position[since.id] if since is not None else 0
    proof = Proof(service, chain[first:])
    lent: Mapping[str, Lent] = {}
    hint = ""
    try:
        lent = scratch.needs(service, chain[-1])
    except NotBuilt as error:
        hint = error.hint  # which migration fails, and what was proved before it, is found below
    with scratch.database(service) as trial, scratch.database(service) as twin:
        for one in (trial, twin):
            scratch.migrate(one, chain[first - 1] if first else None, lent)
            proof.seeded = seeding.before(one)
        try:
            _Prover(proof, trial, twin, scratch, lent, author, seeding, report, stop).run()
        except MigrationFailed as error:
            error.service, error.hint = service.name, hint or error.hint
            proof.error = error
    return proof


class _Prover:
    def __init__(
        self,
        proof: Proof,
        trial: Service,
        twin: Service,
        scratch: Scratch,
        lent: Mapping[str, Lent],
        author: Author,
        seeding: Seeding,
        report: Report,
        stop: StopSignal,
    ) -> None:
        self._proof = proof
        self._trial = trial
        self._twin = twin
        self._scratch = scratch
        self._lent = lent
        self._author = author
        self._seeding = seeding
        self._report = report
        self._stop = stop

    def run(self) -> None:
        start = before = self._look()
        grown = False
        for number, migration in enumerate(self._proof.migrations, 1):
            self._report(self._proof.service.name, migration, number, len(self._proof.migrations))
            if lent := self._lent.get(migration.id):
                without, before = before, self._look_with(lent)
                made = _made(without.catalogue, before.catalogue)
                before, start = _with(before, made), _with(start, made)
            self._move(Direction.APPLY, migration)
            self._move(Direction.APPLY, migration, of=self._twin)
            after = self._look()
            if migration.reversible:
                self._move(Direction.ROLLBACK, migration)
                if self._compare(migration.id, ROLLED_BACK, before, self._look()):
                    count_again_from(self._trial, before)
                self._move(Direction.APPLY, migration)
                self._compare(migration.id, APPLIED_AGAIN, after, self._look())
            for one in (self._trial, self._twin):
                self._seeding.after(one, migration)
            before = self._look()
            grown |= before.contents != after.contents
        if all(migration.reversible for migration in self._proof.migrations) and len(self._proof.migrations) > 1:
            end = before
            self._move(Direction.ROLLBACK, None)
            # If `seed_after` added rows to tables that were there at the beginning, their contents cannot be as before.
            if self._compare("", ROLLED_BACK, start, self._look(), contents_too=not grown) and not grown:
                count_again_from(self._trial, start)
            self._move(Direction.APPLY, self._proof.migrations[-1])
            self._compare("", APPLIED_AGAIN, end, self._look())

    def _move(self, direction: Direction, migration: Migration | None, *, of: Service | None = None) -> None:
        plan = self._plan(of or self._trial, direction, migration)
        result = execute(plan, self._author, emit=lambda event: None, stop=self._stop)
        if result.stopped:
            raise Stopped("stopped while proving; nothing of yours was touched", service=self._trial.name)
        if result.failures:
            error, trace = result.failures[0].error, result.failures[0].details.traceback
            if isinstance(error, DataopsError):
                raise MigrationFailed(
                    error.message, migration=error.migration, hint=error.hint, traceback=trace
                ) from error
            raise MigrationFailed(message_of(error)) from error

    def _plan(self, service: Service, direction: Direction, migration: Migration | None) -> Plan:
        """The plan to apply up to a migration, or to roll back the newest one (None: all that are proved)."""
        with opened(service) as database:
            states = [database.read()]
        if direction is Direction.APPLY:
            return planner.plan_apply(states, to=migration)
        steps = 1 if migration is not None else len(self._proof.migrations)
        return planner.plan_rollback(states, steps=steps)

    def _look(self) -> Look:
        return look(self._trial)

    def _look_with(self, lent: Lent) -> Look:
        for one in (self._trial, self._twin):
            self._scratch.lend(one, lent)
        return self._look()

    def _compare(self, migration: str, when: str, wanted: Look, found: Look, *, contents_too: bool = True) -> bool:
        """Write down every difference. Returns whether there is none."""
        twin = self._twin if when == APPLIED_AGAIN else None
        different = differences(self._trial, wanted, found, contents_too=contents_too, twin=twin)
        name = self._proof.service.name
        self._proof.disproved += [Counterexample(name, migration, when, difference) for difference in different]
        return not different


def _made(before: Catalogue, after: Catalogue) -> dict[Key, str]:
    return {key: text for key, text in after.objects.items() if key not in before.objects}


def _with(at: Look, lent: Mapping[Key, str]) -> Look:
    """The same moment, if what was lent had been there, made by the application. Its indexes may have any shape."""
    indexes = {key for key in lent if key[0] == "index"}
    catalogue = replace(at.catalogue, objects={**at.catalogue.objects, **lent}, lent=at.catalogue.lent | indexes)
    return replace(at, catalogue=catalogue)


__all__ = ["Counterexample", "Proof", "Report", "Seeding", "prove"]
