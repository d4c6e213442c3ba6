"""Support hears once of a rider who pauses too long, and no more once the pause is over."""

from typing import Any

from sqlalchemy import text

from services import tickets
from services.db import Database
from services.settings import Settings
from tests.zone import City
from workers.sweep import Sweep
from workers.temporal import Workflows

PAUSE = """UPDATE riders SET on_shift = false, pause_code = 'rest',
paused_at = now() - interval '1 hour' WHERE site_id = :site AND rider_id = 'a'"""
GO_ON = """UPDATE riders SET on_shift = true, paused_at = NULL
WHERE site_id = :site AND rider_id = 'a'"""


async def test_support_has_one_ticket_until_the_rider_goes_on(
    database: Database, site_id: str, temporal_settings: Settings
) -> None:
    city = await City.build(database, site_id)
    await city.add_riders("a", "b")
    sweep = Sweep(database, Workflows(temporal_settings))

    async def now(statement: str) -> None:
        async with database.write() as writer:
            await writer.run(text(statement), {"site": site_id})

    async def opened() -> list[Any]:
        return await city.all("SELECT * FROM tickets WHERE site_id = :site", site=site_id)

    await sweep.pauses()
    assert await opened() == []
    await now(PAUSE)
    await sweep.pauses()
    await sweep.pauses()
    [ticket] = await opened()
    assert (ticket.kind, ticket.owner) == ("rider_paused", "support")
    assert ticket.data == {"rider_id": "a", "reason_code": "rest"}
    async with database.read() as reader:
        assert await tickets.settled(reader, ticket.ticket_id) is None
    await now(GO_ON)
    async with database.read() as reader:
        assert await tickets.settled(reader, ticket.ticket_id) == "settled_itself"
