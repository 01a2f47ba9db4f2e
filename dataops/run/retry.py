"""When a step is tried again: which errors, how often, after which pause. This is the whole policy.

A step is tried again only after the server has taken all of it back (RolledBack). A step that is not transactional
is therefore never tried again: its first part would be done twice. Two of the conditions are those after which
PostgreSQL's manual repeats a transaction as it was (chapter "Serialization Failure Handling"). The third is
lock_timeout, which we set ourselves so that an ALTER does not queue in front of every reader. Any other error would
come back.
"""

from __future__ import annotations

import random

from dataops.backends import RolledBack

TRIES = 6
LONGEST_PAUSE = 16.0
SQLSTATES = {
    "40001": "serialization_failure: another transaction changed what this one had read",
    "40P01": "deadlock_detected: this transaction was chosen to end a deadlock",
    "55P03": "lock_not_available: lock_timeout ended the wait for a table's lock",
}


def may_try_again(error: RolledBack, attempt: int) -> bool:
    """Whether a step is to be tried again whose `attempt`, counted from 1, ended with this error."""
    return attempt < TRIES and error.sqlstate in SQLSTATES


def pause_after(attempt: int) -> float:
    """Seconds to wait: twice as long each time, up to a limit, and never quite alike, so that two runs part."""
    return min(2.0 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)


__all__ = ["LONGEST_PAUSE", "SQLSTATES", "TRIES", "may_try_again", "pause_after"]
