"""A MongoDB as it stood before the first migration, in any size, the same for the same seed.

`seed()` fills an empty database with the collections of September 2021: users, invoiceusers,
lnpayments, medici_transactions, phonecodes, and a few early `wallets`. Fields that the application
added later and that a migration touches (lastIPs, earn, uuid, ...) are there from the start, because
the history carries them to where they are met. An account brings ten ledger entries, three invoices
and one and a half lightning payments. Documents are made and sent in batches, so memory does not grow
with their number: the benchmark uses this too.

What cannot be there from the start (a `deletedPhone` in the `users` of #26, say) and what is too odd to
be common is in `odd_shapes(number)`: a handful of documents to insert just before migration `number`,
counted from 1, such that every command of that migration has something to do.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

from bson import ObjectId
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collation import Collation
from pymongo.database import Database

Document = dict[str, Any]
Shapes = dict[str, list[Document]]

BATCH = 1_000
START = datetime(2020, 1, 1, tzinfo=UTC)
TYPO, RIGHT = "moneySocialAggrement", "moneySocialAgreement"

HISTORY = (
    "20210922002129-add-wallet-public-id",
    "20211202002129-coordinate-to-coordinates",
    "20211209211641-use-walletid-for-ledger",
    "20220111173335-separate-wallet-collection",
    "20220118183759-remove-wallet-id-index",
    "20220122121713-add-default-currency-walletinvoices",
    "20220203152515-bootstrap_accounts",
    "20220310000000-add-kratos-user-id",
    "20220406124601-fix-lnpayments-millisats",
    "20220422000000-add-status-history",
    "20220427130214-add-sats-amount-prop-to-payments",
    "20220601191441-fix-reimburse-amounts",
    "20220922030802-update-contact-enabled",
    "20221010162913-add-self-trade-type",
    "2022110622030802-users-to-account",
    "2022113010370802-users-migration-1",
    "2022113010370803-users-migration-2",
    "2022121620560802-remove-phone-code",
    "20230106142545-fix-onchain-send-usd",
    "20230116132109-add-sats-amounts-onchain-payments",
    "20230116162612-add-sats-amounts-to-receipts",
    "20230319091251-add-sats-amounts-to-intraledger",
    "20230603185541-ledger-request-id",
    "20230621225319-remove-deposit-fee-ratio",
    "20230630133505-moving-ip-collection",
    "20230709103710-deleted-phone-to-array",
    "20230807205306-add-uuid-to-accounts",
    "20231009205307-migrate-accounts-to-uuid",
    "20231030191242-fix-earn-typo",
    "20231115193913-add-processing-completed-to-wallet-invoice",
    "20231128111840-re-init-withdraw-fee",
    "20231220170640-quiz-new-collection-1",
    "20231220190840-quiz-new-collection-2",
    "20240130210000-location-migration-1",
    "20240201124500-location-migration-2",
    "20240412030143-add-external-id-to-invoices",
    "20240419021017-add-remove-medici-6-deprecated-indexes",
    "20240424133833-add-account-id-to-invoices",
)
"""The 38 migrations in their order; `odd_shapes` counts them from 1."""

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    "users": (
        IndexModel([("phone", ASCENDING)], unique=True),
        IndexModel([("walletId", ASCENDING)], unique=True, sparse=True),
        IndexModel(
            [("username", ASCENDING)],
            unique=True,
            collation=Collation(locale="en", strength=2),
            partialFilterExpression={"username": {"$type": "string"}},
        ),
        IndexModel([("title", ASCENDING), ("coordinates", ASCENDING)]),
    ),
    "invoiceusers": (IndexModel([("uid", ASCENDING), ("paid", ASCENDING)]),),
    "lnpayments": (IndexModel([("paymentHash", ASCENDING)], unique=True),),
    "phonecodes": (IndexModel([("phone", ASCENDING), ("code", ASCENDING)]),),
    "medici_transactions": (
        IndexModel([("_journal", ASCENDING)]),
        IndexModel([("hash", ASCENDING)]),
        IndexModel([("account_path", ASCENDING)]),
        # the five that #37 drops
        IndexModel(
            [
                ("accounts", ASCENDING),
                ("book", ASCENDING),
                ("datetime", DESCENDING),
                ("timestamp", DESCENDING),
            ]
        ),
        IndexModel([("datetime", DESCENDING), ("timestamp", DESCENDING)]),
        IndexModel([("account_path.0", ASCENDING), ("book", ASCENDING)]),
        IndexModel([("account_path.0", ASCENDING), ("account_path.1", ASCENDING), ("book", ASCENDING)]),
        IndexModel(
            [
                ("account_path.0", ASCENDING),
                ("account_path.1", ASCENDING),
                ("account_path.2", ASCENDING),
                ("book", ASCENDING),
            ]
        ),
    ),
}

_USER, _INVOICE, _PAYMENT, _ENTRY, _JOURNAL, _CODE, _WALLET, _ODD = range(1, 9)


def seed(db: Database[Document], accounts: int, seed: int = 2021, *, wallets: bool = True) -> None:
    """Fill `db`, which has to be empty, with `accounts` accounts and all that belongs to them.

    `wallets=False` leaves out the early dollar wallets, and with them the collection that #4 creates.
    """
    for name, indexes in INDEXES.items():
        db[name].create_indexes(list(indexes))
    _fill(db, "users", (user(i, seed) for i in range(accounts)))
    _fill(db, "invoiceusers", (doc for i in range(accounts) for doc in invoices(i, seed)))
    _fill(db, "lnpayments", (doc for i in range(accounts) for doc in payments(i, seed)))
    _fill(db, "phonecodes", (phone_code(i, seed) for i in range(0, accounts, 20)))
    if wallets:
        _fill(db, "wallets", (dollar_wallet(i, seed) for i in range(0, accounts, 8)))
    _fill(db, "medici_transactions", (doc for i in range(accounts) for doc in entries(i, accounts, seed)))


def odd_shapes(number: int, copies: int = 1) -> Shapes:
    """Documents to insert just before migration `number` (1 to 38), by collection.

    Every copy has ids, phones and hashes of its own, so that copies can live side by side and none of
    them meets a document of `seed()`.
    """
    shapes: Shapes = {}
    for copy in range(copies):
        for name, documents in _ODD_SHAPES[number](_Maker(number, copy)).items():
            shapes.setdefault(name, []).extend(documents)
    return shapes


def _fill(db: Database[Document], name: str, documents: Iterable[Document]) -> None:
    rest = iter(documents)
    while batch := list(islice(rest, BATCH)):
        db[name].insert_many(batch, ordered=False)


# ids: the same for the same kind, number and seed -------------------------------------------------


def _oid(kind: int, number: int, seed: int) -> ObjectId:
    moment = 0x5E0BE100 + number
    return ObjectId(
        moment.to_bytes(4, "big") + bytes((kind,)) + (seed & 0xFFFFFF).to_bytes(3, "big")
        + number.to_bytes(4, "big")
    )  # fmt: skip


def _digest(kind: str, number: int, seed: int) -> bytes:
    return sha256(f"{seed}:{kind}:{number}".encode()).digest()


def _hash(kind: str, number: int, seed: int) -> str:
    return _digest(kind, number, seed).hex()


def _uuid(kind: str, number: int, seed: int) -> str:
    return str(uuid.UUID(bytes=_digest(kind, number, seed)[:16], version=4))


def _when(number: int) -> datetime:
    return START + timedelta(minutes=number % 900_000, milliseconds=number % 1000)


def _present(**fields: Any) -> Document:
    """Only the fields that are there: `...` stands for an absent one, None for a stored null."""
    return {name: value for name, value in fields.items() if value is not ...}


# one account and what belongs to it ---------------------------------------------------------------


def user(i: int, seed: int) -> Document:
    """The i-th user. Every field goes through its shapes with a period of its own."""
    role = {1: "funder", 2: "dealer"}.get(i, "user" if i % 3 else ...)
    return _present(
        _id=_oid(_USER, i, seed),
        phone=f"+1{seed}{i:08d}",
        username=f"user{i}" if i % 4 else ...,
        role=role,
        level=1 + i % 2,
        created_at=_when(i) if i % 13 else ...,
        status=(..., "active", "active", "pending", "locked", None)[i % 6],
        statusHistory=_history(i),
        language=("en", "", "es", ...)[i % 4],
        twilio=_twilio(i) if i % 3 == 0 else ...,
        deviceToken=([f"token{i}"], [], ...)[i % 3],
        contacts=[{"id": f"user{i + 1}", "name": "Ann", "transactionsCount": 1 + i % 3}] if i % 3 == 1 else [],
        contactEnabled=i % 3 != 0,
        title=_title(i),
        coordinate=_coordinate(i),
        coordinates=_coordinates(i),
        earn=_earn(i),
        depositFeeRatio=(..., 0.003, None, 0)[i % 4],
        withdrawFee=(2000, ..., Int64(2000), None)[i % 4],
        lastConnection=_when(i + 7) if i % 3 else ...,
        lastIPs=_last_ips(i, seed),
        kratosUserId=_uuid("kratos", i, seed) if i % 10 != 9 else ...,
        walletPublicId=_wallet_public_id(i, seed),
        onchain=_onchain(i),
        uuid=(..., _uuid("uuid", i, seed), "", None)[i % 4 if i % 12 < 4 else 0],
        id=_uuid("id", i, seed) if i % 24 in (1, 6) else (None if i % 24 == 7 else ...),
    )


def _wallet_public_id(i: int, seed: int) -> Any:
    if i % 8 == 0:
        return _uuid("wallet", i, seed)
    return None if i == 9 else ...


def _title(i: int) -> Any:
    return (f"Shop {i}", f"Shop {i}", "", None, f"Shop {i}", f"Shop {i}", ..., f"Shop {i}", ..., ...)[i % 10]


def _point(i: int) -> Document:
    return {"latitude": round(13 + i % 70 / 7, 5), "longitude": round(-89 - i % 50 / 9, 5)}


def _coordinate(i: int) -> Any:
    kind = i % 10
    if kind in (0, 2, 4):
        return _point(i)
    return None if kind == 1 else ...


def _coordinates(i: int) -> Any:
    kind = i % 20
    if kind in (2, 3, 4, 7, 12, 13):
        return _point(i if kind == 4 else i + 1)
    if kind == 5:
        return {"latitude": 12.5, "longitude": 200.0}
    if kind == 15:
        return {"latitude": "13.1"}
    return None if kind == 8 else ...


def _history(i: int) -> Any:
    if i % 11 == 3:
        return [{"status": "active", "updatedAt": _when(i), "comment": "by hand"}]
    return {4: None, 5: []}.get(i % 11, ...)


def _twilio(i: int) -> Document:
    return {
        "carrier": {
            "error_code": None,
            "mobile_country_code": "706",
            "mobile_network_code": str(i % 5),
            "name": "Carrier",
            "type": "mobile",
        },
        "countryCode": ("SV", "US", "DE")[i % 3],
    }


def _earn(i: int) -> Any:
    return (
        ...,
        ["whatIsBitcoin", "sat", "whereBitcoinExist"],
        ["whatIsBitcoin", TYPO],
        None,
        [TYPO, "sat", TYPO],
        [RIGHT, TYPO, "sat", "sat"],
        [],
    )[i % 7]


def _last_ips(i: int, seed: int) -> Any:
    kind = i % 9
    if kind in (0, 1):
        return ...
    if kind == 2:
        return []
    if kind == 3:
        return None
    return [_ip(i, k, seed, bare=kind == 5 and k == 1) for k in range(kind - 3)]


def _ip(i: int, k: int, seed: int, *, bare: bool) -> Document:
    entry = {"_id": _oid(_USER, i * 8 + k, seed + 1), "ip": f"10.{i % 250}.{i // 250 % 250}.{k % 3}"}
    if bare:
        return entry
    return entry | {
        "provider": "ISP",
        "country": "El Salvador",
        "isoCode": "SV",
        "region": "Libertad",
        "city": "El Zonte",
        "Type": "Residential",
        "asn": f"AS{i % 99}",
        "proxy": k == 1,
        "firstConnection": _when(i),
        "lastConnection": _when(i + k),
    }


def _onchain(i: int) -> Any:
    if i % 5 > 2:
        return [{"pubkey": f"02{i:08x}", "address": f"bc1q{i:08x}{k}"} for k in range(i % 5 - 2)]
    return (..., [], None)[i % 5]


def dollar_wallet(i: int, seed: int) -> Document:
    return {
        "_id": _oid(_WALLET, i, seed),
        "id": _uuid("dollar", i, seed),
        "_accountId": _oid(_USER, i, seed),
        "type": "checking",
        "currency": "USD",
        "onchain": [],
        "__v": 0,
    }


def invoices(i: int, seed: int) -> Iterator[Document]:
    """Three: one whose owner may already be noted as a wallet, one paid, one bare."""
    uid = str(_oid(_USER, i, seed))
    for k in range(3):
        n = 3 * i + k
        yield _present(
            _id=_hash("invoice", n, seed),
            uid=uid,
            timestamp=_when(n),
            selfGenerated=k != 2,
            pubkey=f"02{i % 7:08x}",
            paid=k == 1,
            secret=_hash("secret", n, seed),
            currency="USD" if n % 23 == 5 else (None if n % 23 == 6 else ...),
            walletId="an older wallet" if n % 29 == 3 else ...,
            processingCompleted=(..., ..., ..., ..., True, False, None)[n % 7],
            externalId=(f"order {n}" if n % 31 == 1 else None if n % 31 == 2 else "" if n % 31 == 3 else ...),
        )


def payments(i: int, seed: int) -> Iterator[Document]:
    """One, and for every second account two: amounts as text, as the lightning node gave them."""
    for k in range(1 + i % 2):
        n = 2 * i + k
        amount: Any = (str(1000 * n), 1000 * n, str(2**31 + n), Int64(2**33 + n))[n % 4]
        yield {
            "_id": _oid(_PAYMENT, n, seed),
            "createdAt": _when(n),
            "status": "settled",
            "paymentHash": _hash("payment", n, seed),
            "milliSatsAmount": amount,
            "roundedUpAmount": n,
            "attempts": [],
            "isCompleteRecord": True,
        }


def phone_code(i: int, seed: int) -> Document:
    return {
        "_id": _oid(_CODE, i, seed),
        "phone": f"+1{seed}{i:08d}",
        "code": i % 1_000_000,
        "created_at": _when(i),
    }


_Line = tuple[str, list[str], int | float, int | float]


def entries(i: int, accounts: int, seed: int) -> Iterator[Document]:
    """Ten ledger entries in five journals: an invoice, a payment, its reimbursement, one on chain and one
    between two accounts. For the accounts with a dollar wallet the last is a trade with themselves."""
    me = ["Liabilities", str(_oid(_USER, i, seed))]
    lnd = ["Assets", "Reserve", "Lightning"]
    amount = 1_000 + i % 5_000
    usd = round(amount * 0.00041, 5 if i % 3 else 2)
    paid = _hash("payment", 2 * i, seed)
    fee = i % 40
    common: Document = {"fee": fee, "feeUsd": round(fee * 0.00041, 5), "usd": usd}

    yield from _journal(
        i, 0, seed, "invoice", [("BTC", lnd, 0, amount), ("BTC", me, amount, 0)],
        _present(
            hash=_hash("invoice", 3 * i + 1, seed),
            fee=0 if i % 6 else ...,
            feeUsd=0 if i % 6 else ...,
            usd=usd if i % 9 else ...,
            new_address_request_id=f"request {i}" if i % 50 == 3 else ...,
        ),
    )  # fmt: skip
    yield from _journal(
        i, 1, seed, "payment", [("BTC", me, 0, amount + fee), ("BTC", lnd, amount + fee, 0)],
        _present(hash=paid if i % 15 else "") | common,
    )  # fmt: skip
    yield from _journal(
        i, 2, seed, "fee_reimbursement", [("BTC", lnd, 0, 1 + fee), ("BTC", me, 1 + fee, 0)],
        _present(hash=paid, usd=0.29 if i % 4 else ..., related_journal=_oid(_JOURNAL, 5 * i + 1, seed)),
    )  # fmt: skip
    onchain = "onchain_payment" if i % 2 else "onchain_receipt"
    lines: list[_Line] = [("BTC", me, 0, amount + 0.5), ("BTC", lnd, amount + 0.5, 0)]
    yield from _journal(
        i, 3, seed, onchain, lines if i % 2 else lines[::-1],
        _present(
            hash=_hash("transaction", i, seed),
            new_address_request_id=(..., f"address {i}", None, ...)[i % 4],
            request_id=f"own {i}" if i % 8 in (3, 5) else ...,
            centsAmount=41 if i % 10 == 1 else ...,
            centsFee=3 if i % 10 == 1 else ...,
        ) | common,
    )  # fmt: skip
    if i % 8 == 0:
        bitcoin = ["Liabilities", _uuid("wallet", i, seed)]
        dollar = ["Liabilities", _uuid("dollar", i, seed)]
        yield from _journal(
            i, 4, seed, "on_us", [("BTC", bitcoin, 0, amount), ("USD", dollar, 41, 0)], common
        )  # fmt: skip
    else:
        other = ["Liabilities", str(_oid(_USER, (i + 1) % accounts, seed))]
        own = {"satsAmount": amount, "satsFee": 0, "displayCurrency": "EUR"} if i % 20 == 7 else {}
        yield from _journal(
            i, 4, seed, "on_us" if i % 3 else "ln_on_us",
            [("BTC", me, 0, amount), ("BTC", other, amount, 0)],
            common | own | {"username": f"user{i}"},
        )  # fmt: skip


def _journal(i: int, place: int, seed: int, kind: str, lines: list[_Line], fields: Document) -> Iterator[Document]:
    journal = 5 * i + place
    moment = _when(journal)
    for k, (currency, path, credit, debit) in enumerate(lines):
        yield {
            "_id": _oid(_ENTRY, 2 * journal + k, seed),
            "credit": credit,
            "debit": debit,
            "datetime": moment,
            "timestamp": moment,
            "account_path": path,
            "accounts": ":".join(path),
            "book": "MainBook",
            "memo": "a memo" if i % 2 else "",
            "_journal": _oid(_JOURNAL, journal, seed),
            "voided": False,
            "type": kind,
            "currency": currency,
            "pending": False,
            "feeKnownInAdvance": False,
            **fields,
        }


# odd shapes, migration by migration ---------------------------------------------------------------


class _Maker:
    """Ids and whole documents that belong to one copy of one migration's odd shapes."""

    def __init__(self, number: int, copy: int) -> None:
        self.base = number * 1_000_000 + copy * 1_000
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.base + self.count

    def oid(self) -> ObjectId:
        return _oid(_ODD, self.next(), 0)

    def uuid(self) -> str:
        return _uuid("odd", self.next(), 0)

    def hash(self) -> str:
        return _hash("odd", self.next(), 0)

    def account(self, **fields: Any) -> Document:
        """A user until #15, an account after it. `...` removes a field."""
        n = self.next()
        return _present(
            **{
                "_id": _oid(_ODD, n, 0),
                "phone": f"+9{n}",
                "role": "user",
                "created_at": _when(n),
                "status": "active",
                "kratosUserId": _uuid("kratos of odd", n, 0),
                "username": f"odd{n}",
            }
            | fields
        )

    def late_account(self, **fields: Any) -> Document:
        """An account after #17: the phone has moved to `users`."""
        return self.account(**{"phone": ...} | fields)

    def invoice(self, **fields: Any) -> Document:
        n = self.next()
        return _present(**{"_id": _hash("odd invoice", n, 0), "timestamp": _when(n), "paid": False} | fields)

    def entry(self, kind: Any = "on_us", **fields: Any) -> Document:
        n = self.next()
        return _present(
            **{
                "_id": _oid(_ODD, n, 0),
                "type": kind,
                "currency": "BTC",
                "credit": 0,
                "debit": 0,
                "datetime": _when(n),
                "timestamp": _when(n),
                "account_path": ["Assets", "Reserve", "Lightning"],
                "accounts": "Assets:Reserve:Lightning",
                "book": "MainBook",
                "_journal": _oid(_ODD, n, 1),
                "voided": False,
            }
            | fields
        )

    def wallet(self, owner: Any, currency: str = "BTC", **fields: Any) -> Document:
        return _present(
            **{
                "_id": self.oid(),
                "id": self.uuid(),
                "_accountId": owner,
                "type": "checking",
                "currency": currency,
                "onchain": [],
                "__v": 0,
            }
            | fields
        )

    def user(self, **fields: Any) -> Document:
        """A document of the collection that #16 creates."""
        n = self.next()
        return _present(**{"_id": _oid(_ODD, n, 0), "userId": _uuid("odd user", n, 0), "createdAt": _when(n)} | fields)


def _liability(wallet: Any) -> Document:
    return {"account_path": ["Liabilities", wallet], "accounts": f"Liabilities:{wallet}"}


def _wallet_ids(m: _Maker) -> Shapes:
    return {
        "users": [m.account(walletPublicId=value) for value in (..., None, "", 5, m.uuid(), {"a": 1}, "not a uuid")]
    }


def _coordinate_shapes(m: _Maker) -> Shapes:
    point = {"latitude": 1.5, "longitude": -2}
    return {
        "users": [
            m.account(coordinate=point),
            m.account(coordinate=None),
            m.account(coordinate=None, coordinates=point),
            m.account(coordinate=point, coordinates={"latitude": 9, "longitude": 9}),
            m.account(coordinate=point, coordinates=None),
            m.account(coordinate=point, coordinates=dict(point)),
            m.account(coordinate="13,14"),
            m.account(coordinates=point),
        ]
    }


def _ledger_paths(m: _Maker) -> Shapes:
    owner = m.account(walletPublicId=m.uuid())
    moved = m.account(walletPublicId=m.uuid(), walletId=m.uuid())
    bare = m.account(walletPublicId=..., walletId=m.uuid())
    nobody = m.account(walletPublicId=...)
    text, old = str(owner["_id"]), str(bare["_id"])
    other = str(nobody["_id"])
    backup = {"account_path_old_userid": ["Liabilities", "kept"], "accounts_old_userid": "Liabilities:kept"}
    return {
        "users": [owner, moved, bare, nobody],
        "medici_transactions": [
            m.entry(**_liability(text)),
            m.entry(account_path=["Liabilities", "Customer", text], accounts=f"Liabilities:Customer:{text}"),
            m.entry(account_path=["Assets", text], accounts=f"Assets:{text}"),
            m.entry(**_liability(str(moved["_id"]))),
            m.entry(**_liability(old)),
            m.entry(**_liability(other)),
            m.entry(**_liability("ffffffffffffffffffffffff")),
            m.entry(**_liability(text), **backup),
            m.entry(**_liability(text), account_path_old_userid=["Liabilities", "kept"]),
            m.entry(account_path=["Liabilities"], accounts="Liabilities"),
            m.entry(account_path="Liabilities", accounts="Liabilities"),
            m.entry(account_path=None, accounts=None),
            m.entry(account_path=["Liabilities", text], accounts=...),
            m.entry(account_path=...),
        ],
        "invoiceusers": [
            m.invoice(uid=text),
            m.invoice(uid=text, walletId="an older wallet"),
            m.invoice(uid=text, walletId=None),
            m.invoice(uid=other),
            m.invoice(uid="ffffffffffffffffffffffff"),
            m.invoice(uid=None),
            m.invoice(walletId=m.uuid()),
        ],
    }


def _separate_wallets(m: _Maker) -> Shapes:
    chain = [{"pubkey": "02aa", "address": "bc1qodd"}]
    done = m.account(walletId=m.uuid(), onchain=chain)
    half = m.account(walletId=m.uuid(), onchain=chain)
    return {
        "users": [
            m.account(walletId=m.uuid(), onchain=chain),
            m.account(walletId=m.uuid(), onchain=...),
            m.account(walletId=m.uuid(), onchain=None),
            m.account(walletId=m.uuid(), onchain="bc1q"),
            m.account(walletId=m.uuid(), defaultWalletId=m.uuid(), onchain=[]),
            m.account(walletId=..., defaultWalletId=m.uuid()),
            m.account(walletId=...),
            m.account(walletId=""),
            done | {"defaultWalletId": done["walletId"]},
            half,
        ],
        "wallets": [
            m.wallet(done["_id"], id=done["walletId"], onchain=chain),
            m.wallet(half["_id"], id=half["walletId"]),
            m.wallet(half["_id"], "USD"),
        ],
    }


def _unset_wallets(m: _Maker) -> Shapes:
    ours = m.account(walletId=m.uuid(), walletPublicId=m.uuid(), onchain=[{"pubkey": "a", "address": "b"}])
    return {
        "users": [
            ours | {"defaultWalletId": ours["walletId"]},
            m.account(walletPublicId=None),
            m.account(walletId=...),
            m.account(walletId=m.uuid()),
            m.account(onchain=None),
            m.account(onchain=[]),
            m.account(defaultWalletId=m.uuid()),
        ]
    }


def _invoice_currency(m: _Maker) -> Shapes:
    return {"invoiceusers": [m.invoice(currency=value) for value in (..., "USD", "BTC", None, "", 5)]}


def _bootstrap(m: _Maker) -> Shapes:
    owner = m.account(role="bankowner", defaultWalletId=None)
    return {"users": [owner] if m.base % 1_000_000 == 0 else [], "wallets": [m.wallet(owner["_id"], "USD")]}


def _phones(m: _Maker) -> Shapes:
    return {"users": [m.account(kratosUserId=...), m.account()]}


def _millisats(m: _Maker) -> Shapes:
    values: list[Any] = [
        "1000", "0", "-7", "2147483648", "9223372036854775807", "9223372036854775808", "1.5", "1e3",
        "", " 7 ", "abc", "0x10", 5, Int64(5), 1.25, None, ..., True, ["5"], {"value": "5"},
    ]  # fmt: skip
    return {
        "lnpayments": [
            _present(_id=m.oid(), paymentHash=m.hash(), milliSatsAmount=value, status="settled") for value in values
        ]
    }


def _status_history(m: _Maker) -> Shapes:
    before = [{"status": "new", "updatedAt": START}]
    return {
        "users": [
            m.account(status=...),
            m.account(status=None),
            m.account(status="locked"),
            m.account(status=["odd"]),
            m.account(statusHistory=before),
            m.account(statusHistory=[]),
            m.account(statusHistory=None),
            m.account(statusHistory="active"),
        ]
    }


def _amounts(m: _Maker, kind: str, together: Callable[[Document], Document]) -> list[Document]:
    """Groups of entries for #11 and #20 to #22; `together` gives an entry the key of its group."""

    def group(*documents: Document) -> list[Document]:
        key = together({})
        return [document | key for document in documents]

    def one(**fields: Any) -> Document:
        return m.entry(kind, **{"debit": 1010, "fee": 10, "usd": 1.235, "feeUsd": 0.015} | fields)

    own = {
        "satsAmount": 7, "satsFee": None, "centsAmount": 8, "centsFee": 9, "displayAmount": 10,
        "displayFee": 11, "displayCurrency": "EUR",
    }  # fmt: skip
    return [
        *group(one(), one(debit=0, credit=1010)),
        *group(one(), m.entry("fee"), m.entry("fee_reimbursement", currency="USD", credit=3)),
        *group(one(), one(debit=5, **own), m.entry("fee", **own)),
        *group(one(**own), one(debit=0, credit=1010, **own)),
        *group(one(debit=100.5, fee=0)),
        *group(one(debit=2.5, fee=..., usd=..., feeUsd=...)),
        *group(one(fee=None, usd=None, feeUsd=None)),
        *group(one(fee="10", usd="1.235", feeUsd="none")),
        *group(one(usd=0.005, feeUsd=0), one(usd=0.015, feeUsd=0, debit=2000)),
        *group(one(usd=math.nan, feeUsd=math.inf)),
        *group(one(debit=Int64(5_000_000_000), fee=Int64(1), usd=30_000_000.0)),
        *group(one(debit=-2.5, fee=0, usd=-0.025, feeUsd=0)),
        *group(one(debit=..., credit=5)),
        *group(one(debit="1010"), one(debit=None)),
        *group(one(currency="USD"), one(currency="USD", debit=0, credit=7)),
        *group(one(currency="BTC"), one(currency="USD", debit=123)),
        *group(one(centsAmount=8, displayCurrency="EUR"), one(displayAmount=None, centsFee="x")),
        *group(one(satsAmount=None), one()),
        *group(one(satsAmountMigration=False)),
        *group(one(satsAmountMigration=True, satsFee=4)),
        *group(one(satsAmountMigration=True, **own), one()),
    ]


def _loose(m: _Maker, kind: str, field: str) -> list[Document]:
    """Entries without a group of their own: nothing may join them."""
    values = (..., None, "")
    return [m.entry(kind, debit=1010, fee=10, usd=1.235, feeUsd=0.015, **{field: v}) for v in values]


def _payment_amounts(m: _Maker) -> Shapes:
    entries = [
        *_amounts(m, "payment", lambda _: {"hash": m.hash()}),
        *_loose(m, "payment", "hash"),
        *_loose(m, "fee", "hash"),
        m.entry("payment", debit=10, fee=1, hash=5),
        m.entry("payment", debit=10, fee=1, hash=["a"]),
    ]
    return {"medici_transactions": entries}


def _reimbursements(m: _Maker) -> Shapes:
    kind = "fee_reimbursement"

    def pair(**fields: Any) -> list[Document]:
        h = m.hash()
        return [
            m.entry(kind, hash=h, **{"credit": 5, "debit": 0, "usd": 0.29} | fields),
            m.entry(kind, hash=h, **{"credit": 0, "debit": 5, "usd": 0.29} | fields | {"debit": 5}),
        ]

    old = {"satsAmount": 1, "satsFee": 2, "centsAmount": 3, "centsFee": None, "displayCurrency": "EUR"}
    two = m.hash()
    return {
        "medici_transactions": [
            *pair(),
            *pair(**old),
            *pair(usd=...),
            *pair(usd=None),
            *pair(usd="0.29"),
            *pair(usd=math.nan),
            *pair(currency="USD"),
            *pair(debit=0.0),
            *pair(debit=None),
            *pair(credit=...),
            *pair(credit="5"),
            m.entry(kind, hash=two, credit=7, usd=0.29),
            m.entry(kind, hash=two, credit=9, usd=1.0),
            m.entry("payment", hash=two, debit=7, satsAmount=7),
            *(m.entry(kind, hash=h, credit=7, usd=0.29) for h in (..., None, "")),
        ]
    }


def _contacts(m: _Maker) -> Shapes:
    known = [{"id": "ann", "name": "Ann", "transactionsCount": 3}]
    return {
        "users": [
            m.account(role="funder", contacts=known, contactEnabled=True),
            m.account(role="dealer", contacts=None, contactEnabled=None),
            m.account(role="bankowner", contacts=..., contactEnabled=...),
            m.account(role="funder", contacts=[], contactEnabled=False),
            m.account(role="dealer", contacts="ann"),
            m.account(role="user", contacts=known),
            m.account(role=None, contacts=known),
            m.account(role=..., contacts=known),
        ]
    }


def _self_trades(m: _Maker) -> Shapes:
    ann, bob, house = m.account(), m.account(), m.account(role="dealer")
    btc, usd, btc2 = m.wallet(ann["_id"]), m.wallet(ann["_id"], "USD"), m.wallet(ann["_id"])
    bobs = m.wallet(bob["_id"], "USD")
    house_btc, house_usd = m.wallet(house["_id"]), m.wallet(house["_id"], "USD")
    orphan = m.wallet(m.oid(), "USD")
    documents: list[Document] = []

    def journal(*lines: tuple[str, Any, str], **fields: Any) -> None:
        key = m.oid()
        for currency, wallet, kind in lines:
            where = _liability(wallet["id"]) if isinstance(wallet, dict) else _liability(wallet)
            documents.append(m.entry(kind, _journal=key, currency=currency, **where | fields))

    for kind in ("on_us", "ln_on_us", "onchain_on_us", "xx_on_us_yy"):
        journal(("BTC", btc, kind), ("USD", usd, kind), ("BTC", house_btc, kind), ("USD", house_usd, kind))
    journal(("BTC", btc, "on_us"), ("USD", usd, "on_us"), ("BTC", house_btc, "fee"))
    journal(("BTC", btc, "on_us"), ("USD", usd, "on_us"), type_old="before")
    journal(("BTC", btc, "on_us"), ("USD", bobs, "on_us"))
    journal(("BTC", btc, "on_us"), ("USD", "no such wallet", "on_us"))
    journal(("BTC", btc, "on_us"), ("USD", orphan, "on_us"))
    journal(("USD", btc, "on_us"), ("USD", usd, "on_us"))
    journal(("BTC", btc, "on_us"), ("USD", usd, "on_us"), ("BTC", btc2, "on_us"))
    journal(("BTC", btc, "on_us"), ("BTC", btc2, "on_us"))
    journal(("BTC", btc, "self_trade"), ("USD", usd, "self_trade"), type_old="on_us")
    journal(("BTC", house_btc, "on_us"), ("USD", house_usd, "on_us"))
    journal(("BTC", btc, "payment"), ("USD", usd, "on_us"))
    documents.append(m.entry("on_us", _journal=..., currency="USD", **_liability(usd["id"])))
    documents.append(m.entry("on_us", _journal=..., currency="BTC", **_liability(btc["id"])))
    documents.append(m.entry(None, currency="USD"))
    return {
        "users": [ann, bob, house],
        "wallets": [btc, usd, btc2, bobs, house_btc, house_usd, orphan],
        "medici_transactions": documents,
    }


def _accounts_to_be(m: _Maker) -> Shapes:
    return {"users": [m.account(), m.account(phone=...)]}


def _user_sources(m: _Maker) -> Shapes:
    full = {"twilio": _twilio(3), "language": "es", "deviceToken": ["token"]}
    twin = m.account(**full)
    return {
        "accounts": [
            m.account(**full),
            m.account(phone=..., **full),
            m.account(twilio=None, language=None, deviceToken=None),
            m.account(kratosUserId=..., **full),
            m.account(kratosUserId=None, phone=...),
            m.account(kratosUserId="", phone=...),
            m.account(created_at=...),
            m.account(created_at=None, twilio="SV", deviceToken="token"),
            twin,
            m.account(kratosUserId=twin["kratosUserId"], language="de"),
        ]
    }


def _user_fields(m: _Maker) -> Shapes:
    full = {"twilio": _twilio(3), "language": "es", "deviceToken": ["token"]}
    return {
        "accounts": [
            m.account(**full),
            m.account(kratosUserId=..., **full),
            m.account(phone=..., twilio=None),
            m.account(phone=..., kratosUserId=None, language=None),
        ]
    }


def _phone_codes(m: _Maker) -> Shapes:
    return {"phonecodes": [{"_id": m.oid(), "phone": f"+9{m.next()}", "code": 1, "created_at": START}]}


def _onchain_usd(m: _Maker) -> Shapes:
    kind = "onchain_payment"
    pairs: list[tuple[Any, Any]] = [
        (100, 23), (2, 0.5), (Int64(7), 0), (None, 5), (5, None), (..., 5), (5, ...), ("5", 5), (math.nan, 1),
    ]  # fmt: skip
    entries = [m.entry(kind, centsAmount=a, centsFee=f, usd=9.99) for a, f in pairs]
    entries += [
        m.entry(kind, centsAmount=1, centsFee=1, usd=...),
        m.entry(kind, centsAmount=1, centsFee=1, usd=None),
        m.entry(kind, centsAmount=1, centsFee=1, usd="0.02"),
        m.entry(kind, centsAmount=1, centsFee=1, usd=0.02),
        m.entry("payment", centsAmount=1, centsFee=1, usd=9.99),
    ]
    return {"medici_transactions": entries}


def _onchain_amounts(m: _Maker) -> Shapes:
    return {
        "medici_transactions": [
            *_amounts(m, "onchain_payment", lambda _: {"hash": m.hash()}),
            *_loose(m, "onchain_payment", "hash"),
            *_loose(m, "fee", "hash"),
            m.entry("onchain_payment", debit=10, fee=1, hash=5),
        ]
    }


def _receipt_amounts(m: _Maker) -> Shapes:
    return {
        "medici_transactions": [
            *_amounts(m, "invoice", lambda _: {"_journal": m.oid()}),
            *_amounts(m, "onchain_receipt", lambda _: {"_journal": m.oid()}),
            *_loose(m, "invoice", "_journal"),
            *_loose(m, "fee", "_journal"),
            *_mixed(m, "invoice", "on_us"),
        ]
    }


def _intraledger_amounts(m: _Maker) -> Shapes:
    return {
        "medici_transactions": [
            *_amounts(m, "on_us", lambda _: {"_journal": m.oid()}),
            *_amounts(m, "onchain_on_us", lambda _: {"_journal": m.oid()}),
            *_amounts(m, "ln_on_us", lambda _: {"_journal": m.oid()}),
            *_loose(m, "on_us", "_journal"),
            *_loose(m, "fee", "_journal"),
            *_mixed(m, "on_us", "self_trade"),
        ]
    }


def _mixed(m: _Maker, one: str, other: str) -> list[Document]:
    """A journal of two types, and a hash that goes over two journals."""
    journal, second, shared = m.oid(), m.oid(), m.hash()
    return [
        m.entry(one, _journal=journal, debit=20),
        m.entry(other, _journal=journal, debit=30),
        m.entry(one, _journal=second, hash=shared, debit=40),
        m.entry(other, _journal=m.oid(), hash=shared, debit=50),
    ]


def _request_ids(m: _Maker) -> Shapes:
    return {
        "medici_transactions": [
            m.entry(new_address_request_id="a"),
            m.entry(new_address_request_id="a", request_id="b"),
            m.entry(new_address_request_id="a", request_id=None),
            m.entry(new_address_request_id=None),
            m.entry(new_address_request_id=None, request_id="b"),
            m.entry(new_address_request_id=["a", 1]),
            m.entry(request_id="b"),
            m.entry(request_id=None),
        ]
    }


def _deposit_fee(m: _Maker) -> Shapes:
    values: tuple[Any, ...] = (..., None, 0, 0.003, Int64(1), "1", {"ratio": 1})
    return {"accounts": [m.late_account(depositFeeRatio=value) for value in values]}


def _ips(m: _Maker) -> Shapes:
    def ip(address: Any, **fields: Any) -> Document:
        return _present(**{"_id": m.oid(), "ip": address, "firstConnection": START} | fields)

    full = {
        "provider": "ISP", "country": "El Salvador", "isoCode": "SV", "region": "Libertad",
        "city": "El Zonte", "Type": "Residential", "asn": "AS1", "proxy": False, "lastConnection": START,
    }  # fmt: skip
    before = m.late_account(lastIPs=[ip("10.9.9.1", **full)])
    return {
        "accounts": [
            m.late_account(lastIPs=[ip("10.9.0.1", **full), ip("10.9.0.2")], lastConnection=START),
            m.late_account(lastIPs=[ip("10.9.0.1", **full), ip("10.9.0.1"), ip("10.9.0.1", **full)]),
            m.late_account(lastIPs=[ip(...), ip(None, proxy=None), ip(7, _id=...)]),
            m.late_account(lastIPs=["10.9.0.3", None, {}, ip("10.9.0.4")]),
            m.late_account(lastIPs=[ip("10.9.0.5", colour="red")]),
            m.late_account(lastIPs=[]),
            m.late_account(lastIPs=None, lastConnection=None),
            m.late_account(lastIPs="10.9.0.6", lastConnection="yesterday"),
            m.late_account(lastIPs={"0": ip("10.9.0.7")}),
            m.late_account(lastConnection=START),
            before,
        ],
        "accountips": [
            {"_id": m.oid(), "_accountId": before["_id"], "ip": "10.9.9.1", "metadata": {"asn": "old"}},
            {"_id": m.oid(), "accountId": m.uuid(), "ip": "10.9.9.2", "metadata": {}},
        ],
    }


def _deleted_phones(m: _Maker) -> Shapes:
    history = [{"status": "active", "updatedAt": START}]
    users: list[Document] = []
    accounts: list[Document] = []

    def closing(deleted: Any, phones: Any = ..., **account: Any) -> None:
        user = m.user(deletedPhone=deleted, deletedPhones=phones)
        users.append(user)
        accounts.append(m.late_account(kratosUserId=user["userId"], **account))

    closing("+91", statusHistory=history)
    closing("+92", statusHistory=[])
    closing("+93", statusHistory=None)
    closing("+94", statusHistory=...)
    closing("+95", ["+96"], statusHistory=history)
    closing("+97", None)
    closing("+98", "+99", statusHistory="active")
    closing(["+90"], statusHistory=history)
    closing("", statusHistory=history)
    closing(None, statusHistory=history)
    closing(5, statusHistory=history)
    users += [
        m.user(deletedPhone="+81", userId=...),
        m.user(deletedPhone="+82", userId=None),
        m.user(deletedPhone="+83", userId=""),
        m.user(deletedPhone="+84"),
        m.user(deletedPhones=["+85"]),
    ]
    twice = m.user(deletedPhone="+86")
    users += [twice, m.user(userId=twice["userId"], deletedPhone="+87")]
    accounts += [
        m.late_account(kratosUserId=twice["userId"], statusHistory=history),
        m.late_account(kratosUserId=twice["userId"], statusHistory=history),
        m.late_account(kratosUserId=..., statusHistory=history),
        m.late_account(kratosUserId=None, statusHistory=history),
    ]
    return {"users": users, "accounts": accounts}


def _account_uuids(m: _Maker) -> Shapes:
    return {
        "accounts": [
            m.late_account(),
            m.late_account(uuid="aaaa-uuid"),
            m.late_account(uuid=""),
            m.late_account(uuid=None),
            m.late_account(uuid=5),
            m.late_account(id=m.uuid()),
            m.late_account(id=m.uuid(), uuid=m.uuid()),
            m.late_account(id="", uuid=m.uuid()),
            m.late_account(id=None),
            m.late_account(id=""),
            m.late_account(id=7),
            m.late_account(_id=f"text id {m.next()}"),
        ]
    }


def _account_ids(m: _Maker) -> Shapes:
    ann = m.late_account(id=m.uuid())
    nobody, empty, null = m.late_account(), m.late_account(id=""), m.late_account(id=None)
    owners = [ann["_id"], nobody["_id"], empty["_id"], null["_id"], m.oid(), None, ..., str(ann["_id"])]
    ips = [_present(_id=m.oid(), _accountId=owner, ip="10.8.0.1", metadata={}) for owner in owners]
    return {
        "accounts": [ann, nobody, empty, null],
        "wallets": [
            *(m.wallet(owner) for owner in owners),
            m.wallet(ann["_id"], "USD", accountId="an older id"),
            m.wallet(ann["_id"], "USD", accountId=ann["id"]),
            m.wallet(ann["_id"], "USD", accountId=None),
            m.wallet(nobody["_id"], "USD", accountId="an older id"),
        ],
        "accountips": [
            *ips,
            {"_id": m.oid(), "_accountId": ann["_id"], "ip": "10.8.0.2", "accountId": "an older id"},
            {"_id": m.oid(), "_accountId": ann["_id"], "ip": "10.8.0.3", "accountId": ann["id"]},
            {"_id": m.oid(), "accountId": ann["id"], "ip": "10.8.0.4"},
        ],
    }


def _earn_typo(m: _Maker) -> Shapes:
    values: list[Any] = [
        ..., None, [], [TYPO], [TYPO, "sat", TYPO], [RIGHT, TYPO], [TYPO, RIGHT], ["sat"], [RIGHT, RIGHT],
        TYPO, [TYPO, None, 5, [TYPO]], {"0": TYPO},
    ]  # fmt: skip
    return {"accounts": [m.late_account(id=m.uuid(), earn=value) for value in values]}


def _processing(m: _Maker) -> Shapes:
    values: tuple[Any, ...] = (..., True, False, None, "")
    return {"invoiceusers": [m.invoice(processingCompleted=value) for value in values]}


def _withdraw_fee(m: _Maker) -> Shapes:
    values: tuple[Any, ...] = (..., None, 0, 2000, Int64(2000), 0.5, "2000")
    return {"accounts": [m.late_account(withdrawFee=value) for value in values]}


def _quizzes(m: _Maker) -> Shapes:
    values: list[Any] = [..., None, [], ["sat", "whatIsBitcoin", "sat"], "sat", [None, 5, "", "sat"], {"a": 1}]
    accounts = [m.late_account(id=m.uuid(), earn=value) for value in values]
    accounts += [m.late_account(id=value, earn=["sat"]) for value in (..., None, "")]
    before = m.late_account(id=m.uuid(), earn=["sat", "whatIsBitcoin"])
    twin = m.late_account(id=before["id"], earn=["sat", "whereBitcoinExist"])
    quizzes = [
        {"_id": m.oid(), "accountId": before["id"], "quizId": "sat", "createdAt": START},
        {"_id": m.oid(), "accountId": m.uuid(), "quizId": "sat", "createAt": START},
    ]
    return {"accounts": [*accounts, before, twin], "quizzes": quizzes}


def _quiz_dates(m: _Maker) -> Shapes:
    later = START + timedelta(days=1)
    dates: list[Document] = [
        {"createAt": START}, {"createAt": START, "createdAt": later}, {"createdAt": later},
        {"createAt": None}, {"createAt": None, "createdAt": later}, {},
    ]  # fmt: skip
    values: tuple[Any, ...] = (..., None, [], ["sat", "sat"], "sat")
    return {
        "accounts": [m.late_account(id=m.uuid(), earn=value) for value in values],
        "quizzes": [{"_id": m.oid(), "accountId": m.uuid(), "quizId": "sat"} | date for date in dates],
    }


def _merchants(m: _Maker) -> Shapes:
    here = {"latitude": 13.5, "longitude": -89.4}
    done, twin = m.late_account(title="Shop", coordinates=here), m.next()
    places: list[Any] = [
        here, {"latitude": 13, "longitude": Int64(-89)}, {"latitude": 91, "longitude": 0},
        {"latitude": 0, "longitude": 181.0}, {"latitude": 90, "longitude": -180}, {"latitude": 1},
        {"longitude": 1}, {"latitude": None, "longitude": 1}, {"latitude": "1", "longitude": "2"},
        {"latitude": math.nan, "longitude": 1}, {}, [1, 2], "1,2", 5, None, ...,
        {"latitude": 1.5, "longitude": 2.5, "__v": 0},
    ]  # fmt: skip
    titles: list[Any] = ["", None, ..., 5, {"en": "Shop"}]
    return {
        "accounts": [
            *(m.late_account(title="Shop", coordinates=place) for place in places),
            *(m.late_account(title=title, coordinates=here) for title in titles),
            m.late_account(title="Shop", coordinates=here, username=...),
            m.late_account(title="Shop", coordinates=here, username=None),
            m.late_account(title="Shop", coordinates=here, created_at=...),
            m.late_account(title="Shop", coordinates=here, username=f"twin{twin}"),
            done,
        ],
        "merchants": [
            {
                "_id": m.oid(),
                "id": m.uuid(),
                "username": done["username"],
                "title": "By the application",
                "location": {"type": "Point", "coordinates": [1.0, 2.0]},
                "validated": False,
            },
            {"_id": m.oid(), "id": m.uuid(), "title": "Without an account"},
        ],
    }


def _titles(m: _Maker) -> Shapes:
    here = {"latitude": 13.5, "longitude": -89.4}
    return {
        "accounts": [
            m.late_account(title="Shop", coordinates=here),
            m.late_account(title="Shop"),
            m.late_account(coordinates=here),
            m.late_account(title=None, coordinates=None),
            m.late_account(title="", coordinates="1,2"),
            m.late_account(),
        ]
    }


def _external_ids(m: _Maker) -> Shapes:
    values: tuple[Any, ...] = (..., None, "", "order 5", 5)
    return {
        "invoiceusers": [
            *(m.invoice(externalId=value) for value in values),
            m.invoice(migratedExternalId=True),
            m.invoice(migratedExternalId=None),
            m.invoice(externalId="order 6", migratedExternalId=True),
            m.invoice(_id=m.oid()),
            _same_external_id(m),
            _same_external_id(m) | {"migratedExternalId": True},
        ]
    }


def _same_external_id(m: _Maker) -> Document:
    """An invoice whose externalId the application itself made equal to the `_id`."""
    invoice = m.invoice()
    return invoice | {"externalId": invoice["_id"]}


def _ledger_indexes(m: _Maker) -> Shapes:
    return {"medici_transactions": [m.entry()]}


def _invoice_accounts(m: _Maker) -> Shapes:
    good = m.wallet(m.oid(), accountId=m.uuid())
    wallets = [good, *(m.wallet(m.oid(), accountId=value) for value in (..., None, "", 5))]
    ids = [*(wallet["id"] for wallet in wallets), m.uuid(), None, "", ...]
    return {
        "wallets": wallets,
        "invoiceusers": [
            *(m.invoice(walletId=wallet) for wallet in ids),
            m.invoice(walletId=good["id"], accountId=None),
            m.invoice(walletId=good["id"], accountId=""),
            m.invoice(walletId=good["id"], accountId=m.uuid()),
            m.invoice(walletId=good["id"], accountId=good["accountId"], migratedAccountId=True),
            m.invoice(walletId=good["id"], migratedAccountId=True),
            m.invoice(walletId=good["id"], migratedAccountId=None),
        ],
    }


_ODD_SHAPES: Mapping[int, Callable[[_Maker], Shapes]] = {
    1: _wallet_ids,
    2: _coordinate_shapes,
    3: _ledger_paths,
    4: _separate_wallets,
    5: _unset_wallets,
    6: _invoice_currency,
    7: _bootstrap,
    8: _phones,
    9: _millisats,
    10: _status_history,
    11: _payment_amounts,
    12: _reimbursements,
    13: _contacts,
    14: _self_trades,
    15: _accounts_to_be,
    16: _user_sources,
    17: _user_fields,
    18: _phone_codes,
    19: _onchain_usd,
    20: _onchain_amounts,
    21: _receipt_amounts,
    22: _intraledger_amounts,
    23: _request_ids,
    24: _deposit_fee,
    25: _ips,
    26: _deleted_phones,
    27: _account_uuids,
    28: _account_ids,
    29: _earn_typo,
    30: _processing,
    31: _withdraw_fee,
    32: _quizzes,
    33: _quiz_dates,
    34: _merchants,
    35: _titles,
    36: _external_ids,
    37: _ledger_indexes,
    38: _invoice_accounts,
}
