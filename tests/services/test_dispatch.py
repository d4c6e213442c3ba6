"""A task as its riders and its order change it: each tap once, each refusal with a name."""

import pytest

from domain.errors import ActionNotAllowed, ClaimTaken, NotFound, ProofWrong
from domain.proof import handover_code
from services import dispatch
from services.db import Database
from services.dispatch import TaskState
from tests.zone import City, no_beat

KEY = b"key"


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id)


async def test_the_whole_way_and_every_tap_twice(city: City) -> None:
    matcher = await city.matcher()
    task = await city.assigned(matcher)

    at_store = await city.do(dispatch.arrive_store, task, "a", 1)
    assert await city.do(dispatch.arrive_store, task, "a", 1) == at_store
    assert await city.order_does(dispatch.take, task, rider_id="a", token=1)
    assert not await city.order_does(dispatch.take, task, rider_id="a", token=1)
    arrived = await city.do(dispatch.arrive_customer, task, "a", 1)
    assert await city.do(dispatch.arrive_customer, task, "a", 1) == arrived
    assert await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
    assert not await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)

    assert (at_store.state, arrived.state) == ("at_store", "arrived")
    assert (await city.row(task)).state == "delivered"
    assert await city.event_types(task) == [
        "delivery.offered",
        "delivery.assigned",
        "delivery.at_store",
        "delivery.arrived",
    ]
    assert not await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)


async def test_taps_out_of_turn_are_refused_with_the_state(city: City) -> None:
    matcher = await city.matcher()
    task = await city.assigned(matcher)

    with pytest.raises(ActionNotAllowed) as refused:
        await city.do(dispatch.arrive_customer, task, "a", 1)
    assert refused.value.data == {"state": "assigned"}
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.decline, task, "a", 1)
    with pytest.raises(NotFound):
        await city.do(dispatch.arrive_store, task, "b", 1)
    with pytest.raises(NotFound):
        await City(city.database, "elsewhere").do(dispatch.arrive_store, task, "a", 1)
    with pytest.raises(ClaimTaken):
        await city.do(dispatch.arrive_store, task, "a", 2)


async def test_what_a_rider_sees(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    matcher = await city.matcher()
    await matcher.tick(no_beat)
    async with city.database.read() as reader:
        offered = await dispatch.offers(reader, site_id=city.site_id, rider_id="a")
        await city.do(dispatch.claim, task, "a", 1)
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
    task = await city.assigned(matcher)
    failed = await city.do(dispatch.fail, task, "a", 1, reason_code="bike_broken")
    assert await city.do(dispatch.fail, task, "a", 1, reason_code="bike_broken") == failed
    await matcher.tick(no_beat)

    assert (failed.state, failed.token) == ("searching", 2)
    assert (await city.told("b"))[-1] == ("offer.made", 3)
    await city.do(dispatch.decline, task, "b", 3)
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
    task = await city.assigned(matcher)
    await city.pass_time(task, 1_700)
    await city.do(dispatch.arrive_store, task, "a", 1)
    await city.do(dispatch.fail, task, "a", 1, reason_code="bike_broken")

    row = await city.row(task)
    assert (row.give_up_at - row.search_from).total_seconds() == pytest.approx(1_800)
    assert await matcher.tick(no_beat) == 1
    assert (await city.row(task)).state == "offered"


async def test_a_failure_after_pickup_is_support_s(city: City) -> None:
    matcher = await city.matcher()
    task = await city.picked_up(matcher)
    failed = await city.do(dispatch.fail, task, "a", 1, reason_code="accident")
    again = await city.do(dispatch.fail, task, "a", 1, reason_code="accident")

    assert (failed.state, again) == ("failed", failed)
    assert await city.tickets(task) == ["delivery_trouble"]
    assert not await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)
    assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)


async def test_five_wrong_codes_and_then_only_support_helps(city: City) -> None:
    matcher = await city.matcher()
    task = await city.picked_up(matcher)
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
    assert await city.tickets(task) == ["proof_refused"]

    await city.order_does(dispatch.reassign, task, rider_id="b")
    assert (await check(right, "b", 2)).state == "picked_up"
    with pytest.raises(ClaimTaken):
        await check(right)


async def test_proof_needs_the_food_in_hand(city: City) -> None:
    task = await city.assigned(await city.matcher())

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


async def test_support_names_a_rider_long_before_the_search(city: City) -> None:
    await city.add_riders("a", "b")
    task = await city.add_task(search=600)

    moved = await city.order_does(dispatch.reassign, task, rider_id="b")

    assert isinstance(moved, TaskState)
    assert (moved.state, moved.token) == ("assigned", 1)
    assert await city.told("b") == [("task.assigned", 1)]
    assert (await city.do(dispatch.arrive_store, task, "b", 1)).state == "at_store"


async def test_a_reassigned_task_never_returns_to_the_rider_it_was_taken_from(city: City) -> None:
    matcher = await city.matcher()
    task = await city.assigned(matcher)

    await city.order_does(dispatch.reassign, task)
    await matcher.tick(no_beat)

    assert await city.told("a") == [("offer.made", 1), ("offer.withdrawn", 1)]
    assert await city.told("b") == [("offer.made", 3)]
    with pytest.raises(NotFound):
        await city.order_does(dispatch.reassign, task, rider_id="nobody")


async def test_food_on_the_road_is_taken_over_only_by_a_named_rider(city: City) -> None:
    task = await city.picked_up(await city.matcher())

    with pytest.raises(ActionNotAllowed):
        await city.order_does(dispatch.reassign, task)
    moved = await city.order_does(dispatch.reassign, task, rider_id="b")

    assert isinstance(moved, TaskState)
    assert (moved.state, moved.token) == ("picked_up", 2)
    assert (await city.do(dispatch.arrive_customer, task, "b", 2)).state == "arrived"


async def test_closing_withdraws_the_offer_and_is_repeatable(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    await (await city.matcher()).tick(no_beat)

    assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)
    assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)
    assert await city.told("a") == [("offer.made", 1), ("offer.withdrawn", 1)]
    with pytest.raises(ClaimTaken):
        await city.do(dispatch.claim, task, "a", 1)
    assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)


async def test_an_order_without_a_task_has_nothing_to_close(city: City) -> None:
    async with city.database.write() as writer:
        order = {"order_id": "not-accepted-yet"}
        assert await dispatch.close_if_open(writer, even_after_pickup=False, **order)
        assert await dispatch.reassign(writer, **order) is None
        assert not await dispatch.take(writer, rider_id="a", token=1, **order)
