"""How fast the MongoDB history is, migration by migration, beside a floor measured in the same run.

    .venv/bin/python script/bench/mongo.py [--accounts 1000 10000 100000] [--runs 5] [--data /mnt/disk]

For every number of accounts: fills a database with that many (ten ledger entries, three invoices and one and a half
lightning payments each), applies the 38 migrations, stash included, rolls all of them back, and drops the database.
Beside each migration stands its floor: the time of one `updateMany` that sets one field in the documents that it
changes, inserts or indexes, just before (for inserted ones: after) the migration. "cpu" is the processor time of the
whole server meanwhile, in seconds, which says more than the clock where others use the machine too. Peak memory is that
of this process, which is the client. Machines differ and are noisy: read the ratios, and with --runs the medians.

Without --url it starts a MongoDB of its own: a replica set of one, with the cache and the oplog of a production server
(--cache, --oplog), and its data in --data. The first lines say on what the data lies: a disk, or memory, is half of the
answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
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


def processor(client: MongoClient[Document]) -> float:
    """Seconds for which the server has used a processor since it began; 0 where it does not say, as on macOS."""
    used = client.admin.command("serverStatus")["extra_info"]
    return float(used.get("user_time_us", 0) + used.get("system_time_us", 0)) / 1e6


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


def line(name: str, documents: int, seconds: float, cpu: float, lowest: float, memory: float) -> str:
    rate = f"{documents / seconds:,.0f}" if documents else ""
    times = f"{seconds / lowest:.1f}" if lowest > 0.001 else ""
    return (
        f"{name[:44]:44} {documents:>10,} {seconds:9.3f} {cpu:7.2f} {rate:>10} {lowest:9.3f} {times:>6} {memory:8.0f}"
    )


def about(client: MongoClient[Document]) -> Iterator[str]:
    """What the server says of itself, and on what its data lies, as far as this machine knows."""
    admin = client.admin
    hello, status = admin.command("hello"), admin.command("serverStatus")
    folder = admin.command("getCmdLineOpts")["parsed"].get("storage", {}).get("dbPath", "an unknown folder")
    cache = status["wiredTiger"]["cache"]["maximum bytes configured"] / (1 << 30)
    oplog = "no oplog"
    if "setName" in hello:
        [size] = client["local"]["oplog.rs"].aggregate([{"$collStats": {"storageStats": {}}}])
        oplog = f"an oplog of {size['storageStats']['maxSize'] / (1 << 30):.2f} GB"
    kind = f"replica set {hello['setName']}" if "setName" in hello else "standalone"
    yield f"MongoDB {status['version']}, {kind}, a cache of {cache:.2f} GB, {oplog}"
    yield f"data in {folder}, which is {filesystem(Path(folder))}"
    yield f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def filesystem(folder: Path) -> str:
    """The file system that holds the folder, such as `ext4 on /dev/vda1`; memory is said to be memory."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        real = folder.resolve(strict=True)
    except OSError:
        return "not on this machine, or not Linux"
    above = [mount for mount in mounts if real.is_relative_to(mount[4].replace("\\040", " "))]
    *_, kind, source, _ = max(above, key=lambda mount: len(mount[4]))
    return f"memory ({kind})" if kind in ("tmpfs", "ramfs") else f"{kind} on {source}"


def bench(db: Database[Document], accounts: int) -> tuple[float, float, float]:
    """One round, printed line by line. Returns the seconds of all migrations, of all floors and of the way back."""
    db.client.drop_database(db.name)
    seconds = timed(lambda: seed(db, accounts))
    documents = sum(db[name].estimated_document_count() for name in db.list_collection_names())
    print(f"\n{accounts:,} accounts, {documents:,} documents, seeded in {seconds:.1f} s\n")
    head = ("migration", "documents", "seconds", "cpu", "per second", "floor", "times", "peak MB")
    print("{:44} {:>10} {:>9} {:>7} {:>10} {:>9} {:>6} {:>8}".format(*head), flush=True)
    modules = {name: load(name) for name in HISTORY}
    rows: list[tuple[int, float, float, float, float]] = []
    for number, (name, module) in enumerate(modules.items(), start=1):
        lowest, changed = floor(db, BEFORE.get(number, ()))
        forget_peak()
        used = processor(db.client)
        seconds = timed(partial(module.upgrade, db))
        used = processor(db.client) - used
        memory = peak()
        more, inserted = floor(db, AFTER.get(number, ()))
        rows.append((changed + inserted, seconds, used, lowest + more, memory))
        print(line(name, *rows[-1]), flush=True)
    counts, times, cpus, floors, peaks = zip(*rows, strict=True)
    print(line("all", sum(counts), sum(times), sum(cpus), sum(floors), max(peaks)))
    print(f"{sum(times) / accounts * 1000:.2f} ms an account", flush=True)
    forget_peak()
    used = processor(db.client)
    back = [(timed(partial(module.downgrade, db)), name) for name, module in reversed(modules.items())]
    seconds = sum(seconds for seconds, _ in back)
    slowest = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in sorted(back, reverse=True)[:3])
    used = processor(db.client) - used
    print(f"rolled back in {seconds:.1f} s, cpu {used:.1f} s, peak {peak():.0f} MB; slowest: {slowest}", flush=True)
    db.client.drop_database(db.name)
    return sum(times), sum(floors), seconds


@contextmanager
def server(url: str | None, data: Path | None, cache: float, oplog: int) -> Iterator[str]:
    if url:
        yield url
        return
    if data:
        tempfile.tempdir = str(data)
    options = (f"--wiredTigerCacheSizeGB={cache}", f"--oplogSize={oplog}")
    with mongodb_server(replica_set=True, options=options) as own:
        yield own.url()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=[1_000, 10_000, 100_000], metavar="N")
    parser.add_argument("--url", help=f"an existing server; its database {DATABASE} is dropped")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where the data of our own server lies")
    parser.add_argument("--cache", type=float, default=2, metavar="GB", help="the cache of our own server (2)")
    parser.add_argument("--oplog", type=int, default=2048, metavar="MB", help="the oplog of our own server (2048)")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="do all of it so many times, for medians (1)")
    arguments = parser.parse_args()
    client: MongoClient[Document]
    with (
        server(arguments.url, arguments.data, arguments.cache, arguments.oplog) as url,
        MongoClient(url) as client,
    ):
        print(*about(client), sep="\n", flush=True)
        for accounts in arguments.accounts:
            rounds = [bench(client[DATABASE], accounts) for _ in range(arguments.runs)]
            up, lowest, back = map(median, zip(*rounds, strict=True))
            times = median(one / floor for one, floor, _ in rounds)
            print(
                f"\nmedian of {len(rounds)} at {accounts:,} accounts: {up:.1f} s, floors {lowest:.1f} s, "
                f"{times:.1f} times; rolled back in {back:.1f} s; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
