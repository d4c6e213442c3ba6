"""对账: a day's bills against our records, books and the fund flow; no bill is read here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum

from domain.channels import BillRow, FundRow

CHINA = timezone(timedelta(hours=8))
"""Channels cut their days by it."""
GRACE = timedelta(minutes=15)
"""What happens so close to midnight may lie in the neighbouring day on the other side."""
OTHER_BUSINESS = frozenset(
    {
        *("提现", "充值", "转账", "分账", "分账回退", "交易分账", "交易分账退回"),
        *("payout", "payout_failed", "transfer", "deposit", "top_up"),
        *("split", "split_failed", "split_return", "freeze", "unfreeze"),
    }
)
"""Channels' words for funds that move without a payment or refund: no bill of trades has them."""

Key = tuple[str, str]
"""`payment` or `refund`, and our number."""


class Verdict(StrEnum):
    """What the comparison says of one number."""

    MATCH = "match"
    """一致"""
    ONLY_OURS = "only_ours"
    """我方单边: we have it, the channel's bill has not."""
    ONLY_THEIRS = "only_theirs"
    """渠道单边: the channel's bill has it, we have not."""
    DIFFERS = "differs"
    """不一致: both have it, and not the same."""


class Flaw(StrEnum):
    """What is wrong with a number that does not match."""

    MISSING_PAYMENT = "missing_payment"
    """A payment that one side does not have."""
    MISSING_REFUND = "missing_refund"
    """A refund that one side does not have."""
    DUPLICATE_ROW = "duplicate_row"
    """The channel's bills have it more than once."""
    STATE = "state"
    """One side says that the money moved, the other that it did not."""
    AMOUNT = "amount"
    """Both moved it, not the same amount."""
    UNBOOKED = "unbooked"
    """It moved, and the ledger's clearing account does not know."""
    BOOKED_TWICE = "booked_twice"
    """The ledger has more of it than moved, in several entries."""
    BOOKED_AMOUNT = "booked_amount"
    """The ledger has another amount."""
    FEE = "fee"
    """The fee taken from the funds is not the fee of the bill."""
    FUNDS_MISSING = "funds_missing"
    """In the bill of trades, and not in the funds."""
    FUNDS_EXTRA = "funds_extra"
    """In the funds, and explained by no trade."""
    FUNDS_AMOUNT = "funds_amount"
    """The funds moved another amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A payment attempt or refund of ours."""

    kind: str
    """`payment` or `refund`, as in `BillRow`."""
    number: str
    """Our number at the channel."""
    name: str
    """The channel's number of it, if we know it."""
    order_id: str
    state: str
    """`success`, `processing`, `failed`, or `unpaid` for a payment that never came."""
    amount_fen: int
    at: datetime | None
    """When we learned of its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """All that is known of an account's day when it is compared."""

    day: date
    bill: tuple[BillRow, ...]
    earlier: tuple[BillRow, ...] = ()
    """Rows of bills before: the last `GRACE` of the day before, and what shares a number with
    the day's rows, funds or records."""
    later: tuple[BillRow, ...] = ()
    """Rows of bills after that share a number."""
    funds: tuple[FundRow, ...] | None = None
    """None: there is no funds bill, and funds are not judged."""
    near_funds: tuple[FundRow, ...] = ()
    """Of other days: the last `GRACE` of the day before, and what shares a number."""
    records: tuple[Record, ...] = ()
    """Those whose end we learned within `span`, and all that the bill names."""
    booked: Mapping[Key, tuple[int, ...]] = field(default_factory=dict)
    """Entries of the clearing account per number: fen, positive came in, negative went out."""
    first: bool = False
    """No bill of the day before is known: what is near the first midnight is not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result; `flaw` is None for a match."""

    verdict: Verdict
    flaw: Flaw | None
    kind: str
    """`payment`, `refund` or `funds`."""
    number: str
    """Ours, or the channel's where we have none."""
    order_id: str = ""
    ours_fen: int | None = None
    theirs_fen: int | None = None


def span(day: date) -> tuple[datetime, datetime]:
    """A business day's beginning and end, UTC."""
    begin = datetime.combine(day, time(), CHINA).astimezone(UTC)
    return begin, begin + timedelta(days=1)


def day_of(moment: datetime) -> date:
    """The business day of a moment."""
    return moment.astimezone(CHINA).date()


def compare(known: Day) -> list[Finding]:
    """Every result of a day, in an order that depends on no row's place.

    A record of ours is judged once: with the day that begins `GRACE` after the record's own
    midnight, when the bills on both sides of that midnight are known.
    """
    bill, near = _by_key(known.bill), _by_key((*known.earlier, *known.later))
    earlier = _by_key(known.earlier)
    records = {(one.kind, one.number): one for one in known.records}
    findings: dict[Key, list[Finding]] = {}
    for key, rows in bill.items():
        findings[key] = list(_judge_rows(known, key, rows, earlier.get(key, []), records.get(key)))
    for key, record in records.items():
        there = key in bill or key in near
        if record.state == "success" and not there and _is_due(known, record.at):
            findings[key] = [_missing(Verdict.ONLY_OURS, record.kind, record.number, record)]
    extra: list[Finding] = []
    if known.funds is not None:
        extra = list(_judge_funds(known, known.funds, records, findings))
    matches = [
        Finding(
            verdict=Verdict.MATCH,
            flaw=None,
            kind=kind,
            number=number,
            order_id=records[kind, number].order_id if (kind, number) in records else "",
        )
        for (kind, number), found in findings.items()
        if not found
    ]
    all_found = [*matches, *extra, *(one for found in findings.values() for one in found)]
    return sorted(all_found, key=lambda one: (one.kind, one.number, one.flaw or ""))


def fees(known: Day, findings: Iterable[Finding]) -> dict[Key, int]:
    """The fee in fen of every payment and refund in a day's bill that matches and has ended."""
    matches = {(one.kind, one.number) for one in findings if one.verdict is Verdict.MATCH}
    rows = {key: _surest(rows) for key, rows in _by_key(known.bill).items() if key in matches}
    return {key: row.fee_fen for key, row in rows.items() if row.state == "success"}


def key_of(row: BillRow) -> Key:
    """The kind of a row and our number of it."""
    return row.kind, row.out_refund_no if row.kind == "refund" else row.out_trade_no


def _by_key(rows: Iterable[BillRow]) -> dict[Key, list[BillRow]]:
    found: dict[Key, list[BillRow]] = defaultdict(list)
    for row in rows:
        found[key_of(row)].append(row)
    return found


_RANK = {"success": 2, "processing": 1, "failed": 0}


def _surest(rows: Iterable[BillRow]) -> BillRow:
    """The row that says most of a number; a refund may be told as it moves on."""
    return max(rows, key=lambda row: (_RANK.get(row.state, 0), row.amount_fen, row.fee_fen))


def _judge_rows(
    known: Day, key: Key, rows: list[BillRow], earlier: list[BillRow], record: Record | None
) -> Iterator[Finding]:
    kind, number = key
    row = _surest(rows)
    repeated = [one for one in (*rows, *earlier) if one.state == row.state]
    if len(repeated) > 1:
        yield _finding(Flaw.DUPLICATE_ROW, key, record, theirs_fen=row.amount_fen * len(repeated))
    if record is None:
        if row.state != "failed":
            yield _missing(Verdict.ONLY_THEIRS, kind, number, row)
    elif not _states_agree(row.state, record.state):
        yield _finding(Flaw.STATE, key, record, theirs_fen=row.amount_fen)
    elif row.amount_fen != record.amount_fen:
        yield _finding(Flaw.AMOUNT, key, record, theirs_fen=row.amount_fen)
    elif record.state == "success":
        flaw, booked_fen = _judge_booking(known.booked.get(key, ()), _signed(row))
        if flaw:
            yield Finding(
                verdict=Verdict.DIFFERS,
                flaw=flaw,
                kind=kind,
                number=number,
                order_id=record.order_id,
                ours_fen=booked_fen,
                theirs_fen=_signed(row),
            )


def _states_agree(theirs: str, ours: str) -> bool:
    """A refund may have ended since the bill was made, in either way."""
    if theirs == "processing":
        return ours in {"processing", "success", "failed"}
    return theirs == ours or (theirs == "failed" and ours == "unpaid")


def _judge_booking(entries: tuple[int, ...], moved_fen: int) -> tuple[Flaw | None, int]:
    booked_fen = sum(entries)
    if booked_fen == moved_fen:
        return None, booked_fen
    if not entries:
        return Flaw.UNBOOKED, 0
    if len(entries) > 1 and abs(booked_fen) > abs(moved_fen):
        return Flaw.BOOKED_TWICE, booked_fen
    return Flaw.BOOKED_AMOUNT, booked_fen


@dataclass(slots=True)
class _Explained:
    """The trades behind one business number of the funds."""

    keys: list[Key] = field(default_factory=list)
    gross_fen: int = 0
    fee_fen: int = 0
    due: bool = False


def _judge_funds(
    known: Day,
    funds: tuple[FundRow, ...],
    records: Mapping[Key, Record],
    findings: dict[Key, list[Finding]],
) -> Iterator[Finding]:
    """What is wrong with a trade's funds joins its findings; what no trade explains is yielded."""
    moved: dict[str, list[FundRow]] = defaultdict(list)
    today = {row.business_no for row in funds}
    for fund in (*known.near_funds, *funds):
        if fund.kind not in OTHER_BUSINESS:
            moved[fund.business_no].append(fund)
    trades = _trades(known, records, moved)
    explained = trades.keys() | {one.name for one in records.values()}
    for business_no, trade in trades.items():
        found = moved.get(business_no, [])
        flaw = _judge_moved(found, trade)
        if flaw is None or not (trade.due or business_no in today):
            continue
        finding = _finding(
            flaw,
            trade.keys[0],
            records.get(trade.keys[0]),
            theirs_fen=sum(row.amount_fen for row in found),
            ours_fen=trade.gross_fen - trade.fee_fen,
        )
        findings.setdefault(trade.keys[0], []).append(finding)
    for business_no in sorted(moved.keys() - explained):
        rows = moved[business_no]
        moved_fen = sum(row.amount_fen for row in rows)
        if moved_fen and any(_is_due(known, row.at) for row in rows):
            yield Finding(
                verdict=Verdict.ONLY_THEIRS,
                flaw=Flaw.FUNDS_EXTRA,
                kind="funds",
                number=business_no,
                theirs_fen=moved_fen,
            )


def _trades(
    known: Day, records: Mapping[Key, Record], moved: Mapping[str, list[FundRow]]
) -> dict[str, _Explained]:
    """What the bills say that should have moved, by the number the funds name it by."""
    mine = {key_of(row) for row in known.bill}
    trades: dict[str, _Explained] = defaultdict(_Explained)
    for key, rows in sorted(_by_key((*known.earlier, *known.bill, *known.later)).items()):
        row = _surest(rows)
        name = _name_in_funds(row, records.get(key), moved)
        if row.state != "success" or not name:
            continue
        trade = trades[name]
        trade.keys.append(key)
        trade.gross_fen += _signed(row)
        trade.fee_fen += row.fee_fen
        trade.due |= _funds_are_due(known, row, records.get(key), mine=key in mine)
    return trades


def _funds_are_due(known: Day, row: BillRow, record: Record | None, *, mine: bool) -> bool:
    """A bill has a refund on the day it was asked for, the funds when it was done."""
    refunded = record.at if record and row.kind == "refund" else None
    when = refunded or row.at
    if when is None:
        return mine
    begin, end = span(known.day)
    return when < end - GRACE and (mine or when >= begin - GRACE)


def _name_in_funds(row: BillRow, record: Record | None, moved: Mapping[str, list[FundRow]]) -> str:
    """Some channels name a refund's funds by its own number, some by the payment's."""
    if row.kind != "refund":
        return row.transaction_id
    own = [row.refund_id, record.name if record else "", row.out_refund_no]
    found = next((name for name in own if name in moved), None)
    if found is None:
        amounts = {-row.amount_fen, -row.amount_fen - row.fee_fen}
        if any(fund.amount_fen in amounts for fund in moved.get(row.transaction_id, ())):
            return row.transaction_id
    return found or next(filter(None, own), "")


def _judge_moved(rows: list[FundRow], trade: _Explained) -> Flaw | None:
    """Channels take their fee out of the amount, or as a row of its own."""
    if not rows:
        return Flaw.FUNDS_MISSING
    if sum(row.amount_fen for row in rows) == trade.gross_fen - trade.fee_fen:
        return None
    gross = {row.amount_fen for row in rows}
    return Flaw.FEE if trade.gross_fen in gross else Flaw.FUNDS_AMOUNT


def _is_due(known: Day, at: datetime | None) -> bool:
    """Whether this day's comparison is the one that judges what happened then."""
    if at is None:
        return True
    begin, end = span(known.day)
    since = begin + GRACE if known.first else begin - GRACE
    return since <= at < end - GRACE


def _signed(row: BillRow) -> int:
    return -row.amount_fen if row.kind == "refund" else row.amount_fen


def _missing(verdict: Verdict, kind: str, number: str, of: BillRow | Record) -> Finding:
    ours = of if isinstance(of, Record) else None
    return Finding(
        verdict=verdict,
        flaw=Flaw.MISSING_REFUND if kind == "refund" else Flaw.MISSING_PAYMENT,
        kind=kind,
        number=number,
        order_id=ours.order_id if ours else "",
        ours_fen=ours.amount_fen if ours else None,
        theirs_fen=None if ours else of.amount_fen,
    )


def _finding(
    flaw: Flaw,
    key: Key,
    record: Record | None,
    *,
    theirs_fen: int,
    ours_fen: int | None = None,
) -> Finding:
    if ours_fen is None and record is not None:
        ours_fen = record.amount_fen
    return Finding(
        verdict=Verdict.DIFFERS,
        flaw=flaw,
        kind=key[0],
        number=key[1],
        order_id=record.order_id if record else "",
        ours_fen=ours_fen,
        theirs_fen=theirs_fen,
    )
