"""What WeChat Pay tells us, read strictly out of its JSON; whether it is signed is not asked here.

Everything raises ValueError where the JSON isn't what the protocol describes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

MAX_TEXT_CHARACTERS = 512
MAX_AMOUNT_FEN = 2**53
CURRENCY = "CNY"
PAID_STATES = frozenset({"SUCCESS", "REFUND"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepay:
    """An order that waits for its customer: by prepay_id (JSAPI) or by QR code (Native)."""

    prepay_id: str | None
    code_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A payment as the gateway sees it; who paid is left out on purpose."""

    mchid: str
    appid: str
    out_trade_no: str
    transaction_id: str | None
    trade_state: str
    """NOTPAY, SUCCESS, CLOSED, REFUND; by payment code also REVOKED, USERPAYING, PAYERROR."""
    amount_fen: int
    """The order's total; 0 where the answer about an unpaid order leaves it out."""
    currency: str
    success_time: datetime | None

    def fact(self) -> Json:
        """What is kept of it in the inbox."""
        return {
            "out_trade_no": self.out_trade_no,
            "transaction_id": self.transaction_id,
            "amount_fen": self.amount_fen,
            "currency": self.currency,
            "mchid": self.mchid,
            "appid": self.appid,
            "trade_state": self.trade_state,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundState:
    """A refund as the gateway sees it; only status SUCCESS means that the money went back."""

    out_refund_no: str
    refund_id: str
    status: str
    """PROCESSING, SUCCESS, CLOSED (only this one needs a new number) or ABNORMAL."""
    refund_fen: int
    total_fen: int


def read_json(body: bytes) -> Json:
    """The object that a body holds."""
    return as_object(orjson.loads(body))


def read_prepay(data: Json) -> Prepay:
    """The answer to a create."""
    prepay = Prepay(
        prepay_id=optional_text(data, "prepay_id"), code_url=optional_text(data, "code_url")
    )
    if prepay.prepay_id is None and prepay.code_url is None:
        raise ValueError("neither prepay_id nor code_url")
    return prepay


def read_transaction(data: Json) -> Transaction:
    """The answer to a query, or the opened resource of a payment notice."""
    trade_state = text(data, "trade_state")
    paid = trade_state in PAID_STATES
    amount = section(data, "amount") if paid or "amount" in data else {}
    return Transaction(
        mchid=text(data, "mchid"),
        appid=text(data, "appid"),
        out_trade_no=text(data, "out_trade_no"),
        transaction_id=(text if paid else optional_text)(data, "transaction_id"),
        trade_state=trade_state,
        amount_fen=_fen(amount, "total") if paid or amount else 0,
        currency=optional_text(amount, "currency") or CURRENCY,
        success_time=_moment(data, "success_time"),
    )


def read_refund(data: Json, *, status_field: str = "status") -> RefundState:
    """The answer to a refund or its query; notices call the status `refund_status`."""
    amount = section(data, "amount")
    return RefundState(
        out_refund_no=text(data, "out_refund_no"),
        refund_id=text(data, "refund_id"),
        status=text(data, status_field),
        refund_fen=_fen(amount, "refund"),
        total_fen=_fen(amount, "total"),
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


def as_object(value: object) -> Json:
    """The value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all bad JSON
    return value


def _fen(data: Json, name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= MAX_AMOUNT_FEN:
        raise ValueError(f"{name} is no amount in fen")
    return value


def _moment(data: Json, name: str) -> datetime | None:
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
