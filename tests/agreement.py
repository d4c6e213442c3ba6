"""What we would know of a day by a channel's own answers, held against that channel's bills."""

from collections.abc import Iterable
from datetime import UTC, datetime

from domain.channels import Bill, RefundSaid, Transaction
from domain.reconciliation import Day, Finding, Record, compare, day_of


def compared(
    trade: Bill, funds: Bill, paid: Iterable[Transaction], refunds: Iterable[RefundSaid]
) -> list[Finding]:
    """Today's results, were all of this booked as the channel answered."""
    now = datetime.now(UTC)
    records = [
        Record(
            kind="payment",
            number=one.out_trade_no,
            name=one.transaction_id or "",
            order_id="o",
            state="success",
            amount_fen=one.amount_fen,
            at=one.success_time or now,
        )
        for one in paid
    ] + [
        Record(
            kind="refund",
            number=one.out_refund_no,
            name=one.refund_id,
            order_id="o",
            state="success",
            amount_fen=one.refund_fen,
            at=now,
        )
        for one in refunds
    ]
    signs = {"payment": 1, "refund": -1}
    return compare(
        Day(
            day=day_of(now),
            bill=trade.trades,
            funds=funds.funds,
            records=tuple(records),
            booked={(one.kind, one.number): (signs[one.kind] * one.amount_fen,) for one in records},
        )
    )


def flaws(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """What differs: kind and flaw."""
    return [(one.kind, one.flaw) for one in findings if one.flaw]
