"""Statements, closed periods and payouts, as finance, merchants and riders see them."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from api.schemas.base import Asked, Told
from domain.payouts import BatchState, LineState
from services.statements import Party


class StatementLine(Told):
    """One movement; `gateway_number` is empty where no gateway was."""

    at: datetime
    event: str
    journal: str
    order_id: str
    gateway_number: str
    in_fen: int
    out_fen: int


class Statement(Told):
    """An account's time, half-open: opening + in - out = closing; `items`: a page of its lines."""

    party: Party
    party_id: str
    account: str
    since: datetime
    until: datetime
    opening_fen: int
    in_fen: int
    out_fen: int
    closing_fen: int
    lines: int
    items: list[StatementLine]
    next_cursor: str | None


class StatementDay(Told):
    """A business day's figures as they were kept; `sha256` is of its lines."""

    day: date
    opening_fen: int
    in_fen: int
    out_fen: int
    closing_fen: int
    lines: int
    sha256: str
    kept_at: datetime


class StatementDays(Told):
    """A page of kept days, newest first."""

    items: list[StatementDay]
    next_cursor: str | None


class ClosePeriod(Asked):
    """The last business day of the period (China's)."""

    day: date


class Period(Told):
    """Books closed up to a moment, for good."""

    day: date
    until: datetime
    closed_by: str
    closed_at: datetime


class Periods(Told):
    """A page of closed periods, newest first."""

    items: list[Period]
    next_cursor: str | None


class PeriodTotal(Told):
    """What an account moved in a period; the balance is debits less credits at its end."""

    account: str
    currency: str
    debit_fen: int
    credit_fen: int
    balance_fen: int


class PeriodTotals(Told):
    """A page of a period's accounts, by code."""

    items: list[PeriodTotal]
    next_cursor: str | None


class ProposePayouts(Asked):
    """Riders and merchants who are owed less are left out."""

    minimum_fen: Annotated[int, Field(ge=1, le=10**11)]


class PayoutBatch(Told):
    """A batch; `amount_fen` is what of it is, or was, to be paid."""

    batch_id: str
    state: BatchState
    proposed_by: str
    decided_by: str
    proposed_at: datetime
    decided_at: datetime | None
    ended_at: datetime | None
    lines: int
    amount_fen: int


class PayoutBatches(Told):
    """A page of batches, newest first."""

    items: list[PayoutBatch]
    next_cursor: str | None


class PayoutLine(Told):
    """A rider's or merchant's payout; `transfer_id` is the bank's, `reason` why it failed."""

    line_id: str
    rider_id: str
    merchant_id: str = Field(default="", description="Empty where a rider is paid.")
    amount_fen: int
    set_off_fen: int = Field(default=0, description="Of what a merchant owes, taken first.")
    state: LineState
    transfer_id: str
    reason: str
    ended_at: datetime | None


class PayoutDetails(PayoutBatch):
    """A batch with its lines, riders first."""

    items: list[PayoutLine]
