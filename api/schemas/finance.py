"""Compared days and what differs, as finance sees them."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Asked, Code, Free, Told
from domain.reconciliation import Flaw, Verdict


class Reconciliation(Told):
    """One account's day: how many numbers gave which of the four results."""

    account_id: str
    day: str
    channel: str
    matches: int
    only_ours: int
    only_theirs: int
    differs: int
    open: int
    compared_at: datetime


class Reconciliations(Told):
    """A page of days, newest first."""

    items: list[Reconciliation]
    next_cursor: str | None


class Difference(Told):
    """A number that does not match; an amount is null on the side that has none."""

    difference_id: int
    account_id: str
    channel: str
    day: str
    verdict: Verdict
    flaw: Flaw
    kind: Literal["payment", "refund", "funds"]
    number: str
    order_id: str
    ours_fen: int | None
    theirs_fen: int | None
    state: Literal["open", "closed"]
    reason_code: str
    closed_by: str
    created_at: datetime
    closed_at: datetime | None


class Differences(Told):
    """A page of differences, newest first."""

    items: list[Difference]
    next_cursor: str | None


class CloseDifference(Asked):
    """Why a difference needs nobody any more."""

    reason_code: Code


class Card(Asked):
    """A bank card of the customer's, as the channel wants it; kept sealed until it is used."""

    bank_type: str = Field(pattern=r"^[A-Z]{2,16}_(DEBIT|CREDIT)$", description="`CMB_DEBIT`…")
    number: str = Field(pattern=r"^[0-9]{12,19}$")
    name: Free = Field(min_length=1, max_length=64)


class SendRefundAgain(Asked):
    """Where an abnormal refund is to go instead, and why."""

    card: Card
    reason_code: Code


class RefundSentAgain(Told):
    """The refund as it is now; `retries`: how often people have sent it again."""

    out_refund_no: str
    state: str
    retries: int
