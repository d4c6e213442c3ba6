"""Support's hand: which envelopes make sense, and which need a second person."""

from collections.abc import Mapping
from typing import Any

from domain.contracts.life import Intervene
from domain.errors import ActionNotAllowed, Invalid
from domain.orders import ACCEPTED, FINAL, MONEY_INTERVENTIONS, Intervention, Status

MAX_EXTEND_SECONDS = 86_400
MAX_CODE_CHARS = 64
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
        if not 0 < len(getattr(envelope, name)) <= MAX_CODE_CHARS:
            raise Invalid(f"{name} is 1 to {MAX_CODE_CHARS} characters")
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
    """Four eyes above the limit."""
    if action not in MONEY_INTERVENTIONS:
        return False
    return int(args.get("amount_fen", total_fen)) > limit_fen


def _check_args(action: Intervention, args: Mapping[str, Any]) -> None:
    needed: dict[Intervention, tuple[str, type, int]] = {
        Intervention.REFUND: ("amount_fen", int, 2**53),
        Intervention.EXTEND: ("extend_seconds", int, MAX_EXTEND_SECONDS),
        Intervention.NOTE: ("note_id", str, MAX_CODE_CHARS),
        Intervention.APPROVE: ("request_id", str, MAX_CODE_CHARS),
    }
    if action in needed:
        name, kind, most = needed[action]
        value = args.get(name)
        size = len(value) if isinstance(value, str) else value
        if type(value) is not kind or not isinstance(size, int) or not 0 < size <= most:
            raise Invalid(f"{action} needs {name}", field=name)
    rider = args.get("rider_id", "")
    if not isinstance(rider, str) or len(rider) > MAX_CODE_CHARS:
        raise Invalid("rider_id is a short text", field="rider_id")
