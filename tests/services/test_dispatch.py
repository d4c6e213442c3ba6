"""Dispatch on a real PostgreSQL: claims are atomic, offers are fenced, silence has an end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from domain.errors import ActionNotAllowed, ClaimTaken, NotFound, ProofWrong
from domain.proof import handover_code
from services import dispatch, events
from services.db import Database, Writer
from services.dispatch import Matcher, Superseded, TaskState
from tests.zone import City

KEY = b"key"
ROUNDS = 50
RIDERS = 100


def no_beat() -> None:
    """A heartbeat nobody listens to."""


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id)


Act = Callable[..., Awaitable[TaskState]]


async def do(
    city: City, act: Act, task: TaskState, rider_id: str, token: int, **more: str
) -> TaskState:
    """One rider command as the API runs it: one transaction."""
    async with city.database.write() as writer:
        return await act(
            writer,
            site_id=city.site_id,
            rider_id=rider_id,
            task_id=task.task_id,
            token=token,
            **more,
        )


async def as_order(
    city: City, task: TaskState, act: Callable[[Writer], Awaitable[object]]
) -> object:
    """One act of the order on its task: under the stream's lock, one transaction."""
    async with city.database.write() as writer:
        await events.lock(writer, task.order_id)
        return await act(writer)


async def assigned(city: City, matcher: Matcher, **times: float) -> TaskState:
    """A task that rider `a` has claimed under token 1."""
    await city.add_riders("a", "b")
    task = await city.add_task(**times)
    await matcher.tick(no_beat)
    return await do(city, dispatch.claim, task, "a", 1)


async def picked_up(city: City, matcher: Matcher, **times: float) -> TaskState:
    """A task whose food rider `a` carries under token 1."""
    task = await assigned(city, matcher, **times)
    taken = await as_order(
        city, task, lambda w: dispatch.take(w, order_id=task.order_id, rider_id="a", token=1)
    )
    assert taken
    return task


# The matcher -----------------------------------------------------------------------------------


async def test_the_nearest_free_rider_gets_the_only_offer(city: City) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 1
    assert await matcher.tick(no_beat) == 0

    row = await city.row(task)
    assert (row.state, row.token, row.rider_id) == ("offered", 1, "")
    assert await city.told("near") == [("offer.made", 1)]
    assert await city.told("far") == []
    assert await city.event_types(task) == ["delivery.offered"]


async def test_a_task_waits_for_its_search_to_begin(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task(search=60)
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 61)
    assert await matcher.tick(no_beat) == 1


async def test_food_ready_early_begins_the_search_with_its_whole_patience(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task(search=600, support=1_800, give_up=2_400)

    await as_order(city, task, lambda w: dispatch.food_is_ready(w, order_id=task.order_id))

    row = await city.row(task)
    assert (row.give_up_at - row.search_from).total_seconds() == 1_800
    assert (row.support_at - row.search_from).total_seconds() == 1_200
    assert await (await city.matcher()).tick(no_beat) == 1


async def test_two_tasks_share_no_rider(city: City) -> None:
    await city.add_riders("a")
    first, second = await city.add_task(search=-1), await city.add_task()
    matcher = await city.matcher()

    await matcher.tick(no_beat)
    assert ((await city.row(first)).state, (await city.row(second)).state) == (
        "offered",
        "searching",
    )
    await do(city, dispatch.claim, first, "a", 1)
    from services.dispatch import matcher as m
    async with city.database.read() as r:
        k={"site_id": city.site_id, "zone_id": "center", "limit": 10}
        print([dict(x._mapping) for x in await r.all(m._DUE, k)], await r.all(m._FREE, k))
    assert await matcher.tick(no_beat) == 0


async def test_an_unanswered_offer_goes_to_the_next_rider_and_back_after_a_pause(
    city: City,
) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()
    for _ in range(2):
        await matcher.tick(no_beat)
        await city.pass_time(task, 31)
        await matcher.tick(no_beat)

    assert await city.told("near") == [("offer.made", 1), ("offer.withdrawn", 1)]
    assert await city.told("far") == [("offer.made", 2), ("offer.withdrawn", 2)]
    await city.pass_time(task, 31)
    await matcher.tick(no_beat)
    assert (await city.told("near"))[2:] == [("offer.made", 3)]
    assert await city.event_types(task) == [
        "delivery.offered",
        "delivery.searching",
        "delivery.offered",
        "delivery.searching",
        "delivery.offered",
    ]


async def test_a_declined_offer_goes_on_at_once(city: City) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()
    await matcher.tick(no_beat)

    declined = await do(city, dispatch.decline, task, "near", 1)
    again = await do(city, dispatch.decline, task, "near", 1)
    await matcher.tick(no_beat)

    assert (declined.state, again) == ("searching", declined)
    assert await city.told("far") == [("offer.made", 2)]
    with pytest.raises(ClaimTaken):
        await do(city, dispatch.claim, task, "near", 1)
    with pytest.raises(NotFound):
        await do(city, dispatch.decline, task, "stranger", 2)


async def test_riders_off_shift_or_without_a_place_are_not_asked(city: City) -> None:
    await city.add_riders("off", "nowhere")
    await city.add_task()
    async with city.database.write() as writer:
        await writer.connection.exec_driver_sql(
            "UPDATE riders SET on_shift = rider_id <> 'off',"
            " lat = CASE rider_id WHEN 'off' THEN lat END WHERE site_id = %s",
            (city.site_id,),
        )

    assert await (await city.matcher()).tick(no_beat) == 0


async def test_support_is_asked_once_and_the_order_is_told_once(city: City) -> None:
    task = await city.add_task(support=10, give_up=20)
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 11)
    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]
    await city.pass_time(task, 10)
    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]
    await city.add_riders("late")
    assert await matcher.tick(no_beat) == 0

    order = {"order_id": task.order_id}
    tickets = await city.all("SELECT kind FROM tickets WHERE order_id = :order_id", **order)
    notes = await city.all("SELECT kind FROM order_timeline WHERE order_id = :order_id", **order)
    told = await city.all(
        "SELECT workflow_id, name, body FROM facts WHERE order_id = :order_id", **order
    )
    assert [one.kind for one in tickets] == ["no_rider_yet"]
    assert [one.kind for one in notes] == ["support_asked.no_rider_yet"]
    assert [tuple(one) for one in told] == [
        (f"order/{task.order_id}", "no_rider", {"task_id": task.task_id})
    ]


async def test_nobody_is_given_up_while_support_holds(city: City) -> None:
    task = await city.add_task(support=10, give_up=20)
    matcher = await city.matcher()
    before = await city.row(task)
    hold = {"order_id": task.order_id}
    await as_order(city, task, lambda w: dispatch.hold(w, held=True, **hold))
    await as_order(city, task, lambda w: dispatch.hold(w, held=True, **hold))
    await city.pass_time(task, 60)
    assert await matcher.tick(no_beat) == 0

    await as_order(city, task, lambda w: dispatch.hold(w, held=False, **hold))
    await as_order(city, task, lambda w: dispatch.hold(w, held=False, **hold))

    after = await city.row(task)
    shifted = (after.give_up_at - before.give_up_at).total_seconds()
    assert after.held_at is None
    assert 0 <= shifted < 5
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 30)
    assert await matcher.tick(no_beat) == 1


async def test_an_assigned_rider_who_goes_silent_is_replaced(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)
    await city.pass_time(task, 170)
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 11)

    assert await matcher.tick(no_beat) == 1

    row = await city.row(task)
    assert (row.state, row.rider_id, row.token) == ("searching", "", 2)
    assert (await city.event_types(task))[-1] == "delivery.reassigned"
    await matcher.tick(no_beat)
    assert (await city.told("b"))[-1] == ("offer.made", 3)
    with pytest.raises(ClaimTaken):
        await do(city, dispatch.arrive_store, task, "a", 1)


async def test_a_tap_is_a_sign_of_life(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)
    await city.pass_time(task, 179)
    await do(city, dispatch.arrive_store, task, "a", 1)
    await city.pass_time(task, 10)

    assert await matcher.tick(no_beat) == 0


async def test_after_pickup_a_silent_rider_is_a_ticket_once(city: City) -> None:
    matcher = await city.matcher()
    task = await picked_up(city, matcher)
    await city.pass_time(task, 181)

    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]

    tickets = await city.all(
        "SELECT kind FROM tickets WHERE order_id = :order_id", order_id=task.order_id
    )
    assert [one.kind for one in tickets] == ["rider_silent"]
    assert (await city.row(task)).state == "picked_up"


async def test_an_older_matcher_is_fenced_off(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    old = await city.matcher()
    new = await city.matcher()

    with pytest.raises(Superseded):
        await old.tick(no_beat)
    with pytest.raises(Superseded):
        await old.offer(task, ["a"])
    assert (await city.row(task)).state == "searching"
    assert await new.tick(no_beat) == 1


async def test_an_order_that_somebody_holds_stops_no_other(city: City) -> None:
    await city.add_riders("a", "b")
    stuck, free = await city.add_task(search=-1), await city.add_task()
    matcher = await city.matcher()

    async with city.database.write() as writer:
        await events.lock(writer, stuck.order_id)
        await matcher.tick(no_beat)

    assert (await city.row(stuck)).state == "searching"
    assert (await city.row(free)).state == "offered"
    await matcher.tick(no_beat)
    assert (await city.row(stuck)).state == "offered"


async def test_a_zone_that_is_no_more_has_no_matcher(city: City) -> None:
    matcher = await city.matcher()
    async with city.database.write() as writer:
        await writer.connection.exec_driver_sql(
            "DELETE FROM zones WHERE site_id = %s", (city.site_id,)
        )

    assert await Matcher.take(city.database, city.zone) is None
    with pytest.raises(Superseded):
        await matcher.tick(no_beat)


async def test_every_zone_is_listed(city: City) -> None:
    async with city.database.read() as reader:
        assert city.zone in await dispatch.zones(reader)


# Claims under races ----------------------------------------------------------------------------


async def test_a_hundred_riders_claim_at_once_and_one_has_it_fifty_times(city: City) -> None:
    riders = [f"rider-{number:03d}" for number in range(RIDERS)]
    await city.add_riders(*riders)
    matcher = await city.matcher()
    winners = set()
    for _ in range(ROUNDS):
        task = await city.add_task()
        await matcher.offer(task, riders)

        answers = await asyncio.gather(
            *(do(city, dispatch.claim, task, rider_id, 1) for rider_id in riders),
            return_exceptions=True,
        )

        won = [one for one in zip(riders, answers, strict=True) if isinstance(one[1], TaskState)]
        lost = [one for one in answers if isinstance(one, ClaimTaken)]
        assert (len(won), len(lost)) == (1, RIDERS - 1)
        winner, state = won[0]
        row = await city.row(task)
        assert (row.state, row.rider_id, row.token) == ("assigned", winner, state.token)
        assert await do(city, dispatch.claim, task, winner, 1) == state
        assert await city.event_types(task) == ["delivery.offered", "delivery.assigned"]
        counted = await city.all(
            "SELECT state, count(*) AS n FROM offers WHERE task_id = :task_id GROUP BY state",
            task_id=task.task_id,
        )
        assert {one.state: one.n for one in counted} == {"accepted": 1, "withdrawn": RIDERS - 1}
        winners.add(winner)
    assert winners <= set(riders)


async def test_claim_against_expiry_has_one_end(city: City) -> None:
    await city.add_riders("a")
    matcher = await city.matcher()
    ends = []
    for number in range(20):
        task = await city.add_task(offer_seconds=0.03, search=-number)
        await matcher.offer(task, ["a"])

        async def claim(task: TaskState = task) -> object:
            await asyncio.sleep(0.025)
            return await do(city, dispatch.claim, task, "a", 1)

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
        ends.append(won)
        await as_order(
            city,
            task,
            lambda w, task=task: dispatch.close_if_open(
                w, order_id=task.order_id, even_after_pickup=False
            ),
        )
    assert len(ends) == 20


async def test_an_expired_offer_cannot_be_claimed(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    await (await city.matcher()).tick(no_beat)
    await city.pass_time(task, 31)

    with pytest.raises(ClaimTaken):
        await do(city, dispatch.claim, task, "a", 1)


@pytest.mark.parametrize("named", ["", "b"])
async def test_claim_against_reassign_has_one_end(city: City, named: str) -> None:
    await city.add_riders("a", "b")
    matcher = await city.matcher()
    for _ in range(10):
        task = await city.add_task()
        await matcher.offer(task, ["a"])

        claimed, moved = await asyncio.gather(
            do(city, dispatch.claim, task, "a", 1),
            as_order(
                city,
                task,
                lambda w, task=task: dispatch.reassign(w, order_id=task.order_id, rider_id=named),
            ),
            return_exceptions=True,
        )

        assert isinstance(claimed, TaskState | ClaimTaken)
        assert isinstance(moved, TaskState)
        row = await city.row(task)
        assert (row.state, row.rider_id, row.token) == (
            ("assigned", "b", 2) if named else ("searching", "", 2)
        )
        with pytest.raises(ClaimTaken):
            await do(city, dispatch.claim, task, "a", 1)
        assert await as_order(
            city,
            task,
            lambda w, task=task: dispatch.close_if_open(
                w, order_id=task.order_id, even_after_pickup=False
            ),
        )


async def test_cancel_against_pickup_whoever_wins_the_row_wins(city: City) -> None:
    matcher = await city.matcher()
    await city.add_riders("a")
    for _ in range(10):
        task = await city.add_task()
        await matcher.offer(task, ["a"])
        await do(city, dispatch.claim, task, "a", 1)
        order = {"order_id": task.order_id}

        taken, closed = await asyncio.gather(
            as_order(
                city, task, lambda w, order=order: dispatch.take(w, rider_id="a", token=1, **order)
            ),
            as_order(
                city,
                task,
                lambda w, order=order: dispatch.close_if_open(w, even_after_pickup=False, **order),
            ),
        )

        assert taken is not closed
        assert (await city.row(task)).state == ("picked_up" if taken else "closed")
        assert await as_order(
            city,
            task,
            lambda w, order=order: dispatch.close_if_open(w, even_after_pickup=True, **order),
        )


# A rider's way ---------------------------------------------------------------------------------


async def test_the_whole_way_and_every_tap_twice(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)
    order = {"order_id": task.order_id, "rider_id": "a", "token": 1}

    at_store = await do(city, dispatch.arrive_store, task, "a", 1)
    assert await do(city, dispatch.arrive_store, task, "a", 1) == at_store
    assert await as_order(city, task, lambda w: dispatch.take(w, **order))
    assert not await as_order(city, task, lambda w: dispatch.take(w, **order))
    arrived = await do(city, dispatch.arrive_customer, task, "a", 1)
    assert await do(city, dispatch.arrive_customer, task, "a", 1) == arrived
    assert await as_order(city, task, lambda w: dispatch.hand_over(w, **order))
    assert not await as_order(city, task, lambda w: dispatch.hand_over(w, **order))

    assert (at_store.state, arrived.state) == ("at_store", "arrived")
    assert (await city.row(task)).state == "delivered"
    assert await city.event_types(task) == [
        "delivery.offered",
        "delivery.assigned",
        "delivery.at_store",
        "delivery.arrived",
    ]
    assert not await as_order(
        city,
        task,
        lambda w: dispatch.close_if_open(w, order_id=task.order_id, even_after_pickup=True),
    )


async def test_taps_out_of_turn_are_refused_with_the_state(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)

    with pytest.raises(ActionNotAllowed) as refused:
        await do(city, dispatch.arrive_customer, task, "a", 1)
    assert refused.value.data == {"state": "assigned"}
    with pytest.raises(ActionNotAllowed):
        await do(city, dispatch.decline, task, "a", 1)
    with pytest.raises(NotFound):
        await do(city, dispatch.arrive_store, task, "b", 1)
    with pytest.raises(NotFound):
        await do(City(city.database, "elsewhere"), dispatch.arrive_store, task, "a", 1)
    with pytest.raises(ClaimTaken):
        await do(city, dispatch.arrive_store, task, "a", 2)


async def test_what_a_rider_sees(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    matcher = await city.matcher()
    await matcher.tick(no_beat)
    async with city.database.read() as reader:
        offered = await dispatch.offers(reader, site_id=city.site_id, rider_id="a")
        await do(city, dispatch.claim, task, "a", 1)
        claimed = await dispatch.offers(reader, site_id=city.site_id, rider_id="a")

    (offer,) = offered.offers
    assert (offer.task_id, offer.token, offer.delivery_fee_fen) == (task.task_id, 1, 500)
    assert (offer.shop.name, offer.shop.lat) == ("Noodles", 31.23)
    assert offered.tasks == ()
    (held,) = claimed.tasks
    assert (held.task_id, held.state, held.ready) == (task.task_id, "assigned", False)
    assert claimed.offers == ()


async def test_who_gives_it_back_before_pickup_is_not_asked_again(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)
    failed = await do(city, dispatch.fail, task, "a", 1, reason_code="bike_broken")
    await matcher.tick(no_beat)

    assert (failed.state, failed.token) == ("searching", 2)
    assert (await city.told("b"))[-1] == ("offer.made", 3)
    await do(city, dispatch.decline, task, "b", 3)
    await city.pass_time(task, 1_000)
    await matcher.tick(no_beat)
    assert (await city.told("b"))[-1] == ("offer.made", 4)
    notes = await city.all(
        "SELECT kind, data FROM order_timeline WHERE order_id = :order_id",
        order_id=task.order_id,
    )
    assert (notes[0].kind, notes[0].data["reason_code"]) == ("rider_failed", "bike_broken")


async def test_a_search_that_begins_again_has_its_whole_patience(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)
    await city.pass_time(task, 1_700)
    await do(city, dispatch.arrive_store, task, "a", 1)
    await do(city, dispatch.fail, task, "a", 1, reason_code="bike_broken")

    row = await city.row(task)
    assert (row.give_up_at - row.search_from).total_seconds() == pytest.approx(1_800)
    assert await matcher.tick(no_beat) == 1
    assert (await city.row(task)).state == "offered"


async def test_a_failure_after_pickup_is_support_s(city: City) -> None:
    matcher = await city.matcher()
    task = await picked_up(city, matcher)
    failed = await do(city, dispatch.fail, task, "a", 1, reason_code="accident")
    again = await do(city, dispatch.fail, task, "a", 1, reason_code="accident")

    assert (failed.state, again) == ("failed", failed)
    tickets = await city.all(
        "SELECT kind FROM tickets WHERE order_id = :order_id", order_id=task.order_id
    )
    assert [one.kind for one in tickets] == ["delivery_trouble"]
    order = {"order_id": task.order_id}
    close = dispatch.close_if_open
    assert not await as_order(city, task, lambda w: close(w, even_after_pickup=False, **order))
    assert await as_order(city, task, lambda w: close(w, even_after_pickup=True, **order))


async def test_five_wrong_codes_and_then_only_support_helps(city: City) -> None:
    matcher = await city.matcher()
    task = await picked_up(city, matcher)
    right = handover_code(task.order_id, KEY)
    wrong = f"{(int(right) + 1) % 10_000:04d}"

    async def check(code: str, rider_id: str = "a", token: int = 1) -> TaskState:
        return await dispatch.check_proof(
            city.database,
            site_id=city.site_id,
            rider_id=rider_id,
            task_id=task.task_id,
            token=token,
            code=code,
            key=KEY,
        )

    assert (await check(right)).state == "picked_up"
    left = []
    for code in [wrong] * 5 + [right]:
        with pytest.raises(ProofWrong) as refused:
            await check(code)
        left.append(refused.value.data["tries_left"])
    assert left == [4, 3, 2, 1, 0, 0]
    tickets = await city.all(
        "SELECT kind FROM tickets WHERE order_id = :order_id", order_id=task.order_id
    )
    assert [one.kind for one in tickets] == ["proof_refused"]

    await as_order(city, task, lambda w: dispatch.reassign(w, order_id=task.order_id, rider_id="b"))
    assert (await check(right, "b", 2)).state == "picked_up"
    with pytest.raises(ClaimTaken):
        await check(right)


async def test_proof_needs_the_food_in_hand(city: City) -> None:
    task = await assigned(city, await city.matcher())

    with pytest.raises(ActionNotAllowed):
        await dispatch.check_proof(
            city.database,
            site_id=city.site_id,
            rider_id="a",
            task_id=task.task_id,
            token=1,
            code=handover_code(task.order_id, KEY),
            key=KEY,
        )


# The order's acts -------------------------------------------------------------------------------


async def test_support_names_a_rider_long_before_the_search(city: City) -> None:
    await city.add_riders("a", "b")
    task = await city.add_task(search=600)

    moved = await as_order(
        city, task, lambda w: dispatch.reassign(w, order_id=task.order_id, rider_id="b")
    )

    assert isinstance(moved, TaskState)
    assert (moved.state, moved.token) == ("assigned", 1)
    assert await city.told("b") == [("task.assigned", 1)]
    assert (await do(city, dispatch.arrive_store, task, "b", 1)).state == "at_store"


async def test_a_reassigned_task_never_returns_to_the_rider_it_was_taken_from(city: City) -> None:
    matcher = await city.matcher()
    task = await assigned(city, matcher)

    await as_order(city, task, lambda w: dispatch.reassign(w, order_id=task.order_id))
    await matcher.tick(no_beat)

    assert await city.told("a") == [("offer.made", 1), ("offer.withdrawn", 1)]
    assert await city.told("b") == [("offer.made", 3)]
    with pytest.raises(NotFound):
        await as_order(
            city, task, lambda w: dispatch.reassign(w, order_id=task.order_id, rider_id="nobody")
        )


async def test_food_on_the_road_is_taken_over_only_by_a_named_rider(city: City) -> None:
    task = await picked_up(city, await city.matcher())

    with pytest.raises(ActionNotAllowed):
        await as_order(city, task, lambda w: dispatch.reassign(w, order_id=task.order_id))
    moved = await as_order(
        city, task, lambda w: dispatch.reassign(w, order_id=task.order_id, rider_id="b")
    )

    assert isinstance(moved, TaskState)
    assert (moved.state, moved.token) == ("picked_up", 2)
    assert (await do(city, dispatch.arrive_customer, task, "b", 2)).state == "arrived"


async def test_closing_withdraws_the_offer_and_is_repeatable(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    await (await city.matcher()).tick(no_beat)
    order = {"order_id": task.order_id}
    close = dispatch.close_if_open

    assert await as_order(city, task, lambda w: close(w, even_after_pickup=False, **order))
    assert await as_order(city, task, lambda w: close(w, even_after_pickup=False, **order))
    assert await city.told("a") == [("offer.made", 1), ("offer.withdrawn", 1)]
    with pytest.raises(ClaimTaken):
        await do(city, dispatch.claim, task, "a", 1)
    assert await as_order(
        city, task, lambda w: close(w, order_id="no-task-yet", even_after_pickup=False)
    )
