"""Contracts of the acts that take a customer's money."""

from dataclasses import dataclass

from domain.contracts.act import act
from domain.contracts.life import PayWishes
from domain.contracts.orders import Done


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAttempt:
    """Store the number of attempt `attempt` before the gateway hears of it."""

    order_id: str
    attempt: int
    channel: str
    method: str
    wishes: PayWishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A stored payment attempt, by our number at the gateway."""

    order_id: str
    out_trade_no: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfOrder:
    """All payment attempts of an order; `keep_held`: but for what it was authorised with.

    `out_trade_no`: only this one, a tip's; empty: those for the order itself.
    """

    order_id: str
    keep_held: bool = False
    out_trade_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Ask the gateway after every open attempt; `waits_seconds` are the pauses between asks.

    `out_trade_no` as in `OfOrder`.
    """

    order_id: str
    waits_seconds: tuple[float, ...]
    out_trade_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the gateway knows: stored facts to be applied, oldest first."""

    notice_ids: tuple[int, ...] = ()
    close_again_seconds: float = 0.0
    """For so long something may be paid that can't be closed yet: then close again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Apply a stored fact about a payment."""

    order_id: str
    notice_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Done):
    """What became of the fact."""

    outcome: str
    """`paid`, `authorized`, `unwanted` (held, to be voided), `late` (sent home), `repeat` or
    `frozen` (a person must look)."""


STORE_ATTEMPT = act("payments.store_attempt", StoreAttempt, Attempt)
OPEN = act("payments.open", Attempt, Attempt)
"""Create at the gateway under the stored number. An unknown answer is a retryable failure."""
POLL = act("payments.poll", Poll, Found)
"""Retryable until money is found; the caller's schedule-to-close is the payment deadline."""
CAPTURE = act("payments.capture", OfOrder, Found)
"""Take what a channel holds for the order, after its shop has accepted."""
CLOSE = act("payments.close", OfOrder, Found)
"""Close or void at the gateway, query until certain; money that was faster is found."""
SETTLE = act("payments.settle", Settle, Settled)
