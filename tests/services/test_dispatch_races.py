"""Whoever claims, expires, reassigns, cancels or picks up at once: one of them wins."""

import asyncio

import pytest
from sqlalchemy import text

from domain.errors import ActionNotAllowed, BoxFull, ClaimTaken
from services import dispatch, riders
from services.db import Database
from services.dispatch import TaskState
from tests.zone import City, no_beat

ROUNDS = 50
RIDERS = 100


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id)


async def test_a_hundred_riders_claim_at_once_and_one_has_it_fifty_times(city: City) -> None:
    riders = [f"rider-{number:03d}" for number in range(RIDERS)]
    await city.add_riders(*riders)
    matcher = await city.matcher()
    for _ in range(ROUNDS):
        task = await city.add_task()
        await matcher.offer(task, riders)

        answers = await asyncio.gather(
            *(city.do(dispatch.claim, task, rider_id, 1) for rider_id in riders),
            return_exceptions=True,
        )

        won = [
            (who, one)
            for who, one in zip(riders, answers, strict=True)
            if isinstance(one, TaskState)
        ]
        lost = [one for one in answers if isinstance(one, ClaimTaken)]
        assert (len(won), len(lost)) == (1, RIDERS - 1)
        ((winner, state),) = won
        row = await city.row(task)
        assert (row.state, row.rider_id, row.token) == ("assigned", winner, state.token)
        assert await city.do(dispatch.claim, task, winner, 1) == state
        assert await city.event_types(task) == ["delivery.offered", "delivery.assigned"]
        counted = await city.all(
            "SELECT state, count(*) AS n FROM offers WHERE task_id = :task_id GROUP BY state",
            task_id=task.task_id,
        )
        assert {one.state: one.n for one in counted} == {"accepted": 1, "withdrawn": RIDERS - 1}


async def test_two_riders_with_room_for_one_grab_two_at_once_and_each_has_one(city: City) -> None:
    await city.add_riders("a", "b")
    async with city.database.write() as writer:
        await writer.run(text("UPDATE riders SET room = 1 WHERE site_id = :s"), {"s": city.site_id})
    matcher = await city.matcher()
    for _ in range(ROUNDS):
        tasks, third = [await city.add_task(), await city.add_task()], await city.add_task()
        for task in tasks:
            await matcher.offer(task, ["a", "b"], grab=True)

        *answers, _ = await asyncio.gather(
            *(city.do(dispatch.claim, task, rider, 1) for task in tasks for rider in ("a", "b")),
            matcher.offer(third, ["b", "a"], grab=True),
            return_exceptions=True,
        )

        lost = [one for one in answers if not isinstance(one, TaskState)]
        assert len(lost) == 2
        assert all(isinstance(one, BoxFull | ClaimTaken) for one in lost), lost
        assert {(await city.row(task)).rider_id for task in tasks} == {"a", "b"}
        assert (await city.row(third)).state == "offered"
        for task in (*tasks, third):
            await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)


async def test_claim_against_expiry_has_one_end(city: City) -> None:
    await city.add_riders("a")
    matcher = await city.matcher()
    for number in range(ROUNDS):
        task = await city.add_task(offer_seconds=0.03, search=-number)
        await matcher.offer(task, ["a"])

        async def claim(task: TaskState = task) -> object:
            await asyncio.sleep(0.025)
            return await city.do(dispatch.claim, task, "a", 1)

        async def expire() -> object:
            await asyncio.sleep(0.03)
            return await matcher.tick(no_beat)

        claimed, _ = await asyncio.gather(claim(), expire(), return_exceptions=True)
        while (await city.row(task)).state == "offered":
            await matcher.tick(no_beat)

        row = await city.row(task)
        won = isinstance(claimed, TaskState)
        assert won or isinstance(claimed, ClaimTaken)
        expected = ("assigned", "a") if won else ("searching", "")
        assert (row.state, row.rider_id) == expected
        last = (await city.event_types(task))[-1]
        assert last == ("delivery.assigned" if won else "delivery.searching")
        await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)


async def test_an_expired_offer_cannot_be_claimed(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    await (await city.matcher()).tick(no_beat)
    await city.pass_time(task, 31)

    with pytest.raises(ClaimTaken):
        await city.do(dispatch.claim, task, "a", 1)


@pytest.mark.parametrize("named", ["", "b"])
async def test_claim_against_reassign_has_one_end(city: City, named: str) -> None:
    await city.add_riders("a", "b")
    matcher = await city.matcher()
    for _ in range(ROUNDS):
        task = await city.add_task()
        await matcher.offer(task, ["a"])

        claimed, moved = await asyncio.gather(
            city.do(dispatch.claim, task, "a", 1),
            city.order_does(dispatch.reassign, task, rider_id=named),
            return_exceptions=True,
        )

        assert isinstance(claimed, TaskState | ClaimTaken)
        assert isinstance(moved, TaskState)
        row = await city.row(task)
        assert (row.state, row.rider_id, row.token) == (
            ("assigned", "b", 2) if named else ("searching", "", 2)
        )
        with pytest.raises(ClaimTaken):
            await city.do(dispatch.claim, task, "a", 1)
        assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)


async def test_cancel_against_pickup_whoever_wins_the_row_wins(city: City) -> None:
    matcher = await city.matcher()
    await city.add_riders("a")
    for _ in range(ROUNDS):
        task = await city.add_task()
        await matcher.offer(task, ["a"])
        await city.do(dispatch.claim, task, "a", 1)

        taken, closed = await asyncio.gather(
            city.order_does(dispatch.take, task, rider_id="a", token=1),
            city.order_does(dispatch.close_if_open, task, even_after_pickup=False),
        )

        assert taken is not closed
        assert (await city.row(task)).state == ("picked_up" if taken else "closed")
        assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)


async def test_decline_against_timeout_has_one_end(city: City) -> None:
    await city.add_riders("a")
    matcher = await city.matcher()
    for number in range(ROUNDS):
        task = await city.add_task(offer_seconds=0.03, search=-number)
        await matcher.offer(task, ["a"])

        async def decline(task: TaskState = task) -> TaskState:
            await asyncio.sleep(0.025)
            return await city.do(dispatch.decline, task, "a", 1, reason_code="too_far")

        async def expire() -> int:
            await asyncio.sleep(0.03)
            return await matcher.tick(no_beat)

        await asyncio.gather(decline(), expire())
        while (await city.row(task)).state == "offered":
            await matcher.tick(no_beat)

        assert (await city.row(task)).state == "searching"
        [ended] = await city.all(
            "SELECT state, reason_code FROM offers WHERE task_id = :id", id=task.task_id
        )
        assert (ended.state, ended.reason_code) in {("released", "too_far"), ("expired", "")}
        assert await city.event_types(task) == ["delivery.offered", "delivery.searching"]
        await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)


@pytest.mark.parametrize("named", ["", "b"])
async def test_reassign_against_pickup_has_one_end(city: City, named: str) -> None:
    await city.add_riders("a", "b")
    matcher = await city.matcher()
    for _ in range(ROUNDS):
        task = await city.add_task()
        await matcher.offer(task, ["a"])
        await city.do(dispatch.claim, task, "a", 1)

        taken, moved = await asyncio.gather(
            city.order_does(dispatch.take, task, rider_id="a", token=1),
            city.order_does(dispatch.reassign, task, rider_id=named),
            return_exceptions=True,
        )

        row = await city.row(task)
        if named:
            # Whoever was first: the named rider has it, with or without the food.
            assert isinstance(moved, TaskState)
            expected = ("picked_up", "b", 2) if taken is True else ("assigned", "b", 2)
        elif taken is True:
            assert isinstance(moved, ActionNotAllowed)
            expected = ("picked_up", "a", 1)
        else:
            assert isinstance(moved, TaskState)
            expected = ("searching", "", 2)
        assert (row.state, row.rider_id, row.token) == expected
        handed_over = await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
        assert handed_over == (row.rider_id == "a"), "who lost it can't hand it over"
        closed = await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)
        assert closed == (not handed_over)


async def test_a_shift_s_end_against_its_last_hand_overs_is_never_lost(city: City) -> None:
    await city.add_riders("a")
    who = {"site_id": city.site_id, "rider_id": "a"}

    async def switch(*, on: bool) -> None:
        async with city.database.write() as writer:
            await riders.set_shift(writer, **who, on=on)
            await dispatch.end_shift_if_done(writer, **who)

    for _ in range(ROUNDS):
        await switch(on=True)
        tasks = [await city.add_task(), await city.add_task()]
        for task in tasks:
            await city.order_does(dispatch.reassign, task, rider_id="a")
            await city.order_does(dispatch.take, task, rider_id="a", token=1)

        await asyncio.gather(
            switch(on=False),
            *(city.order_does(dispatch.hand_over, task, rider_id="a", token=1) for task in tasks),
        )

        open_shifts = "SELECT FROM shifts WHERE site_id = :site AND ended_at IS NULL"
        assert await city.all(open_shifts, site=city.site_id) == []
