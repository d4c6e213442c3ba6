"""An order's money after its end: split by the channel, and its share back before a refund."""

import uuid

import pytest
from sqlalchemy import text

from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack

TIMERS = {"rider_ahead_seconds": 900, "refund_poll_seconds": [1, 1], "after_sale_seconds": 1}
NOODLES_FEN, FEE_FEN = 1_900, 400
SHARE_FEN = NOODLES_FEN // 10 + FEE_FEN


async def settled(world: World, order_id: str) -> int:
    """What the platform got, once the channel was told of the delivery and all has ended."""

    async def look() -> int | None:
        question = """SELECT share_fen FROM settlements
        WHERE order_id = :id AND shipped_at IS NOT NULL AND ended_at IS NOT NULL"""
        async with world.database.read() as reader:
            found = await reader.scalar(text(question), {"id": order_id})
        return None if found is None else int(found)

    return int(await poll(look))


async def balances(world: World) -> Json:
    """Where the site's money is, by the last part of its accounts: debits less credits."""
    question = """SELECT account,
      sum(CASE side WHEN 'D' THEN amount_fen ELSE -amount_fen END) AS fen
    FROM ledger_entries WHERE site_id = :site_id GROUP BY account"""
    async with world.database.read() as reader:
        rows = await reader.all(text(question), {"site_id": world.site_id})
    return {row.account.rpartition(":")[2]: int(row.fen) for row in rows if row.fen}


async def test_split_and_taken_back_before_the_refund(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers=TIMERS, contract={"commission_bp": 1_000})
    order = await world.delivered()
    order_id = order["order_id"]
    await world.until(order_id, lambda view: view["status"] == "completed")
    assert await settled(world, order_id) == SHARE_FEN
    [moved] = await world.oracle(order_id)
    assert moved["split_fen"] == SHARE_FEN
    books = {"receivable": SHARE_FEN, "commission": -NOODLES_FEN // 10, "delivery": -FEE_FEN}
    earned = {"rider_cost": FEE_FEN, "payable": -FEE_FEN}
    assert await balances(world) == books | earned
    await world.assert_laws()

    who = world.token("customer", "c0") | {"Idempotency-Key": uuid.uuid4().hex}
    wish = {"lines": [{"line_no": 1, "quantity": 1}], "reason_code": "not_received"}
    asked = await world.call("POST", f"/v1/orders/{order_id}/refunds", who, wish)
    path = f"/v1/support/after-sales/{asked['after_sale_id']}/decide"
    decision = {"decision": "approve", "reason_code": "seen"}
    await world.call("POST", path, world.token("support", "sue"), decision)
    await world.until(order_id, lambda view: view["after_sale"] == "refunded")
    [moved] = await world.oracle(order_id)
    assert (moved["refunded_fen"], moved["returned_fen"]) == (NOODLES_FEN, SHARE_FEN)
    assert (await balances(world)).get("receivable") is None
    await world.assert_laws()


async def test_a_share_that_is_closed_is_told_and_the_merchant_is_paid(
    make_world: MakeWorld,
) -> None:
    contract = {"commission_bp": 1_000}
    world = await make_world(riders=1, timers=TIMERS, contract=contract, speed=60)
    platform = {"account": f"{world.mchid}0", "fail_reason": "ACCOUNT_ABNORMAL"}
    (await world.gateway.put("/control/receivers", json=platform)).raise_for_status()
    order = await world.delivered()
    assert await settled(world, order["order_id"]) == 0
    assert (await balances(world))["owes"] == SHARE_FEN
    async with world.database.read() as reader:
        question = "SELECT kind FROM tickets WHERE order_id = :id"
        [ticket] = await reader.all(text(question), {"id": order["order_id"]})
    assert ticket.kind == "split_failed"
    await world.assert_laws()
