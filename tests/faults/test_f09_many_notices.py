"""F9: one notice fifty times at once, at one API process and at four: one payment, one journal."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from tests.e2e.tills import ALL, pay_at
from tests.e2e.world import Json, World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accept,
    arm,
    assert_right,
    events,
    place,
    resend,
    until_paid,
)
from tests.faults.mint import mint
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

COPIES = 50
PROCESSES = 4
CROWDS = asyncio.Semaphore(2)
"""Cities whose notices come at the same time: fifty at once is what is asked, not five hundred."""
_JOURNALS = text("SELECT count(*) FROM ledger_journals WHERE order_id = :order_id")


@every_seed
async def test_f9_fifty_notices_at_once(case: Case) -> None:
    """As each channel sends them: every one is answered well."""
    world = await case.city()

    async def life(channel: str) -> tuple[str, int]:
        dice = case.dice_of(channel)
        await arm(world, channel, "notify", "duplicate", count=dice.randint(2, COPIES))
        order = await place(world, channel, dice.randint(1, QUANTITIES))
        await pay_at(world, order)
        await until_paid(world, order)
        await resend(world, channel, order, count=COPIES)
        return await _once(world, order)

    async with CROWDS:
        kept = dict([await life(channel) for channel in ALL])
    await assert_right(world, kept)


@every_seed
async def test_f9_fifty_notices_at_four_processes(case: Case) -> None:
    """Each copy signed anew, at processes that share nothing but the rows."""
    world = await case.city()
    channel = case.dice.choice(("wechat", "alipay", "bank"))
    await arm(world, channel, "notify", "lost", times=None)
    order = await place(world, channel, case.dice.randint(1, QUANTITIES))
    await pay_at(world, order)
    [moved] = await world.moved(channel)
    made = mint(world, channel, order)
    path = f"/v1/notify/{channel}/{world.account_of(channel)}"
    async with CROWDS, AsyncExitStack() as more:
        urls = [world.settings.api_url]
        for number in range(1, PROCESSES):
            log = case.folder / f"api-{case.seed}-{number}.log"
            _, url = await more.enter_async_context(case.stage.more_api(log))
            urls.append(url)
        case.say(f"{channel} at {len(urls)} processes")

        async def send(number: int) -> int:
            headers, body = made.true(transaction_id=moved["transaction_id"])
            url = urls[number % PROCESSES]
            answer = await case.stage.api.post(f"{url}{path}", headers=headers, content=body)
            return answer.status_code

        answers = await asyncio.gather(*(send(number) for number in range(COPIES)))
    assert set(answers) <= {200, 204}, answers
    await until_paid(world, order)
    await assert_right(world, dict([await _once(world, order)]))


async def _once(world: World, order: Json) -> tuple[str, int]:
    """The order was paid by one journal, and is cooked."""
    await accept(world, order)
    assert (await events(world, order)).count("order.paid") == 1
    async with world.database.read() as reader:
        assert await reader.scalar(_JOURNALS, {"order_id": order["order_id"]}) == 1
    return order["order_id"], int(order["total_fen"])
