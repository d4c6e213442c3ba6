"""What a desk says of a complaint reaches the real sandbox: in order, never lost, refused aloud."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from temporalio.exceptions import ApplicationError

from activities.disputes import DisputeActs
from domain import ids
from domain.contracts.tickets import Answered, TicketRef, TicketStep
from domain.outcomes import Accepted
from services import disputes, tables, tickets
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from services.tickets import Entry, Filter, Ticket
from tests.sandbox.outside import SandboxProcess, free_ports
from tests.till import Till

pytestmark = pytest.mark.usefixtures("personal_key")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The gateways; nobody hears their callbacks."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("complaining"), *free_ports(1))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@dataclass(frozen=True, slots=True)
class Desk:
    """A complaint at the channel, and its ticket here."""

    till: Till
    ticket: Ticket

    async def write(self, kind: Entry, actor: str = "support:sue", **data: str) -> None:
        """A step as the ticket's workflow commits it."""
        step = TicketStep(ticket_id=self.ticket.ticket_id, key=str(data), actor=actor, data=data)
        async with self.till.database.write() as writer:
            if kind is Entry.MESSAGE:
                named = {"message_id": data["message_id"], "words": "we have called you"}
                await tickets.keep_message(writer, self.ticket, **named)
            await tickets.change(writer, step, kind)

    async def tell(self, gateways: Gateways | None = None) -> Answered:
        acts = DisputeActs(self.till.database, gateways or self.till.gateways)
        return await acts.tell_channel(TicketRef(ticket_id=self.ticket.ticket_id))

    async def at_channel(self) -> Any:
        account = self.till.gateways.account("wechat", f"keys/wechat/{self.till.sales.mchid}")
        channel: Any = self.till.gateways.channel("wechat")
        found = await channel.dispute(account, dispute_id=self.ticket.data["dispute_id"])
        assert isinstance(found, Accepted)
        return found.value

    async def waits(self) -> bool:
        async with self.till.database.read() as reader:
            return self.ticket.ticket_id in await tickets.unanswered(reader)


@pytest.fixture
async def desk(
    database: Database, site_id: str, outside: SandboxProcess, tmp_path: Path
) -> AsyncIterator[Desk]:
    till = await Till.build(database, site_id, outside, "wechat", tmp_path)
    number = ids.out_trade_no(await till.sold(), 1)
    filed = outside.call("POST", "/complaints", mchid=till.sales.mchid, out_trade_no=number)
    found = till.gateways.channel("wechat")
    account = till.gateways.account("wechat", f"keys/wechat/{till.sales.mchid}")
    told = await found.dispute(account, dispute_id=filed["complaint_id"])  # type: ignore[attr-defined]
    [payee] = await till.sales.all(
        "SELECT account_id FROM payment_attempts WHERE out_trade_no = :number", number=number
    )
    shop = {"merchant_id": till.sales.merchant_id, "zone_id": "z", "name": "Noodles"}
    shop |= {"lat": 30, "lng": 1, "delivery_area": [], "prep_minutes": 10}
    async with database.write() as writer:
        await writer.run(
            insert(tables.shops).values(site_id=site_id, shop_id=f"{site_id}-shop", **shop)
        )
        await disputes.heard(writer, payee.account_id, told.value)
        [ticket] = await tickets.page(writer, Filter(site_id=site_id), before=None, limit=2)
    yield Desk(till, ticket)
    await till.gateways.close()


async def test_an_answer_and_the_end_reach_the_channel_however_long_it_was_away(
    desk: Desk, tmp_path: Path
) -> None:
    assert desk.ticket.kind == "complaint"
    await desk.write(Entry.ASSIGNED, assignee="sue")
    await desk.write(Entry.MESSAGE, actor="customer:ann", message_id="m0")
    assert not await desk.waits()
    await desk.write(Entry.MESSAGE, message_id="m1")
    nobody = Gateways(Settings(home=tmp_path, gateway_proxy="http://127.0.0.1:1"))
    with pytest.raises(ApplicationError) as away:
        await desk.tell(nobody)
    await nobody.close()
    assert (away.value.type, away.value.non_retryable) == ("gateway_unavailable", False)
    assert await desk.waits()
    assert await desk.tell() == Answered(told=1, refused=0)
    assert (await desk.at_channel()).state == "under_review"
    await desk.write(Entry.RESOLVED, outcome="compensated")
    assert await desk.tell() == Answered(told=1, refused=0)
    assert (await desk.at_channel()).state == "closed"
    assert not await desk.waits()
    assert await desk.tell() == Answered(told=0, refused=0)


async def test_what_the_channel_refuses_is_a_ticket(desk: Desk) -> None:
    """WeChat Pay ends no complaint that nobody has answered."""
    await desk.write(Entry.RESOLVED, outcome="rejected")
    assert await desk.tell() == Answered(told=0, refused=1)
    assert (await desk.at_channel()).state == "open"
    assert not await desk.waits()
    async with desk.till.database.read() as reader:
        which = Filter(site_id=desk.ticket.site_id, kind="answer_refused")
        [found] = await tickets.page(reader, which, before=None, limit=2)
    assert found.data["ticket_id"] == desk.ticket.ticket_id
    assert found.data["code"] == "INVALID_REQUEST"


async def test_who_has_settled_it_by_themselves_is_not_told(desk: Desk) -> None:
    await desk.write(Entry.RESOLVED, actor="system", outcome="settled_itself")
    assert not await desk.waits()
