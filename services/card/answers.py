"""What Stripe tells us, read strictly out of its JSON; whether it is signed is not asked here.

Everything raises ValueError where the JSON isn't what the protocol describes.
"""

import re
from datetime import UTC, datetime
from typing import Any

import stripe

from domain.channels import (
    BillRow,
    DisputeNotice,
    FundRow,
    Opened,
    RefundSaid,
    SavedMethod,
    TradeState,
    Transaction,
)
from domain.contracts.refunds import RefundState
from domain.outcomes import Refusal, Rejected, Unknown
from services.card.wire import NoAnswer
from services.channel_json import Json, as_object, section, sections, text

CURRENCY = "cny"
MAX_AMOUNT_FEN = 99_999_999
UNEXPECTED_STATE = "payment_intent_unexpected_state"
REPLAYED = "replayed_error"
"""The key's first request broke after it began: its error is all the key will ever say."""

STATES = {
    "requires_payment_method": TradeState.OPEN,
    "requires_confirmation": TradeState.OPEN,
    "requires_action": TradeState.CHECKING,
    "processing": TradeState.CHECKING,
    "requires_capture": TradeState.AUTHORIZED,
    "succeeded": TradeState.PAID,
    "canceled": TradeState.CLOSED,
}
REFUND_STATES = {
    "pending": RefundState.PROCESSING,
    "requires_action": RefundState.PROCESSING,
    "succeeded": RefundState.SUCCESS,
    "failed": RefundState.ABNORMAL,
    "canceled": RefundState.CLOSED,
}
DISPUTE_STATES = {
    "warning_needs_response": "open",
    "needs_response": "open",
    "warning_under_review": "under_review",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
    "warning_closed": "closed",
    "prevented": "closed",
}
BILL_STATES = {
    RefundState.PROCESSING: "processing",
    RefundState.SUCCESS: "success",
    RefundState.ABNORMAL: "failed",
    RefundState.CLOSED: "failed",
}
LATER_CODES = frozenset({"balance_insufficient", "insufficient_funds_in_balance"})
ENDED = frozenset({"succeeded", "canceled"})

_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}")
_PARAM = re.compile(r"[a-z0-9_\[\]]{1,64}")


def data_of(answer: stripe.StripeObject) -> Json:
    """The JSON an answer was made of."""
    return as_object(answer.last_response.data if answer.last_response else None)


def read_opened(intent: Json) -> Opened:
    """The answer to a create."""
    return Opened(
        handles={
            "payment_intent": text(intent, "id"),
            "client_secret": text(intent, "client_secret"),
        }
    )


def read_intent(account: str, intent: Json, *, at: datetime | None = None) -> Transaction:
    """A PaymentIntent; once it is paid its amount is what was captured."""
    state = _one_of(STATES, intent, "status")
    error = intent.get("last_payment_error")
    return Transaction(
        mchid=account,
        appid="",
        out_trade_no=text(section(intent, "metadata"), "out_trade_no"),
        transaction_id=text(intent, "id"),
        state=state,
        amount_fen=fen(intent, "amount_received" if state is TradeState.PAID else "amount"),
        currency=text(intent, "currency").upper(),
        success_time=at if state is TradeState.PAID else None,
        failure_code=_code_of(as_object(error)) if error is not None else "",
    )


def read_charge(account: str, charge: Json, *, at: datetime) -> Transaction:
    """The payment a captured charge belongs to."""
    if charge.get("captured") is not True:
        raise ValueError("not captured")
    return Transaction(
        mchid=account,
        appid="",
        out_trade_no=text(section(charge, "metadata"), "out_trade_no"),
        transaction_id=text(charge, "payment_intent"),
        state=TradeState.PAID,
        amount_fen=fen(charge, "amount_captured"),
        currency=text(charge, "currency").upper(),
        success_time=at,
    )


def read_refund(refund: Json) -> RefundSaid:
    """A refund of ours; the payment's total comes back from its metadata."""
    metadata = section(refund, "metadata")
    return RefundSaid(
        out_refund_no=text(metadata, "out_refund_no"),
        refund_id=text(refund, "id"),
        state=_one_of(REFUND_STATES, refund, "status"),
        refund_fen=fen(refund, "amount"),
        total_fen=int(text(metadata, "total_fen")),
    )


def read_dispute(event_id: str, dispute: Json) -> DisputeNotice:
    """A chargeback; it names the payment by the channel's number only."""
    due_by = section(dispute, "evidence_details").get("due_by")
    moved = [one.get("amount") for one in sections(dispute, "balance_transactions")]
    return DisputeNotice(
        event_id=event_id,
        dispute_id=text(dispute, "id"),
        kind="chargeback",
        state=_one_of(DISPUTE_STATES, dispute, "status"),
        transaction_id=text(dispute, "payment_intent"),
        amount_fen=fen(dispute, "amount"),
        taken_fen=-sum(fen for fen in moved if isinstance(fen, int) and fen < 0),
        due_at=None if due_by is None else moment(section(dispute, "evidence_details"), "due_by"),
        data={"reason": _code(dispute.get("reason"))},
    )


def read_trade(moved: Json) -> BillRow | None:
    """A balance transaction, its source expanded, as a line of the trade bill if it is one."""
    if moved.get("type") not in {"charge", "refund"}:
        return None
    source = section(moved, "source")
    metadata = section(source, "metadata")
    is_refund = moved["type"] == "refund"
    refund_state = _one_of(REFUND_STATES, source, "status") if is_refund else RefundState.SUCCESS
    return BillRow(
        out_trade_no=text(metadata, "out_trade_no"),
        transaction_id=text(source, "payment_intent"),
        kind="refund" if is_refund else "payment",
        amount_fen=abs(_moved(moved, "amount")),
        fee_fen=_moved(moved, "fee"),
        state=BILL_STATES[refund_state],
        out_refund_no=text(metadata, "out_refund_no") if is_refund else "",
        refund_id=text(source, "id") if is_refund else "",
        at=moment(moved, "created"),
    )


def read_funds(moved: Json) -> list[FundRow]:
    """A balance transaction as what moved, and its fee as a line of its own."""
    source = moved.get("source")
    # A charge goes by its payment, as in the trade bill; all else by its own id.
    name = "payment_intent" if moved.get("type") == "charge" else "id"
    row = FundRow(
        flow_id=text(moved, "id"),
        business_no=text(as_object(source), name) if source is not None else "",
        kind=text(moved, "reporting_category"),
        amount_fen=_moved(moved, "amount"),
        at=moment(moved, "created"),
    )
    fee = _moved(moved, "fee")
    if not fee:
        return [row]
    return [
        row,
        FundRow(
            flow_id=f"{row.flow_id}:fee",
            business_no=row.business_no,
            kind="fee",
            amount_fen=-fee,
            at=row.at,
        ),
    ]


def read_saved(listed: Json) -> list[SavedMethod]:
    """A customer's saved cards."""
    return [
        SavedMethod(
            token=text(method, "id"),
            brand=text(card, "brand"),
            last4=text(card, "last4"),
            expires=f"{int(card['exp_year']):04d}-{int(card['exp_month']):02d}",
        )
        for method in items(listed)
        for card in [section(method, "card")]
    ]


def read_refusal(error: stripe.StripeError) -> Rejected | Unknown:
    """What an error means: certain only if it is a 4xx of the request itself."""
    status = error.http_status
    if status is None:
        return error.why if isinstance(error, NoAnswer) else Unknown(reason="timeout")
    if status >= 500 and (error.headers or {}).get("Idempotent-Replayed") == "true":
        return Unknown(reason=REPLAYED)
    if not 400 <= status < 500 or status in {409, 429}:
        return Unknown(reason=f"http_{status}")
    try:
        said = section(as_object(error.json_body), "error")
    except ValueError:
        return Unknown(reason=f"http_{status}")
    # The key was used with other parameters: this tells nothing about the first request.
    if said.get("type") == "idempotency_error":
        return Unknown(reason="idempotency_error")
    param = said.get("param")
    pointer = param if isinstance(param, str) and _PARAM.fullmatch(param) else ""
    return Rejected(code=_code_of(said), message=pointer, kind=_kind(status, said, pointer))


def _kind(status: int, said: Json, param: str) -> Refusal:
    if status == 404 and param in {"", "id", "intent"}:
        return Refusal.NOT_FOUND
    code = said.get("code")
    intent = said.get("payment_intent")
    ended = not isinstance(intent, dict) or intent.get("status") in ENDED
    if status in {401, 403} or code in LATER_CODES or (code == UNEXPECTED_STATE and not ended):
        return Refusal.LATER
    return Refusal.NEVER


def _code_of(said: Json) -> str:
    return _code(said.get("decline_code") or said.get("code") or said.get("type"))


def _code(value: object) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "unknown_code"


def items(listed: Json) -> list[Json]:
    """The objects of a list."""
    return sections(listed, "data")


def fen(data: Json, name: str) -> int:
    """An amount, never negative."""
    amount = _moved(data, name)
    if amount < 0:
        raise ValueError(f"{name} is negative")
    return amount


def moment(data: Json, name: str) -> datetime:
    """Unix seconds."""
    value = data.get(name)
    if type(value) is not int:
        raise ValueError(f"{name} is no time")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{name} is out of range") from error


def _moved(data: Json, name: str) -> int:
    value = data.get(name)
    if type(value) is not int or abs(value) > MAX_AMOUNT_FEN:
        raise ValueError(f"{name} is no amount in fen")
    return value


def _one_of(known: dict[str, Any], data: Json, name: str) -> Any:  # noqa: ANN401 (the table's)
    value = text(data, name)
    if value not in known:
        raise ValueError(f"{name} is unknown")
    return known[value]
