"""How fast the MongoDB history is, migration by migration, beside a floor measured in the same run.

    .venv/bin/python script/bench/mongo.py [--accounts 1000 10000 100000] [--url mongodb://localhost:27017/]

For every number of accounts: fills a database with that many (ten ledger entries, three invoices and one and a half
lightning payments each), applies the 38 migrations, stash included, rolls all of them back, and drops the database.
Beside each migration stands its floor: the time of one `updateMany` that sets one field in the documents that it
changes, inserts or indexes, just before (for inserted ones: after) the migration. Peak memory is that of this
process, which is the client. Without --url it starts a MongoDB of its own. Machines differ and are noisy: read the
ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import mongodb_server  # noqa: E402
from tests.seed import HISTORY, TYPO, seed  # noqa: E402

Document = dict[str, Any]
Place = tuple[str, Document]

DATABASE = "dataops_bench"
LEDGER = "medici_transactions"
THERE: Document = {"$exists": True}
MISSING: Document = {"$exists": False}
ROLES = {"role": {"$in": ["dealer", "funder", "bankowner"]}}

BEFORE: Mapping[int, Sequence[Place]] = {
    1: [("users", {"walletPublicId": MISSING})],
    2: [("users", {"coordinate": THERE, "coordinates": MISSING})],
    3: [("users", {"walletPublicId": THERE}), (LEDGER, {"account_path": "Liabilities"}), ("invoiceusers", {})],
    4: [("users", {"walletId": THERE})],
    5: [("users", {})],
    6: [("invoiceusers", {"currency": MISSING})],
    8: [("users", {})],
    9: [("lnpayments", {"milliSatsAmount": {"$type": "string"}})],
    10: [("users", {"statusHistory": MISSING})],
    11: [(LEDGER, {"type": {"$in": ["payment", "fee_reimbursement"]}})],
    12: [(LEDGER, {"type": "fee_reimbursement"})],
    13: [("users", ROLES)],
    17: [("accounts", {})],
    18: [("phonecodes", {})],
    19: [(LEDGER, {"type": "onchain_payment", "centsAmount": THERE})],
    20: [(LEDGER, {"type": "onchain_payment", "satsAmount": MISSING})],
    21: [(LEDGER, {"type": {"$in": ["invoice", "onchain_receipt"]}, "satsAmount": MISSING})],
    22: [(LEDGER, {"type": {"$in": ["on_us", "onchain_on_us"]}, "satsAmount": MISSING})],
    23: [(LEDGER, {"new_address_request_id": THERE})],
    24: [("accounts", {"depositFeeRatio": THERE})],
    25: [("accounts", {"$or": [{"lastIPs": THERE}, {"lastConnection": THERE}]})],
    26: [("users", {"deletedPhone": THERE})],
    27: [("accounts", {})],
    28: [("wallets", {}), ("accountips", {})],
    29: [("accounts", {"earn": TYPO})],
    30: [("invoiceusers", {"processingCompleted": MISSING})],
    31: [("accounts", {"withdrawFee": THERE})],
    33: [("accounts", {"earn": THERE})],
    35: [("accounts", {"$or": [{"title": THERE}, {"coordinates": THERE}]})],
    36: [("invoiceusers", {"externalId": MISSING})],
    37: [(LEDGER, {})],
    38: [("invoiceusers", {"accountId": MISSING})],
}
AFTER: Mapping[int, Sequence[Place]] = {
    4: [("wallets", {"currency": "BTC"})],
    14: [(LEDGER, {"type": {"$in": ["self_trade", "ln_self_trade", "onchain_self_trade"]}})],
    16: [("users", {})],
    25: [("accountips", {})],
    32: [("quizzes", {})],
    34: [("merchants", {})],
}


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def floor(db: Database[Document], places: Sequence[Place]) -> tuple[float, int]:
    """Seconds and documents of a bare pass over these; afterwards they are what they were."""
    seconds, documents = 0.0, 0
    for collection, match in places:
        began = time.perf_counter()
        documents += db[collection].update_many(match, {"$set": {"bench": 1}}).modified_count
        seconds += time.perf_counter() - began
        db[collection].update_many({"bench": 1}, {"$unset": {"bench": ""}})
    return seconds, documents


def forget_peak() -> None:
    with suppress(OSError):  # not Linux, or not allowed: the peak is then that since the start
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Peak memory in MB since `forget_peak`."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_" + name, ROOT / "mongo_migrations" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(name: str, documents: int, seconds: float, lowest: float, memory: float) -> str:
    rate = f"{documents / seconds:,.0f}" if documents else ""
    times = f"{seconds / lowest:.1f}" if lowest > 0.001 else ""
    return f"{name[:44]:44} {documents:>10,} {seconds:9.3f} {rate:>10} {lowest:9.3f} {times:>6} {memory:8.0f}"


def bench(db: Database[Document], accounts: int) -> None:
    db.client.drop_database(db.name)
    seconds = timed(lambda: seed(db, accounts))
    documents = sum(db[name].estimated_document_count() for name in db.list_collection_names())
    print(f"\n{accounts:,} accounts, {documents:,} documents, seeded in {seconds:.1f} s\n")
    head = ("migration", "documents", "seconds", "per second", "floor", "times", "peak MB")
    print("{:44} {:>10} {:>9} {:>10} {:>9} {:>6} {:>8}".format(*head), flush=True)
    modules = {name: load(name) for name in HISTORY}
    rows: list[tuple[int, float, float, float]] = []
    for number, (name, module) in enumerate(modules.items(), start=1):
        lowest, changed = floor(db, BEFORE.get(number, ()))
        forget_peak()
        seconds = timed(partial(module.upgrade, db))
        memory = peak()
        more, inserted = floor(db, AFTER.get(number, ()))
        rows.append((changed + inserted, seconds, lowest + more, memory))
        print(line(name, *rows[-1]), flush=True)
    counts, times, floors, peaks = zip(*rows, strict=True)
    print(line("all", sum(counts), sum(times), sum(floors), max(peaks)))
    print(f"{sum(times) / accounts * 1000:.2f} ms an account", flush=True)
    forget_peak()
    back = [(timed(partial(module.downgrade, db)), name) for name, module in reversed(modules.items())]
    seconds = sum(seconds for seconds, _ in back)
    slowest = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in sorted(back, reverse=True)[:3])
    print(f"rolled back in {seconds:.1f} s, peak {peak():.0f} MB; slowest: {slowest}", flush=True)
    db.client.drop_database(db.name)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    if url:
        yield url
    else:
        with mongodb_server() as own:
            yield own.url()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=[1_000, 10_000, 100_000], metavar="N")
    parser.add_argument("--url", help=f"an existing server; its database {DATABASE} is dropped")
    arguments = parser.parse_args()
    client: MongoClient[Document]
    with server(arguments.url) as url, MongoClient(url) as client:
        for accounts in arguments.accounts:
            bench(client[DATABASE], accounts)


if __name__ == "__main__":
    main()
