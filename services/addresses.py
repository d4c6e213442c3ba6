"""Where customers live, and what they ask of an order: personal rows, and the names of them."""

import uuid
from typing import Any

from sqlalchemy import text

from domain import ids
from domain.errors import Invalid, NotFound
from services import personal
from services.db import Reader, Writer
from services.personal import Item

ADDRESSES_MAX = 50

_ADD = text("""
INSERT INTO addresses (address_id, site_id, customer_id)
VALUES (:address_id, :site_id, :customer_id)
""")
_LIST = text("""
SELECT address_id FROM addresses WHERE site_id = :site_id AND customer_id = :customer_id
ORDER BY created_at, address_id LIMIT :limit
""")
_ONE = text("""
SELECT address_id FROM addresses
WHERE address_id = :address_id AND site_id = :site_id AND customer_id = :customer_id
""")
_REMOVE = text("""
DELETE FROM addresses
WHERE address_id = :address_id AND site_id = :site_id AND customer_id = :customer_id
""")


def subject(customer_id: str) -> str:
    """The name of a customer as a person with a key of their own."""
    return f"customer:{customer_id}"


async def add(writer: Writer, *, site_id: str, customer_id: str, address: dict[str, Any]) -> str:
    """Keep an address {name, phone, text, lat, lng}; its id."""
    customer = {"site_id": site_id, "customer_id": customer_id}
    known = await writer.all(_LIST, customer | {"limit": ADDRESSES_MAX})
    if len(known) >= ADDRESSES_MAX:
        raise Invalid(f"a customer keeps at most {ADDRESSES_MAX} addresses: delete one first")
    address_id = ids.derive("address", uuid.uuid4().hex)
    await writer.run(_ADD, customer | {"address_id": address_id})
    await personal.put(
        writer,
        site_id=site_id,
        subject=subject(customer_id),
        kind="address",
        ref=address_id,
        value=address,
    )
    return address_id


async def mine(reader: Reader, *, site_id: str, customer_id: str) -> list[dict[str, Any]]:
    """The customer's addresses, oldest first, each with its `address_id`."""
    rows = await reader.all(
        _LIST, {"site_id": site_id, "customer_id": customer_id, "limit": ADDRESSES_MAX}
    )
    items = [Item(site_id, subject(customer_id), "address", row.address_id) for row in rows]
    found = await personal.get_many(reader, items)
    return [{"address_id": item.ref, **found[item]} for item in items if item in found]


async def get(reader: Reader, *, site_id: str, customer_id: str, address_id: str) -> dict[str, Any]:
    """One of the customer's own addresses; raises NotFound."""
    named = {"site_id": site_id, "customer_id": customer_id, "address_id": address_id}
    address = None
    if await reader.first(_ONE, named):
        address = await personal.get(
            reader, site_id=site_id, subject=subject(customer_id), kind="address", ref=address_id
        )
    if address is None:
        raise NotFound("there is no such address")
    return address


async def remove(writer: Writer, *, site_id: str, customer_id: str, address_id: str) -> None:
    """Forget an address; orders keep the copy they were placed with. Raises NotFound."""
    named = {"site_id": site_id, "customer_id": customer_id, "address_id": address_id}
    if not await writer.run(_REMOVE, named):
        raise NotFound("there is no such address")
    await personal.put(
        writer,
        site_id=site_id,
        subject=subject(customer_id),
        kind="address",
        ref=address_id,
        value={},
    )


async def copy_to_order(
    writer: Writer,
    *,
    site_id: str,
    customer_id: str,
    order_id: str,
    address: dict[str, Any],
    remark: str,
) -> None:
    """What the order was placed with, as it was then: {address, remark}."""
    await personal.put(
        writer,
        site_id=site_id,
        subject=subject(customer_id),
        kind="order",
        ref=order_id,
        value={"address": address, "remark": remark},
    )


async def of_orders(
    reader: Reader, site_id: str, orders: list[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """By order id what each (order_id, customer_id) was placed with; erased ones are left out."""
    items = [Item(site_id, subject(customer_id), "order", order) for order, customer_id in orders]
    found = await personal.get_many(reader, items)
    return {item.ref: value for item, value in found.items()}


async def keep_note(
    writer: Writer, *, site_id: str, customer_id: str, text: str, author: str
) -> str:
    """A note of support about a customer's order; its id."""
    note_id = ids.derive("note", uuid.uuid4().hex)
    await personal.put(
        writer,
        site_id=site_id,
        subject=subject(customer_id),
        kind="note",
        ref=note_id,
        value={"text": text, "author": author},
    )
    return note_id


async def notes(
    reader: Reader, *, site_id: str, customer_id: str, note_ids: list[str]
) -> dict[str, dict[str, Any]]:
    """By id the notes that there are."""
    items = [Item(site_id, subject(customer_id), "note", note_id) for note_id in note_ids]
    return {item.ref: value for item, value in (await personal.get_many(reader, items)).items()}
