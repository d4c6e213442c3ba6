"""Platform credit (平台余额): compensation and gifts, spent on orders, never cashed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import CreditTooLow, DomainError, Kind

RENEWED = timedelta(days=30)
"""How long credit lives that comes back after the grant it was taken from has expired."""


class CreditNotHeld(DomainError):
    """This credit is not held for the order any more."""

    kind = Kind.CONFLICT
    problem = "action_not_allowed"


class CreditRefundTooMuch(DomainError):
    """More than was spent of this credit can't go back."""

    kind = Kind.REFUSED
    problem = "action_not_allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some fen of a source of credit: a grant, or a part of a hold that was spent."""

    source: str
    amount_fen: int


def take(left: Sequence[Part], amount_fen: int) -> list[Part]:
    """The amount out of what is left, in the order given; raises CreditTooLow, takes nothing."""
    taken, wanted_fen = [], amount_fen
    for part in left:
        fen = min(part.amount_fen, wanted_fen)
        if fen:
            taken.append(Part(source=part.source, amount_fen=fen))
            wanted_fen -= fen
    if wanted_fen:
        raise CreditTooLow(missing_fen=wanted_fen)
    return taken
