"""Contracts of an order's settlement: its money shared out by the channel."""

from dataclasses import dataclass
from enum import StrEnum

from domain.contracts.act import act

POLL_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0, 600.0)
"""Between questions whether a share has arrived, at speed 1."""
AGAIN_SECONDS = 300.0
"""Before a share that was refused is tried under its next number, at speed 1."""


class Splitting(StrEnum):
    """How far an order's splitting is, as its workflow hears it."""

    NONE = "none"
    """Nothing waits at the channel to be shared out."""
    ASKED = "asked"
    SUCCESS = "success"
    CLOSED = "closed"
    """This number did not do it; the next may."""
    GIVEN_UP = "given_up"
    """There is no share to be had: the rest is the payee's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleOrder:
    """The input of the `Settlement` workflow; spans are divided by the site's speed."""

    order_id: str
    poll_seconds: tuple[float, ...] = POLL_SECONDS
    again_seconds: float = AGAIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementOf:
    """A stored settlement, by its order."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSplit:
    """Ask after a number until it has its own result; `waits_seconds` between the asks."""

    order_id: str
    out_order_no: str
    waits_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNow:
    """Where a settlement's splitting is, and under which number."""

    state: str
    out_order_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A settlement's end."""

    share_fen: int
    """What the split brought the platform; the merchant may withdraw the rest."""


SPLIT = act("settlement.split", SettlementOf, SplitNow)
FOLLOW = act("settlement.follow", FollowSplit, SplitNow)
UNFREEZE = act("settlement.unfreeze", SettlementOf, SplitNow)
FINISH = act("settlement.finish", SettlementOf, Settlement)
