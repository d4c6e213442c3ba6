"""Reconciliation on a real Temporal and real rows; only the channel is played."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

import pytest
from sqlalchemy import text
from temporalio.client import Client

from domain.channels import Ability, Bill, BillKind
from domain.contracts.reconciliation import DaySaid, ReconcileAll, ReconcileDay
from domain.ids import reconcile_workflow
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.db import Database
from services.gateways import Gateways
from services.reconciliation import Payee
from services.settings import Settings
from tests.account import live, open_account
from tests.bills import DAY, Town, plant, town
from workers.finance import RECONCILE, ensure_schedules
from workers.queues import FINANCE, Tools
from workers.serve import worker
from workers.temporal import Workflows
from workflows.reconciliation import Reconciliation, Reconciliations

NOT_READY = Rejected(code="STATEMENT_CREATING", kind=Refusal.LATER)
NO_DAY = Rejected(code="NO_STATEMENT_EXIST", kind=Refusal.NOT_FOUND)
DAMAGED = Unknown(reason="bill_hash")
PATIENCE_SECONDS = 20
QUIET_DAY = date(2031, 1, 1)
"""On which no account of any test has done anything."""


@dataclass
class Desk:
    """A channel that answers for bills as told; the last answer stays."""

    ability: Ability = field(default_factory=lambda: Ability(methods=("native",)))
    answers: dict[BillKind, list[Outcome[Bill]]] = field(default_factory=dict)
    asked: int = 0

    def channel(self, _: str) -> "Desk":
        return self

    def account(self, _: str, keys_ref: str) -> str:
        return keys_ref

    async def bill(self, _: str, *, kind: BillKind, day: date) -> Outcome[Bill]:
        assert day in {DAY, QUIET_DAY}
        self.asked += 1
        told = self.answers.get(kind, [NO_DAY])
        return told.pop(0) if len(told) > 1 else told[0]


@pytest.fixture
async def payee(database: Database, site_id: str) -> Payee:
    return await open_account(database, site_id)


@pytest.fixture
async def client(temporal_settings: Settings) -> Client:
    return await Workflows(temporal_settings).client()


@pytest.fixture
async def desk(database: Database, client: Client) -> AsyncIterator[Desk]:
    desk = Desk()
    tools = Tools(database=database, gateways=cast("Gateways", desk))
    async with worker(client, FINANCE, tools):
        yield desk


async def reconcile(client: Client, who: Payee, **more: float) -> str:
    day = ReconcileDay(account_id=who.account_id, day=str(DAY), again_seconds=0.1, **more)
    said: DaySaid = await client.execute_workflow(
        Reconciliation.run,
        day,
        id=reconcile_workflow(who.account_id, str(DAY)),
        task_queue=FINANCE.name,
    )
    return said.outcome


async def tickets(database: Database, who: Payee) -> list[Any]:
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT kind, owner, data FROM tickets WHERE site_id = :site ORDER BY key"),
            {"site": who.site_id},
        )
    return [(row.kind, row.owner, row.data.get("reason") or row.data["flaw"]) for row in rows]


def bills(made: Town) -> dict[BillKind, Bill]:
    return {
        BillKind.TRADE: Bill(kind=BillKind.TRADE, sha256="a", trades=tuple(made.bill)),
        BillKind.FUNDS: Bill(kind=BillKind.FUNDS, sha256="a", funds=tuple(made.funds)),
    }


async def test_a_bill_is_asked_for_until_it_is_ready_and_whole(
    database: Database, client: Client, desk: Desk, payee: Payee
) -> None:
    made = town(1, 20, prefix=payee.site_id)
    plant(made, ["amount"])
    await live(database, payee, made)
    whole = bills(made)
    desk.answers = {
        BillKind.TRADE: [NOT_READY, DAMAGED, Accepted(value=whole[BillKind.TRADE])],
        BillKind.FUNDS: [DAMAGED, Accepted(value=whole[BillKind.FUNDS])],
    }
    said = await reconcile(client, payee)
    matches = len(made.bill) - 1
    assert said == f"match {matches}, only ours 0, only theirs 0, differs 1"
    assert desk.asked == 5
    assert await tickets(database, payee) == [("difference", "finance", "amount")]
    assert await reconcile(client, payee) == said
    desk.answers = {kind: [NO_DAY] for kind in BillKind}
    assert await reconcile(client, payee) == said


async def test_a_bill_that_never_comes_or_is_never_whole_is_a_ticket_and_nothing_is_kept(
    database: Database, client: Client, desk: Desk, payee: Payee
) -> None:
    await live(database, payee, town(2, 5, prefix=payee.site_id))
    desk.answers = {BillKind.TRADE: [NOT_READY], BillKind.FUNDS: [DAMAGED]}
    assert await reconcile(client, payee, patience_seconds=0.3) == "not_compared"
    assert await tickets(database, payee) == [
        ("bill_missing", "finance", "damaged"),
        ("bill_missing", "finance", "not_ready"),
    ]
    async with database.read() as reader:
        kept = await reader.scalar(
            text("SELECT count(*) FROM bills WHERE account_id = :id"), {"id": payee.account_id}
        )
    assert kept == 0


async def test_a_day_without_business_needs_no_bill_and_no_person(
    database: Database, client: Client, desk: Desk, payee: Payee
) -> None:
    nothing = "match 0, only ours 0, only theirs 0, differs 0"
    assert await reconcile(client, payee) == nothing
    desk.answers = {kind: [NOT_READY] for kind in BillKind}
    assert await reconcile(client, payee, patience_seconds=0.3) == nothing
    assert await tickets(database, payee) == []


async def test_a_channel_without_bills_is_not_asked(
    client: Client, desk: Desk, payee: Payee
) -> None:
    desk.ability = Ability(methods=("native",), bills=False)
    assert await reconcile(client, payee) == "not_compared"
    assert desk.asked == 0


async def test_every_account_is_reconciled_by_a_schedule_that_is_made_once(
    client: Client, desk: Desk, payee: Payee
) -> None:
    await ensure_schedules(client)
    await ensure_schedules(client)
    found = await client.get_schedule_handle(RECONCILE).describe()
    [hours] = found.schedule.spec.calendars
    assert (hours.hour[0].start, hours.minute[0].start) == (10, 5)
    assert found.schedule.spec.time_zone_name == "Asia/Shanghai"

    await client.execute_workflow(
        Reconciliations.run, ReconcileAll(day=str(QUIET_DAY)), id="every", task_queue=FINANCE.name
    )
    one = client.get_workflow_handle(reconcile_workflow(payee.account_id, str(QUIET_DAY)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await one.result())["outcome"].startswith("match 0")
    assert desk.asked >= 2
