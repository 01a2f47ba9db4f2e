"""Finds out which commands a migration sends, by running it against a server of our own that stores nothing.

A real client is connected to that server (`wire`) through a private socket. So every command arrives there, whatever
API a migration uses. `answers` decides what to answer, and `wording` makes the text of a command. See ADR 2.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.database import Database

from dataops.backends.mongo.capture.answers import Answers, Recording
from dataops.backends.mongo.capture.wire import WireServer
from dataops.errors import DataopsError
from dataops.model import Rendering
from dataops.redaction import message_of
from dataops.stash.mongo import undivided

Document = dict[str, Any]
Migrate = Callable[[Database[Document]], None]

MAX_SECONDS = 10.0


def capture(real: Database[Document], migrate: Migrate, count_until: float) -> Rendering:
    """Run `migrate` against a server that only records its commands. Its reads are passed on to the database `real`.

    Until `count_until` (of time.monotonic) it also counts the documents that the commands would change. A DataopsError
    of the migration, such as StashPruned, is raised. With any other error the rendering is opaque from there on.
    """
    recording = Recording()
    try:
        folder = tempfile.mkdtemp(prefix="dataops-")  # 0700: nobody else may connect
    except OSError as error:
        return Rendering(opaque=f"a recording needs a temporary folder: {error.strerror}")
    answers = Answers(real, recording, count_until)
    server = WireServer(os.path.join(folder, "r.sock"), answers.answer)
    try:
        server.start()
        opaque = _run(server.path, answers, real.name, migrate)
    finally:
        answers.broken = answers.broken or "the recording was stopped"
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return Rendering(
        tuple(recording.commands),
        opaque,
        tuple(recording.notes),
        tuple(recording.puts_aside),
        frozenset(recording.stash),
    )


def _run(path: str, answers: Answers, name: str, migrate: Migrate) -> str:
    """Run the migration, and return why the recording is incomplete, or ""."""
    problem: list[str] = []
    refused: list[DataopsError] = []
    url = f"mongodb://{quote_plus(path)}/?directConnection=true&retryWrites=false&retryReads=false"

    def work() -> None:
        client: MongoClient[Document] = MongoClient(
            url, serverSelectionTimeoutMS=3000, heartbeatFrequencyMS=60_000, tz_aware=False
        )
        try:
            with undivided():
                migrate(client.get_database(name))
        except DataopsError as error:
            refused.append(error)
        except BaseException as error:  # noqa: BLE001  in this thread only the migration raises
            # A migration that needs the answer to one of its writes cannot be followed any further. That does not mean
            # that the migration is wrong: it may still be applied without any problem.
            text = message_of(error).split("\n")[0][:200]
            needs = f"it needs answers that only a real run gives ({type(error).__name__}: {text})"
            problem.append(answers.broken or needs)
        finally:
            client.close()

    thread = threading.Thread(target=work, name="dataops-capture-migrate", daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    if thread.is_alive():
        answers.broken = "following it takes too long"
        return answers.broken
    if refused:
        raise refused[0]
    return problem[0] if problem else ""


__all__ = ["capture"]
