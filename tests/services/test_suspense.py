"""Suspense is young, then old and a ticket, then gone home and no ticket."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from domain import books
from services import ledger, suspense, tables
from services.db import Database
from services.suspense import Held


async def ticket_states(database: Database, site_id: str) -> list[tuple[str, str]]:
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT kind, state FROM tickets WHERE site_id = :site"), {"site": site_id}
        )
    return [(row.kind, row.state) for row in rows]


async def look(database: Database, site_id: str) -> list[Held]:
    async with database.write() as writer:
        return [held for held in await suspense.look(writer) if held.site_id == site_id]


async def test_late_money_ages_to_a_ticket_and_its_refund_ends_both(
    database: Database, site_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = uuid.uuid4().hex[:26]
    names = {"site_id": site_id, "order_id": order_id, "channel": "wechat"}
    payment = {**names, "mchid": "m", "out_trade_no": f"{order_id}p01", "amount_fen": 700}
    refund = {**names, "out_refund_no": f"{order_id}r01", "amount_fen": 700}
    async with database.write() as writer:
        await writer.run(insert(tables.sites).values(site_id=site_id, name="Town", speed=60))
        await ledger.post(writer, books.journal("late_payment", **payment))
    assert await look(database, site_id) == [Held(site_id=site_id, all_fen=700, old_fen=0)]
    assert await ticket_states(database, site_id) == []

    monkeypatch.setattr(suspense, "OLD", timedelta(0))
    for _ in range(2):
        old = [Held(site_id=site_id, all_fen=700, old_fen=700)]
        assert await look(database, site_id) == old
    assert await ticket_states(database, site_id) == [("suspense_old", "open")]

    async with database.write() as writer:
        opened = books.journal("refund_opened", payer="suspense", **refund)
        await ledger.post(writer, opened)
    assert await look(database, site_id) == [Held(site_id=site_id, all_fen=0, old_fen=0)]
    assert await ticket_states(database, site_id) == [("suspense_old", "resolved")]


async def test_on_a_faster_site_money_is_old_sooner(database: Database, site_id: str) -> None:
    order_id = uuid.uuid4().hex[:26]
    late = books.journal(
        "late_payment",
        site_id=site_id,
        order_id=order_id,
        channel="wechat",
        mchid="m",
        out_trade_no=f"{order_id}p01",
        amount_fen=5,
    )
    async with database.write() as writer:
        await writer.run(insert(tables.sites).values(site_id=site_id, name="Town", speed=10**9))
        await ledger.post(writer, late)
    assert await look(database, site_id) == [Held(site_id=site_id, all_fen=5, old_fen=5)]
