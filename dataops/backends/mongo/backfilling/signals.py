"""Why a backfill of MongoDB has to wait: asked of the server, with the client for short questions."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import json_util
from bson.errors import BSONError
from pymongo.database import Database
from pymongo.errors import PyMongoError

from dataops.backends.mongo import pausing
from dataops.backends.mongo.connection import Document, error_text
from dataops.backfill import BackfillRefused
from dataops.backfill.loop import Signal
from dataops.backfill.sharing import Latencies
from dataops.durations import clock
from dataops.model import Limits, Pause
from dataops.redaction import redact
from dataops.statements import Statement

_GONE_SECONDS = 300.0
_OPLOG_EVERY = 10.0
_FULL = 0.9  # of its size: then old entries are being dropped
_RULE_MILLISECONDS = 5000
_RULES = ("find", "count", "aggregate")
_WRITES = ("$out", "$merge")
_QUERIES = ("aggregate", "delete", "find", "getMore", "insert", "update")
_COSTLY = ("locks", "metrics", "repl", "tcmalloc", "wiredTiger")
_ONLY_LATENCIES = {"opLatencies": {"histograms": True}, **dict.fromkeys(_COSTLY, 0)}


class Observer:
    """What the server says while a backfill works. `signals` are asked between two batches."""

    def __init__(self, look: Callable[[], Database[Document]], limits: Limits, service: str) -> None:
        """`look` gives the database, over a client for short questions."""
        self._look = look
        self._limits = limits
        self._service = service
        self._new: list[float] = []
        self._ours: Counter[float] = Counter()
        self._seen: dict[str, tuple[datetime, float]] = {}
        self._delays: dict[str, float] | None = None
        self._oplog_said = ("", -_OPLOG_EVERY)
        self._asked = False
        self._rule = _rule(limits.pause_while) if limits.pause_while else {}

    @property
    def signals(self) -> Sequence[Signal]:
        limits = self._limits
        wanted = (
            (True, self._paused),
            (limits.lag, self._lag),
            (limits.oplog, self._oplog),
            (limits.pause_while, self._own_rule),
        )
        return [signal for limit, signal in wanted if limit]

    def ours(self, statement: Statement) -> None:
        """A command of our own has ended."""
        if statement.service == self._service and statement.operation in _QUERIES:
            self._new.append(statement.seconds)

    def others(self) -> int | None:
        """How many queries the server has done for others up to now, about; None where it may not be asked."""
        seen = self.latencies()
        return None if seen is None else sum(seen.values())

    def latencies(self) -> Latencies | None:
        """How long the queries of others took, about; None where it may not be asked."""
        status = self._ask(lambda db: db.client.admin.command({"serverStatus": 1, **_ONLY_LATENCIES}))
        kinds = [status.get("opLatencies", {}).get(kind, {}) for kind in ("reads", "writes")] if status else []
        if not all("histogram" in kind for kind in kinds):
            return None
        counts: Counter[float] = Counter()
        for one in (one for kind in kinds for one in kind["histogram"]):
            counts[one["micros"] / 1e6] += int(one["count"])
        if not counts:
            return None
        edges = sorted(counts)
        self._ours.update(edges[max(0, bisect_right(edges, seconds) - 1)] for seconds in self._new)
        self._new.clear()
        counts.subtract(self._ours)
        return counts

    def _paused(self) -> str:
        paused: Pause | None = self._ask(pausing.read)
        return str(paused) if paused else ""

    # Replication

    def _lag(self) -> str:
        status = self._ask(lambda db: db.client.admin.command("replSetGetStatus"))
        if status is None:
            return self._lag_of_majority()
        members = status.get("members", [])
        primary = next((one for one in members if one.get("stateStr") == "PRIMARY"), None)
        if primary is None:
            return "the replica set has no primary"
        others = [one for one in members if one is not primary and one.get("stateStr") != "ARBITER"]
        lags = {str(one["name"]): self._behind(one, primary["optimeDate"]) for one in others}
        slow = max(lags, key=lambda name: lags[name], default="")
        if slow and lags[slow] > self._limits.lag:
            return f"the secondary {redact(slow)} is {clock(lags[slow])} behind"
        return ""

    def _behind(self, member: Mapping[str, Any], present: datetime) -> float:
        """How many seconds a member is behind. One that hangs does not answer, and counts as it was seen last."""
        name, now = str(member["name"]), time.monotonic()
        if member.get("stateStr") == "SECONDARY" and member.get("health"):
            self._seen[name] = (member["optimeDate"], now)
        newest, at = self._seen.get(name, (present, now))
        if now - at > _GONE_SECONDS:  # it is down, which is somebody else's care
            return 0.0
        return max(0.0, (present - newest).total_seconds() - self._delay(name))

    def _delay(self, name: str) -> float:
        """By how many seconds a member is meant to be behind."""
        if self._delays is None:
            answer = self._ask(lambda db: db.client.admin.command("replSetGetConfig")) or {}
            members = answer.get("config", {}).get("members", [])
            self._delays = {str(one["host"]): float(one.get("secondaryDelaySecs", 0)) for one in members}
        return self._delays.get(name, 0.0)

    def _lag_of_majority(self) -> str:
        """What a user without rights may see too."""
        hello = self._ask(lambda db: db.client.admin.command("hello")) or {}
        written = hello.get("lastWrite", {})
        if "majorityWriteDate" not in written:
            return ""
        seconds = (written["lastWriteDate"] - written["majorityWriteDate"]).total_seconds()
        return f"the majority of the members is {clock(seconds)} behind" if seconds > self._limits.lag else ""

    def _oplog(self) -> str:
        """Only where it is full: until then, it holds as much as was ever written."""
        said, at = self._oplog_said
        if time.monotonic() - at < _OPLOG_EVERY:
            return said
        said = self._ask(self._window) or ""
        self._oplog_said = (said, time.monotonic())
        return said

    def _window(self, db: Database[Document]) -> str:
        local = db.client["local"]
        stats = local.command("collStats", "oplog.rs")
        if stats.get("size", 0) < _FULL * stats.get("maxSize", float("inf")):
            return ""
        ends = [next(iter(local["oplog.rs"].find({}, {"ts": 1}).sort("$natural", to).limit(1))) for to in (1, -1)]
        seconds = ends[1]["ts"].time - ends[0]["ts"].time
        return f"the oplog holds no more than {clock(seconds)}" if seconds < self._limits.oplog else ""

    # A rule of the project's own

    def _own_rule(self) -> str:
        try:
            said = _answer_to(self._look(), self._rule)
        except PyMongoError as error:
            if not self._asked:
                raise BackfillRefused(f"pause_while cannot be asked: {error_text(error)}") from error
            return f"pause_while cannot be asked: {error_text(error)}"
        self._asked = True
        return f"pause_while says {said}" if said else ""

    def _ask(self, question: Callable[[Database[Document]], Any]) -> Any:
        try:
            return question(self._look())
        except PyMongoError:  # not to be able to look must not end the work
            return None


def _rule(text: str) -> Document:
    """The command of `pause_while`. Raises BackfillRefused for what is none, or for one that may write."""
    try:
        command = json_util.loads(text)
    except (ValueError, TypeError, BSONError) as error:
        raise BackfillRefused("pause_while is not a command of MongoDB as JSON", hint=_EXAMPLE) from error
    if not isinstance(command, dict) or next(iter(command), "") not in _RULES:
        raise BackfillRefused(f"pause_while has to be one of the commands {', '.join(_RULES)}", hint=_EXAMPLE)
    if any(stage in json_util.dumps(command.get("pipeline", [])) for stage in _WRITES):
        raise BackfillRefused("pause_while must not write: it has $out or $merge in it", hint=_EXAMPLE)
    return command


_EXAMPLE = """for example pause_while = '{"find": "flags", "filter": {"_id": "busy"}}'; more: dataops docs backfills"""


def _answer_to(db: Database[Document], rule: Document) -> str:
    """What the rule gives that is true, as text; "" if nothing is."""
    name = next(iter(rule))
    more: Document = {"maxTimeMS": _RULE_MILLISECONDS}
    if name == "find":
        more |= {"limit": 1, "singleBatch": True}
    elif name == "aggregate":
        more |= {"cursor": {}}
    answer = db.command({**rule, **more})
    if name == "count":
        return f"{answer['n']:,}" if answer["n"] else ""
    first = next(iter(answer["cursor"]["firstBatch"]), None)
    if first is None or not first.get("n", True):
        return ""
    return f"{name} of {redact(str(rule[name]))} gives a document"


__all__ = ["Observer"]
