"""What a step may do to a live database that a person has to know before it is run: the hazards, by name.

The same names stand in plans, in the policy of dataops.toml, in JSON and SARIF, and in docs/hazards.md. A name never
changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

MANY = 100_000
"""A command that changes more rows or documents than this should be done in batches."""
LONG_SECONDS = 60.0
"""A command that may well take longer than this is told."""
LAG_SECONDS = 10
"""A replica that is further behind than this is told."""


@dataclass(frozen=True)
class Hazard:
    """A kind of harm. `title` says what happens, `remedy` what to do instead.

    `decides`: a person has to decide about it. Other hazards are only told.
    """

    name: str
    title: str
    remedy: str
    decides: bool = True


_ALL = (
    Hazard("will-fail", "the live database already says that it will fail",
           "mend the data or the file first; the plan shows an example"),
    Hazard("destroys-data", "it deletes data that nothing keeps",
           "put it into the stash first, or make sure that nobody needs it"),
    Hazard("rewrites-table", "the server writes the whole table anew",
           "add a new column, fill it in batches, and switch over"),
    Hazard("blocks-reads", "nobody can read the table while the server works",
           "split it: first what only needs a moment, then what takes long without the lock"),
    Hazard("blocks-writes", "nobody can write into the table while the server works",
           "CREATE INDEX CONCURRENTLY in an autocommit block; NOT VALID first, VALIDATE CONSTRAINT in a later file"),
    Hazard("exclusive-lock", "it needs the table for itself for a moment, and waits for everybody who uses it",
           "run it when no transaction is long; timeouts.table_lock limits how long others wait behind it",
           decides=False),
    Hazard("changes-many", "one command changes very many rows or documents",
           "do it in batches that are committed one by one: dataops docs backfills"),
    Hazard("breaks-application", "code that runs now may fail afterwards",
           "expand and contract: add the new, let the code use it, then remove the old: dataops docs recipes"),
    Hazard("takes-long", "it may take longer than a minute",
           "rehearse it, and tell those who have to know"),
    Hazard("scans-collection", "it reads every document of a big collection to find those that it changes",
           "build an index for its filter first, or do it in batches of _id", decides=False),
    Hazard("oplog-window", "it may write more than the oplog has room for, so that a secondary that lags is lost",
           "do it in batches with pauses, or make the oplog bigger"),
    Hazard("large-transaction", "one transaction may become bigger or longer than the server allows",
           "do it in batches of their own transactions"),
    Hazard("blocked-now", "somebody holds the table now, and the step would wait, with everybody else behind it",
           "wait for that session, or end it"),
    Hazard("replica-behind", "a replica is behind already, and this makes it later",
           "wait until it has caught up"),
    Hazard("leaves-replication", "a publication or subscription sends what it changes",
           "change the subscribers first", decides=False),
    Hazard("irreversible", "it cannot be undone",
           "take a backup first"),
    Hazard("unknown", "what it does is only known when it runs",
           "rehearse it: dataops rehearse", decides=False),
)  # fmt: skip

HAZARDS = {hazard.name: hazard for hazard in _ALL}
"""All of them by name, the worst first."""

__all__ = ["HAZARDS", "LAG_SECONDS", "LONG_SECONDS", "MANY", "Hazard"]
