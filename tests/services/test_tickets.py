"""Tickets on a real PostgreSQL: opened once, within bounds under races, unreadable once erased."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.contracts.tickets import TicketStep
from domain.errors import ActionNotAllowed, Invalid, NotFound
from domain.tickets import EVIDENCE_MAX, RULES, Settles
from services import events, loose_ends, personal, tickets
from services.db import Database
from services.tickets import Entry, Filter, Ticket
from tests.zone import City

pytestmark = pytest.mark.usefixtures("personal_key")
CANARY = "canary: my soup was cold"
PNG = b"\x89PNG\r\n\x1a\n"
Opened = Callable[..., Awaitable[Ticket]]


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id, speed=10)


@pytest.fixture
def opened(city: City) -> Opened:
    async def opened(kind: str = "customer", *, key: str = "", **more: Any) -> Ticket:
        order_id = more.pop("order_id", None) or (await city.add_task()).order_id
        async with city.database.write() as writer:
            ticket_id = await tickets.open_ticket(
                writer,
                site_id=city.site_id,
                order_id=order_id,
                kind=kind,
                key=key or uuid.uuid4().hex,
                **more,
            )
            return await tickets.find(writer, Filter(site_id=city.site_id), ticket_id)

    return opened


async def change(
    city: City, ticket: Ticket, kind: Entry, actor: str = "support:sue", **data: str
) -> Any:
    step = TicketStep(
        ticket_id=ticket.ticket_id, key=f"{kind}:{sorted(data.items())}", actor=actor, data=data
    )
    async with city.database.write() as writer:
        if kind is Entry.EVIDENCE:
            return await tickets.add_evidence(writer, step)
        return await tickets.change(writer, step, kind)


async def test_a_key_is_one_ticket_and_due_by_its_kind_and_the_sites_speed(opened: Opened) -> None:
    first = await opened("difference", key="k", order_id="none")
    assert (first.owner, first.state, first.subject) == (
        "finance",
        "open",
        f"ticket:{first.ticket_id}",
    )
    assert first.due_at - first.created_at == timedelta(
        seconds=RULES["difference"].due_seconds / 10
    )
    again = await opened("difference", key="k", order_id="none")
    assert again.ticket_id == first.ticket_id


async def test_a_deadline_of_somebody_else_may_only_be_nearer_than_the_kinds_own(
    opened: Opened,
) -> None:
    at = events.utc_now() + timedelta(seconds=9)
    near, far = [await opened("dispute", due_at=at + timedelta(days=days)) for days in (0, 30)]
    assert (near.owner, near.subject) == ("finance", "customer:customer")
    assert near.due_at == at
    assert far.due_at - far.created_at == timedelta(seconds=RULES["dispute"].due_seconds / 10)


async def test_steps_are_done_once_and_none_after_the_end(city: City, opened: Opened) -> None:
    ticket = await opened()
    for _ in range(2):
        now = await change(city, ticket, Entry.ASSIGNED, assignee="sue")
    assert (now.state, now.assignee) == ("assigned", "sue")
    resolved = await change(city, ticket, Entry.RESOLVED, outcome="solved")
    assert (resolved.state, resolved.outcome) == ("resolved", "solved")
    with pytest.raises(ActionNotAllowed):
        await change(city, ticket, Entry.MESSAGE, message_id="late")
    assert await change(city, ticket, Entry.REMINDED, actor="system") == resolved
    async with city.database.read() as reader:
        lines = await tickets.entries(reader, ticket.ticket_id)
        assert [line.kind for line in lines] == ["assigned", "resolved"]
        assert await tickets.of(reader, [ticket.ticket_id]) == []
    with pytest.raises(NotFound):
        await change(city, Ticket(**{**_fields(ticket), "ticket_id": 2**60}), Entry.REMINDED)


async def test_words_and_photos_are_sealed_and_erased_with_their_customer(
    city: City, opened: Opened
) -> None:
    ticket, content = await opened(), PNG + CANARY.encode()
    async with city.database.write() as writer:
        await tickets.keep_message(writer, ticket, message_id="m", words=CANARY)
        evidence_id = await tickets.keep_evidence(writer, ticket, content)
        with pytest.raises(NotFound):  # not before it is part of the ticket
            await tickets.evidence(writer, ticket, evidence_id)
    await change(city, ticket, Entry.EVIDENCE, evidence_id=evidence_id)
    sealed: bytes = (
        await city.all("SELECT sealed FROM ticket_evidence WHERE evidence_id = :id", id=evidence_id)
    )[0].sealed
    assert CANARY.encode() not in sealed
    other = await opened()
    async with city.database.read() as reader:
        assert await tickets.messages(reader, ticket, ["m", "none"]) == {"m": CANARY}
        assert await tickets.evidence(reader, ticket, evidence_id) == ("image/png", content)
        with pytest.raises(NotFound):
            await tickets.evidence(reader, other, evidence_id)
    async with city.database.write() as writer:
        await personal.erase(writer, site_id=city.site_id, subject=ticket.subject)
        assert await tickets.messages(writer, ticket, ["m"]) == {}
        with pytest.raises(NotFound):
            await tickets.evidence(writer, ticket, evidence_id)


async def test_only_photos_are_evidence_and_no_more_than_ten_however_many_come_at_once(
    city: City, opened: Opened
) -> None:
    ticket = await opened()
    async with city.database.write() as writer:
        for wrong in (b"<svg>", PNG + bytes(5 * 1024 * 1024)):
            with pytest.raises(Invalid):
                await tickets.keep_evidence(writer, ticket, wrong)
        photos = [
            await tickets.keep_evidence(writer, ticket, PNG + os.urandom(8))
            for _ in range(EVIDENCE_MAX + 3)
        ]
    answers = await asyncio.gather(
        *(change(city, ticket, Entry.EVIDENCE, evidence_id=one) for one in photos),
        return_exceptions=True,
    )
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [ActionNotAllowed] * 3
    async with city.database.write() as writer:
        with pytest.raises(ActionNotAllowed):
            await tickets.keep_evidence(writer, ticket, PNG + b"one more")
        lines = await tickets.entries(writer, ticket.ticket_id)
        assert len(lines) == EVIDENCE_MAX


async def test_photos_that_became_part_of_nothing_are_forgotten(city: City, opened: Opened) -> None:
    ticket = await opened()
    async with city.database.write() as writer:
        added, loose, fresh = [
            await tickets.keep_evidence(writer, ticket, PNG + name) for name in (b"a", b"b", b"c")
        ]
    await change(city, ticket, Entry.EVIDENCE, evidence_id=added)
    async with city.database.write() as writer:
        await writer.run(
            text("""UPDATE ticket_evidence SET created_at = created_at - interval '2 days'
            WHERE evidence_id <> :fresh AND ticket_id = :ticket_id"""),
            {"fresh": fresh, "ticket_id": ticket.ticket_id},
        )
        await loose_ends.forget(writer)
        left = await writer.all(
            text("SELECT evidence_id FROM ticket_evidence WHERE ticket_id = :ticket_id"),
            {"ticket_id": ticket.ticket_id},
        )
    assert {row.evidence_id for row in left} == {added, fresh}
    assert loose not in {added, fresh}


SO = {
    "late": "UPDATE orders SET status = 'delivered' WHERE order_id = :order_id",
    "cancel_unanswered": "UPDATE orders SET status = 'cancelled' WHERE order_id = :order_id",
    "no_rider_yet": "UPDATE delivery_tasks SET state = 'assigned' WHERE order_id = :order_id",
    "hold_reminder": "UPDATE orders SET held = false WHERE order_id = :order_id",
    "refund_abnormal": """INSERT INTO refunds (out_refund_no, site_id, order_id, out_trade_no,
      account_id, cause, source, reason, amount_fen, total_fen, state)
      VALUES (:order_id || 'r', 's', :order_id, 't', 'a', 'c', 'held', 'r', 1, 1, 'success')""",
    "gift": """INSERT INTO credit_gifts (grant_id, site_id, customer_id, business_day, amount_fen,
      reason, expires_at, state, proposed_by) VALUES (:order_id || 'r', 's', 'c', 'd', 1, 'r',
      now(), 'given', 'support:sue')""",
    "dispute": """UPDATE tickets SET data = data || '{"state": "lost"}'
      WHERE order_id = :order_id""",
}


def test_there_is_a_case_of_each_way_to_settle() -> None:
    # A pause is no order's: tests/workers/test_pauses.py.
    others = {Settles.NEVER, Settles.PAUSE_OVER}
    assert {RULES[kind].settles for kind in SO} == set(Settles) - others


@pytest.mark.parametrize("kind", SO)
async def test_a_ticket_has_settled_itself_only_when_the_rows_say_so(
    city: City, opened: Opened, kind: str
) -> None:
    order_id = (await city.add_task()).order_id
    data = {"out_refund_no": f"{order_id}r", "grant_id": f"{order_id}r"}
    ticket = await opened(kind, order_id=order_id, data=data)
    async with city.database.write() as writer:
        await writer.run(
            text("UPDATE orders SET held = true WHERE order_id = :id"), {"id": order_id}
        )
        assert not await tickets.settled(writer, ticket.ticket_id)
        await writer.run(text(SO[kind]), {"order_id": order_id})
        outcome = "lost" if kind == "dispute" else "settled_itself"
        assert await tickets.settled(writer, ticket.ticket_id) == outcome
        [found] = await tickets.of(writer, [ticket.ticket_id])
        assert found.look_seconds == RULES[kind].look_seconds / 10


async def test_lists_are_narrow_newest_first_and_of_one_site(city: City, opened: Opened) -> None:
    mine = await opened(customer_id="ann")
    theirs = await opened(customer_id="bob")
    late = await opened("late")
    await change(city, late, Entry.RESOLVED, outcome="solved")

    async def listed(before: int | None = None, limit: int = 9, **narrow: str) -> list[int]:
        async with city.database.read() as reader:
            which = Filter(**{"site_id": city.site_id, **narrow})
            found = await tickets.page(reader, which, before=before, limit=limit)
        return [ticket.ticket_id for ticket in found]

    everything = [late.ticket_id, theirs.ticket_id, mine.ticket_id]
    assert await listed() == everything
    assert await listed(limit=1) == everything[:1]
    assert await listed(before=late.ticket_id) == everything[1:]
    assert await listed(customer_id="ann") == [mine.ticket_id]
    assert await listed(state="resolved", kind="late", owner="support") == [late.ticket_id]
    assert await listed(site_id="elsewhere") == []
    async with city.database.read() as reader:
        with pytest.raises(NotFound):
            await tickets.find(
                reader, Filter(site_id=city.site_id, customer_id="bob"), mine.ticket_id
            )
        assert (await tickets.counts(reader))["customer"][0] >= 2


def _fields(ticket: Ticket) -> dict[str, Any]:
    return {name: getattr(ticket, name) for name in ticket.__slots__}
