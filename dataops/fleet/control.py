"""A run that processes share: which databases each of them does, and when the next wave may begin for all.

Each process (a pod of an indexed Job, for example) is a shard with a number. The first one writes the id of the run and
its waves into a control database, and the others take them from there. Each marks there what it has ended, and nobody
begins a wave before all have ended the one before. So a process that died is replaced by one with the same number,
which finds in the databases what is left, and in the marks how far the others are.

A rollout is attempted again when it is over and somebody has started the processes again: then everything that was
marked counts no more. It is over when every process has ended every wave, or when too much has failed. Where something
has failed, a process that had left it and comes back has been started again. Where nothing has, it is another attempt
if anything is left to do in any database: a process that takes the place of one that was killed at its very end finds
nothing, and nobody would come to share another attempt with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from dataops import backends
from dataops.durations import clock
from dataops.errors import (
    Blocked,
    ConfigError,
    DataopsError,
    PermissionDenied,
    Refused,
    Stopped,
    Unreachable,
    UsageError,
    WaitTimedOut,
)
from dataops.events import Emit, Warned, WaveAwaited
from dataops.fleet import listing
from dataops.fleet.waves import Course
from dataops.model import Direction, Mark, Service, Wave
from dataops.model.fleet import unit_of
from dataops.text import counted, listed, shortened

_NO_RULE = -1
"""The position of a rule that asks for nothing, as all do in a rollback."""
_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0
_LONG_AGO = 1 << 30
"""Seconds. PostgreSQL's `int` holds them."""
_SHOWN = 500
"""Characters of an error in a mark, which is a part of a key."""
_HERE, _FAILED, _HALTED, _BEGUN, _CHANGED, _LEFT = "here", "failed ", "halted ", "begun ", "changed ", "left"
"""What marks say, beside the name of a wave (UNIT/NUMBER), which means that the wave has ended."""


@dataclass(frozen=True)
class Shard:
    """One of `of` processes that share a run: number `index`, from 0."""

    index: int
    of: int

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def parse(text: str) -> Shard:
    """The shard that `I/N` means. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
    if found is None or not int(found[1]) < int(found[2]):
        why = (
            "is not I/N"
            if found is None
            else f"is not one of {int(found[2])} shards, which are 0 to {int(found[2]) - 1}"
        )
        raise UsageError(f"--shard {text!r} {why}", hint="the first of 8 processes is --shard 0/8, the last one 7/8")
    return Shard(int(found[1]), int(found[2]))


def control_of(services: Sequence[Service]) -> Service:
    """The control database of the fleets among these services. Raises ConfigError where there is not one."""
    fleets = {service.unit: service for service in services if service.member is not None}
    if not fleets:
        raise UsageError(
            "--shard shares the databases of a fleet, and none of these services has many",
            hint="leave out --shard, or see dataops docs fleets",
        )
    found = {one.rollout.control_url: one for one in fleets.values() if one.rollout.control_url}
    if not found:
        name = next(iter(fleets))
        raise ConfigError(
            f"{name}: --shard needs a control database, where the processes keep the waves that they share",
            hint=f'write control_env = "CONTROL_URL" under [services.{name}.rollout], and set that variable to its URL',
        )
    if len(found) > 1:
        raise ConfigError(
            f"{listed(list(fleets))} have different control databases, and one run can have only one",
            hint="name the same one for all, or run them one after the other with --service",
        )
    (url, service), *_ = found.items()
    return listing.control(service, url)


def name_of(courses: Mapping[str, Course], direction: Direction, more: Sequence[str]) -> str:
    """The name of a rollout to which nobody has given one: the same for all who want the same.

    `more` is what else the command line says of what is to be done.
    """
    wanted = json.dumps([direction.value, _files(courses), list(more)])
    return hashlib.sha256(wanted.encode()).hexdigest()[:16]


def _files(courses: Mapping[str, Course]) -> dict[str, tuple[str, str]]:
    """The newest migration of each unit, and a digest of all its files."""
    found = {}
    for unit, course in sorted(courses.items()):
        files = course.service.migrations
        digest = hashlib.sha256(json.dumps([[one.id, one.checksum] for one in files]).encode()).hexdigest()
        found[unit] = (files[-1].id if files else "", digest[:16])
    return found


def _rules(courses: Mapping[str, Course]) -> dict[str, str]:
    """A digest of what the configuration says of the waves of each unit."""
    said = {unit: [asdict(rule) for rule in course.service.rollout.waves] for unit, course in courses.items()}
    return {unit: hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16] for unit, rules in said.items()}


@dataclass(frozen=True)
class Patience:
    """How a process waits for the others: at most `timeout` seconds, in pauses that end when it is asked to stop."""

    emit: Emit
    stop: Callable[[], bool]
    pause: Callable[[float], None]
    timeout: float


class Shared:
    """A rollout in its present attempt, for one of the processes that share it.

    `run` is the id of the run and `waves` are the waves of each unit, for all. They share it by `of`.
    """

    def __init__(
        self, control: Service, name: str, shard: Shard, patience: Patience, attempt: int, content: Mapping[str, Any]
    ) -> None:
        self._control = control
        self._name = name
        self._shard = shard
        self._patience = patience
        self._attempt = attempt
        self.run: str = content["run"]
        self.of: int = content["shards"]
        self.waves = {unit: tuple(map(tuple, waves)) for unit, waves in content["waves"].items()}
        self._content = content
        self._rules: Mapping[str, Sequence[int]] = content["rules"]
        self._limits: Mapping[str, int] = content["limits"]
        self._marks: list[Mark] = []
        self._asked = 0.0
        self._is_lost = False

    @property
    def timeout(self) -> float:
        """For how many seconds the others, and the control database, are waited for."""
        return self._patience.timeout

    def read(self) -> None:
        """See what all processes have marked by now. Raises DataopsError."""
        self._marks = backends.rollouts(self._control).marks(self._control, self._name, self._attempt)
        self._asked = time.monotonic()
        self._is_lost = False

    def _tell_lost(self, error: Unreachable) -> None:
        """Tell once that the control database is waited for."""
        if not self._is_lost:
            self._patience.emit(Warned(message=f"{error}: it is asked again for {clock(self.timeout)}"))
        self._is_lost = True

    def part(self, course: Course) -> Course:
        """What this process does of the waves that all have agreed on."""
        said = course.service.rollout.waves
        rules = tuple(Wave() if at == _NO_RULE else said[at] for at in self._rules[course.unit])
        limit = self._limits[course.unit]
        agreed = replace(course, waves=self.waves[course.unit], rules=rules, halt_after=limit)
        return agreed.part(self._shard.index, self.of)

    def come(self) -> None:
        """Tell the others that this process is there. Raises Unreachable at once: nothing has begun yet."""
        backends.rollouts(self._control).mark(self._control, self._name, self._attempt, Mark(self._shard.index, _HERE))

    def is_unlike(self, courses: Mapping[str, Course]) -> bool:
        """Whether `refuse_unlike` refuses."""
        try:
            self.refuse_unlike(courses)
        except (UsageError, ConfigError):
            return True
        return False

    def refuse_unlike(self, courses: Mapping[str, Course]) -> None:
        """Raise UsageError or ConfigError where this process would do something else than the others."""
        another = "or begin another rollout: DATAOPS_ROLLOUT=NAME, for all of them"
        if self._shard.of != self.of:
            raise UsageError(
                f"this rollout is shared by {self.of} processes, and not by {self._shard.of}",
                hint=f"--shard {self._shard.index}/{self.of}; {another}",
            )
        theirs, ours = self._content["files"], _files(courses)
        if theirs.keys() != ours.keys():
            raise ConfigError(
                f"this rollout is of {listed(sorted(theirs))}, and this process would run {listed(sorted(ours))}",
                hint=f"give all processes the same dataops.toml and the same options, {another}",
            )
        for unit, (newest, digest) in ours.items():
            if digest != theirs[unit][1]:
                raise ConfigError(
                    f"this rollout began with other migration files, the newest of them {theirs[unit][0] or 'none'}; "
                    f"here it is {newest or 'none'}",
                    service=unit,
                    hint=f"give all processes the same files (one image), {another}",
                )
        for unit, rules in _rules(courses).items():
            if rules != self._content["said"][unit]:
                raise ConfigError(
                    "this rollout began with other rules for its waves",
                    service=unit,
                    hint=f"give all processes the same dataops.toml, {another}",
                )
        for unit, course in courses.items():
            if course.halt_after != self._limits[unit]:
                raise UsageError(
                    f"this rollout is halted after {counted(self._limits[unit], 'failure')}, "
                    f"and not after {course.halt_after}",
                    service=unit,
                    hint=f"--halt-after {self._limits[unit]}; {another}",
                )

    def has_ended(self, unit: str, at: int) -> bool:
        """Whether this process, or the one that it replaces, has ended its part of a wave."""
        return self._has(self._shard.index, _wave(unit, at))

    def end(self, unit: str, at: int, done: int) -> None:
        """This process has ended its part of a wave, in which it has changed so many databases."""
        if not self.has_ended(unit, at):
            self._write(Mark(self._shard.index, _wave(unit, at), done))

    def changed(self, unit: str, at: int, since: float | None) -> None:
        """Databases of a wave were changed last so many seconds ago, also by an earlier run; None: they never were."""
        name = _CHANGED + _wave(unit, at)
        if since is not None and not self._has(self._shard.index, name):
            self._write(Mark(self._shard.index, name, min(round(since), _LONG_AGO)))

    def skip(self, unit: str) -> None:
        """Nothing is done in a unit, because something on which it depends has failed."""
        for at in range(len(self.waves.get(unit, ()))):
            self.end(unit, at, 0)

    def failed(self, service: str) -> None:
        """Something has failed in a database."""
        self._write(Mark(self._shard.index, _FAILED + service))

    def leave(self) -> None:
        """This process ends by itself. When the rollout is over, the next one of this number begins another attempt.

        One that has not ended its part, because it has waited in vain, for example, has not left: the next one goes on.
        """
        self._patiently(self.read)
        if self.over or all(self._has(self._shard.index, mark) for mark in self._every_wave()):
            self._write(Mark(self._shard.index, _LEFT))

    def await_over(self) -> None:
        """Come back when nobody has anything more to do, or after the time for which a wave is waited for.

        A process in which something has failed ends after all others: where another one takes its place, or a Job ends
        because of it, nobody is left who would still have to be waited for.
        """
        deadline, pause = time.monotonic() + self._patience.timeout, _FIRST_POLL
        told = False
        while time.monotonic() < deadline and not self._patience.stop():
            try:
                self.read()
            except Unreachable as error:  # it is asked again until the time is over
                self._tell_lost(error)
            else:
                if self.over:
                    return
            if not told:
                self._patience.emit(Warned(message="something has failed here: this process ends when the others have"))
                told = True
            self._patience.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    @property
    def failed_here(self) -> tuple[str, ...]:
        """The services in which something has failed in a process of this number, also in one that has died since."""
        mine = [mark.name for mark in self._marks if mark.shard == self._shard.index]
        return tuple(name.removeprefix(_FAILED) for name in mine if name.startswith(_FAILED))

    @property
    def over(self) -> bool:
        """Whether nobody has anything more to do in this attempt."""
        return self._halted() is not None or all(self._all_have(mark) for mark in self._every_wave())

    def is_past(self, is_left: Callable[[], bool]) -> bool:
        """Whether an attempt that is over counts no more, because the processes have been started again."""
        if any(self._failures(unit) for unit in self.waves) or self._halted() is not None:
            return self._has(self._shard.index, _LEFT)
        return is_left()

    def halted(self) -> Blocked | None:
        """Why nothing more may begin, as far as is known; asks again now and then."""
        if time.monotonic() - self._asked > _LONGEST_POLL:
            try:
                self.read()
            except Unreachable as error:  # what was known goes on to count; the next mark has to be written
                self._tell_lost(error)
                self._asked = time.monotonic()
        return self._halted()

    def held_by(self, unit: str, dependent: str) -> Blocked | None:
        """Why `dependent` does not begin, which depends on a unit: what has failed there, in any process."""
        failed = self._failures(unit)
        if not failed:
            return None
        return Blocked(
            f"not begun, because {_told(failed)} failed",
            service=dependent,
            hint="mend the cause and run all shards again, to go on with what is left",
        )

    def await_unit(self, unit: str) -> None:
        """Come back when all processes have ended the last wave of a unit. Raises like `await_wave`."""
        waves = self.waves.get(unit, ())
        if waves:
            self._await(lambda: self._all_have(_wave(unit, len(waves) - 1)), unit, len(waves), "the end of it")

    def await_wave(self, unit: str, at: int, opens: Callable[[float | None], None]) -> None:
        """Come back when all processes have ended the wave before, and this one may begin.

        `opens` comes back when what it asks for is true. Where the rules that all have agreed on ask for anything, the
        first process calls it for all, with the seconds since anything was changed. Raises Blocked when nothing more
        may begin, WaitTimedOut, Stopped, and what `opens` raises.
        """
        begun = _BEGUN + _wave(unit, at)
        holds = self._rules[unit][at] != _NO_RULE  # whatever the configuration of this process says by now
        if not holds or self._shard.index == 0:
            if at:
                before = _wave(unit, at - 1)
                self._await(lambda: self._all_have(before), unit, at + 1, "")
            if holds and not self._has(0, begun):
                try:
                    opens(self._since(unit, at))
                except (Blocked, Stopped, Refused, PermissionDenied) as error:
                    self.halt(error)
                    raise
                self._write(Mark(0, begun))
        else:
            self._await(lambda: self._has(0, begun), unit, at + 1, "what has to be true before it")

    def halt(self, error: DataopsError) -> None:
        """Nothing more begins, in any process: what has gone wrong here gets no better by itself."""
        if self._patience.stop():  # a signal, and not a person who has said no
            return
        with suppress(Unreachable, Stopped):  # the others cannot be told, and what has gone wrong here is told anyway
            self._write(Mark(self._shard.index, f"{_HALTED}{shortened(str(error), _SHOWN)}"))

    def is_lost(self, error: DataopsError) -> bool:
        """Whether it was only waited in vain, for the others or for the control database: the same command goes on."""
        gone = isinstance(error, Unreachable) and not isinstance(error, Refused | PermissionDenied)
        return isinstance(error, WaitTimedOut) or (gone and error.service == self._control.name)

    def _since(self, unit: str, at: int) -> float | None:
        """How many seconds ago something was changed in a wave before, as far as the marks say."""
        before = {_CHANGED + _wave(unit, other) for other in range(at)}
        return min((mark.seconds + mark.done for mark in self._marks if mark.name in before), default=None)

    def _await(self, true: Callable[[], bool], unit: str, wave: int, what: str) -> None:
        deadline = time.monotonic() + self._patience.timeout
        told, pause = False, _FIRST_POLL
        lost: Unreachable | None = None
        while True:
            try:
                self.read()
                lost = None
            except Unreachable as error:
                if told:
                    self._tell_lost(error)
                lost = error
            halted = self._halted()
            if halted is not None:
                raise halted
            if lost is None and true():
                return
            if self._patience.stop():
                raise Stopped(f"stopped while waiting for wave {wave}", service=unit)
            if time.monotonic() >= deadline:
                if lost is not None:
                    raise lost
                raise WaitTimedOut(
                    f"wave {wave} could not begin within {clock(self._patience.timeout)}: {self._slow(unit, wave)}",
                    service=unit,
                    hint="do all shards run, with the same files, dataops.toml and options? "
                    "Run this one again to wait again, or longer with --wave-timeout",
                )
            if not told:
                why = lost.message if lost is not None else what or self._slow(unit, wave)
                self._patience.emit(WaveAwaited(unit, wave, why))
                told = True
            self._patience.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    def _slow(self, unit: str, wave: int) -> str:
        mark = _wave(unit, max(0, wave - 2))
        slow = [index for index in range(self.of) if not self._has(index, mark)]
        absent = [index for index in slow if not self._has(index, _HERE)]

        def named(indexes: Sequence[int]) -> str:
            return f"shard {listed([str(Shard(index, self.of)) for index in indexes])}"

        if not slow:
            return "the first shard has not begun it"
        return f"not ended before it: {named(slow)}" + (f"; not there yet: {named(absent)}" if absent else "")

    def _write(self, mark: Mark) -> None:
        """Write down a mark. Raises like `_patiently`."""
        self._patiently(lambda: backends.rollouts(self._control).mark(self._control, self._name, self._attempt, mark))

    def _patiently(self, ask: Callable[[], None]) -> None:
        """Ask the control database, however long it takes to come back. Raises Stopped, Unreachable."""
        deadline, pause = time.monotonic() + self._patience.timeout, _FIRST_POLL
        while True:
            try:
                return ask()
            except Unreachable as error:
                if time.monotonic() >= deadline:
                    raise
                self._tell_lost(error)
            if self._patience.stop():
                raise Stopped("stopped while waiting for the control database", service=self._control.name)
            self._patience.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    def _every_wave(self) -> list[str]:
        return [_wave(unit, at) for unit, waves in self.waves.items() for at in range(len(waves))]

    def _has(self, index: int, name: str) -> bool:
        return any(mark.shard == index and mark.name == name for mark in self._marks)

    def _all_have(self, name: str) -> bool:
        return {mark.shard for mark in self._marks if mark.name == name} >= set(range(self.of))

    def _failures(self, unit: str) -> list[Mark]:
        found = {mark.name: mark for mark in self._marks if mark.name.startswith(_FAILED)}
        return [mark for name, mark in found.items() if unit_of(name.removeprefix(_FAILED)) == unit]

    def _halted(self) -> Blocked | None:
        for unit, limit in self._limits.items():
            failed = self._failures(unit)
            if len(failed) >= limit:
                return Blocked(
                    f"the rollout is halted: {_told(failed)} failed",
                    service=unit,
                    hint="nothing more is begun; mend the cause and run all shards again, to go on with what is left",
                )
        said = next((mark.name.removeprefix(_HALTED) for mark in self._marks if mark.name.startswith(_HALTED)), None)
        if said is None:
            return None
        hint = "nothing more is begun; run all shards again to go on with what is left"
        return Blocked(f"the rollout is halted: {said}", hint=hint)


def join(
    control: Service,
    name: str,
    shard: Shard,
    courses: Mapping[str, Course],
    *,
    run: str,
    patience: Patience,
    is_left: Callable[[], bool],
) -> Shared:
    """Take part in a rollout: in the attempt that is under way, or, where that is over for this process, in a new one.

    `run` and `courses` become those of all, if nobody has begun yet. `is_left` looks whether anything is to do in any
    of the databases. Raises Unreachable, Blocked where it is halted, and what `refuse_unlike` raises.
    """
    kept = backends.rollouts(control)
    kept.prepare(control)
    content = json.dumps(
        {
            "run": run,
            "shards": shard.of,
            "waves": {unit: course.waves for unit, course in courses.items()},
            "rules": {unit: [_number(rule, course) for rule in course.rules] for unit, course in courses.items()},
            "limits": {unit: course.halt_after for unit, course in courses.items()},
            "files": _files(courses),
            "said": _rules(courses),
        }
    )
    begins = 1
    while True:
        found = kept.newest(control, name)
        if found is None or found[0] < begins:
            kept.begin(control, name, begins, content)
            continue
        shared = Shared(control, name, shard, patience, found[0], json.loads(found[1]))
        shared.read()
        if shared.over and (shared.is_unlike(courses) or shared.is_past(is_left)):
            begins = found[0] + 1
            continue
        if shared.over and kept.newest(control, name) != found:  # others may have begun another one while we looked
            continue
        halted = shared.halted()
        if halted is not None:
            shared.leave()
            raise halted
        shared.refuse_unlike(courses)
        shared.come()
        return shared


def _told(failed: Sequence[Mark]) -> str:
    return listed([f"{mark.name.removeprefix(_FAILED)} (shard {mark.shard})" for mark in failed])


def _number(rule: Wave, course: Course) -> int:
    """The position of a rule in the configuration, if it asks for anything."""
    return course.service.rollout.waves.index(rule) if rule.holds else _NO_RULE


def _wave(unit: str, at: int) -> str:
    return f"{unit}/{at + 1}"


__all__ = ["Patience", "Shard", "Shared", "control_of", "join", "name_of", "parse"]
