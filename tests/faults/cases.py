"""One seed's city: what was drawn for it, what is asked of it, and what must be true in the end."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text

from domain.ids import order_of
from tests.e2e.tills import ALL, WAYS, pay_at
from tests.e2e.world import Json, World, poll
from tests.faults.ends import until_nothing
from tests.faults.stage import Stage

QUICK = {"notice_seconds": 1, "poll_seconds": [0.5, 1], "refund_poll_seconds": [1, 1]}
REPEAT_SECONDS = 0.3
QUANTITIES = 5

Result = TypeVar("Result")

_ATTEMPTS = text("SELECT out_trade_no FROM payment_attempts WHERE site_id = :site_id")
_EVENTS = text("SELECT type FROM order_events WHERE order_id = :order_id ORDER BY seq")
_REFUNDS = text("SELECT out_refund_no FROM refunds WHERE site_id = :site_id")


class Case:
    """A seed, its dice and what it has to say."""

    def __init__(self, stage: Stage, seed: int, folder: Path) -> None:
        self.stage = stage
        self.seed = seed
        self.folder = folder
        """Shared by the seeds of a test."""
        self.dice = self.dice_of("case")
        self.said: list[str] = []

    def dice_of(self, name: str) -> random.Random:
        """Dice of its own for whatever runs beside others."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311

    def say(self, text: str) -> None:
        """Something drawn, for whoever must repeat it."""
        self.said.append(text)

    async def city(self, **more: Any) -> World:
        """A city with every channel and short silences."""
        wanted = {"channels": ALL, "timers": QUICK, "customers": 1} | more
        world = await self.stage.city(**wanted)
        world.api = self.stage.steady
        return world


async def beside(lives: Iterable[Awaitable[Result]]) -> list[Result]:
    """All of them at once; the first that failed, when all are over."""
    ended = await asyncio.gather(*lives, return_exceptions=True)
    failed = [one for one in ended if isinstance(one, BaseException)]
    if failed:
        raise failed[0]
    return [one for one in ended if not isinstance(one, BaseException)]


async def arm(world: World, channel: str, operation: str, fault: str, **more: Any) -> None:
    """Script a channel towards this city's payee."""
    script = {"channel": channel, "operation": operation, "fault": fault, **more}
    answer = await world.gateway.post(
        "/control/faults", json=script | {"mchid": world.payee(channel)}
    )
    assert answer.is_success, answer.text


async def habits(world: World, channel: str, changes: Json) -> None:
    """Change how a channel serves this city's payee."""
    path = "/control" if channel == "wechat" else f"/control/{channel}"
    path += f"/merchants/{world.payee(channel)}/settings"
    answer = await world.gateway.put(path, json=changes)
    assert answer.is_success, answer.text


async def untroubled(world: World, channel: str) -> set[str]:
    """The calls towards this city's payee that have met none of their trouble yet."""
    scripts = (await world.gateway.get("/control/faults")).raise_for_status().json()
    payee = (channel, world.payee(channel))
    return {
        one["operation"]
        for one in scripts
        if (one.get("channel"), one.get("mchid")) == payee and one["times_left"] == one["times"]
    }


async def place(world: World, channel: str, quantity: int = 1, customer: str = "c0") -> Json:
    """A placed order; while nobody knows whether the channel took it, the tap is repeated."""
    quote, key = await world.quote(customer, quantity), uuid.uuid4().hex

    async def tap() -> Json | None:
        answer = await world.try_place(quote, customer, key=key, payment=WAYS[channel])
        assert answer.is_success, answer.text
        if answer.status_code == 202:
            await asyncio.sleep(REPEAT_SECONDS)
            return None
        return dict(answer.json())

    return dict(await poll(tap))


async def paid(world: World, channel: str, quantity: int = 1) -> Json:
    """An order that waits for its merchant."""
    order = await place(world, channel, quantity)
    await pay_at(world, order)
    await until_paid(world, order)
    return order


async def until_paid(world: World, order: Json, customer: str = "c0") -> None:
    """Paid or held: the merchant's turn."""
    await world.until(
        order["order_id"], lambda view: view["status"] == "awaiting_acceptance", customer
    )


async def accepted(world: World, channel: str, quantity: int = 1) -> Json:
    """An order in the kitchen, its money taken."""
    order = await paid(world, channel, quantity)
    await accept(world, order)
    return order


async def accept(world: World, order: Json, customer: str = "c0") -> None:
    """The shop takes it; what was held is taken."""
    await world.merchant(order["order_id"], "accept")
    await world.until(order["order_id"], lambda view: view["payment"] == "paid", customer)


async def part_refunded(world: World, order: Json, amount_fen: int) -> None:
    """Support gives a part back, and it arrives."""
    done = await world.intervene(order["order_id"], "refund", amount_fen=amount_fen)
    assert done.is_success, done.text
    await world.until(order["order_id"], lambda view: view.get("refunded_fen") == amount_fen)
    await world.until(order["order_id"], lambda view: view["payment"] == "partially_refunded")


async def until_over(world: World, order: Json) -> None:
    """Cancelled, and nothing of the customer's is anywhere else."""
    over = {"refunded", "unpaid"}
    await world.until(
        order["order_id"],
        lambda view: view["status"] == "cancelled" and view["payment"] in over,
    )


async def events(world: World, order: Json) -> list[str]:
    """What was told of an order, by name."""
    async with world.database.read() as reader:
        rows = await reader.all(_EVENTS, {"order_id": order["order_id"]})
    return [row.type for row in rows]


async def resend(
    world: World, channel: str, order: Json, out_refund_no: str | None = None, *, count: int
) -> None:
    """Have a channel send a notice again, all at once; every answer says that it is stored.

    Channels hang up after five seconds, which a loaded machine may need.
    """
    owner = {"alipay": "seller_id", "card": "account"}.get(channel, "mchid")
    path = "/control" if channel == "wechat" else f"/control/{channel}"
    wish = {
        owner: world.payee(channel),
        "out_trade_no": f"{order['order_id']}p01",
        "out_refund_no": out_refund_no,
        "count": count,
        "concurrent": True,
    }
    answer = await world.gateway.post(f"{path}/notifications/resend", json=wish)
    assert answer.is_success, answer.text
    answers = answer.json()
    assert len(answers) == count
    assert set(answers) <= {200, 204, None}, answers
    assert set(answers) != {None}, "no answer at all"


async def assert_right(world: World, kept_fen: dict[str, int]) -> None:
    """Channels keep just so much of each order, ledger = oracle, and no law is broken."""
    await until_nothing(lambda: _wrong(world, kept_fen))


async def numbers(world: World) -> tuple[Collection[str], Collection[str]]:
    """Our numbers of this city: payments, refunds."""
    site = {"site_id": world.site_id}
    async with world.database.read() as reader:
        payments = [row.out_trade_no for row in await reader.all(_ATTEMPTS, site)]
        return payments, [row.out_refund_no for row in await reader.all(_REFUNDS, site)]


async def _wrong(world: World, kept_fen: dict[str, int]) -> list[str]:
    moved = [one for channel in world.channels for one in await world.moved(channel)]
    payments, refunds = await numbers(world)
    wrong = [
        f"{one['out_trade_no']}: not ours"
        for one in moved
        if one["paid_fen"] and one["out_trade_no"] not in payments
    ]
    theirs = Counter(refund["out_refund_no"] for one in moved for refund in one["refunds"])
    wrong += [
        f"{number}: {count} refunds there"
        for number, count in theirs.items()
        if count > 1 or number not in refunds
    ]
    left: Counter[str] = Counter()
    for one in moved:
        left[order_of(one["out_trade_no"])] += one["paid_fen"] - one["refunded_fen"]
    wrong += [
        f"{order_id}: {left[order_id]} fen there, not {fen}: {moved}"
        for order_id, fen in kept_fen.items()
        if left[order_id] != fen
    ]
    return wrong + [str(verdict) for verdict in await world.verdicts()]
