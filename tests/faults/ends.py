"""What must be true once every story is over: right ends, right money, nothing left open."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

from temporalio.client import Client

from domain.ids import order_of
from tests.e2e.world import Json, World
from tests.faults.board import Board
from tests.faults.crowd import Crowd, Walk
from workflows.kit.connect import connect

SETTLE_SECONDS = 90.0
"""For money on its way home: notices that come again, questions asked again."""
LOOK_SECONDS = 1.0
BROKEN = "ExecutionStatus IN ('Failed', 'TimedOut', 'Terminated', 'Canceled')"
OPEN = "ExecutionStatus = 'Running'"


async def assert_right_ends(crowd: Crowd) -> None:
    """Every order that was begun has ended as it may, and all money is where it belongs."""
    await crowd.board.look()
    wrong = [said for walk in crowd.walks if (said := _wrong_end(crowd.board, walk))]
    assert not wrong, wrong
    known = {walk.order_id for walk in crowd.walks}
    assert set(crowd.board.status) == known, "an order that nobody placed, or one lost"
    for world in crowd.worlds:
        mine = [walk for walk in crowd.walks if walk.world is world]
        await until_nothing(partial(_wrong_money, world, mine))
        await world.assert_laws()
    client = await connect(crowd.worlds[0].settings)
    await until_nothing(partial(_workflows, client, OPEN, known))
    broken = await _workflows(client, BROKEN, known)
    assert not broken, broken


def _wrong_end(board: Board, walk: Walk) -> str:
    status, reason = board.status[walk.order_id], board.close_reason[walk.order_id]
    right = (status == "completed" and "" in walk.ends) or (
        status == "cancelled" and reason in walk.ends
    )
    over = board.task[walk.order_id] in {"", "closed", "delivered"}
    if right and over:
        return ""
    task = board.task[walk.order_id]
    return f"{walk.story} {walk.order_id}: {status}, {reason or 'no reason'}, task {task}"


async def until_nothing(look: Callable[[], Awaitable[Sequence[str]]]) -> None:
    """What is still wrong must become right in time."""
    wrong: Sequence[str] = ()
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while wrong := await look():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(wrong) from None


async def _wrong_money(world: World, walks: Sequence[Walk]) -> list[str]:
    """Orders whose money at the gateway is not what their end says."""
    moved: dict[str, list[Json]] = {}
    for payment in [one for channel in world.channels for one in await world.moved(channel)]:
        moved.setdefault(order_of(payment["out_trade_no"]), []).append(payment)
    board = Board(world.database, [world.site_id])
    await board.look()
    wrong = []
    for walk in walks:
        payments = moved.get(walk.order_id, [])
        paid = [payment for payment in payments if payment["paid_fen"]]
        back_fen = sum(payment["refunded_fen"] for payment in payments)
        paid_fen = sum(payment["paid_fen"] for payment in payments)
        owed_fen = walk.given_back_fen if board.status[walk.order_id] == "completed" else paid_fen
        if (
            len(paid) > 1
            or any(payment["charges"] > 1 for payment in payments)
            or any(len(payment["refunds"]) > walk.refunds for payment in payments)
            or back_fen != owed_fen
            or (board.status[walk.order_id] == "completed" and len(paid) != 1)
        ):
            wrong.append(f"{walk.story} {walk.order_id}: {payments}")
    return wrong


async def _workflows(client: Client, query: str, orders: Collection[str]) -> list[str]:
    """Of these orders, and their refunds."""
    return [
        found.id
        async for found in client.list_workflows(query)
        if order_of(found.id.partition("/")[2]) in orders
    ]
