"""What the outside is told of an order's events: the envelope, and the JSON Schema of its version.

Here are shapes only; who publishes where is the relay's. `docs/events/` keeps each version's
schema as `python -m services.envelope` prints it; a version that is out never changes.
"""

import sys
from enum import StrEnum
from typing import Any

import orjson

from domain.after_sale import State as AfterSale
from domain.contracts.refunds import RefundState
from domain.orders import CloseReason, Delivery, Kitchen, Payment, Status
from domain.refund_rules import Bearer
from services.events import EVENT_VERSION

SCHEMA = "paotui.order-event"
ENVELOPE = ("v", "site_id", "order_id", "seq", "type", "at", "data")
Shape = dict[str, Any]

_TEXT: Shape = {"type": "string"}
_FLAG: Shape = {"type": "boolean"}
_COUNT: Shape = {"type": "integer", "minimum": 0}
_AT: Shape = {"type": "string", "format": "date-time"}
_NONE: Shape = {"type": "null"}


def _one_of(kind: type[StrEnum], *more: str) -> Shape:
    return {"enum": [*(member.value for member in kind), *more]}


def _maybe(shape: Shape) -> Shape:
    return {"anyOf": [shape, _NONE]}


def _object(fields: dict[str, Shape], *, optional: tuple[str, ...] = ()) -> Shape:
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


_HINTED = {"hints": {"type": "array", "items": _TEXT}}
_LINE = _object(
    {
        "item_id": _TEXT,
        "name": _TEXT,
        "quantity": {"type": "integer", "minimum": 1},
        "choices": {"type": "object", "additionalProperties": _TEXT},
        "unit_fen": _COUNT,
        "packing_fen": _COUNT,
        "total_fen": _COUNT,
        "discount_fen": _COUNT,
        "paid_fen": _maybe(_COUNT),
    },
    optional=("discount_fen", "paid_fen"),
)
_DISCOUNT = _object(
    {"code": _TEXT, "name": _TEXT, "bearer": {"enum": ["platform", "merchant"]}}
    | {"amount_fen": _COUNT}
)
_MINUTES = ("low_minutes", "likely_minutes", "high_minutes")
_PROMISE = _object(dict.fromkeys(_MINUTES, _COUNT) | _HINTED)
_RATED = _object(
    {"stars": {"type": "integer", "minimum": 1, "maximum": 5}}
    | {"tags": {"type": "array", "items": _TEXT}}
)
_ORDER: dict[str, Shape] = {
    "order_id": _TEXT,
    "number": _COUNT,
    "site_id": _TEXT,
    "shop_id": _TEXT,
    "shop_name": _TEXT,
    "merchant_id": _TEXT,
    "status": _one_of(Status),
    "payment": _one_of(Payment),
    "kitchen": _one_of(Kitchen),
    "held": _FLAG,
    "delivery": _one_of(Delivery),
    "after_sale": _one_of(AfterSale, "none", "open", "closed"),
    "close_reason": _one_of(CloseReason, ""),
    "cancel_request": {"enum": ["none", "asked", "declined"]},
    "fulfilment": {"enum": ["delivery", "self_pickup"]},
    "requested_window": _maybe(_object({"from": _AT, "to": _AT})),
    "tableware": _COUNT,
    "lines": {"type": "array", "items": _LINE},
    "goods_fen": _COUNT,
    "packing_fen": _COUNT,
    "delivery_fee_fen": _COUNT,
    "tip_fen": _COUNT,
    "discounts": {"type": "array", "items": _DISCOUNT},
    "channel_fee_fen": _COUNT,
    "total_fen": _COUNT,
    "credit_fen": _COUNT,
    "paid_fen": _COUNT,
    "refunded_fen": _COUNT,
    "placed_at": _AT,
    "pay_by": _AT,
    "promise": _maybe(_PROMISE),
    "promised_from": _maybe(_AT),
    "promised_at": _maybe(_AT),
    "estimated_at": _maybe(_AT),
    "delay": _maybe(_object({"minutes": {"type": "integer"}} | _HINTED)),
    "rider_id": _TEXT,
}
"""The order as it was placed; later events tell of it what changed."""
FIELDS = _ORDER | {
    "late": _FLAG,
    "tipped_fen": _COUNT,
    "late_payment": _one_of(RefundState, "refunding"),
    "refund": _one_of(RefundState),
    "after_sale_id": _TEXT,
    "after_sale_fen": _COUNT,
    "reason_code": _TEXT,
    "bearer": _one_of(Bearer),
    "food_ready_at": _AT,
    "rating": _object({"food": _RATED, "ride": _maybe(_RATED)}),
    "dropoff": {"enum": ["hand", "door", "return"]},
    "missing": {"type": "array", "items": _object({"line_no": _COUNT, "quantity": _COUNT})},
    "photo_id": _TEXT,
    "rider_at_store": _object({"rider_id": _TEXT, "at": _AT}),
    "kitchen_late": _object({"waited_minutes": {"type": "number"}, "hint": _TEXT}),
    "unreachable_until": _maybe(_AT),
}
"""Every name that an event's `data` may have. Money in fen, times in UTC, no person's anything."""
_WISH = "after_sale after_sale_id"
_ASKED = "reason_code? bearer? after_sale_fen?"
_ENDED = "after_sale? after_sale_id?"
EVENTS = {
    "order.placed": " ".join(_ORDER),
    "order.authorized": "status payment",
    "order.paid": "payment paid_fen status?",
    "order.reminded": "",
    "order.accepted": "status kitchen delivery promised_from promised_at",
    "order.estimated": "estimated_at delay",
    "order.ready": "status kitchen",
    "order.cancel_asked": "cancel_request",
    "order.cancel_declined": "cancel_request",
    "order.prep_changed": "food_ready_at estimated_at delay",
    "order.picked_up": "status kitchen delivery cancel_request missing?",
    "order.delivered": "status delivery after_sale delay photo_id?",
    "order.collect_reminded": "",
    "order.collected": "status kitchen after_sale cancel_request delay",
    "order.uncollected": "status close_reason cancel_request",
    "order.dropoff_wished": "dropoff",
    "order.rated": "rating",
    "order.tipped": "tipped_fen",
    "order.late": "late",
    "order.cancelled": "status close_reason payment held delivery cancel_request",
    "order.completed": "status after_sale",
    "order.held": "held",
    "order.released": "held",
    "order.refunding": "payment",
    "order.refunded": f"payment refunded_fen {_ENDED}",
    "order.refund_delayed": f"refund {_ENDED}",
    "payment.lost": "payment",
    "payment.returning": "late_payment",
    "payment.returned": "late_payment",
    "delivery.offered": "delivery",
    "delivery.searching": "delivery",
    "delivery.assigned": "delivery rider_id",
    "delivery.approaching": "rider_at_store",
    "delivery.at_store": "delivery",
    "delivery.kitchen_late": "kitchen_late",
    "delivery.taken_over": "delivery",
    "delivery.arrived": "delivery",
    "delivery.reassigned": "delivery rider_id",
    "delivery.failed": "delivery",
    "delivery.unreachable": "unreachable_until",
    "delivery.reached": "unreachable_until",
    "delivery.returned": "delivery",
    "after_sale.asked": f"{_WISH} {_ASKED}",
    "after_sale.rejected": _WISH,
    "after_sale.escalated": f"{_WISH} {_ASKED}",
    "after_sale.awaiting_approval": _WISH,
    "after_sale.approved": f"{_WISH} after_sale_fen payment",
    "after_sale.declined": _WISH,
}
"""Each event's names in `data`; those with `?` may be left out."""


def schema() -> Shape:
    """The JSON Schema (2020-12) of the envelope as this code publishes it."""
    shapes: dict[str, Shape] = {
        "schema": {"const": SCHEMA},
        "v": {"const": EVENT_VERSION},
        "site_id": _TEXT,
        "order_id": _TEXT,
        "seq": {"type": "integer", "minimum": 1},
        "type": {"enum": list(EVENTS)},
        "at": _AT,
        "data": {"type": "object"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{SCHEMA} v{EVENT_VERSION}",
        **_object(shapes),
        "allOf": [
            {
                "if": {"properties": {"type": {"const": kind}}},
                "then": {"properties": {"data": _data(names.split())}},
            }
            for kind, names in EVENTS.items()
        ],
        "$defs": FIELDS,
    }


def of(message: str) -> bytes:
    """The envelope of an outbox message, as JSON: who bought it stays inside."""
    inner = orjson.loads(message)
    return orjson.dumps({"schema": SCHEMA} | {name: inner[name] for name in ENVELOPE})


def _data(names: list[str]) -> Shape:
    bare = [name.removesuffix("?") for name in names]
    optional = tuple(name.removesuffix("?") for name in names if name.endswith("?"))
    return _object({name: {"$ref": f"#/$defs/{name}"} for name in bare}, optional=optional)


if __name__ == "__main__":
    printed = orjson.dumps(schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(printed)
