"""Contracts of a batch of payouts on its way."""

from dataclasses import dataclass

from domain.contracts.act import act


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder:
    """The input of the `Payout` workflow."""

    batch_id: str
    poll_seconds: tuple[float, ...] = (5, 15, 60, 300, 900)
    """Pauses between asks after a batch; the last one repeats."""
    give_up_seconds: float = 86_400
    """From the approval on: what the bank still refuses then is owed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOf:
    """An approved batch."""

    batch_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPayout:
    """Hand a booked batch to the bank, or give it up."""

    batch_id: str
    give_up_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPayout:
    """Ask after a batch; `waits_seconds` are the pauses between asks."""

    batch_id: str
    waits_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSaid:
    """Where the batch is, one of `domain.payouts.BatchState`."""

    state: str


BOOK = act("payouts.book", PayoutOf, PayoutSaid)
SEND = act("payouts.send", SendPayout, PayoutSaid)
FOLLOW = act("payouts.follow", FollowPayout, PayoutSaid)
