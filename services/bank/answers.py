"""What the bank tells us, read strictly out of its JSON; whether it is signed is not asked here.

Everything raises ValueError where the JSON isn't what the protocol describes.
"""

import hashlib
from datetime import date

import orjson

from domain.channels import (
    Bill,
    BillKind,
    BillRow,
    FundRow,
    RefundSaid,
    ShareResult,
    ShareState,
    SplitSaid,
    TradeState,
    Transaction,
)
from domain.contracts.refunds import REFUND_ENDS, RefundState
from services.channel_json import (
    MAX_AMOUNT_FEN,
    Json,
    as_object,
    fen,
    moment,
    optional_text,
    section,
    sections,
    text,
)

CURRENCY = "CNY"
HANDLES = ("payment_id", "confirm_url", "code_url")


def read_handles(data: Json) -> dict[str, str]:
    """What an open payment is reached by."""
    return {name: text(data, name) for name in HANDLES if name in data}


def read_transaction(data: Json, *, account: str, out_trade_no: str | None = None) -> Transaction:
    """A payment, in an answer or a notice; of that account, and of that number where given."""
    expect(data, account=account, out_trade_no=out_trade_no)
    state = TradeState(text(data, "state").lower())
    paid = state is TradeState.PAID
    return Transaction(
        mchid=account,
        appid="",
        out_trade_no=text(data, "out_trade_no"),
        transaction_id=(text if paid else optional_text)(data, "transaction_id"),
        state=state,
        amount_fen=fen_of(data, "amount"),
        success_time=moment(data, "paid_at") if paid else None,
        failure_code=optional_text(data, "failure_code") or "",
    )


def read_refund(data: Json, *, account: str, out_refund_no: str | None = None) -> RefundSaid:
    """A refund, in an answer or a notice."""
    expect(data, account=account, out_refund_no=out_refund_no)
    state = RefundState(text(data, "state").lower())
    if state not in {RefundState.PROCESSING, *REFUND_ENDS}:
        raise ValueError("no state of a refund at the bank")
    return RefundSaid(
        out_refund_no=text(data, "out_refund_no"),
        refund_id=text(data, "refund_id"),
        state=state.value,
        refund_fen=fen_of(data, "amount"),
        total_fen=fen_of(data, "total"),
    )


def read_split(
    data: Json, *, account: str, out_order_no: str, out_return_no: str | None = None
) -> SplitSaid:
    """A split or the return of one."""
    expect(data, account=account, out_order_no=out_order_no, out_return_no=out_return_no)
    return SplitSaid(
        out_order_no=out_order_no,
        finished=text(data, "state") == "FINISHED",
        results=tuple(
            ShareResult(
                receiver=text(share, "account"),
                amount_fen=fen_of(share, "amount"),
                state=ShareState(text(share, "state").lower()),
                reason=optional_text(share, "reason") or "",
            )
            for share in sections(data, "receivers")
        ),
    )


def read_statement(body: bytes, *, account: str, kind: BillKind, day: date) -> Bill:
    """A day's statement; its summary, the last line, must agree with the rows before it."""
    *rows, last = [as_object(orjson.loads(line)) for line in body.splitlines()] or [{}]
    said = section(last, "summary")
    expect(said, account=account, kind=kind.value, day=day.isoformat(), currency=CURRENCY)
    if fen(said, "rows") != len(rows) or said.get("amount") != sum(_moved(row) for row in rows):
        raise ValueError("the summary is of other rows")
    sha256 = hashlib.sha256(body).hexdigest()
    if kind is BillKind.TRADE:
        return Bill(kind=kind, sha256=sha256, trades=tuple(_bill_row(row) for row in rows))
    return Bill(kind=kind, sha256=sha256, funds=tuple(_fund_row(row) for row in rows))


def expect(data: Json, **asked: str | None) -> None:
    """A signed answer may still be the answer to another question."""
    for name, value in asked.items():
        if value is not None and text(data, name) != value:
            raise ValueError(f"an answer about another {name}")


def fen_of(data: Json, name: str) -> int:
    """An amount with its currency."""
    amount = section(data, name)
    expect(amount, currency=CURRENCY)
    return fen(amount, "value")


def _moved(row: Json) -> int:
    value = row.get("amount")
    if type(value) is not int or abs(value) > MAX_AMOUNT_FEN:
        raise ValueError("no amount")
    return value


def _bill_row(row: Json) -> BillRow:
    kind, state = text(row, "type"), text(row, "state").lower()
    if kind not in {"payment", "refund"}:
        raise ValueError("neither payment nor refund")
    # Money of an abnormal refund has left the account, and nobody has it yet.
    states = {"success": "success", "processing": "processing", "abnormal": "processing"}
    return BillRow(
        out_trade_no=text(row, "out_trade_no"),
        transaction_id=text(row, "transaction_id"),
        kind=kind,
        amount_fen=fen(row, "amount"),
        fee_fen=fen(row, "fee"),
        state=states.get(state, "failed"),
        out_refund_no=text(row, "out_refund_no") if kind == "refund" else "",
        refund_id=text(row, "refund_id") if kind == "refund" else "",
        at=moment(row, "at"),
    )


def _fund_row(row: Json) -> FundRow:
    return FundRow(
        flow_id=text(row, "flow_id"),
        business_no=text(row, "business_no"),
        kind=text(row, "type"),
        amount_fen=_moved(row),
        balance_fen=fen(row, "balance"),
        at=moment(row, "at"),
    )
