"""What Alipay tells us, read strictly out of its fields; whether it is signed is not asked here.

Everything raises ValueError where a field isn't what the protocol describes.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from domain.channels import RefundSaid, ShareResult, ShareState, SplitSaid, TradeState, Transaction
from domain.contracts.refunds import RefundState
from services.alipay.accounts import Account
from services.channel_json import text

CHINA = timezone(timedelta(hours=8))
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

_AMOUNT = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,2}))?")
_STATES = {
    "WAIT_BUYER_PAY": TradeState.OPEN,
    "TRADE_SUCCESS": TradeState.PAID,
    "TRADE_FINISHED": TradeState.PAID,
    "TRADE_CLOSED": TradeState.CLOSED,
}
_SHARE_STATES = {
    "SUCCESS": ShareState.SUCCESS,
    "PROCESSING": ShareState.PENDING,
    "FAIL": ShareState.CLOSED,
}

Fields = Mapping[str, Any]


def read_transaction(account: Account, fields: Fields, *, paid_at: str) -> Transaction:
    """A query's answer or a notice; `paid_at` is the field that tells when it was paid.

    TRADE_CLOSED is also what a payment is called that went back whole: the time tells.
    """
    state = _STATES.get(text(fields, "trade_status"))
    if state is None:
        raise ValueError("an unknown trade_status")
    success_time = moment(fields, paid_at) if fields.get(paid_at) else None
    if state is TradeState.CLOSED and success_time is not None:
        state = TradeState.PAID
    is_paid = state is TradeState.PAID
    return Transaction(
        mchid=account.seller_id,
        appid=account.app_id,
        out_trade_no=text(fields, "out_trade_no"),
        transaction_id=text(fields, "trade_no") if is_paid else None,
        state=state,
        amount_fen=amount(fields, "total_amount"),
        success_time=success_time if is_paid else None,
    )


def read_refund(
    fields: Fields, *, out_refund_no: str, refund_fen: int, total_fen: int
) -> RefundSaid:
    """The answer to a refund: only `fund_change` Y says that this call moved the money.

    `refund_fee` is what went back of the trade in all, so our own amounts are kept.
    """
    moved = text(fields, "fund_change")
    if moved not in {"Y", "N"}:
        raise ValueError("fund_change is neither Y nor N")
    if moved == "Y" and amount(fields, "refund_fee") < refund_fen:
        raise ValueError("less went back than was asked for")
    state = RefundState.SUCCESS if moved == "Y" else RefundState.PROCESSING
    return RefundSaid(
        out_refund_no=out_refund_no,
        # Alipay has no number of its own for a refund.
        refund_id=text(fields, "trade_no"),
        state=state.value,
        refund_fen=refund_fen,
        total_fen=total_fen,
    )


def read_refund_query(fields: Fields, *, out_refund_no: str) -> RefundSaid | None:
    """The answer to a refund's query, or None where it tells of no refund.

    That is one never asked for or one that failed; both are repeated under the same number.
    """
    if not fields.get("refund_status") and not fields.get("refund_amount"):
        return None
    if text(fields, "out_request_no") != out_refund_no:
        raise ValueError("an answer about another refund")
    is_done = fields.get("refund_status") == "REFUND_SUCCESS"
    state = RefundState.SUCCESS if is_done else RefundState.PROCESSING
    return RefundSaid(
        out_refund_no=out_refund_no,
        refund_id=text(fields, "trade_no"),
        state=state.value,
        refund_fen=amount(fields, "refund_amount"),
        total_fen=amount(fields, "total_amount"),
    )


def read_split(fields: Fields, *, out_order_no: str) -> SplitSaid:
    """Each receiver's result; the settlement is through when none is on its way."""
    if text(fields, "out_request_no") != out_order_no:
        raise ValueError("an answer about another settlement")
    listed = fields.get("royalty_detail_list", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError("no list of royalties")
    results = tuple(_read_share(item) for item in listed)
    finished = all(result.state is not ShareState.PENDING for result in results)
    return SplitSaid(out_order_no=out_order_no, finished=finished, results=results)


def _read_share(fields: Fields) -> ShareResult:
    state = _SHARE_STATES.get(text(fields, "state"))
    if state is None:
        raise ValueError("an unknown state of a share")
    return ShareResult(
        receiver=text(fields, "trans_in"),
        amount_fen=amount(fields, "amount"),
        state=state,
        reason=text(fields, "error_code") if fields.get("error_code") else "",
    )


def amount(fields: Fields, name: str) -> int:
    """An amount in yuan that is not negative, in fen."""
    value = fen(text(fields, name))
    if value < 0:
        raise ValueError(f"{name} is negative")
    return value


def fen(yuan: str) -> int:
    """`-12.3` → `-1230`."""
    match = _AMOUNT.fullmatch(yuan)
    if match is None:
        raise ValueError("not an amount in yuan")
    value = int(match[2]) * 100 + int((match[3] or "").ljust(2, "0"))
    return -value if match[1] else value


def moment(fields: Fields, name: str) -> datetime:
    """A time that Alipay writes as China's, in UTC; some come with milliseconds."""
    written = text(fields, name).partition(".")[0]
    return datetime.strptime(written, TIME_FORMAT).replace(tzinfo=CHINA).astimezone(UTC)


def china_time(at: datetime) -> str:
    """A moment as Alipay wants it: China's time, whatever clock this machine shows."""
    return at.astimezone(CHINA).strftime(TIME_FORMAT)
