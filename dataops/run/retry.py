"""The whole policy of trying a step again: after which errors, how often, and after which pause.

A step is tried again only after the server has taken all of it back (RolledBack). So a step that is not transactional
is never tried again, because its first part would be done twice. After two of the errors, PostgreSQL's manual says to
repeat the transaction as it was (chapter "Serialization Failure Handling"). The third comes from lock_timeout, which we
set ourselves so that an ALTER does not queue in front of every reader. Any other error would only come again.
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
    """Whether a step may be tried again after this error. `attempt` is the number of the failed try, from 1."""
    return attempt < TRIES and error.sqlstate in SQLSTATES


def pause_after(attempt: int) -> float:
    """Seconds to wait after a failed try: twice as long each time, up to LONGEST_PAUSE.

    The pause is partly random, so that two runs which disturbed each other do not meet again.
    """
    return min(2.0 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)


__all__ = ["LONGEST_PAUSE", "SQLSTATES", "TRIES", "may_try_again", "pause_after"]
