"""Orders that customers fetch: when the food is ready, the code's tries, when it was taken."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.errors import ActionNotAllowed, NotFound, ProofWrong
from domain.orders import COOKING, Status
from domain.proof import TRIES, proves
from services import events, tickets
from services.db import Database, Reader, Writer

_OPEN = text("""
INSERT INTO pickups (order_id, site_id, food_ready_at) VALUES (:order_id, :site_id, :food_ready_at)
ON CONFLICT (order_id) DO NOTHING
""")
_FIND = text("SELECT * FROM pickups WHERE order_id = :order_id")
_READY = text("""
UPDATE pickups SET food_ready_at = now() WHERE order_id = :order_id AND collected_at IS NULL
""")
_EXPECT = text("""
UPDATE pickups SET food_ready_at = :food_ready_at
WHERE order_id = :order_id AND collected_at IS NULL
""")
_COUNT_TRY = text("""
UPDATE pickups SET proof_tries = proof_tries + 1 WHERE order_id = :order_id RETURNING proof_tries
""")
_COLLECT = text("""
UPDATE pickups SET collected_at = now() WHERE order_id = :order_id AND collected_at IS NULL
""")


async def open_pickup(
    writer: Writer, *, order_id: str, site_id: str, food_ready_at: datetime
) -> None:
    """The kitchen starts on what somebody will fetch; a repeat changes nothing."""
    opened = {"order_id": order_id, "site_id": site_id, "food_ready_at": food_ready_at}
    await writer.run(_OPEN, opened)


async def expect_food(writer: Writer, *, order_id: str, food_ready_at: datetime) -> None:
    """The kitchen will be done at another time."""
    await writer.run(_EXPECT, {"order_id": order_id, "food_ready_at": food_ready_at})


async def food_is_ready(writer: Writer, *, order_id: str) -> None:
    """The kitchen is done; nothing where a rider brings the food."""
    await writer.run(_READY, {"order_id": order_id})


async def collect(writer: Writer, *, order_id: str) -> bool:
    """The customer has the food; False: they had it before, or nobody fetches it."""
    return bool(await writer.run(_COLLECT, {"order_id": order_id}))


async def check_code(database: Database, *, order_id: str, code: str, key: bytes) -> None:
    """Check the customer's code before the order hears of it; a wrong one is counted and stays.

    It commits by itself: a refusal would roll its own count back at the edge.

    Raises:
        ProofWrong: with `tries_left`; at 0 support was asked and even the right code is refused.
        ActionNotAllowed: nobody fetches this order, or not now.
    """
    async with database.write() as writer:
        stream = await events.lock(writer, order_id)
        if stream is None:
            raise NotFound
        row = await _find(writer, order_id)
        status = Status(stream.view["status"])
        if row is None or status not in COOKING | {Status.DELIVERED}:
            raise ActionNotAllowed("nobody fetches this order now", status=status.value)
        tries = row.proof_tries
        if tries < TRIES:
            if proves(order_id, key, code):
                return
            tries = await writer.scalar(_COUNT_TRY, {"order_id": order_id})
            if tries == TRIES:
                await tickets.open_ticket(
                    writer,
                    site_id=stream.site_id,
                    order_id=order_id,
                    kind="proof_refused",
                    key="proof_refused",
                )
    raise ProofWrong(tries_left=TRIES - tries)


async def _find(reader: Reader, order_id: str) -> Row[Any] | None:
    return await reader.first(_FIND, {"order_id": order_id})
