"""Finds out which commands a migration sends, by running it against a server of our own that stores nothing.

The migration runs in the sandbox (`client`), with a real client that is connected to that server (`wire`) through a
private socket. So every command arrives there, whatever API a migration uses. `answers` decides what to answer, and
`wording` makes the text of a command. See ADR 2.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pymongo.database import Database

from dataops.backends.mongo.capture.answers import Answers, Recording
from dataops.backends.mongo.capture.wire import WireServer
from dataops.backends.sandbox import Outcome, Sandbox
from dataops.model import Rendering, Service, Step

if TYPE_CHECKING:
    from dataops.backends.mongo.foresight import Foresight

Document = dict[str, Any]

_PART = "dataops.backends.mongo.capture.client"


def capture(
    real: Database[Document],
    service: Service,
    step: Step,
    sandbox: Sandbox,
    count_until: float,
    foresight: Foresight | None = None,
) -> Rendering:
    """Run a step against a server that only records its commands. Its reads are passed on to the database `real`.

    Until `count_until` (of time.monotonic) it also counts the documents that the commands would change. `foresight`
    follows the plan, and says what they do. A DataopsError
    of the migration, such as StashPruned, is raised. After any other error, nothing is known of what comes later.
    """
    recording = Recording()
    answers = Answers(real, real.name, recording, count_until, service.ours)
    outcome = _run(answers, service, step, sandbox)
    known = Rendering(
        tuple(recording.commands),
        notes=tuple(recording.notes),
        puts_aside=tuple(recording.puts_aside),
        stash=frozenset(recording.stash),
        harms=tuple(recording.harms),
    )
    if foresight is not None:
        effects, unforeseen = foresight.follow(recording.sent, recording.stash)
        known = replace(known, effects=effects, unforeseen=unforeseen)
    if answers.broken:
        return replace(known, opaque=answers.broken)
    # A migration that needs the answer to one of its writes cannot be followed any further. That does not mean that the
    # migration is wrong: it may still be applied without any problem.
    return outcome.complete(known, answers.asked, "it needs answers that only a real run gives")


def failing(service: Service, step: Step, sandbox: Sandbox) -> tuple[int, str]:
    """Where and why a step fails, whatever a database answers: a line of its file, and ""  if it does not.

    No database is asked. The step runs against a server that records, and that has no documents.
    """
    answers = Answers(None, "none", Recording(), 0.0, service.ours)
    outcome = _run(answers, service, step, sandbox)
    if outcome.broken is not None:
        return outcome.line, outcome.problem
    if answers.broken or outcome.raised is None or not outcome.raised.is_certain(answers.asked):
        return outcome.line, ""
    return outcome.line, str(outcome.raised)


def _run(answers: Answers, service: Service, step: Step, sandbox: Sandbox) -> Outcome:
    """Run a step against a server that gives these answers."""
    try:
        folder = tempfile.mkdtemp(prefix="dataops-")  # 0700: nobody else may connect
    except OSError as error:
        return Outcome(unseen=f"a recording needs a temporary folder: {error.strerror}")
    server = WireServer(os.path.join(folder, "r.sock"), answers.answer)
    try:
        server.start()
        arguments = {"socket": server.path, "database": answers.name, "migration": step.migration.id}
        return sandbox.run(_PART, service, step, arguments, lambda message: None)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["capture", "failing"]
