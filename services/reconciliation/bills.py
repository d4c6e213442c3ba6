"""Bills kept whole and by version, and all that a day's comparison looks at, read from rows.

All that changes an account's days runs in one transaction under the account's own lock.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, insert, text

from domain import books
from domain.channels import Bill, BillKind, BillRow, FundRow
from domain.errors import Invalid, NotFound
from domain.reconciliation import GRACE, Day, Key, Record, span
from services import tables
from services.db import Reader, Writer

ROWS_MAX = 500_000
"""A longer bill is refused whole."""
PAGE_ROWS = 200
NOTHING = "nothing"
"""Instead of a hash, where the channel says that nothing happened on a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """Whose bill it is."""

    account_id: str
    site_id: str
    channel: str
    mchid: str
    keys_ref: str
    merchant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A day's current bill; `fresh` False: it was known already."""

    version: int
    fresh: bool


_PAYEE = """
SELECT account_id, site_id, channel, mchid, keys_ref, merchant_id FROM channel_accounts WHERE """
_ONE_PAYEE = text(_PAYEE + "account_id = :account_id")
_PAYEES = text(
    _PAYEE
    + """account_id > :after AND (:channel = '' OR channel = :channel)
ORDER BY account_id LIMIT :limit"""
)
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('reconcile/' || :account_id, 0))")
_CURRENT = text("""
SELECT id, kind, version, sha256 FROM bills
WHERE account_id = :account_id AND day = :day AND state = 'current'
""")
_REPLACE = text("UPDATE bills SET state = 'replaced' WHERE id = :id")
_BILL = text("""
INSERT INTO bills (site_id, account_id, channel, kind, day, version, sha256, rows)
VALUES (:site_id, :account_id, :channel, :kind, :day, :version, :sha256, :rows) RETURNING id
""")
_ROW = """
r.kind, r.out_trade_no, r.transaction_id, r.out_refund_no, r.refund_id, r.amount_fen, r.fee_fen,
r.state, r.at FROM bill_rows r """
_FUND = (
    "SELECT r.flow_id, r.business_no, r.kind, r.amount_fen, r.balance_fen, r.at FROM fund_rows r "
)
_ROWS = text(f"SELECT {_ROW} WHERE r.bill_id = :id ORDER BY r.line_no")
_FUNDS = text(_FUND + "WHERE r.bill_id = :id ORDER BY r.line_no")
_OTHER_DAYS = """
JOIN bills b ON b.id = r.bill_id
WHERE b.account_id = :account_id AND b.state = 'current' AND b.day <> :day """
_TAIL = "AND b.day = :before AND r.at >= :since"
_TAIL_ROWS = text(f"SELECT b.day, {_ROW} {_OTHER_DAYS} {_TAIL}")
_SHARED_ROWS = text(f"""
SELECT b.day, {_ROW} {_OTHER_DAYS} AND NOT (b.day = :before AND coalesce(r.at >= :since, false))
AND (r.out_trade_no = ANY(:numbers) OR r.transaction_id = ANY(:names)
  OR (r.refund_id <> '' AND r.refund_id = ANY(:names)))
""")
_TAIL_FUNDS = text(_FUND + _OTHER_DAYS + _TAIL)
_SHARED_FUNDS = text(
    _FUND
    + _OTHER_DAYS
    + "AND r.business_no = ANY(:names)"
    + " AND NOT (b.day = :before AND coalesce(r.at >= :since, false))"
)
_RECORDS = text("""
SELECT 'payment' AS kind, out_trade_no AS number, out_trade_no, transaction_id AS name, order_id,
  CASE WHEN state IN ('paid', 'late', 'frozen') THEN 'success' ELSE 'unpaid' END AS state,
  amount_fen, paid_at AS at
FROM payment_attempts WHERE account_id = :account_id
  AND (out_trade_no = ANY(:payments) OR (paid_at >= :since AND paid_at < :until))
UNION ALL
SELECT 'refund', out_refund_no, out_trade_no, refund_id, order_id,
  CASE WHEN state = 'success' THEN 'success' WHEN ended_at IS NULL THEN 'processing'
    ELSE 'failed' END,
  amount_fen, ended_at
FROM refunds WHERE account_id = :account_id
  AND (out_refund_no = ANY(:refunds) OR (ended_at >= :since AND ended_at < :until))
""")
_BOOKED = text("""
SELECT split_part(j.key, '/', 1) AS kind, split_part(j.key, '/', 2) AS number,
  array_agg(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) AS fen
FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
WHERE j.site_id = :site_id AND j.order_id = ANY(:orders) AND j.outcome = 'applied'
  AND e.account = :account
GROUP BY 1, 2
""")


async def payee(reader: Reader, account_id: str) -> Payee:
    """One account; raises NotFound."""
    row = await reader.first(_ONE_PAYEE, {"account_id": account_id})
    if row is None:
        raise NotFound
    return Payee(**row._mapping)  # noqa: SLF001


async def payees(reader: Reader, *, channel: str = "", after: str = "") -> list[Payee]:
    """A page of accounts by id, of one channel or of all."""
    page = {"channel": channel, "after": after, "limit": PAGE_ROWS}
    return [Payee(**row._mapping) for row in await reader.all(_PAYEES, page)]  # noqa: SLF001


async def keep_bill(writer: Writer, who: Payee, day: date, bill: Bill) -> Kept:
    """Import a whole bill; the same as the current one changes nothing, another is a new version.

    Raises:
        Invalid: it has more rows than `ROWS_MAX`.
    """
    rows: Sequence[BillRow | FundRow] = bill.trades if bill.kind is BillKind.TRADE else bill.funds
    if len(rows) > ROWS_MAX:
        raise Invalid("the bill has too many rows")
    await writer.run(LOCK, {"account_id": who.account_id})
    before = (await current_bills(writer, who, day)).get(bill.kind)
    if before is not None and before.sha256 == bill.sha256:
        return Kept(version=before.version, fresh=False)
    version = 1
    if before is not None:
        version = before.version + 1
        await writer.run(_REPLACE, {"id": before.id})
    bill_id = await writer.scalar(
        _BILL,
        {
            **names_of(who, day),
            "kind": bill.kind,
            "version": version,
            "sha256": bill.sha256,
            "rows": len(rows),
        },
    )
    table = tables.bill_rows if bill.kind is BillKind.TRADE else tables.fund_rows
    lines = [
        {"bill_id": bill_id, "line_no": number, **_columns(row)} for number, row in enumerate(rows)
    ]
    if lines:
        await writer.run(insert(table), lines)
    return Kept(version=version, fresh=True)


async def keep_nothing(writer: Writer, who: Payee, day: date, kind: BillKind) -> Kept:
    """The channel has no bill of a day: an empty one, but never instead of one that came."""
    await writer.run(LOCK, {"account_id": who.account_id})
    before = (await current_bills(writer, who, day)).get(kind)
    if before is not None:
        return Kept(version=before.version, fresh=False)
    return await keep_bill(writer, who, day, Bill(kind=kind, sha256=NOTHING))


async def is_quiet(reader: Reader, who: Payee, day: date) -> bool:
    """Whether we know of no payment and no refund that ended on a day."""
    begin, end = span(day)
    where = names_of(who, day) | {"since": begin, "until": end, "payments": [], "refunds": []}
    return not await reader.all(_RECORDS, where)


async def current_bills(reader: Reader, who: Payee, day: date) -> dict[str, Row[Any]]:
    """The current bills of a day by kind: id, version, sha256."""
    rows = await reader.all(_CURRENT, {"account_id": who.account_id, "day": str(day)})
    return {row.kind: row for row in rows}


async def known(reader: Reader, who: Payee, day: date, current: dict[str, Row[Any]]) -> Day:
    """All that the comparison of a day looks at."""
    begin, end = span(day)
    before = day - timedelta(days=1)
    edge = names_of(who, day) | {"before": str(before), "since": begin - GRACE}
    bill = _bill_rows(await reader.all(_ROWS, {"id": current["trade"].id}))
    own: dict[str, Any] = {
        "until": end - GRACE,
        "payments": [row.out_trade_no for row in bill],
        "refunds": [row.out_refund_no for row in bill if row.out_refund_no],
    }
    records = await reader.all(_RECORDS, edge | own)
    funds: tuple[FundRow, ...] | None = None
    near_funds: tuple[FundRow, ...] = ()
    if "funds" in current:
        funds = _fund_rows(await reader.all(_FUNDS, {"id": current["funds"].id}))
        near_funds = _fund_rows(await reader.all(_TAIL_FUNDS, edge))
    near = list(await reader.all(_TAIL_ROWS, edge))
    tail = _bill_rows(near)
    names = {row.business_no for row in (*(funds or ()), *near_funds)}
    for row in (*bill, *tail):
        names |= {row.transaction_id, row.refund_id, row.out_refund_no}
    shared = edge | {
        "names": sorted((names | {row.name for row in records}) - {""}),
        "numbers": sorted({*own["payments"], *(row.out_trade_no for row in records)}),
    }
    near += await reader.all(_SHARED_ROWS, shared)
    # A refund of another day is told from its payment's funds by our record of it.
    others = {
        "payments": [],
        "refunds": [row.out_refund_no for row in near if row.out_refund_no],
        "until": edge["since"],
    }
    seen = {(row.kind, row.number) for row in records}
    records = [
        *records,
        *(
            row
            for row in await reader.all(_RECORDS, edge | others)
            if (row.kind, row.number) not in seen
        ),
    ]
    if funds is not None:
        near_funds += _fund_rows(await reader.all(_SHARED_FUNDS, shared))
    booked = await booked_at(reader, who, "clearing", {row.order_id for row in records})
    return Day(
        day=day,
        bill=bill,
        earlier=_bill_rows(row for row in near if row.day < str(day)),
        later=_bill_rows(row for row in near if row.day > str(day)),
        funds=funds,
        near_funds=near_funds,
        records=tuple(_record(row) for row in records),
        booked=booked,
        first="trade" not in await current_bills(reader, who, before),
    )


async def booked_at(
    reader: Reader, who: Payee, kind: str, orders: Collection[str]
) -> dict[Key, tuple[int, ...]]:
    """An account of the payee's, of a kind of the chart: its entries per number of these orders.

    Fen, debits positive.
    """
    code = books.account(kind, channel=who.channel, mchid=who.mchid).code
    asked = {"site_id": who.site_id, "orders": sorted(orders), "account": code}
    rows = await reader.all(_BOOKED, asked)
    return {(row.kind, row.number): tuple(int(fen) for fen in row.fen) for row in rows}


def _record(row: Row[Any]) -> Record:
    return Record(**{name: getattr(row, name) for name in Record.__slots__})


def names_of(who: Payee, day: date) -> dict[str, Any]:
    """What names a day of an account in every statement."""
    return {
        "site_id": who.site_id,
        "account_id": who.account_id,
        "channel": who.channel,
        "day": str(day),
    }


def _columns(row: BillRow | FundRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


def _bill_rows(rows: Iterable[Any]) -> tuple[BillRow, ...]:
    return tuple(
        BillRow(**{name: getattr(row, name) for name in BillRow.__slots__}) for row in rows
    )


def _fund_rows(rows: Iterable[Any]) -> tuple[FundRow, ...]:
    return tuple(FundRow(**row._mapping) for row in rows)  # noqa: SLF001
