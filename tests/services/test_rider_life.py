"""Shifts with work in hand, reasons, waits at the shop, silent doors, goods left behind."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from domain.errors import ActionNotAllowed, ClaimTaken, Invalid, NotFound
from domain.geo import Point
from domain.riding import PAUSES, Call, DropOff
from services import dispatch, events, riders, shifts, tickets
from services.db import Database
from services.dispatch import TaskState
from tests.zone import City, no_beat

PHOTO = b"\xff\xd8\xff\xe0 a door"
GOODS = Point(31.2412, 121.4788)


@pytest.fixture
async def city(database: Database, site_id: str, personal_key: str) -> City:
    assert personal_key
    return await City.build(database, site_id)


async def switch(city: City, rider_id: str, *, on: bool, ends_at: datetime | None = None) -> None:
    """A tap on the shift, as the edge runs it."""
    who = {"site_id": city.site_id, "rider_id": rider_id}
    async with city.database.write() as writer:
        await riders.set_shift(writer, **who, on=on, ends_at=ends_at)
        await dispatch.end_shift_if_done(writer, **who)


async def pause(city: City, rider_id: str, code: str) -> None:
    async with city.database.write() as writer:
        await shifts.pause(writer, site_id=city.site_id, rider_id=rider_id, code=code)


async def shift(city: City, rider_id: str) -> shifts.Shift:
    async with city.database.read() as reader:
        return await shifts.of(reader, site_id=city.site_id, rider_id=rider_id)


async def view(city: City, task: TaskState) -> dict[str, object]:
    """The public state, with the status that an order on the road has."""
    async with city.database.read() as reader:
        stream = await events.stream(reader, task.order_id)
    assert stream is not None
    return stream.view


async def set_status(city: City, task: TaskState, status: str) -> None:
    async with city.database.write() as writer:
        await writer.run(
            text("""UPDATE order_streams SET view = view || jsonb_build_object('status',
            CAST(:status AS text)) WHERE order_id = :order_id"""),
            {"status": status, "order_id": task.order_id},
        )


async def arrived(city: City) -> TaskState:
    """A task whose rider `a` stands at the door."""
    task = await city.picked_up(await city.matcher())
    await set_status(city, task, "delivering")
    return await city.do(dispatch.arrive_customer, task, "a", 1)


async def call(city: City, task: TaskState, outcome: Call) -> TaskState:
    async with city.database.write() as writer:
        return await dispatch.log_call(
            writer,
            site_id=city.site_id,
            rider_id="a",
            task_id=task.task_id,
            token=1,
            outcome=outcome,
        )


async def wish(city: City, task: TaskState, dropoff: DropOff) -> int:
    async with city.database.write() as writer:
        return await dispatch.wish(
            writer, order_id=task.order_id, dropoff=dropoff, actor="customer:c", request_id=""
        )


async def show_photo(city: City, task: TaskState, content: bytes = PHOTO) -> str:
    async with city.database.write() as writer:
        return await dispatch.keep_photo(
            writer,
            site_id=city.site_id,
            rider_id="a",
            task_id=task.task_id,
            token=1,
            content=content,
        )


async def leave(city: City, task: TaskState, photo_id: str) -> None:
    await dispatch.check_photo(
        city.database,
        site_id=city.site_id,
        rider_id="a",
        task_id=task.task_id,
        token=1,
        photo_id=photo_id,
    )


async def test_a_shift_ends_when_the_last_order_in_hand_is_handed_over(city: City) -> None:
    matcher = await city.matcher()
    await city.add_riders("a")
    ends_at = datetime.now(UTC) + timedelta(hours=2)
    await switch(city, "a", on=True, ends_at=ends_at)
    assert ((await shift(city, "a")).state, (await shift(city, "a")).ends_at) == ("on", ends_at)
    task = await city.add_task()
    await matcher.tick(no_beat)
    await city.do(dispatch.claim, task, "a", 1)
    await switch(city, "a", on=False)
    another = await city.add_task()
    await matcher.tick(no_beat)

    ending = await shift(city, "a")
    assert (ending.state, ending.in_hand) == ("ending", 1)
    assert (await city.row(another)).state == "searching"
    assert await city.order_does(dispatch.take, task, rider_id="a", token=1)
    assert await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
    assert (await shift(city, "a")).state == "off"


@pytest.mark.parametrize("taken_by", ["failing", "support", "cancel"])
async def test_a_shift_ends_too_when_its_last_order_is_gone(city: City, taken_by: str) -> None:
    task = await city.assigned(await city.matcher())
    await switch(city, "a", on=True)
    await switch(city, "a", on=False)
    if taken_by == "failing":
        await city.do(dispatch.fail, task, "a", 1, reason_code="bike_broken")
    elif taken_by == "support":
        await city.order_does(dispatch.reassign, task, rider_id="b")
    else:
        await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)
    assert (await shift(city, "a")).state == "off"


async def test_who_pauses_gets_no_offer_and_goes_on_with_what_is_in_hand(city: City) -> None:
    matcher = await city.matcher()
    await city.add_riders("a")
    await switch(city, "a", on=True)
    task = await city.add_task()
    await matcher.tick(no_beat)
    await city.do(dispatch.claim, task, "a", 1)
    with pytest.raises(Invalid):
        await pause(city, "a", "because")
    await pause(city, "a", "meal")
    await city.order_does(dispatch.take, task, rider_id="a", token=1)
    assert await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
    another = await city.add_task()
    await matcher.tick(no_beat)
    assert ((await shift(city, "a")).state, await city.told("a")) == (
        "paused",
        [("offer.made", 1)],
    )
    await switch(city, "a", on=True)
    await matcher.tick(no_beat)
    assert (await city.row(another)).state == "offered"
    await switch(city, "a", on=False)
    with pytest.raises(ActionNotAllowed):
        await pause(city, "a", "meal")


async def test_support_hears_once_of_a_pause_beyond_its_bound(city: City) -> None:
    await city.add_riders("a", "b")
    for rider_id in ("a", "b"):
        await switch(city, rider_id, on=True)
        await pause(city, rider_id, "meal")

    async def overlong(seconds: float) -> list[str]:
        async with city.database.write() as writer:
            await writer.run(
                text("""UPDATE riders SET paused_at = now() - make_interval(secs => :seconds)
                WHERE site_id = :site AND rider_id = 'a'"""),
                {"seconds": seconds, "site": city.site_id},
            )
        async with city.database.read() as reader:
            found = await shifts.overlong(reader)
        mine = [row for row in found if row.site_id == city.site_id]
        async with city.database.write() as writer:
            for row in mine:
                told = {"order_id": "", "kind": "rider_paused", "key": row.key}
                await tickets.open_ticket(writer, site_id=city.site_id, **told)
        return [row.rider_id for row in mine]

    most = PAUSES["meal"].most_seconds
    assert await overlong(most - 60) == []
    assert await overlong(most + 60) == ["a"]
    async with city.database.read() as reader:
        again = await shifts.overlong(reader)
    assert city.site_id not in {row.site_id for row in again}


async def test_a_decline_tells_why_and_some_reasons_bar(city: City) -> None:
    matcher = await city.matcher()
    await city.add_riders("a", "b")
    task = await city.add_task()
    await matcher.offer(task, ["a", "b"])
    with pytest.raises(Invalid):
        await city.do(dispatch.decline, task, "a", 1, reason_code="because")
    await city.do(dispatch.decline, task, "a", 1, reason_code="too_far")
    declined = await city.do(dispatch.decline, task, "b", 1, reason_code="busy")
    assert declined.state == "searching"
    await city.pass_time(task, 1_000)
    await matcher.tick(no_beat)

    kept = await city.all(
        "SELECT rider_id, state, reason_code FROM offers WHERE task_id = :id ORDER BY offer_id",
        id=task.task_id,
    )
    assert [tuple(row) for row in kept] == [
        ("a", "released", "too_far"),
        ("b", "declined", "busy"),
        ("b", "open", ""),
    ]


async def test_a_late_kitchen_is_told_once_and_only_after_a_wait(city: City) -> None:
    task = await city.assigned(await city.matcher())
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.kitchen_late, task, "a", 1)
    await city.do(dispatch.arrive_store, task, "a", 1)
    with pytest.raises(ActionNotAllowed) as early:
        await city.do(dispatch.kitchen_late, task, "a", 1)
    assert 0 < early.value.data["retry_after_seconds"] <= 300
    await city.pass_time(task, 400)
    await city.do(dispatch.kitchen_late, task, "a", 1)
    await city.do(dispatch.kitchen_late, task, "a", 1)
    assert (await city.event_types(task))[-1] == "delivery.kitchen_late"
    assert (await city.event_types(task)).count("delivery.kitchen_late") == 1
    assert (await view(city, task))["kitchen_late"] == {
        "waited_minutes": 7,
        "hint": "kitchen: +7 min",
    }


async def test_a_silent_customer_has_a_timer_and_then_the_goods_may_go(city: City) -> None:
    task = await arrived(city)
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.unreachable, task, "a", 1)
    await call(city, task, Call.NO_ANSWER)
    await city.do(dispatch.unreachable, task, "a", 1)
    again = await city.do(dispatch.unreachable, task, "a", 1)
    assert (await view(city, task))["unreachable_until"]
    photo_id = await show_photo(city, task)
    for way in (leave(city, task, photo_id), city.do(dispatch.bring_back, task, "a", 1)):
        with pytest.raises(ActionNotAllowed):
            await way
    await city.pass_time(task, 601)
    await leave(city, task, photo_id)
    back = await city.do(dispatch.bring_back, task, "a", 1)
    assert (again.state, back.state) == ("arrived", "failed")
    assert await city.do(dispatch.bring_back, task, "a", 1) == back
    told = await city.all(
        "SELECT name FROM facts WHERE order_id = :order_id", order_id=task.order_id
    )
    assert [fact.name for fact in told] == ["undeliverable"]
    calls = await city.all(
        "SELECT data FROM order_timeline WHERE order_id = :order_id", order_id=task.order_id
    )
    assert [note.data["outcome"] for note in calls] == ["no_answer"]


async def test_who_answers_after_all_stops_the_timer(city: City) -> None:
    task = await arrived(city)
    for _ in range(2):
        await call(city, task, Call.BUSY)
        await city.do(dispatch.unreachable, task, "a", 1)
        await call(city, task, Call.ANSWERED)
    await city.pass_time(task, 601)
    assert (await view(city, task))["unreachable_until"] is None
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.bring_back, task, "a", 1)
    assert (await city.event_types(task))[-4:] == [
        "delivery.unreachable",
        "delivery.reached",
        "delivery.unreachable",
        "delivery.reached",
    ]


async def test_the_customers_wish_opens_its_way_at_once(city: City) -> None:
    task = await arrived(city)
    photo_id = await show_photo(city, task)
    await wish(city, task, DropOff.RETURN)
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.bring_back, task, "a", 1)
    seq = await wish(city, task, DropOff.DOOR)
    assert await wish(city, task, DropOff.DOOR) == seq
    await leave(city, task, photo_id)
    with pytest.raises(NotFound):
        await leave(city, task, "another-photo")
    await wish(city, task, DropOff.RETURN)
    await call(city, task, Call.OFF)
    await city.do(dispatch.unreachable, task, "a", 1)
    assert (await city.do(dispatch.bring_back, task, "a", 1)).state == "failed"
    await set_status(city, task, "cancelled")
    with pytest.raises(ActionNotAllowed):
        await wish(city, task, DropOff.HAND)


async def test_a_photo_is_sealed_shown_again_and_bounded(city: City) -> None:
    task = await arrived(city)
    with pytest.raises(Invalid):
        await show_photo(city, task, b"<html>")
    photo_id = await show_photo(city, task)
    assert await show_photo(city, task) == photo_id
    async with city.database.read() as reader:
        shown = await dispatch.photo(reader, order_id=task.order_id, photo_id=photo_id)
        with pytest.raises(NotFound):
            await dispatch.photo(reader, order_id="another", photo_id=photo_id)
    assert shown == ("image/jpeg", PHOTO)
    [kept] = await city.all(
        "SELECT sealed FROM delivery_photos WHERE order_id = :id", id=task.order_id
    )
    assert b"a door" not in bytes(kept.sealed)
    for number in range(4):
        await show_photo(city, task, PHOTO + bytes([number]))
    with pytest.raises(ActionNotAllowed):
        await show_photo(city, task, PHOTO + b"one more")


async def test_after_an_accident_another_rider_takes_the_goods_where_they_lie(city: City) -> None:
    matcher = await city.matcher()
    task = await city.picked_up(matcher)
    async with city.database.write() as writer:
        failed = await dispatch.fail(
            writer,
            site_id=city.site_id,
            rider_id="a",
            task_id=task.task_id,
            token=1,
            reason_code="accident",
            goods=GOODS,
        )
    assert (failed.state, failed.token) == ("searching", 2)
    assert await city.tickets(task) == ["delivery_trouble"]
    await matcher.tick(no_beat)
    async with city.database.read() as reader:
        [offer] = (await dispatch.offers(reader, site_id=city.site_id, rider_id="b")).offers
    assert (offer.goods, offer.token) == (GOODS, 3)
    await city.do(dispatch.claim, task, "b", 3)
    assert not await city.order_does(dispatch.take, task, rider_id="a", token=1)
    await city.do(dispatch.arrive_store, task, "b", 3)
    taken = await city.do(dispatch.take_over, task, "b", 3)
    assert await city.do(dispatch.take_over, task, "b", 3) == taken
    row = await city.row(task)
    assert (row.state, row.goods_lat, row.goods_lng) == ("picked_up", None, None)
    assert await city.order_does(dispatch.hand_over, task, rider_id="b", token=3)
    said = await city.all(
        """SELECT data::text FROM order_events WHERE order_id = :id
        UNION ALL SELECT data::text FROM order_timeline WHERE order_id = :id
        UNION ALL SELECT message::text FROM outbox WHERE order_id = :id""",
        id=task.order_id,
    )
    assert not [row for row in said if "31.24" in row[0] or "121.47" in row[0]]
    assert (await shift(city, "a")).pause_code == "accident"
    with pytest.raises(ClaimTaken):
        await city.do(dispatch.take_over, task, "a", 1)


async def test_goods_nobody_needs_any_more_have_no_place(city: City) -> None:
    task = await city.picked_up(await city.matcher())
    async with city.database.write() as writer:
        who = {"site_id": city.site_id, "rider_id": "a", "task_id": task.task_id, "token": 1}
        await dispatch.fail(writer, **who, reason_code="accident", goods=GOODS)
    assert await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)
    assert (await city.row(task)).goods_lat is None


async def test_a_first_pickup_is_no_take_over(city: City) -> None:
    task = await city.assigned(await city.matcher())
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.take_over, task, "a", 1)
