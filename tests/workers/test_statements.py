"""Every night's statements, on a real Temporal: each site's days, once."""

from datetime import timedelta

from sqlalchemy import insert, text

from domain.contracts.statements import KeepAll
from domain.reconciliation import span
from services import tables
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.ledger import post_at
from tests.services.test_statements import DAY, LATE, life
from workers.queues import FINANCE, Tools
from workers.serve import worker
from workers.temporal import Workflows
from workflows.statements import Statements


async def test_the_nights_that_were_missed_are_made_up_for_once(
    database: Database, temporal_settings: Settings, site_id: str
) -> None:
    async with database.write() as writer:
        await writer.run(insert(tables.sites).values(site_id=site_id, name="Town"))
        for back in (0, 2):
            for each in life(site_id, f"o{back}"):
                await post_at(writer, each, span(DAY - timedelta(days=back))[0] + LATE)
    client = await Workflows(temporal_settings).client()
    gateways = Gateways(temporal_settings)
    kept = []
    async with worker(client, FINANCE, Tools(database=database, gateways=gateways)):
        for number in range(2):
            await client.execute_workflow(
                Statements.run,
                KeepAll(day=str(DAY)),
                id=f"statements-{number}",
                task_queue=FINANCE.name,
            )
            async with database.read() as reader:
                rows = await reader.all(
                    text("""SELECT party, day, opening_fen, closing_fen, kept_at FROM statements
                    WHERE site_id = :s ORDER BY party, day"""),
                    {"s": site_id},
                )
            kept.append(rows)
    await gateways.close()
    first, before = str(DAY - timedelta(days=2)), str(DAY)
    assert [tuple(row)[:4] for row in kept[0]] == [
        ("merchant", first, 0, 2_500),
        ("merchant", before, 2_500, 5_000),
        ("rider", first, 0, 500),
        ("rider", before, 500, 1_000),
    ]
    assert kept[0] == kept[1]
