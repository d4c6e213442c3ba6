"""Events reach Redis in order and at least once; facts reach workflows until confirmed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from services import facts, outbox, snapshots
from services.db import Database, Writer
from services.eta.outside import Outside
from services.gateways import Gateways
from services.outbox import Fact
from services.positions import Places
from services.settings import Settings
from tests.valkey import Valkey
from tests.workers.conftest import Tick
from workers.relay import STREAM, Publisher, Relay, Tell, Teller
from workers.temporal import WorkflowGone, Workflows

SOON_SECONDS = 10.0


@pytest.fixture
async def line(database: Database) -> AsyncIterator[Writer]:
    async with outbox.line(database) as writer:
        async with asyncio.timeout(SOON_SECONDS):
            while not await outbox.lock(writer):  # noqa: ASYNC110  the last test's session ends
                await asyncio.sleep(0.01)
        yield writer


async def published(redis: Redis, order_id: str) -> list[dict[str, Any]]:
    entries: Any = await redis.xrange(STREAM)
    messages = [json.loads(fields[b"m"]) for _, fields in entries]
    return [message for message in messages if message.get("order_id") == order_id]


async def drain(publisher: Publisher) -> None:
    while await publisher.once():
        pass


async def waiting(database: Database, order_id: str) -> int:
    async with database.read() as reader:
        return int(
            await reader.scalar(
                text("SELECT count(*) FROM outbox WHERE order_id = :id"), {"id": order_id}
            )
        )


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not await true():  # noqa: ASYNC110  what is awaited happens in a server
            await asyncio.sleep(0.01)


# Events -----------------------------------------------------------------------------------


async def test_events_come_out_whole_and_in_order_per_order(
    database: Database, line: Writer, redis: Redis, happen: Tick
) -> None:
    orders = [await happen() for _ in range(3)]
    for _ in range(4):
        for order in orders:
            await happen(order)
    await drain(Publisher(line, redis))
    for order in orders:
        told = await published(redis, order)
        assert [message["seq"] for message in told] == [1, 2, 3, 4, 5]
        assert {"type", "at", "data", "v", "site_id", "customer_id"} < set(told[0])
        assert await waiting(database, order) == 0


async def test_the_snapshot_is_as_new_as_the_last_event(
    line: Writer, redis: Redis, happen: Tick
) -> None:
    order = await happen(count=3)
    await drain(Publisher(line, redis))
    [*_, last] = await published(redis, order)
    snapshot = (await snapshots.get_many(redis, [order]))[order]
    assert snapshot.seq == 3
    assert json.loads(snapshot.body)["last"] == last["data"]["last"]


async def test_a_relay_that_dies_before_it_deletes_tells_again(
    database: Database,
    line: Writer,
    redis: Redis,
    happen: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = await happen(count=2)

    async def die(*_: object, **__: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "published", die)
        with pytest.raises(ConnectionResetError):
            await drain(Publisher(line, redis))
    assert await waiting(database, order) == 2
    await drain(Publisher(line, redis))
    assert [one["seq"] for one in await published(redis, order)] == [1, 2, 1, 2]
    assert await waiting(database, order) == 0


async def test_while_redis_is_away_rows_wait_and_nothing_is_lost(
    database: Database, line: Writer, redis: Redis, valkey: Valkey, happen: Tick
) -> None:
    stop = asyncio.Event()
    valkey.stop()
    try:
        order = await happen(count=2)
        with pytest.raises(RedisError):
            await Publisher(line, redis).once()
        relaying = asyncio.create_task(Publisher(line, redis).run(stop))
        await asyncio.sleep(0.3)
        assert await waiting(database, order) == 2
    finally:
        valkey.start()
    await happen(order)

    async def all_out() -> bool:
        return not await waiting(database, order)

    await until(all_out)
    stop.set()
    await relaying
    assert [one["seq"] for one in await published(redis, order)] == [1, 2, 3]


async def test_a_second_relay_stands_by_until_the_first_is_gone(database: Database) -> None:
    async with outbox.line(database) as second:
        async with outbox.line(database) as first:
            assert await outbox.lock(first)
            assert not await outbox.lock(second)
        await until(lambda: outbox.lock(second))


async def test_a_lost_database_connection_costs_nothing(
    database: Database, redis: Redis, happen: Tick
) -> None:
    nowhere = Settings(
        temporal_address="127.0.0.1:1",
        payload_key=SecretStr(base64.b64encode(bytes(32)).decode()),
    )
    gateways = Gateways(nowhere)
    stop = asyncio.Event()
    places = Places(nowhere.redis_url).of
    relay = Relay(
        *(database, redis, Workflows(nowhere), gateways, Outside(None)), places=places, trace_days=0
    )
    relaying = asyncio.create_task(relay.run(stop))
    order = await happen()

    async def all_out() -> bool:
        return not await waiting(database, order)

    await until(all_out)
    async with database.write() as writer:
        holder = text("""
            SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
        """)
        assert await writer.all(holder)
    await happen(order, 2)
    await until(all_out)
    stop.set()
    await relaying
    await gateways.close()
    assert [one["seq"] for one in await published(redis, order)] == [1, 2, 3]


# Facts ------------------------------------------------------------------------------------


class Inbox:
    """Where this test's facts arrive; the first `refusals` tries of each fail."""

    def __init__(self, site_id: str, *, refusals: int = 0, gone: bool = False) -> None:
        self.site_id = site_id
        self.refusals = refusals
        self.gone = gone
        self.tries: list[Fact] = []
        self.got: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    async def tell(self, fact: Fact) -> None:
        if fact.site_id != self.site_id:
            return
        self.tries.append(fact)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.gone:
            raise WorkflowGone(fact.workflow_id)
        if fact.tries < self.refusals:
            raise TimeoutError
        self.got.append(fact.body["number"])


async def tell_all(database: Database, site_id: str, count: int) -> None:
    async with database.write() as writer:
        for number in range(count):
            await facts.tell(
                writer,
                site_id=site_id,
                order_id=f"o{number}",
                workflow_id=f"order/o{number}",
                name="payment_settled",
                body={"number": number},
            )


async def unconfirmed(database: Database, site_id: str) -> int:
    async with database.read() as reader:
        return int(
            await reader.scalar(
                text("SELECT count(*) FROM facts WHERE site_id = :s AND confirmed_at IS NULL"),
                {"s": site_id},
            )
        )


async def run_until_confirmed(
    database: Database, line: Writer, site_id: str, tell: Tell, **on_ended: Tell
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Teller(line, tell, on_ended).run(stop))

    async def all_confirmed() -> bool:
        return not await unconfirmed(database, site_id)

    await until(all_confirmed)
    stop.set()
    await running


async def test_each_fact_is_told_once_a_few_at_a_time(
    database: Database, line: Writer, site_id: str
) -> None:
    await tell_all(database, site_id, 60)
    inbox = Inbox(site_id)
    await run_until_confirmed(database, line, site_id, inbox.tell)
    assert sorted(inbox.got) == list(range(60))
    assert 1 < inbox.most_at_once <= 20


async def test_a_fact_that_fails_is_told_again_later(
    database: Database, line: Writer, site_id: str
) -> None:
    await tell_all(database, site_id, 2)
    inbox = Inbox(site_id, refusals=2)
    began = asyncio.get_running_loop().time()
    await run_until_confirmed(database, line, site_id, inbox.tell)
    assert sorted(inbox.got) == [0, 1]
    assert sorted(fact.tries for fact in inbox.tries) == [0, 0, 1, 1, 2, 2]
    assert asyncio.get_running_loop().time() - began >= 0.2 + 0.4


async def test_an_ended_workflow_confirms_and_calls_what_is_due_then(
    database: Database, line: Writer, site_id: str
) -> None:
    await tell_all(database, site_id, 1)
    inbox = Inbox(site_id, gone=True)
    late: list[str] = []

    async def settle(fact: Fact) -> None:
        late.append(fact.order_id)

    await run_until_confirmed(database, line, site_id, inbox.tell, payment_settled=settle)
    assert late == ["o0"]
    assert len(inbox.tries) == 1


async def test_a_late_fact_that_can_not_be_settled_is_tried_again(
    database: Database, line: Writer, site_id: str
) -> None:
    await tell_all(database, site_id, 1)
    inbox = Inbox(site_id, gone=True)
    calls: list[int] = []

    async def settle(fact: Fact) -> None:
        calls.append(fact.tries)
        if len(calls) == 1:
            raise OSError

    await run_until_confirmed(database, line, site_id, inbox.tell, payment_settled=settle)
    assert calls == [0, 1]


async def test_what_a_dead_relay_was_telling_is_told_by_the_next(
    database: Database, line: Writer, site_id: str
) -> None:
    await tell_all(database, site_id, 1)
    begun = asyncio.Event()

    async def hang(fact: Fact) -> None:
        if fact.site_id == site_id:
            begun.set()
        await asyncio.sleep(SOON_SECONDS)

    dead = Teller(line, hang, {})
    await dead.once()
    await begun.wait()
    dead.drop()
    inbox = Inbox(site_id)
    await run_until_confirmed(database, line, site_id, inbox.tell)
    assert inbox.got == [0]
