"""What is open with a channel is counted and aged; failures count once they are committed."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import insert, text

from domain.contracts.refunds import RefundState
from services import events, payments, refunds, tables, waiting
from services.db import Database
from tests.sold import Sales


def attempt(site_id: str, state: str, age: timedelta, **more: Any) -> dict[str, Any]:
    """An attempt at a channel of the test's own, named like its site."""
    then = datetime.now(UTC) - age
    return {
        "out_trade_no": uuid.uuid4().hex,
        "site_id": site_id,
        "order_id": uuid.uuid4().hex,
        "attempt": 1,
        "account_id": f"{site_id}-account",
        "channel": site_id,
        "method": "native",
        "amount_fen": 1,
        "state": state,
        "expires_at": then,
        "created_at": then,
        **more,
    }


async def test_each_kind_by_its_oldest(database: Database, site_id: str) -> None:
    minute, day = timedelta(minutes=1), timedelta(days=1)
    now = datetime.now(UTC)
    account = {"account_id": f"{site_id}-account", "site_id": site_id, "channel": site_id}
    names = dict.fromkeys(("merchant_id", "mchid", "appid", "keys_ref"), site_id)
    refund = {
        "site_id": site_id,
        "order_id": uuid.uuid4().hex,
        "out_trade_no": "t",
        "account_id": f"{site_id}-account",
        "source": "held",
        "reason": "test",
        "amount_fen": 1,
        "total_fen": 1,
        "created_at": now - day,
    }
    fact = {"channel": site_id, "account_id": site_id, "site_id": site_id, "order_id": "o"}
    async with database.write() as writer:
        await writer.run(insert(tables.channel_accounts).values(**account, **names))
        for state, age in (("unknown", minute), ("unknown", day), ("opened", day), ("paid", day)):
            await writer.run(insert(tables.payment_attempts).values(**attempt(site_id, state, age)))
        held = attempt(site_id, "authorized", day, paid_at=now - minute)
        await writer.run(insert(tables.payment_attempts).values(**held))
        for number, ended_at in (("open", None), ("over", now)):
            one = {"out_refund_no": f"{site_id}{number}", "cause": number, "state": "created"}
            await writer.run(insert(tables.refunds).values(**refund, **one, ended_at=ended_at))
        for kind, applied_at in (("payment", None), ("payment", now), ("refund", None)):
            one = {"event_id": uuid.uuid4().hex, "kind": kind, "body": b"", "received_at": now}
            await writer.run(insert(tables.inbox).values(**fact, **one, applied_at=applied_at))
    async with database.read() as reader:
        found = {one.what: one for one in await waiting.look(reader) if one.channel == site_id}
    assert {what: one.count for what, one in found.items()} == {
        "unknown": 2,
        "hold": 1,
        "refund": 1,
        "fact": 1,
    }
    ages = {"unknown": day, "hold": minute, "refund": day, "fact": timedelta()}
    for what, age in ages.items():
        assert found[what].oldest_seconds == pytest.approx(age.total_seconds(), abs=10), what
    async with database.write() as writer:
        for table in ("payment_attempts", "inbox"):
            await writer.run(
                text(f"DELETE FROM {table} WHERE site_id = :site"),  # noqa: S608
                {"site": site_id},
            )


async def test_a_failure_counts_by_its_code_once_it_is_committed(
    database: Database, site_id: str
) -> None:
    row = attempt(site_id, "created", timedelta())
    async with database.write() as writer:
        await writer.run(insert(tables.payment_attempts).values(**row))

    def failures() -> list[float | None]:
        name = "paotui_payment_failures_total"
        labels = [{"channel": site_id, "code": code} for code in ("NO_AUTH", "other")]
        return [REGISTRY.get_sample_value(name, one) or 0 for one in labels]

    async def rolled_back() -> None:
        async with database.write() as writer:
            await payments.mark(writer, row["out_trade_no"], "failed", "NO_AUTH")
            raise LookupError

    with pytest.raises(LookupError):
        await rolled_back()
    assert failures() == [0, 0]
    async with database.write() as writer:
        await payments.failed(writer, row["out_trade_no"], "A_CODE_OF_TOMORROW")
        await payments.failed(writer, row["out_trade_no"], "")
        await payments.mark(writer, row["out_trade_no"], "failed", "NO_AUTH")
        await payments.failed(writer, row["out_trade_no"], "NO_AUTH")  # it is over
        await payments.mark(writer, "nobody's", "failed", "NO_AUTH")
    assert failures() == [1, 1]


async def test_refunds_count_by_state(database: Database, site_id: str) -> None:
    sales = await Sales(database, site_id).build()
    order_id = await sales.order()

    def refunded(state: str) -> float:
        labels = {"channel": "wechat", "state": state}
        return REGISTRY.get_sample_value("paotui_refunds_total", labels) or 0

    before = {state: refunded(state) for state in ("created", "abnormal", "success")}
    async with database.write() as writer:
        stream = await events.lock(writer, order_id)
        assert stream is not None
        for _ in range(2):
            opened = await refunds.open_refund(
                writer, stream, cause="test", reason="test", amount_fen=100
            )
        assert opened is not None
        stored = await refunds.refunding(writer, opened.out_refund_no)
        for state in (RefundState.ABNORMAL, RefundState.ABNORMAL, RefundState.SUCCESS):
            await refunds.ended(writer, stored, state)
    assert {state: refunded(state) - was for state, was in before.items()} == {
        "created": 1,
        "abnormal": 1,
        "success": 1,
    }
