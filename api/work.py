"""A rider's screen as they may see it: the same by request and on the live line."""

from dataclasses import asdict
from typing import Any

from api.cache import Cache
from domain import riding
from domain.geo import Point, distance_meters
from services import addresses, dispatch, settlement
from services.db import Reader
from services.dispatch import RiderOffer, RiderTask
from services.identity import Identity


async def screen(reader: Reader, cache: Cache, who: Identity) -> dict[str, list[dict[str, Any]]]:
    """`offers`, with pay and a coarse way, and `tasks`, with where they go."""
    work = await dispatch.offers(reader, site_id=who.site_id, rider_id=who.subject)
    listed = [(one.order_id, one.customer_id) for one in work.offers]
    listed += [(one.order_id, one.customer_id) for one in work.tasks]
    placed = await addresses.of_orders(reader, who.site_id, listed)
    earns = await settlement.rider_fees(reader, [order_id for order_id, _ in listed])
    here = await cache.place(who.site_id, who.subject) if work.offers else None
    tasks = [
        _without(task, "customer_id", "address_id")
        | {
            "dropoff": placed.get(task.order_id, {}).get("address"),
            "remark": placed.get(task.order_id, {}).get("remark", ""),
            "earns_fen": earns[task.order_id] + task.bonus_fen,
        }
        for task in work.tasks
    ]
    offers = [
        _without(offer, "customer_id", "goods")
        | _way(offer, placed.get(offer.order_id, {}).get("address"), here)
        | {"earns_fen": earns[offer.order_id] + offer.bonus_fen}
        for offer in work.offers
    ]
    return {"offers": offers, "tasks": tasks}


def _without(work: RiderOffer | RiderTask, *hidden: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(work).items() if name not in hidden}


def _way(offer: RiderOffer, address: dict[str, Any] | None, here: Point | None) -> dict[str, Any]:
    """Where an offer leads, no finer than who hasn't claimed may know."""
    begins = offer.goods or Point(offer.shop.lat, offer.shop.lng)
    told: dict[str, Any] = {"goods_area": asdict(riding.area(offer.goods))} if offer.goods else {}
    if here is not None:
        # Of goods left somewhere it is their area: ways from some places would tell the place.
        shown = riding.area(offer.goods) if offer.goods else begins
        told["pickup_meters"] = distance_meters(here, shown)
    if address is None:
        return told
    home = Point(address["lat"], address["lng"])
    return told | {
        "dropoff_area": asdict(riding.area(home)),
        "ride_meters": riding.coarse_meters(distance_meters(begins, home)),
    }
