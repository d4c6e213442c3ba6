"""Platform credit (平台余额): compensation and gifts, spent on orders, never cashed."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import CreditTooLow, DomainError, Kind
from domain.ledger import Account, Journal, Keeping, Posting, Side, platform_expense


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


def customer_credit(customer_id: str) -> Account:
    """平台余额: credit that a customer has and may spend, held parts included."""
    return Account(
        code=f"customer:{customer_id}:credit", normal=Side.CREDIT, keeping=Keeping.LOCKED
    )


def credit_granted(
    *, site_id: str, customer_id: str, order_id: str, grant_id: str, amount_fen: int
) -> Journal:
    """The platform gives credit; `order_id` is what it makes up for, empty for a gift."""
    return Journal(
        key=f"credit/{grant_id}/granted",
        event="credit_granted",
        site_id=site_id,
        order_id=order_id,
        postings=_move(platform_expense(site_id), customer_credit(customer_id), amount_fen),
    )


def credit_spent(
    *,
    site_id: str,
    customer_id: str,
    order_id: str,
    hold_id: str,
    payee: Account,
    amount_fen: int,
) -> Journal:
    """Held credit was captured; `payee` is as a rule the order's held money."""
    return Journal(
        key=f"credit/{hold_id}/spent",
        event="credit_spent",
        site_id=site_id,
        order_id=order_id,
        postings=_move(customer_credit(customer_id), payee, amount_fen),
    )


def credit_refunded(
    *,
    site_id: str,
    customer_id: str,
    order_id: str,
    refund_id: str,
    payer: Account,
    amount_fen: int,
) -> Journal:
    """Spent credit goes back to its customer as credit; `payer` has the money now."""
    return Journal(
        key=f"credit/{refund_id}/refunded",
        event="credit_refunded",
        site_id=site_id,
        order_id=order_id,
        postings=_move(payer, customer_credit(customer_id), amount_fen),
    )


def credit_expired(
    *,
    site_id: str,
    customer_id: str,
    order_id: str,
    grant_id: str,
    expired_before_fen: int,
    amount_fen: int,
) -> Journal:
    """What was left of a grant expired: undoes that much of `credit_granted`, under its order.

    A grant expires again when a hold on it is released later: `expired_before_fen`, only rising,
    tells the times apart.
    """
    return Journal(
        key=f"credit/{grant_id}/expired/{expired_before_fen}",
        event="credit_expired",
        site_id=site_id,
        order_id=order_id,
        postings=_move(customer_credit(customer_id), platform_expense(site_id), amount_fen),
    )


def _move(debit: Account, credit: Account, amount_fen: int) -> tuple[Posting, Posting]:
    return (
        Posting(account=debit, side=Side.DEBIT, amount_fen=amount_fen),
        Posting(account=credit, side=Side.CREDIT, amount_fen=amount_fen),
    )
