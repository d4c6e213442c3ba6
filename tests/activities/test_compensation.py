"""Lateness is paid by its tiers, once each, and above the day's caps a person is asked."""

from typing import Any

import pytest
from sqlalchemy import text, update

from activities.compensation import compensate_late
from activities.orders import OrderActs
from domain.contracts.orders import Done, Step
from services import orders, tables
from services.db import Database
from services.orders import Changed
from tests.sold import DELIVERY_FEN, GOODS_FEN, Sales


@pytest.fixture
async def sales(database: Database, site_id: str) -> Sales:
    return await Sales(database, site_id).build()


async def be_late(sales: Sales, order_id: str, seconds: float) -> None:
    async with sales.database.write() as writer:
        await writer.run(
            text("""UPDATE orders SET promised_at = now() - make_interval(secs => :seconds)
            WHERE order_id = :order_id"""),
            {"order_id": order_id, "seconds": seconds},
        )


async def delivered(sales: Sales, order_id: str) -> Done:
    """What `mark_delivered` does for a late order after its row is written."""
    step = Step(order_id=order_id, key="delivered")
    async with sales.database.write() as writer:
        stream, repeated = await orders.begin(writer, step)
        changed = Changed(stream=stream, fresh=not repeated)
        return await compensate_late(writer, changed, step, cause="late_delivered")


async def kinds(sales: Sales, order_id: str) -> list[Any]:
    found = await sales.all("SELECT kind, data FROM tickets WHERE order_id = :id", id=order_id)
    return [(row.kind, row.data) for row in found]


async def test_the_alarm_gives_the_first_tier_and_delivery_the_rest(sales: Sales) -> None:
    order_id = await sales.order(payment="paid")
    acts, step = OrderActs(sales.database), Step(order_id=order_id, key="late")
    first = await acts.compensate_late(step)
    assert await acts.compensate_late(step) == first
    assert len(first.refund_nos) == 1
    assert (await sales.row(order_id)).refunded_fen == DELIVERY_FEN
    assert (await sales.stream(order_id)).view["late"]
    await be_late(sales, order_id, 2_000)
    await delivered(sales, order_id)
    assert (await sales.row(order_id)).refunded_fen == GOODS_FEN * 30 // 100
    await delivered(sales, order_id)
    assert (await sales.row(order_id)).refunded_fen == GOODS_FEN * 30 // 100


async def test_lateness_is_measured_at_the_sites_speed(sales: Sales) -> None:
    async with sales.database.write() as writer:
        site = tables.sites.c.site_id == sales.site_id
        await writer.run(update(tables.sites).where(site).values(speed=10))
    order_id = await sales.order()
    await be_late(sales, order_id, 30)
    assert not (await delivered(sales, order_id)).refund_nos
    await be_late(sales, order_id, 61)
    assert (await delivered(sales, order_id)).refund_nos


async def test_above_the_days_cap_a_person_is_asked(sales: Sales, database: Database) -> None:
    order_id = await sales.order()
    async with database.write() as writer:
        await writer.run(
            text("""INSERT INTO compensation_days
            SELECT site_id, to_char(now() AT TIME ZONE time_zone, 'YYYY-MM-DD'), 'ann', 7900
            FROM sites WHERE site_id = :site_id"""),
            {"site_id": sales.site_id},
        )
    done = await OrderActs(database).compensate_late(Step(order_id=order_id, key="late"))
    assert done.refund_nos == ()
    assert (await sales.row(order_id)).refunded_fen == 0
    assert await kinds(sales, order_id) == [("compensation_capped", {"amount_fen": DELIVERY_FEN})]
