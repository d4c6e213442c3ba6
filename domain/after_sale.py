"""After-sale: its states, who may answer when, and what of an order a customer asks back."""

from collections.abc import Sequence
from enum import StrEnum

from domain import allocation
from domain.allocation import Part
from domain.contracts.after_sales import AskedLine
from domain.errors import ActionNotAllowed, Invalid
from domain.refund_rules import Bearer, Reason


class State(StrEnum):
    """Where a wish for money back is."""

    ASKED = "asked"
    """待商家处理: the merchant answers, or is silent."""
    REJECTED = "rejected"
    """商家拒绝: the customer may turn to support."""
    ESCALATED = "escalated"
    """平台介入: support decides."""
    AWAITING_APPROVAL = "awaiting_approval"
    """待复核: one of support has agreed, a second person must."""
    APPROVED = "approved"
    """已同意: the refund is on its way."""
    DELAYED = "delayed"
    """退款异常: the channel could not pay it; a person looks."""
    REFUNDED = "refunded"
    """已退款: the customer has the money."""
    DECLINED = "declined"
    """已驳回: nothing goes back."""


NEXT: dict[State, frozenset[State]] = {
    State.ASKED: frozenset({State.APPROVED, State.REJECTED, State.ESCALATED, State.DECLINED}),
    State.REJECTED: frozenset({State.ESCALATED, State.DECLINED}),
    State.ESCALATED: frozenset({State.AWAITING_APPROVAL, State.APPROVED, State.DECLINED}),
    State.AWAITING_APPROVAL: frozenset({State.APPROVED, State.DECLINED}),
    State.APPROVED: frozenset({State.REFUNDED, State.DELAYED}),
    State.DELAYED: frozenset({State.REFUNDED}),
    State.REFUNDED: frozenset(),
    State.DECLINED: frozenset(),
}
UNDECIDED = frozenset({State.ASKED, State.REJECTED, State.ESCALATED, State.AWAITING_APPROVAL})
SUPPORTS = frozenset({State.ESCALATED, State.AWAITING_APPROVAL})
"""States in which support decides."""
PAYING = frozenset({State.APPROVED, State.DELAYED, State.REFUNDED})
"""States whose amount is among the order's refunds."""


def first_state(reason: Reason) -> State:
    """A merchant gives away only their own money; all else is support's to decide."""
    return State.ASKED if reason.bearer is Bearer.MERCHANT else State.ESCALATED


def ensure_follows(before: State, after: State) -> None:
    """Refuse an answer that comes too late or from the wrong side."""
    if after not in NEXT[before]:
        raise ActionNotAllowed(
            f"{after} is not possible while {before}", reason="wrong_state", after_sale=before.value
        )


def needs_second_person(amount_fen: int, *, limit_fen: int, agreed_by: str, actor: str) -> bool:
    """Four eyes above the limit; refuses the same eyes twice."""
    if amount_fen <= limit_fen or (agreed_by and agreed_by != actor):
        return False
    if agreed_by:
        raise ActionNotAllowed("another person approves", reason="second_person_needed")
    return True


def choose(
    left: Sequence[Part], lines: Sequence[AskedLine], *, delivery_fee: bool, reason: Reason
) -> tuple[Part, ...]:
    """What goes back for what is asked; refused with what is left where that is less."""
    if not lines and not delivery_fee:
        raise Invalid("name lines, the delivery fee, or both")
    if len({line.line_no for line in lines}) < len(lines):
        raise Invalid("name each line once")
    if delivery_fee and not reason.delivery_fee:
        raise ActionNotAllowed(
            "the delivery fee stays paid for this reason", reason="delivery_fee_kept"
        )
    by_key = {part.key: part for part in left}
    wanted = [
        (key(line.line_no), line.quantity)
        for line in lines
        for key in (allocation.goods, allocation.packing)
    ]
    wanted += [(allocation.DELIVERY, 1)] if delivery_fee else []
    if any(key not in by_key for key, _ in wanted):
        raise Invalid("there is no such line", lines=len(lines))
    fits = all(0 < quantity <= by_key[key].quantity for key, quantity in wanted)
    taken = tuple(allocation.units(by_key[key], quantity) for key, quantity in wanted if fits)
    if not allocation.paid_fen(taken):
        raise ActionNotAllowed(
            "more than what is left of the order", reason="nothing_left", **shown(left)
        )
    return taken


def shown(left: Sequence[Part]) -> dict[str, object]:
    """What of an order may still go back, for whoever asked for more."""
    lines = [
        {"line_no": int(part.key.partition(":")[2]), "quantity": part.quantity}
        for part in left
        if part.key.startswith("goods:") and part.quantity
    ]
    fee = next(part for part in left if part.key == allocation.DELIVERY)
    return {
        "left_fen": allocation.paid_fen(left),
        "left_lines": lines,
        "left_delivery_fee_fen": fee.paid_fen,
    }
