"""F10, F11: notices that come too early, too late, in another shape, in any order, or never."""

import asyncio
import time

import pytest

from tests.e2e.tills import ALL, pay_at, try_pay
from tests.e2e.world import World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accepted,
    arm,
    assert_right,
    beside,
    events,
    part_refunded,
    place,
    resend,
    until_over,
    until_paid,
)
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

UNANSWERED = (3, 4)
"""Questions after a refund: some seven to fifteen seconds, by when every notice has come."""
LATE_SECONDS = (2.0, 4.0)
REPEATS = 8
SPEED = 8
FOUND_SECONDS = 60 / SPEED
"""F11: a payment is found within a minute of a site that lives at speed 1."""
LOADED = 3
"""The machine may be shared: what is polled for takes at most so many times as long."""


@every_seed
async def test_f10_a_refund_notice_before_the_refunds_answer(case: Case) -> None:
    """The answer is lost, questions aren't answered for a while; the notice comes meanwhile."""
    world = await case.city()

    async def life(channel: str) -> str:
        dice = case.dice_of(channel)
        order = await accepted(world, channel, dice.randint(1, QUANTITIES))
        await arm(world, channel, "refund", "drop_after_commit")
        await arm(world, channel, "refund_query", "http_500", times=dice.randint(*UNANSWERED))
        assert (await world.intervene(order["order_id"], "cancel_refund")).is_success
        await until_over(world, order)
        assert (await events(world, order)).count("order.refunded") == 1
        return str(order["order_id"])

    orders = await beside(life(channel) for channel in ALL)
    await assert_right(world, dict.fromkeys(orders, 0))


@every_seed
async def test_f10_a_payment_notice_after_the_close(case: Case) -> None:
    """The order was cancelled when the news comes: no fulfilment, and the money goes home."""
    world = await case.city()

    async def life(channel: str) -> str:
        dice = case.dice_of(channel)
        late = dice.uniform(*LATE_SECONDS)
        await arm(world, channel, "notify", "delay", delay_seconds=late)
        order = await place(world, channel, dice.randint(1, QUANTITIES))
        pause = dice.uniform(0, 0.3)
        case.say(f"{channel}: cancelled {pause:.2f} s later, the notice {late:.1f} s")
        tap = asyncio.create_task(try_pay(world, order))
        await asyncio.sleep(pause)
        assert (await world.cancel(order["order_id"])).is_success
        await tap
        await until_over(world, order)
        await asyncio.sleep(late)
        assert "order.accepted" not in await events(world, order)
        return str(order["order_id"])

    orders = await beside(life(channel) for channel in ALL)
    await assert_right(world, dict.fromkeys(orders, 0))


@every_seed
async def test_f10_old_news_again_in_any_order(case: Case) -> None:
    """Alipay tells a partial refund as TRADE_SUCCESS; all of them tell what is long known."""
    world = await case.city()
    lives = [_told_again(case, world, channel) for channel in ALL]
    await assert_right(world, dict(await beside(lives)))


async def _told_again(case: Case, world: World, channel: str) -> tuple[str, int]:
    dice = case.dice_of(channel)
    order = await accepted(world, channel, dice.randint(1, QUANTITIES))
    part_fen = dice.randint(1, order["total_fen"] - 1)
    await part_refunded(world, order, part_fen)
    again = ["payment", "refund"] * dice.randint(1, REPEATS // 2)
    dice.shuffle(again)
    for what in again:
        refund = f"{order['order_id']}r01" if what == "refund" else None
        await resend(world, channel, order, refund, count=dice.randint(1, 3))
    told = await events(world, order)
    assert (told.count("order.paid"), told.count("order.refunded")) == (1, 1), told
    view = await world.view(order["order_id"])
    assert (view["status"], view["payment"]) == ("preparing", "partially_refunded")
    return order["order_id"], order["total_fen"] - part_fen


@every_seed
async def test_f11_notices_that_never_come(case: Case) -> None:
    """Payments and refunds are found by asking, on the schedule of every site."""
    world = await case.city(timers={}, speed=SPEED)
    for channel in ALL:
        await arm(world, channel, "notify", "lost", times=None)
    lives = [_unheard(case, world, channel) for channel in ALL]
    orders = await beside(lives)
    await assert_right(world, dict.fromkeys(orders, 0))


async def _unheard(case: Case, world: World, channel: str) -> str:
    dice = case.dice_of(channel)
    order = await place(world, channel, dice.randint(1, QUANTITIES))
    await asyncio.sleep(dice.uniform(0, 2))
    began = time.monotonic()
    await pay_at(world, order)
    await until_paid(world, order)
    seconds = time.monotonic() - began
    case.say(f"{channel} found after {seconds * SPEED:.0f} s of the site")
    assert seconds <= FOUND_SECONDS * LOADED
    assert (await world.cancel(order["order_id"])).is_success
    await until_over(world, order)
    return str(order["order_id"])
