"""Support's hand: which envelopes make sense, and which need a second person."""

import re
from collections.abc import Mapping
from typing import Any

from domain.contracts.life import Intervene
from domain.errors import ActionNotAllowed, Invalid
from domain.orders import ACCEPTED, FINAL, MONEY_INTERVENTIONS, Intervention, Status

MAX_EXTEND_SECONDS = 86_400
MAX_CODE_CHARS = 64
WORD = re.compile(rf"[\w.:@~-]{{1,{MAX_CODE_CHARS}}}")
MOST = {"amount_fen": 2**53, "extend_seconds": MAX_EXTEND_SECONDS}
"""Arguments that are whole numbers from 1, with their bounds; all others are codes."""
PAID = frozenset(Status) - FINAL - {Status.AWAITING_PAYMENT}

ALLOWED: dict[Intervention, frozenset[Status]] = {
    Intervention.CANCEL_REFUND: frozenset(Status) - FINAL - {Status.DELIVERED},
    Intervention.REFUND: PAID,
    Intervention.REASSIGN: ACCEPTED,
    Intervention.EXTEND: PAID,
    Intervention.HOLD: PAID,
    Intervention.RELEASE: PAID,
    Intervention.NOTE: frozenset(Status) - FINAL,
    Intervention.APPROVE: frozenset(Status) - FINAL,
}
NEEDS: dict[Intervention, str] = {
    Intervention.REFUND: "amount_fen",
    Intervention.EXTEND: "extend_seconds",
    Intervention.NOTE: "note_id",
    Intervention.APPROVE: "request_id",
}
"""The argument without which an action makes no sense."""
MAY_HAVE: dict[Intervention, frozenset[str]] = {
    action: frozenset({"note_id", NEEDS.get(action, "note_id")}) for action in Intervention
} | {Intervention.REASSIGN: frozenset({"note_id", "rider_id"})}
"""The arguments an action takes; any may name the note that says more."""


def from_json(data: object, *, actor: str) -> Intervene:
    """The envelope in a signal's JSON; anything else is refused by name, never half read."""
    if not isinstance(data, Mapping):
        raise Invalid("an intervention is a JSON object")
    texts = {name: data.get(name) for name in ("action", "order", "reason_code", "request_id")}
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    args = data.get("args", {})
    if wrong or not isinstance(args, Mapping):
        raise Invalid("wrong shape", fields=",".join(wrong) or "args")
    return Intervene(
        action=str(texts["action"]),
        order=str(texts["order"]),
        reason_code=str(texts["reason_code"]),
        request_id=str(texts["request_id"]),
        args=dict(args),
        actor=actor,
    )


def check(envelope: Intervene, *, order_id: str, status: Status, held: bool) -> Intervention:
    """Refuse what makes no sense or is not allowed now; the action otherwise."""
    if envelope.action not in set(Intervention):
        raise Invalid("no such action", action=envelope.action[:MAX_CODE_CHARS])
    if envelope.order != order_id:
        raise Invalid("this is another order")
    for name in ("reason_code", "request_id"):
        if not _is_code(getattr(envelope, name)):
            raise Invalid(
                f"{name} is 1 to {MAX_CODE_CHARS} letters, digits and _ . : @ ~ -", field=name
            )
    action = Intervention(envelope.action)
    _check_args(action, envelope.args)
    wrong_hold = (action is Intervention.HOLD and held) or (
        action is Intervention.RELEASE and not held
    )
    if status not in ALLOWED[action] or wrong_hold:
        raise ActionNotAllowed(f"{action} is not allowed while {status}", status=status.value)
    return action


def needs_approval(
    action: Intervention, args: Mapping[str, Any], *, total_fen: int, limit_fen: int
) -> bool:
    """Four eyes above the limit; a cancel gives everything back, whatever its arguments say."""
    if action not in MONEY_INTERVENTIONS:
        return False
    amount_fen = int(args["amount_fen"]) if action is Intervention.REFUND else total_fen
    return amount_fen > limit_fen


def _check_args(action: Intervention, args: Mapping[str, Any]) -> None:
    needed = NEEDS.get(action)
    if needed is not None and needed not in args:
        raise Invalid(f"{action} needs {needed}", field=needed)
    for name, value in args.items():
        if name not in MAY_HAVE[action]:
            raise Invalid(f"{action} takes only {', '.join(sorted(MAY_HAVE[action]))}")
        most = MOST.get(name)
        if most is None and not _is_code(value):
            raise Invalid(
                f"{name} is 1 to {MAX_CODE_CHARS} letters, digits and _ . : @ ~ -", field=name
            )
        if most is not None and not (type(value) is int and 0 < value <= most):
            raise Invalid(f"{name} is a whole number from 1 to {most}", field=name)


def _is_code(value: object) -> bool:
    """A word: no sentence, no name, nothing that a column refuses at every retry."""
    return isinstance(value, str) and bool(WORD.fullmatch(value))
