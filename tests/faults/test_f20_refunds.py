"""F20: refunds that a channel can't pay, or gave up: a ticket, the customer told, one number."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.world import Json, World, poll
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accepted,
    assert_right,
    beside,
    events,
    habits,
    until_over,
)
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

EMPTY = {"wechat": "has_balance", "alipay": "seller_has_balance"}
"""Channels that take refunds from the merchant's balance, and what they call its being there."""
FAILED = {"wechat": "ABNORMAL", "bank": "ABNORMAL", "card": "failed"}
"""How a channel is told by hand that it gave up."""
FINAL = frozenset({"card"})
"""Where that is the end of this refund; of others it may still be paid."""
SPEED = 5
"""Of tickets that look whether they have settled themselves."""

_TICKET = text("""
SELECT state, outcome FROM tickets WHERE order_id = :order_id AND kind = :kind
""")


@every_seed
async def test_f20_a_merchant_without_balance(case: Case) -> None:
    """Asked for again under the same number until there is money; a person knows meanwhile."""
    world = await case.city(speed=SPEED)
    orders = await beside(_empty(case, world, channel) for channel in EMPTY)
    await assert_right(world, dict.fromkeys(orders, 0))


async def _empty(case: Case, world: World, channel: str) -> str:
    order = await accepted(world, channel, case.dice_of(channel).randint(1, QUANTITIES))
    await habits(world, channel, {EMPTY[channel]: False})
    await world.intervene(order["order_id"], "cancel_refund")
    await _ticket(world, order, "refund_refused", "open")
    view = await world.view(order["order_id"])
    assert (view["status"], view["payment"]) == ("cancelled", "refunding")
    await habits(world, channel, {EMPTY[channel]: True})
    await until_over(world, order)
    await _ticket(world, order, "refund_refused", "resolved")
    return str(order["order_id"])


@every_seed
async def test_f20_a_refund_that_the_channel_gave_up(case: Case) -> None:
    """The customer is told of the delay; where a person gets it paid, that is booked."""
    world = await case.city(speed=SPEED)
    lives = [_given_up(case, world, channel) for channel in FAILED]
    await assert_right(world, dict(await beside(lives)))


async def _given_up(case: Case, world: World, channel: str) -> tuple[str, int]:
    order = await accepted(world, channel, case.dice_of(channel).randint(1, QUANTITIES))
    if channel == "wechat":
        await habits(world, channel, {"refund_outcome": FAILED[channel]})
    await world.intervene(order["order_id"], "cancel_refund")
    if channel != "wechat":
        await _resolve(world, channel, order, FAILED[channel])
    view = await world.until(order["order_id"], lambda view: view.get("refund") == "abnormal")
    assert (view["status"], view["payment"]) == ("cancelled", "refunding")
    assert (await events(world, order)).count("order.refund_delayed") == 1
    await _ticket(world, order, "refund_abnormal", "open")
    if channel in FINAL:
        return order["order_id"], int(order["total_fen"])
    await _resolve(world, channel, order, "SUCCESS")
    await until_over(world, order)
    await _ticket(world, order, "refund_abnormal", "resolved")
    return order["order_id"], 0


async def _resolve(world: World, channel: str, order: Json, status: str) -> None:
    """End a refund by hand, as soon as the channel knows it."""
    owner = "account" if channel == "card" else "mchid"
    path = "/control" if channel == "wechat" else f"/control/{channel}"

    async def resolved() -> bool | None:
        answer = await world.gateway.post(
            f"{path}/refunds/{order['order_id']}r01/resolve",
            json={owner: world.payee(channel), "status": status},
        )
        assert answer.is_success or answer.status_code == 404, answer.text
        return answer.is_success or None

    await poll(resolved)


async def _ticket(world: World, order: Json, kind: str, state: str) -> None:
    """Wait until the order has one ticket of a kind, in this state."""
    which: dict[str, Any] = {"order_id": order["order_id"], "kind": kind}

    async def there() -> bool | None:
        async with world.database.read() as reader:
            rows = await reader.all(_TICKET, which)
        assert len(rows) <= 1, rows
        return bool(rows and rows[0].state == state) or None

    await poll(there)
