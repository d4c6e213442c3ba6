"""At the door, beside people: a silent customer's time under a hold, and until when photos stay."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.errors import ActionNotAllowed
from domain.riding import PHOTO_DAYS, Call
from services import dispatch, loose_ends
from services.db import Database
from tests.services.test_rider_life import arrived, call, show_photo
from tests.zone import City


@pytest.fixture
async def city(database: Database, site_id: str, personal_key: str) -> City:
    assert personal_key
    return await City.build(database, site_id)


OPENED = {
    "ticket": """INSERT INTO tickets (site_id, order_id, kind, key, due_at)
      VALUES (:site, :order, 'dispute', 'd', now())""",
    "after-sale": """INSERT INTO after_sales (after_sale_id, site_id, order_id, state, reason_code,
      bearer, terms, amount_fen) VALUES (:order, :site, :order, 'escalated', 'r', 'm', '{}', 1)""",
}
CLOSED = {
    "ticket": "UPDATE tickets SET state = 'resolved' WHERE order_id = :order",
    "after-sale": "UPDATE after_sales SET state = 'declined' WHERE order_id = :order",
}


@pytest.mark.parametrize("marked", ["before the hold", "during the hold", "over before it"])
async def test_a_silent_customers_time_stands_still_while_support_holds(
    city: City, marked: str
) -> None:
    task = await arrived(city)
    await call(city, task, Call.NO_ANSWER)
    if marked != "during the hold":
        await city.do(dispatch.unreachable, task, "a", 1)
        await city.pass_time(task, 700 if marked == "over before it" else 500)
    await city.order_does(dispatch.hold, task)
    if marked == "during the hold":
        await city.do(dispatch.unreachable, task, "a", 1)
    await city.pass_time(task, 1_000)
    if marked == "over before it":
        await city.order_does(dispatch.release, task)
    else:
        for released in (False, True):
            if released:
                assert await city.order_does(dispatch.release, task) is not None
            with pytest.raises(ActionNotAllowed):
                await city.do(dispatch.bring_back, task, "a", 1)
        await city.pass_time(task, 101 if marked == "before the hold" else 601)
    assert (await city.do(dispatch.bring_back, task, "a", 1)).state == "failed"


@pytest.mark.parametrize("dispute", OPENED)
async def test_a_photo_goes_on_its_date_and_no_dispute_loses_it(city: City, dispute: str) -> None:
    task = await arrived(city)
    await show_photo(city, task)

    async def after(statement: str) -> list[timedelta | None]:
        """Of the photos that are left after it and a sweep: how long beyond the end they stay."""
        async with city.database.write() as writer:
            await writer.run(text(statement), {"order": task.order_id, "site": city.site_id})
            await loose_ends.forget(writer)
        left = await city.all(
            """SELECT p.delete_at - o.ended_at AS after FROM delivery_photos p
            JOIN orders o USING (order_id) WHERE order_id = :order""",
            order=task.order_id,
        )
        return [row.after for row in left]

    stated = timedelta(days=PHOTO_DAYS)
    later = """UPDATE delivery_photos SET delete_at = delete_at - interval '30 days'
      WHERE order_id = :order"""
    assert await after("SELECT CAST(:order AS text), CAST(:site AS text)") == [None]
    assert await after("UPDATE orders SET ended_at = now() WHERE order_id = :order") == [stated]
    assert await after(OPENED[dispute]) == [stated]
    assert await after(later) == [stated - timedelta(days=30)]
    assert await after(CLOSED[dispute]) == []
