"""What the commands of a plan will do to one live MongoDB: documents, scans, time, and what will fail. See ADR 22.

The commands are those that the recording server was sent (`capture`). A plan is followed step by step: a collection
that an earlier command has made or changed is no longer what the live database says. `facts` asks, `costs` estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database

from dataops.backends.mongo.capture.wording import is_backfill, target_of
from dataops.backends.mongo.foresight import breaking, costs, indexes
from dataops.backends.mongo.foresight import facts as live
from dataops.backends.mongo.foresight.changes import ALL, Changes, of_query, of_update
from dataops.backends.mongo.foresight.facts import Facts
from dataops.hazards import LAG_SECONDS, LONG_SECONDS, MANY
from dataops.model import Effect, Risk, Span, Verb, Work
from dataops.model.effect import together
from dataops.redaction import redact

Document = dict[str, Any]

_BIG = 10_000
_TRANSACTION_BYTES = 16 * 1024 * 1024
_DELTA = 200  # bytes in the oplog for a small update or a delete
_UNIT = "documents"
_TTL = "expireAfterSeconds"
_SAME_IS_FINE = 7
"""From this version on, a collection may be created again as it is."""
_CREATE_OPTIONS = (
    "capped",
    "size",
    "max",
    "validator",
    "collation",
    "timeseries",
    "clusteredIndex",
    "viewOn",
    "pipeline",
)


Command = tuple[str, Mapping[str, Any]]
"""A command as it was sent: its name, and all of it."""


@dataclass
class _Draft:
    work: list[Work] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    risks: list[Risk] = field(default_factory=list)
    oplog: int = 0

    def risk(self, hazard: str, text: str) -> None:
        risk = Risk(hazard, redact(text))
        if risk not in self.risks:
            self.risks.append(risk)


class Foresight:
    """Follows the steps of a plan over one database, in their order."""

    def __init__(self, db: Database[Document], stash: str) -> None:
        """`stash` is how the names of the collections begin in which steps put something aside."""
        self._facts = Facts(db)
        self._stash = stash
        self._made: set[str] = set()
        self._gone: set[str] = set()
        self._changes = Changes()
        self._modified: set[str] = set()
        self._indexes: set[tuple[str, str]] = set()
        self._indexes_gone: set[tuple[str, str]] = set()
        self._window: tuple[int, float] | None = None
        self._asked_window = False

    def follow(
        self, commands: Sequence[Command], of_stash: Collection[int] = ()
    ) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
        """What the commands of the next step do, and what is not known of it.

        `of_stash` are the positions of those that only fill or empty the stash.
        """
        self._facts.problems.clear()
        self._aside = _put_aside(commands, self._stash)
        drafts = [_Draft() if at in of_stash else self._command(*one) for at, one in enumerate(commands)]
        self._whole_step(drafts, commands)
        effects = tuple(
            Effect(at, (), tuple(one.work), together(one.spans), tuple(one.risks))
            for at, one in enumerate(drafts)
            if one.work or one.risks
        )
        return effects, tuple(map(redact, self._facts.problems))

    def _command(self, name: str, body: Mapping[str, Any]) -> _Draft:
        draft = _Draft()
        if (handler := _HANDLERS.get(name)) is not None:
            handler(self, body, draft)
        elif name not in _HARMLESS:
            draft.risk("unknown", f"{name}: what that does is only known when it runs")
        if is_backfill(body):
            draft.risks = [risk for risk in draft.risks if risk.hazard != "changes-many"]
        span = together(draft.spans)
        if span is not None and span.high >= LONG_SECONDS and span.low >= LONG_SECONDS / 20:
            draft.risk("takes-long", f"{span}, by {span.basis}")
        return draft

    def _live(self, name: str) -> live.Collection | None:
        """The live collection; None if it is not there, or if the plan has made or removed it."""
        return None if name in self._made or name in self._gone else self._facts.collection(name)

    # ---- documents

    def _update(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["update"])
        for operation in body.get("updates", []):
            collation = operation.get("collation")
            self._change(name, operation["q"], draft, Verb.CHANGES, one=not operation.get("multi"), collation=collation)
            self._refuse_update(name, operation, draft, checked=not body.get("bypassDocumentValidation"))
            self._empty_fields(name, operation, draft)
            if operation.get("upsert"):
                self._changes.add(name)
            self._changes.set_fields(name, of_update(operation["u"]))

    def _empty_fields(self, name: str, operation: Mapping[str, Any], draft: _Draft) -> None:
        """$unset takes values away, as dropping a column does."""
        update, collection = operation["u"], self._live(name)
        if isinstance(update, Mapping):
            fields = list(update.get("$unset", {}))
        else:
            given = [stage["$unset"] for stage in update if "$unset" in stage]
            fields = [path for one in given for path in ([one] if isinstance(one, str) else one)]
        if collection is None or name in self._aside:
            return
        for path in fields:
            query = {"$and": [dict(operation["q"]), {path: {"$exists": True}}]}
            if not self._changes.leave(name, of_query(query)):
                continue
            count = self._facts.matched(collection, query)
            if count.documents or count.documents is None:
                told = f"about {count.documents:,} documents" if count.documents else "documents"
                draft.risk("destroys-data", f"{path} of {told} of {name}, which nothing keeps")

    def _refuse_update(self, name: str, operation: Mapping[str, Any], draft: _Draft, *, checked: bool) -> None:
        """What the documents of an update would become is held against the validator and unique indexes."""
        collection = self._live(name)
        if collection is not None and (refused := self._facts.refused(name, operation["q"])):
            draft.risk("will-fail", f"the server takes no such filter of {name}: {refused}")
            return
        plain = not operation.get("collation") and not operation.get("arrayFilters") and not operation.get("c")
        if collection is None or not collection.documents or not plain:
            return
        query, one = operation["q"], not operation.get("multi")
        stages, fields = breaking.changed_by(operation["u"])
        other = "_id" in fields and isinstance(query.get("_id"), int | str) and query["_id"] != fields["_id"]
        if other and self._changes.leave(name, ["_id"]) and self._facts.matched(collection, query).documents:
            draft.risk("will-fail", f"the _id of a document cannot be changed, in {name}")
        if not self._changes.leave(name, [ALL]):
            return
        if checked and stages is not None and not self._has_new_validator(name):
            _tell(draft, "will-fail", breaking.update_refused(self._facts, collection, query, stages, one=one))
        gone = self._indexes_gone_of(name)
        _tell(draft, "will-fail", breaking.same_for_all(self._facts, collection, query, fields, gone, one=one))

    def _has_new_validator(self, name: str) -> bool:
        return name in self._modified

    def _indexes_gone_of(self, name: str) -> list[str]:
        return [index for collection, index in self._indexes_gone if collection == name]

    def _delete(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["delete"])
        for operation in body.get("deletes", []):
            one, collation = operation.get("limit") == 1, operation.get("collation")
            self._change(name, operation["q"], draft, Verb.DELETES, one=one, collation=collation)
            self._changes.remove(name)

    def _find_and_modify(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name, query = str(body["findAndModify"]), body.get("query") or {}
        verb = Verb.DELETES if body.get("remove") else Verb.CHANGES
        self._change(name, query, draft, verb, one=True, collation=body.get("collation"))
        if body.get("remove"):
            self._changes.remove(name)
        elif body.get("update"):
            self._changes.set_fields(name, of_update(body["update"]))

    def _is_refused(self, name: str, draft: _Draft) -> bool:
        """Whether it is a view, which cannot be written."""
        if name in self._made or name in self._gone or not self._facts.is_view(name):
            return False
        draft.risk("will-fail", f"{name} is a view")
        return True

    def _change(
        self,
        name: str,
        query: Mapping[str, Any],
        draft: _Draft,
        verb: Verb,
        *,
        one: bool,
        collation: Mapping[str, Any] | None = None,
    ) -> None:
        if self._is_refused(name, draft):
            return
        collection = self._live(name)
        if collection is None or not collection.documents:
            return
        if one:
            count = live.Count(1, exact=True)
        elif not self._changes.leave(name, of_query(query)):
            count = live.Count(None, exact=False)
        else:
            count = self._facts.matched(collection, query, collation)
        documents = collection.documents if count.documents is None else count.documents
        if not documents:
            return
        scans = collection.documents >= _BIG and query and self._facts.scans(collection, query)
        draft.work.append(Work(verb, name, documents, None, count.exact, _UNIT))
        finding = costs.read(collection.documents if scans or not query else documents)
        draft.spans.append(costs.both(finding, costs.write(documents, len(collection.indexes)), count.documents))
        draft.oplog += documents * (min(collection.average, _DELTA) if verb is Verb.CHANGES else _DELTA)
        told = f"{documents:,} documents" if count.exact else f"about {documents:,} documents"
        if verb is Verb.DELETES and name not in self._aside:
            draft.risk("destroys-data", f"{told} of {name}, which nothing keeps")
        if documents > MANY:
            draft.risk("changes-many", f"{told} of {name} in one command")
        if scans:
            draft.risk("scans-collection", f"no index finds them: all {collection.documents:,} documents are read")

    def _insert(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name, documents = str(body["insert"]), list(body.get("documents", []))
        if self._is_refused(name, draft):
            return
        collection = self._live(name)
        if collection is None:
            self._make(name)
            return
        draft.work.append(Work(Verb.ADDS, name, len(documents), None, exact=True, unit=_UNIT))
        draft.spans.append(costs.write(len(documents), len(collection.indexes)))
        draft.oplog += len(documents) * max(collection.average, _DELTA)
        self._changes.add(name)
        for _, keys in breaking.unique_keys(collection, self._indexes_gone_of(name)):
            if self._changes.leave(name, keys):
                _tell(draft, "will-fail", breaking.insert_refused(self._facts, collection, documents, keys))
        if breaking.duplicates_among(documents, ["_id"]):
            draft.risk("will-fail", f"two of the new documents have the same _id, for {name}")
        if not self._changes.leave(name, ["_id"]):
            return
        ids = [document["_id"] for document in documents if "_id" in document]
        about = f"whether {name} has the new _ids already"
        if ids and self._facts.first(name, [{"$match": {"_id": {"$in": ids}}}, {"$limit": 1}], about):
            draft.risk("will-fail", f"{name} has a document with one of these _ids already")
        if not body.get("bypassDocumentValidation"):
            self._against_validator(collection, documents, draft)

    def _against_validator(
        self, collection: live.Collection, documents: Sequence[Mapping[str, Any]], draft: _Draft
    ) -> None:
        """The server says itself whether its validator takes them; documents of ours are no read of data."""
        validator = breaking.strict_validator(collection)
        if validator is None or collection.options.get("collation") or self._has_new_validator(collection.name):
            return
        pipeline: list[Document] = [{"$documents": list(documents)}, {"$match": {"$nor": [validator]}}, {"$limit": 1}]
        if self._facts.on_server(pipeline, f"whether the validator of {collection.name} takes the new documents"):
            draft.risk("will-fail", f"the validator of {collection.name} refuses a new document")

    def _aggregate(self, body: Mapping[str, Any], draft: _Draft) -> None:
        pipeline = body.get("pipeline") or [{}]
        target, source = target_of(pipeline[-1]), str(body["aggregate"])
        if not target:
            return
        into = self._live(target)
        collection = self._live(source)
        counted = documents = None
        if collection is not None:
            match = pipeline[0].get("$match", {})
            as_now = self._changes.leave(source, of_query(match))
            counted = self._facts.matched(collection, match).documents if as_now else None
            documents = collection.documents if counted is None else counted
        if self._is_refused(target, draft):
            return
        self._refuse_target(pipeline, collection, into, draft)
        if "$out" in pipeline[-1] and into is not None and into.documents and target not in self._aside:
            draft.risk("destroys-data", f"about {into.documents:,} documents of {target}, which $out replaces")
        if documents:
            verb = Verb.CHANGES if into is not None else Verb.ADDS
            draft.work.append(Work(verb, target, documents, None, exact=False, unit=_UNIT))
            writing = costs.write(documents, len(into.indexes) if into is not None else 1)
            finding = costs.read(collection.documents if collection else documents)
            draft.spans.append(costs.both(finding, writing, counted))
            average = (into or collection).average if (into or collection) else _DELTA  # type: ignore[union-attr]
            draft.oplog += documents * max(average, _DELTA)
            if documents > MANY:
                draft.risk("changes-many", f"about {documents:,} documents of {target} in one command")
        if into is None:
            self._make(target)
        self._changes.set_fields(target, [ALL])
        self._changes.add(target)

    def _refuse_target(
        self,
        pipeline: Sequence[Document],
        collection: live.Collection | None,
        into: live.Collection | None,
        draft: _Draft,
    ) -> None:
        """Why $merge or $out would fail."""
        last, stages = pipeline[-1], list(pipeline[:-1])
        names = [one.name for one in (collection, into) if one is not None]
        if collection is None or any(self._changes.has_any(name) for name in names):
            return
        merge, target = last.get("$merge"), target_of(last)
        known = (into is not None or not self._facts.is_there(target)) and target not in self._made
        if isinstance(merge, Mapping) and not isinstance(merge["into"], Mapping):
            if known and not self._has_new_indexes(target):
                _tell(draft, "will-fail", breaking.merge_refused(self._facts, collection, stages, into, merge))
        elif "$out" in last and into is not None and not self._has_new_validator(into.name):
            _tell(draft, "will-fail", breaking.out_refused(self._facts, collection, stages, into))

    # ---- collections

    def _create(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["create"])
        if self._facts.is_there(name) and name not in self._gone | self._made:
            options = {key: value for key, value in body.items() if key in _CREATE_OPTIONS}
            if options or self._facts.options(name) or self._facts.major < _SAME_IS_FINE:
                draft.risk("will-fail", f"{name} exists")
        self._make(name)

    def _drop(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["drop"])
        collection = self._live(name)
        if collection is not None:
            self._lose(collection, draft)
            draft.risk("breaks-application", f"code that uses {name} finds nothing")
        self._remove(name)

    def _lose(self, collection: live.Collection, draft: _Draft) -> None:
        if collection.documents and collection.name not in self._aside:
            number = f"{collection.documents:,} documents"
            draft.risk("destroys-data", f"{number} of {collection.name}, which nothing keeps")

    def _cap(self, body: Mapping[str, Any], draft: _Draft) -> None:
        """convertToCapped: the oldest documents go that do not fit, and so do the indexes."""
        name = str(body["convertToCapped"])
        collection = self._live(name)
        if collection is None:
            if not self._facts.is_there(name) and name not in self._made:
                draft.risk("will-fail", f"{name} is not there")
            return
        if collection.size > int(body.get("size", 0)) and name not in self._aside:
            draft.risk("destroys-data", f"documents of {name}, whose {collection.size:,} bytes do not fit into it")
        indexes_gone = [str(one["name"]) for one in collection.indexes if one["name"] != "_id_"]
        if indexes_gone:
            draft.risk("breaks-application", f"{name} loses its indexes: {', '.join(indexes_gone)}")
        draft.work.append(Work(Verb.REWRITES, name, collection.documents, collection.size, exact=False, unit=_UNIT))
        draft.spans.append(costs.write(collection.documents, 1))
        self._changes.remove(name)

    def _drop_database(self, body: Mapping[str, Any], draft: _Draft) -> None:
        draft.risk("destroys-data", "the whole database")

    def _rename(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name, target = (str(body[key]).partition(".")[2] for key in ("renameCollection", "to"))
        collection, into = self._live(name), self._live(target)
        is_there = target in self._made or (target not in self._gone and self._facts.is_there(target))
        if is_there and (into is None or not body.get("dropTarget")) and not (into is None and body.get("dropTarget")):
            draft.risk("will-fail", f"{target} exists")
        elif into is not None:
            self._lose(into, draft)
        if collection is None and not self._facts.is_there(name) and name not in self._made:
            draft.risk("will-fail", f"{name} is not there")
        elif collection is not None and not target.startswith(self._stash):
            draft.risk("breaks-application", f"{name} is {target} then: code that names it as it is now finds nothing")
        self._remove(name)
        self._make(target)

    def _modify(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["collMod"])
        if not self._facts.is_there(name) and name not in self._made:
            draft.risk("will-fail", f"{name} is not there")
        collection = self._live(name)
        if collection is None:
            return
        if {"validator", "validationLevel", "validationAction"} & body.keys():
            self._modified.add(name)
        validator = body.get("validator")
        strict = body.get("validationAction", collection.options.get("validationAction", "error")) == "error"
        if (
            validator
            and strict
            and self._changes.leave(name, of_query(validator))
            and collection.size <= live.MOST_BYTES
        ):
            about = f"whether all documents of {name} keep the validator"
            if self._facts.first(name, [{"$match": {"$nor": [validator]}}, {"$limit": 1}], about) is not None:
                draft.risk("breaks-application", f"{name} has documents against the validator: updates of them fail")
        index = body.get("index") or {}
        if index and collection.indexes and not indexes.known(collection, index) and not self._has_new_indexes(name):
            draft.risk("will-fail", f"{name} has no index {index.get('name') or dict(index.get('keyPattern', {}))}")
        if index.get("unique") and (known := indexes.known(collection, index)):
            _tell(draft, "will-fail", indexes.duplicates(self._facts, collection, known))
        if "expireAfterSeconds" in index and (known := indexes.known(collection, index)):
            _tell(draft, "destroys-data", indexes.expired(self._facts, collection, known, index))

    # ---- indexes

    def _create_indexes(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name = str(body["createIndexes"])
        if self._is_refused(name, draft):
            return
        collection = self._live(name)
        for index in body.get("indexes", []):
            _tell(draft, "will-fail", breaking.kind_refused(index))
        if collection is None:
            if not self._facts.is_there(name):
                self._make(name)
            return
        new = []
        for index in body.get("indexes", []):
            if "text" in index["key"].values():
                there = breaking.text_index(collection, self._indexes_gone_of(name))
                if there is not None and breaking.same_text(there, index):
                    continue
                if there is not None:
                    draft.risk("will-fail", f"{name} has an index for texts already, {there['name']}")
                    continue
            gone = (name, str(index["name"])) in self._indexes_gone
            same = [one for one in collection.indexes if one["name"] == index["name"] and not gone]
            if same and list(same[0]["key"].items()) == list(index["key"].items()):
                if not indexes.alike(same[0], index) or same[0].get(_TTL) != index.get(_TTL):
                    draft.risk("will-fail", f"{name} has an index {index['name']} with other options")
                continue
            if same:
                draft.risk("will-fail", f"{name} has an index {index['name']} with another key")
            elif (twin := indexes.twin(collection, index)) and (name, twin) not in self._indexes_gone:
                draft.risk("will-fail", f"{name} has this index already, as {twin}")
            new.append(index)
            self._indexes.add((name, str(index["name"])))
            if (
                collection.documents
                and not breaking.kind_refused(index)
                and self._changes.leave(name, [key.partition(".")[0] for key in index["key"]])
            ):
                if index.get("unique"):
                    _tell(draft, "will-fail", indexes.duplicates(self._facts, collection, index))
                _tell(draft, "will-fail", breaking.documents_refused(self._facts, collection, index))
                if "expireAfterSeconds" in index:
                    _tell(draft, "destroys-data", indexes.expired(self._facts, collection, index, index))
        if new and collection.documents:
            names = ", ".join(str(index["name"]) for index in new)
            draft.work.append(
                Work(Verb.BUILDS, f"{names} on {name}", collection.documents, collection.size, exact=False, unit=_UNIT)
            )
            draft.spans.append(costs.build(collection.documents, len(new)))

    def _drop_indexes(self, body: Mapping[str, Any], draft: _Draft) -> None:
        name, given = str(body["dropIndexes"]), body.get("index")
        collection = self._live(name)
        if collection is None or given == "*":
            self._indexes_gone |= {(name, str(one["name"])) for one in collection.indexes} if collection else set()
            return
        if isinstance(given, Mapping):
            found = indexes.known(collection, {"keyPattern": given})
            if found is None and not self._has_new_indexes(name) and collection.indexes:
                draft.risk("will-fail", f"{name} has no index with the key {dict(given)}")
            self._indexes_gone |= {(name, str(found["name"]))} if found else set()
            return
        for index in given if isinstance(given, list) else [str(given)]:
            if index == "_id_":
                draft.risk("will-fail", f"the index _id_ of {name} cannot be dropped")
            elif (name, index) not in self._indexes and all(one["name"] != index for one in collection.indexes):
                draft.risk("will-fail", f"{name} has no index {index}")
            self._indexes_gone.add((name, str(index)))

    def _has_new_indexes(self, name: str) -> bool:
        return any(collection == name for collection, _ in self._indexes)

    # ---- what the plan has done

    def _make(self, name: str) -> None:
        self._made.add(name)
        self._gone.discard(name)

    def _remove(self, name: str) -> None:
        self._gone.add(name)
        self._made.discard(name)

    # ---- the step as a whole

    def _whole_step(self, drafts: Sequence[_Draft], commands: Sequence[Command]) -> None:
        """The oplog, transactions, and what is running now: for the command that does most."""
        if not any(draft.work for draft in drafts):
            return
        heavy = max(drafts, key=lambda draft: draft.oplog)
        written = sum(draft.oplog for draft in drafts)
        transactions: dict[str, int] = {}
        for draft, (_, body) in zip(drafts, commands, strict=True):
            if body.get("autocommit") is False:
                key = f"{body.get('lsid')} {body.get('txnNumber')}"
                transactions[key] = transactions.get(key, 0) + draft.oplog
        if transactions and max(transactions.values()) > _TRANSACTION_BYTES:
            size = max(transactions.values()) // 1024**2
            heavy.risk("large-transaction", f"one transaction writes about {size:,} MB into the oplog")
        if written < _TRANSACTION_BYTES:
            return
        window = self._oplog()
        if window is not None and written > window[0] / 2:
            sizes = f"{written // 1024**2:,} MB into an oplog of {window[0] // 1024**2:,} MB"
            heavy.risk("oplog-window", f"it may write {sizes}, which holds {window[1]:.0f} h now")
        self._replicas(heavy)

    def _oplog(self) -> tuple[int, float] | None:
        """The size of the oplog in bytes, and the hours that it holds; None where that is not known."""
        if not self._asked_window:
            self._asked_window = True
            about = "whether the oplog has room for it"
            stats = self._facts.ask(about, {"collStats": "oplog.rs"}, "local")
            ends = [
                self._facts.ask("", {"find": "oplog.rs", "sort": {"$natural": order}, "limit": 1}, "local")
                for order in (1, -1)
            ]
            if stats and all(ends):
                first, last = (end["cursor"]["firstBatch"][0]["ts"].time for end in ends if end)
                self._window = int(stats.get("maxSize", 0)), (last - first) / 3600
        return self._window

    def _replicas(self, draft: _Draft) -> None:
        status = self._facts.ask("", {"replSetGetStatus": 1}, "admin")
        members = (status or {}).get("members", [])
        newest = max((member["optimeDate"] for member in members if "optimeDate" in member), default=None)
        for member in members:
            if newest is not None and member.get("stateStr") == "SECONDARY":
                behind = (newest - member["optimeDate"]).total_seconds()
                if behind > LAG_SECONDS:
                    draft.risk("replica-behind", f"the secondary {member['name']} is {behind:,.0f} s behind")


def _tell(draft: _Draft, hazard: str, text: str) -> None:
    if text:
        draft.risk(hazard, text)


def _put_aside(commands: Sequence[Command], stash: str) -> Collection[str]:
    """The collections of which a step keeps documents."""
    found = set[str]()
    for name, body in commands:
        if name == "aggregate" and target_of((body.get("pipeline") or [{}])[-1]).startswith(stash):
            found.add(str(body["aggregate"]))
        elif name == "renameCollection" and str(body.get("to", "")).partition(".")[2].startswith(stash):
            found.add(str(body["renameCollection"]).partition(".")[2])
    return found


_HARMLESS = frozenset(
    {"commitTransaction", "abortTransaction", "refreshSessions", "setProfiling", "profile", "analyze"}
)
"""Commands that change nothing of the application's data."""

Handler = Callable[[Foresight, Mapping[str, Any], _Draft], None]

_HANDLERS: dict[str, Handler] = {
    "update": Foresight._update,
    "delete": Foresight._delete,
    "findAndModify": Foresight._find_and_modify,
    "insert": Foresight._insert,
    "aggregate": Foresight._aggregate,
    "create": Foresight._create,
    "drop": Foresight._drop,
    "dropDatabase": Foresight._drop_database,
    "renameCollection": Foresight._rename,
    "collMod": Foresight._modify,
    "convertToCapped": Foresight._cap,
    "createIndexes": Foresight._create_indexes,
    "dropIndexes": Foresight._drop_indexes,
}

__all__ = ["Command", "Foresight"]
