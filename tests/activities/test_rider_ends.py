"""Money at the door: what is missing goes back by lines, a silent customer pays everybody."""

from typing import Any

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.orders import OrderActs
from domain.contracts.life import Missing
from domain.contracts.orders import EndStep, RiderStep, Step
from services import laws
from services.db import Database
from tests.sold import DELIVERY_FEN, GOODS_FEN, PACKING_FEN, PAID_FEN, Sales

RIDER = "rod"


@pytest.fixture
async def sales(database: Database, site_id: str) -> Sales:
    return await Sales(database, site_id).build()


async def order_in(sales: Sales, state: str, status: str, **more: Any) -> str:
    """An order that its rider has, or carries."""
    order_id = await sales.order(
        status=status, after_sale="none", kitchen="ready", channel_fee_fen=0, **more
    )
    async with sales.database.write() as writer:
        await writer.run(
            text("""UPDATE delivery_tasks SET state = :state, rider_id = :rider, token = 1,
            delivered_at = NULL WHERE order_id = :id"""),
            {"state": state, "rider": RIDER, "id": order_id},
        )
    return order_id


async def set_task(sales: Sales, order_id: str, what: str) -> None:
    async with sales.database.write() as writer:
        statement = f"UPDATE delivery_tasks SET {what} WHERE order_id = :id"  # noqa: S608
        await writer.run(text(statement), {"id": order_id})


def pickup(order_id: str, *missing: tuple[int, int]) -> RiderStep:
    return RiderStep(
        order_id=order_id,
        key="picked_up",
        actor=f"rider:{RIDER}",
        rider_id=RIDER,
        token=1,
        missing=tuple(Missing(line_no=line, quantity=count) for line, count in missing),
    )


async def broken(sales: Sales) -> list[laws.Verdict]:
    async with sales.database.read() as reader:
        verdicts = await laws.check(reader, sales.site_id)
    return [one for one in verdicts if one.broken and "fold" not in one.law]


async def test_what_is_missing_goes_back_and_the_merchant_bears_it(sales: Sales) -> None:
    order_id = await order_in(sales, "at_store", "awaiting_pickup")
    acts = OrderActs(sales.database)
    done = await acts.mark_picked_up(pickup(order_id, (1, 2)))
    assert await acts.mark_picked_up(pickup(order_id, (1, 2))) == done
    assert (done.status, len(done.refund_nos)) == ("delivering", 1)
    [wish] = await sales.all("SELECT * FROM after_sales WHERE order_id = :id", id=order_id)
    back_fen = 1_000 - 333 + 20
    assert (wish.state, wish.bearer, wish.amount_fen) == ("approved", "merchant", back_fen)
    row = await sales.row(order_id)
    assert (row.status, row.payment, row.refunded_fen) == ("delivering", "refunding", back_fen)
    assert (await sales.stream(order_id)).view["missing"] == [{"line_no": 1, "quantity": 2}]

    step = RiderStep(order_id=order_id, key="delivered", rider_id=RIDER, token=1)
    await acts.mark_delivered(step)
    await acts.complete(Step(order_id=order_id, key="completed"))
    merchant = f"merchant:{sales.merchant_id}:payable"
    assert await sales.balance(merchant) == GOODS_FEN + PACKING_FEN - back_fen
    assert await broken(sales) == []


async def test_what_a_long_search_pays_more_is_its_rider_s_in_the_end(sales: Sales) -> None:
    order_id = await order_in(sales, "picked_up", "delivering")
    await set_task(sales, order_id, "bonus_fen = 300")
    acts = OrderActs(sales.database)
    for _ in range(2):
        await acts.mark_delivered(
            RiderStep(order_id=order_id, key="delivered", rider_id=RIDER, token=1)
        )
    assert await sales.balance(f"rider:{RIDER}:payable") == DELIVERY_FEN + 300
    assert await broken(sales) == []


@pytest.mark.parametrize("missing", [((3, 1),), ((1, 4),), ((1, 3), (2, 1)), ((1, 1), (1, 1))])
async def test_more_than_there_is_or_everything_is_no_pickup(
    sales: Sales, missing: tuple[tuple[int, int], ...]
) -> None:
    order_id = await order_in(sales, "at_store", "awaiting_pickup")
    with pytest.raises(ApplicationError):
        await OrderActs(sales.database).mark_picked_up(pickup(order_id, *missing))
    assert (await sales.row(order_id)).status == "awaiting_pickup"
    assert not await sales.all("SELECT FROM after_sales WHERE order_id = :id", id=order_id)


async def test_money_that_is_only_held_leaves_the_missing_to_the_merchant(sales: Sales) -> None:
    order_id = await order_in(sales, "at_store", "awaiting_pickup")
    async with sales.database.write() as writer:
        held = "UPDATE orders SET payment = 'authorized', paid_fen = 0 WHERE order_id = :id"
        await writer.run(text(held), {"id": order_id})
    done = await OrderActs(sales.database).mark_picked_up(pickup(order_id, (2, 1)))
    assert (done.status, done.refund_nos) == ("delivering", ())
    [wish] = await sales.all("SELECT state FROM after_sales WHERE order_id = :id", id=order_id)
    assert wish.state == "asked"


async def test_a_customer_nobody_can_reach_pays_everybody(sales: Sales) -> None:
    order_id = await order_in(sales, "arrived", "delivering")
    acts = OrderActs(sales.database)
    end = EndStep(
        order_id=order_id, key="ended", reason="customer_unreachable", even_after_pickup=True
    )
    assert not (await acts.end(end)).ended
    await set_task(sales, order_id, "state = 'failed', returned_at = now()")
    done = await acts.end(end)
    assert (done.ended, done.status, done.payment, done.refund_nos) == (
        True,
        "cancelled",
        "paid",
        (),
    )
    again = await acts.end(end)
    assert (again.status, again.refund_nos) == ("cancelled", ())
    assert await sales.balance(f"merchant:{sales.merchant_id}:payable") == GOODS_FEN + PACKING_FEN
    assert await sales.balance(f"rider:{RIDER}:payable") == DELIVERY_FEN
    assert await broken(sales) == []


async def test_goods_left_behind_that_nobody_takes_end_with_the_money_home(sales: Sales) -> None:
    order_id = await order_in(sales, "searching", "delivering")
    acts = OrderActs(sales.database)
    end = EndStep(order_id=order_id, key="ended", reason="no_rider", even_after_pickup=True)
    assert not (await acts.end(end)).ended
    await set_task(sales, order_id, "gave_up = true, rider_id = '', goods_lat = 1, goods_lng = 1")
    done = await acts.end(end)
    assert (done.status, done.payment, len(done.refund_nos)) == ("cancelled", "refunding", 1)
    assert (await sales.row(order_id)).refunded_fen == PAID_FEN
    assert await broken(sales) == []


async def test_goods_left_behind_are_not_picked_up_anew(sales: Sales) -> None:
    order_id = await order_in(sales, "assigned", "delivering")
    await set_task(sales, order_id, "goods_lat = 1, goods_lng = 1")
    with pytest.raises(ApplicationError):
        await OrderActs(sales.database).mark_picked_up(pickup(order_id))
