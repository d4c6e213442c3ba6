"""Shapes of answers: from what services hold to what the public face shows."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from api.paying import Way
from domain import compensation, refund_rules
from domain.prices import FEES_VERSION, Item
from domain.proof import handover_code
from domain.rating import Sums
from domain.shops import Shop
from services.events import Stream
from services.identity import Identity, Role
from services.quotes import Quote

CODES_KEPT = 10_000


def shop(one: Shop, *, takes_orders: bool, rated: Sums) -> dict[str, Any]:
    """A shop as everybody sees it."""
    return {
        "shop_id": one.shop_id,
        "name": one.name,
        "merchant_id": one.merchant_id,
        "open": takes_orders,
        "paused": one.paused,
        "auto_accept": one.auto_accept,
        "prep_minutes": one.prep_minutes,
        "lat": one.place.lat,
        "lng": one.place.lng,
        "delivery_area": [[corner.lat, corner.lng] for corner in one.delivery_area],
        "self_pickup": one.self_pickup,
        "paused_until": one.paused_until,
        "rating": rating(rated),
    }


def rating(sums: Sums) -> dict[str, Any]:
    """What all say, with its average."""
    return {"count": sums.count, "stars": sums.stars, "average": sums.average}


def item(one: Item) -> dict[str, Any]:
    """An item of a menu."""
    return asdict(one)


def quote(one: Quote, offered: Sequence[Way], *, credit_fen: int) -> dict[str, Any]:
    """A quote, with the ways this customer may pay and the credit they have."""
    return {
        "quote_id": one.quote_id,
        "expires_at": one.expires_at,
        "shop_id": one.shop_id,
        "address_id": one.address_id,
        "lines": one.lines,
        "goods_fen": one.goods_fen,
        "packing_fen": one.packing_fen,
        "delivery_fee_fen": one.delivery_fee_fen,
        "tip_fen": one.tip_fen,
        "discounts": one.discounts,
        "channel_fee_fen": one.channel_fee_fen,
        "total_fen": one.total_fen,
        "credit_available_fen": credit_fen,
        "refund_order": refund_rules.GOES_BACK,
        "distance_meters": one.distance_meters,
        "promise_minutes": one.promise_minutes,
        "promise": one.promise.get("told"),
        "payment_methods": [
            method for way in offered if way.channel == "wechat" for method in way.methods
        ],
        "payments": [asdict(way) for way in offered],
        "policies": {
            "refunds": {"version": refund_rules.VERSION, "path": "/v1/policies/refunds"},
            "fees": {"version": FEES_VERSION, "path": f"/v1/policies/fees?site={one.site_id}"},
            "compensation": {
                "version": compensation.VERSION,
                "path": "/v1/policies/compensation",
            },
        },
    }


def order(stream: Stream, who: Identity, handover_key: bytes) -> dict[str, Any]:
    """An order's public state for one of its people."""
    return {"seq": stream.seq, **stream.view, **secrets(stream.order_id, who, handover_key)}


def secrets(order_id: str, who: Identity, handover_key: bytes) -> dict[str, str]:
    """What only the customer may see of their order."""
    if who.role is not Role.CUSTOMER:
        return {}
    return {"handover_code": _code(order_id, handover_key)}


@lru_cache(maxsize=CODES_KEPT)
def _code(order_id: str, key: bytes) -> str:
    return handover_code(order_id, key)
