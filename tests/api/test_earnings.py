"""A rider's day is what the ledger says, and so is a zone's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from domain.books import journal
from domain.reconciliation import CHINA
from services import ledger, tables
from tests.api.town import Town


async def earn(town: Town, order_id: str, fee_fen: int, tip_fen: int = 0) -> None:
    """What handing over books."""
    async with town.database.write() as writer:
        for event, fen in (("rider_earned", fee_fen), ("rider_tipped", tip_fen)):
            if fen:
                named: dict[str, Any] = {"rider_id": "rod", "amount_fen": fen}
                of = {"site_id": town.site_id, "order_id": f"{town.site_id}-{order_id}"}
                await ledger.post(writer, journal(event, **of, **named))


async def ask(town: Town, path: str, role: str, subject: str, **query: str) -> Any:
    who = town.headers(role, subject)
    return await town.http.get(f"/v1/{path}", headers=who, params=query)


async def test_a_day_is_its_orders_and_the_statement(town: Town) -> None:
    await earn(town, "one", 400, 300)
    await earn(town, "two", 500)
    today = str(datetime.now(CHINA).date())
    told = (await ask(town, "rider/earnings", "rider", "rod", day=today)).json()
    assert [one["parts"] for one in told["orders"]] == [{"fee": 400, "tip": 300}, {"fee": 500}]
    assert (told["parts"], told["earned_fen"]) == ({"fee": 900, "tip": 300}, 1_200)
    assert told["statement_in_fen"] == told["earned_fen"]
    before = (await ask(town, "rider/earnings", "rider", "rod", day="2020-01-01")).json()
    assert (before["orders"], before["earned_fen"]) == ([], 0)


async def test_a_zones_day_is_per_hour_on_shift(town: Town) -> None:
    now = datetime.now(UTC)
    began = now - timedelta(minutes=30)
    if began.astimezone(CHINA).date() != now.astimezone(CHINA).date():
        pytest.skip("the business day began a moment ago")
    site = {"site_id": town.site_id}
    async with town.database.write() as writer:
        await writer.run(insert(tables.riders).values(**site, rider_id="ria", zone_id="z"))
        for rider_id in ("rod", "ria"):
            shift = {"rider_id": rider_id, "started_at": began, "ended_at": now}
            await writer.run(insert(tables.shifts).values(**site, **shift))
    await earn(town, "one", 400, 300)
    named = {"zone": "z", "day": str(now.astimezone(CHINA).date())}
    told = (await ask(town, "operations/fair-share", "operations", "ops", **named)).json()
    idle, busy = told["riders"]
    assert (idle["rider_id"], idle["orders"], idle["hourly_fen"]) == ("ria", 0, 0)
    assert (busy["orders"], busy["earned_fen"]) == (1, 700)
    # The town lives at twice the speed: half an hour is an hour.
    assert (busy["shift_seconds"], busy["hourly_fen"]) == (3_600, 700)
    assert told["gini"] == 0.5
    refused = await ask(town, "operations/fair-share", "rider", "rod", **named)
    assert refused.status_code == 403
