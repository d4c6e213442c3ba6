"""Bodies that the bank's clients send, with their field rules; a broken rule names its field."""

import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sandbox.bank.protocol import BankError
from sandbox.wire import Json, NotifyUrl, OutTradeNo

MAX_LINES = 1000
MAX_RECEIVERS = 50


def _rfc3339(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no offset")
    return text


Number = Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-]{1,64}$")]
Fen = Annotated[int, Field(gt=0, le=10**11)]


class _Body(BaseModel):
    # Strict: "1" is no amount; a name nobody knows is a misunderstanding.
    model_config = ConfigDict(strict=True, extra="forbid")


class Amount(_Body):
    """Money, in fen."""

    value: Fen
    currency: Literal["CNY"]


class PaymentBody(_Body):
    """`POST /v1/payments`."""

    method: Literal["wallet", "ecny"]
    out_trade_no: OutTradeNo
    amount: Amount
    description: str = Field(min_length=1, max_length=127)
    notify_url: NotifyUrl
    expires_at: Annotated[str, AfterValidator(_rfc3339)]
    payer: str = Field(default="", max_length=64)
    consent: str = Field(default="", max_length=64)
    save: bool = False
    split: bool = False


class RefundBody(_Body):
    """`POST /v1/refunds`."""

    out_trade_no: OutTradeNo
    out_refund_no: Number
    amount: Amount
    total: Amount
    reason: str = Field(default="", max_length=80)
    notify_url: NotifyUrl


class Receiver(_Body):
    """Whose share of a payment it is."""

    account: Number
    amount: Amount
    description: str = Field(min_length=1, max_length=80)


class SplitBody(_Body):
    """`POST /v1/splits`."""

    transaction_id: Number
    out_order_no: Number
    receivers: Annotated[list[Receiver], Field(min_length=1, max_length=MAX_RECEIVERS)]
    finish: bool


class UnfreezeBody(_Body):
    """`POST /v1/splits/unfreeze`."""

    transaction_id: Number
    out_order_no: Number


class ReturnBody(_Body):
    """`POST /v1/split-returns`."""

    out_order_no: Number
    out_return_no: Number
    receiver: Receiver


class Line(_Body):
    """One transfer of a batch."""

    line_id: Number
    payee: Number
    amount: Amount


class BatchBody(_Body):
    """`POST /v1/payout-batches`."""

    batch_id: Number
    lines: Annotated[list[Line], Field(min_length=1, max_length=MAX_LINES)]


Body = TypeVar("Body", bound=_Body)


def parse(model: type[Body], raw: bytes) -> tuple[Body, Json]:
    """Return the checked body and the JSON it came from; `BankError` PARAMETER_WRONG."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BankError(400, "PARAMETER_WRONG", "/") from error
    if not isinstance(parsed, dict):
        raise BankError(400, "PARAMETER_WRONG", "/")
    try:
        return model.model_validate(parsed), parsed
    except ValidationError as error:
        steps = error.errors(include_url=False)[0]["loc"]
        pointer = "/" + "/".join(str(step) for step in steps)
        raise BankError(400, "PARAMETER_WRONG", pointer) from error
