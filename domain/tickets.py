"""Tickets: whose each kind is, how long it may lie, and what ends it without a person.

What a ticket is about stands in its row; nothing here reads a clock.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import ActionNotAllowed, Invalid

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
REMINDERS_MAX = 50
"""Of one run of a ticket's workflow; who ignores so many is shown by the gauge of overdue ones."""
ENTRIES_MAX = 400
"""What people may write on one ticket in one run: messages, evidence, assignments."""
EVIDENCE_MAX = 10
EVIDENCE_BYTES_MAX = 5 * 1024 * 1024


class State(StrEnum):
    """Where a ticket is; it only moves down this list, but may be assigned anew."""

    OPEN = "open"
    """待处理: nobody in particular looks at it."""
    ASSIGNED = "assigned"
    """处理中: a person has it."""
    RESOLVED = "resolved"
    """已解决: over; `outcome` says how."""


class Owner(StrEnum):
    """The desk that must look."""

    SUPPORT = "support"
    """客服"""
    FINANCE = "finance"
    """财务"""
    LEAD = "lead"
    """主管: whoever the others escalate to."""


class Outcome(StrEnum):
    """How a ticket ended."""

    SOLVED = "solved"
    """已处理: what was wrong is right."""
    REFUNDED = "refunded"
    """已退款: money went back."""
    COMPENSATED = "compensated"
    """已补偿: something was given for it."""
    REJECTED = "rejected"
    """不予支持: there is nothing to put right."""
    DUPLICATE = "duplicate"
    """重复: another ticket has it."""
    WON = "won"
    """申诉成功: the dispute was decided for us."""
    LOST = "lost"
    """申诉失败: the dispute was decided against us."""
    SETTLED_ITSELF = "settled_itself"
    """自动解决: what it was about is over, and no person was needed."""


class Settles(StrEnum):
    """What makes a ticket needless, seen in the rows; safe, since nothing is left to do then."""

    NEVER = "never"
    """Only a person ends it."""
    ORDER_OVER = "order_over"
    """The order was delivered or has ended."""
    ORDER_CANCELLED = "order_cancelled"
    """The customer got the cancel that nobody had answered."""
    RIDER_FOUND = "rider_found"
    """A rider has the task, or the order has ended."""
    HOLD_OVER = "hold_over"
    """Support's hold was released."""
    DISPUTE_DECIDED = "dispute_decided"
    """The channel, or the customer's bank, has decided the dispute."""
    REFUND_DONE = "refund_done"
    """The refund it names arrived after all."""
    PAUSE_OVER = "pause_over"
    """The rider's pause that it is about is over."""
    GIFT_DECIDED = "gift_decided"
    """A second person has given or declined the credit it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a kind of ticket is followed; seconds of a site that lives at speed 1."""

    owner: Owner = Owner.SUPPORT
    due_seconds: float = 2 * HOUR
    """From its opening, where the opener names no time."""
    remind_before_seconds: float = 30 * MINUTE
    """Before it is due: the first reminder; the second comes when it is due."""
    remind_every_seconds: float = HOUR
    """After it was due."""
    escalate_seconds: float = 2 * HOUR
    """After it was due: the lead's."""
    settles: Settles = Settles.NEVER
    look_seconds: float = MINUTE
    """Between looks whether it has settled itself."""


def _moving(settles: Settles) -> Rule:
    """About an order under way: every minute counts."""
    return Rule(
        due_seconds=15 * MINUTE,
        remind_before_seconds=5 * MINUTE,
        remind_every_seconds=10 * MINUTE,
        escalate_seconds=15 * MINUTE,
        settles=settles,
        look_seconds=20.0,
    )


def _desk(owner: Owner, due_seconds: float, settles: Settles = Settles.NEVER) -> Rule:
    """About what is over: a working day counts."""
    return Rule(
        owner=owner,
        due_seconds=due_seconds,
        remind_before_seconds=2 * HOUR,
        remind_every_seconds=4 * HOUR,
        escalate_seconds=4 * HOUR,
        settles=settles,
    )


OTHER = Rule()
"""A kind that nobody has thought about yet is followed all the same."""
RULES: dict[str, Rule] = {
    "no_rider_yet": _moving(Settles.RIDER_FOUND),
    "rider_silent": _moving(Settles.ORDER_OVER),
    "delivery_trouble": _moving(Settles.ORDER_OVER),
    "proof_refused": _moving(Settles.ORDER_OVER),
    "late": _moving(Settles.ORDER_OVER),
    "cancel_unanswered": _moving(Settles.ORDER_CANCELLED),
    "hold_reminder": _moving(Settles.HOLD_OVER),
    "refund_abnormal": Rule(settles=Settles.REFUND_DONE),
    "refund_closed": Rule(settles=Settles.REFUND_DONE),
    "refund_refused": Rule(settles=Settles.REFUND_DONE),
    "late_payment": Rule(owner=Owner.FINANCE, settles=Settles.REFUND_DONE),
    "payment_mismatch": Rule(owner=Owner.FINANCE),
    "hold_lost": Rule(owner=Owner.FINANCE),
    "approval": Rule(owner=Owner.LEAD),
    "after_sale": Rule(),
    "after_sale_overdue": Rule(owner=Owner.LEAD),
    "merchant_owes": Rule(owner=Owner.FINANCE),
    "compensation_capped": Rule(),
    "rider_paused": _moving(Settles.PAUSE_OVER),
    "gift": Rule(settles=Settles.GIFT_DECIDED),
    "low_rating": _desk(Owner.SUPPORT, DAY),
    "customer": _desk(Owner.SUPPORT, DAY),
    # The channel itself wants an answer within a day: the lead has it before that.
    "complaint": _desk(Owner.SUPPORT, 12 * HOUR, Settles.DISPUTE_DECIDED),
    "dispute": _desk(Owner.FINANCE, 3 * DAY, Settles.DISPUTE_DECIDED),
    "answer_refused": _desk(Owner.SUPPORT, 4 * HOUR),
    "difference": _desk(Owner.FINANCE, DAY),
    "bill_missing": _desk(Owner.FINANCE, DAY),
    "suspense_old": _desk(Owner.FINANCE, DAY),
    "split_failed": _desk(Owner.FINANCE, DAY),
    "payout_failed": _desk(Owner.FINANCE, DAY),
    "payout_stuck": _desk(Owner.FINANCE, DAY),
}
ENDS_AT_CHANNEL = {
    "complaint": frozenset(Outcome) - {Outcome.SETTLED_ITSELF},
    "dispute": frozenset({Outcome.LOST}),
}
"""Kinds whose channel hears what people write, and the outcomes of which it hears too."""
DECIDED = frozenset({"won", "lost", "closed"})
"""States of a dispute at its channel that wait for nothing any more."""
DISPUTED = frozenset({Outcome.WON, Outcome.LOST})


def rule_of(kind: str) -> Rule:
    """How tickets of this kind are followed."""
    return RULES.get(kind, OTHER)


def next_reminder(
    now: datetime, due_at: datetime, *, before_seconds: float, every_seconds: float
) -> datetime:
    """When to remind next: before it is due, when it is due, then again and again."""
    early = due_at - timedelta(seconds=before_seconds)
    later = now + timedelta(seconds=every_seconds)
    return next((at for at in (early, due_at) if at > now), later)


def above(owner: str) -> Owner:
    """Whom a ticket of `owner` escalates to; refused where nobody is above."""
    if owner == Owner.LEAD:
        raise ActionNotAllowed("the lead has it already", owner=owner)
    return Owner.LEAD


def ensure_open(state: str) -> None:
    """Refuse whatever is asked of a ticket that is over."""
    if state == State.RESOLVED:
        raise ActionNotAllowed("the ticket is resolved", state=state)


def may_work_on(kind: str, role: str) -> bool:
    """Whether this desk may write on a ticket of this kind and end it: its own, or the lead."""
    return role in {rule_of(kind).owner, Owner.LEAD}


def channel_hears(kind: str, actor: str, outcome: str = "") -> bool:
    """Whether the channel of a ticket is told: of a desk's words, or how it ended (`outcome`)."""
    if actor.partition(":")[0] not in set(Owner) or kind not in ENDS_AT_CHANNEL:
        return False
    return not outcome or outcome in ENDS_AT_CHANNEL[kind]


def ensure_outcome(kind: str, outcome: str) -> None:
    """Refuse an outcome that a person can't give to a ticket of this kind."""
    by_people = set(Outcome) - {Outcome.SETTLED_ITSELF}
    if kind != "dispute":
        by_people -= DISPUTED
    if outcome not in by_people:
        raise ActionNotAllowed(f"a ticket of kind {kind} does not end so", kind=kind)


def ensure_photo(content: bytes) -> str:
    """The photo's media type; raises Invalid for anything else, or what is too large."""
    media_type = photo_type(content)
    if media_type is None or len(content) > EVIDENCE_BYTES_MAX:
        raise Invalid(
            f"a photo is JPEG, PNG or WebP of at most {EVIDENCE_BYTES_MAX} bytes",
            most_bytes=EVIDENCE_BYTES_MAX,
        )
    return media_type


def photo_type(content: bytes) -> str | None:
    """The media type that a photo's first bytes prove (JPEG, PNG, WebP), whatever it is called."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None
