"""What WeChat Pay tells us, read strictly out of its JSON; whether it is signed is not asked here.

Everything raises ValueError where the JSON isn't what the protocol describes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from domain.channels import Opened, RefundSaid, TradeState, Transaction

MAX_TEXT_CHARACTERS = 512
MAX_AMOUNT_FEN = 2**53
CURRENCY = "CNY"
HANDLES = ("prepay_id", "code_url", "h5_url")
TRADE_STATES: Mapping[str, TradeState] = {
    "NOTPAY": TradeState.OPEN,
    "PAYERROR": TradeState.OPEN,
    "USERPAYING": TradeState.CHECKING,
    "ACCEPT": TradeState.CHECKING,
    "SUCCESS": TradeState.PAID,
    "REFUND": TradeState.PAID,
    "CLOSED": TradeState.CLOSED,
    "REVOKED": TradeState.CLOSED,
}
REFUND_STATES = frozenset({"PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"})

Json = dict[str, Any]


def read_json(body: bytes) -> Json:
    """The object that a body holds."""
    return as_object(orjson.loads(body))


def read_opened(data: Json) -> Opened:
    """The answer to a create."""
    handles = {name: text(data, name) for name in HANDLES if data.get(name)}
    if not handles:
        raise ValueError("nothing to pay with")
    return Opened(handles=handles)


def read_transaction(data: Json) -> Transaction:
    """The answer to a query, or the opened resource of a payment notice.

    Through a service provider the payee is the sub-merchant.
    """
    said = text(data, "trade_state")
    state = TRADE_STATES.get(said)
    if state is None:
        raise ValueError("trade_state is none we know")
    paid = state is TradeState.PAID
    amount = section(data, "amount") if paid or "amount" in data else {}
    partner = "sub_mchid" in data
    return Transaction(
        mchid=text(data, "sub_mchid" if partner else "mchid"),
        appid=(partner and optional_text(data, "sub_appid"))
        or text(data, "sp_appid" if partner else "appid"),
        out_trade_no=text(data, "out_trade_no"),
        transaction_id=(text if paid else optional_text)(data, "transaction_id"),
        state=state,
        amount_fen=fen(amount, "total") if paid or amount else 0,
        currency=optional_text(amount, "currency") or CURRENCY,
        success_time=moment(data, "success_time"),
        failure_code=said if said == "PAYERROR" else "",
    )


def read_refund(data: Json, *, status_field: str = "status") -> RefundSaid:
    """The answer to a refund or its query; notices call the status `refund_status`."""
    amount = section(data, "amount")
    status = text(data, status_field)
    if status not in REFUND_STATES:
        raise ValueError("a status we do not know")
    return RefundSaid(
        out_refund_no=text(data, "out_refund_no"),
        refund_id=text(data, "refund_id"),
        state=status.lower(),
        refund_fen=fen(amount, "refund"),
        total_fen=fen(amount, "total"),
    )


def text(data: Json, name: str) -> str:
    """A non-empty printable string: what is read here may be stored."""
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARACTERS:
        raise ValueError(f"{name} is no text")
    if not value.isprintable():
        raise ValueError(f"{name} is not printable")
    return value


def optional_text(data: Json, name: str) -> str | None:
    """The same, or None where it is absent, null or empty."""
    return text(data, name) if data.get(name) not in (None, "") else None


def section(data: Json, name: str) -> Json:
    """An object inside the object."""
    return as_object(data.get(name))


def sections(data: Json, name: str) -> list[Json]:
    """A list of objects inside the object."""
    value = data.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")  # noqa: TRY004 - one kind for all bad JSON
    return [as_object(item) for item in value]


def as_object(value: object) -> Json:
    """The value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all bad JSON
    return value


def fen(data: Json, name: str) -> int:
    """An amount in fen."""
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= MAX_AMOUNT_FEN:
        raise ValueError(f"{name} is no amount in fen")
    return value


def moment(data: Json, name: str) -> datetime | None:
    """A moment with an offset, or None where it is absent, null or empty."""
    value = optional_text(data, name)
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{name} is out of range") from error
