"""F22: bills that are late or damaged: refused whole, asked for again, and then kept once.

Rows that come twice, other encodings and wrong summaries: `tests/services/*/test_bills.py`.
"""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from activities.reconciliation import ReconciliationActs
from domain.reconciliation import day_of
from services.gateways import Gateways
from tests.e2e.world import World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accepted,
    arm,
    assert_right,
    beside,
    habits,
    part_refunded,
)
from tests.faults.seeds import every_seed
from workers.reconcile import reconcile

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ORDERS = 3
MIDNIGHT = timedelta(minutes=2)
"""Within so long, all of a story's orders are paid and refunded: they stand on one day's bill."""
DOWNLOADED = {"wechat": "bill_download", "alipay": "bill_download", "bank": "bill"}
"""Where a channel's bill can be damaged on its way: WeChat's and Alipay's files come by a link."""
DAMAGES = ("bad_signature", "stale_timestamp", "http_500", "drop_before", "drop_after_commit")
"""Of a file the first is other bytes than its hash says, the second half of them."""

READY = {"wechat": "bills_ready", "alipay": "early_bills"}
"""How a day's bill is let out before the day is over; the bank's by a call of its own."""
LATE = ("wechat",)
"""Who says "not yet" here: Alipay's answer is that of a day without business, and the bank's day is
let out for everybody at once."""

_KEPT = text("""
SELECT count(DISTINCT b.id) AS bills, count(r.line_no) AS rows
FROM bills b LEFT JOIN bill_rows r ON r.bill_id = b.id
WHERE b.account_id = :account_id AND b.kind = 'trade'
""")


@every_seed
async def test_f22_bills_are_taken_whole_or_not_at_all(case: Case) -> None:
    """Late, then damaged on the way several times, then whole, then once more."""
    world = await case.city()
    lives = [_bill(case, world, channel) for channel in DOWNLOADED]
    await assert_right(world, dict(one for orders in await beside(lives) for one in orders))


async def _bill(case: Case, world: World, channel: str) -> list[tuple[str, int]]:
    dice = case.dice_of(channel)
    day = await _day_with_time_left()
    kept = await beside(_refunded(case, world, channel, number) for number in range(ORDERS))
    if channel in LATE:
        assert await _compared(world, channel, day) == (0, 1)
    await _let_out(world, channel, day)
    damages = dice.sample(DAMAGES, dice.randint(2, len(DAMAGES)))
    case.say(f"{channel}: {', '.join(damages)}")
    for damage in damages:
        await arm(world, channel, DOWNLOADED[channel], damage)
        assert await _compared(world, channel, day) == (0, 1), damage
        assert await _kept(world, channel) == (0, 0), damage
    for _ in range(2):
        assert await _compared(world, channel, day) == (0, 0)
        assert await _kept(world, channel) == (1, 2 * ORDERS)
    return kept


async def _refunded(case: Case, world: World, channel: str, number: int) -> tuple[str, int]:
    """One payment and one refund on the bill."""
    dice = case.dice_of(f"{channel}/{number}")
    order = await accepted(world, channel, dice.randint(1, QUANTITIES))
    part_fen = dice.randint(1, order["total_fen"] - 1)
    await part_refunded(world, order, part_fen)
    return order["order_id"], order["total_fen"] - part_fen


async def _day_with_time_left() -> date:
    """China's business day; a story that begins just before midnight waits for the next."""
    now = datetime.now(UTC)
    if (day := day_of(now)) == day_of(now + MIDNIGHT):
        return day
    await asyncio.sleep(MIDNIGHT.total_seconds())
    return day_of(datetime.now(UTC))


async def _compared(world: World, channel: str, day: date) -> tuple[int, int]:
    """A day's bills compared as `paotui reconcile` does; how many differences, how many failed."""
    gateways = Gateways(world.settings)
    try:
        return await reconcile(
            ReconciliationActs(world.database, gateways),
            channel=channel,
            day=day,
            account_id=world.account_of(channel),
        )
    finally:
        await gateways.close()


async def _let_out(world: World, channel: str, day: date) -> None:
    if channel in READY:
        await habits(world, channel, {READY[channel]: True})
        return
    answer = await world.gateway.post(f"/control/bank/statements/{day}/ready")
    assert answer.is_success, answer.text


async def _kept(world: World, channel: str) -> tuple[int, int]:
    """Trade bills and their rows."""
    async with world.database.read() as reader:
        [row] = await reader.all(_KEPT, {"account_id": world.account_of(channel)})
    return row.bills, row.rows
