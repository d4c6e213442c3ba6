"""Public events reach Redis and a real Kafka whole, in order, at least once, each at its pace."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sqlalchemy import text

from services import events, outbox
from services.db import Database, Writer
from services.kafka import Kafka
from services.settings import Settings
from tests.kafka import PARTITIONS, Broker, kafka_broker
from tests.workers.conftest import Tick
from workers.relay import OUT_STREAM, STREAM, Publisher
from workers.streams import KafkaPublisher
from workers.sweep import Sweep
from workers.temporal import Workflows

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
LONG_SECONDS = 240.0
"""Much more than it takes: a busy machine is not a loss."""
ORDERS = 12
MANY = 10_000

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka_broker() as running:
        yield running


@pytest.fixture
async def line(database: Database) -> AsyncIterator[Writer]:
    async with outbox.line(database) as writer:
        yield writer


@pytest.fixture
def topic(site_id: str) -> str:
    """A topic of this test's own."""
    return f"events-{site_id}"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A relay's surroundings, and orders to which things happen."""

    database: Database
    line: Writer
    redis: Redis
    happen: Tick

    async def to_hubs(self, order_id: str, count: int) -> None:
        """So many more events, taken by Redis and kept for Kafka."""
        await self.happen(order_id, count)
        while await Publisher(self.line, self.redis, on_to_kafka=True).once():
            pass

    async def nothing_waits(self) -> None:
        """Wait until every sink has everything."""
        async with asyncio.timeout(LONG_SECONDS):
            while True:
                async with self.database.read() as reader:
                    if not any(one.events for one in await outbox.backlogs(reader)):
                        return
                await asyncio.sleep(0.1)


@pytest.fixture
def scene(database: Database, line: Writer, redis: Redis, happen: Tick) -> Scene:
    return Scene(database=database, line=line, redis=redis, happen=happen)


@pytest.fixture
async def kafka(broker: Broker, topic: str) -> AsyncIterator[Kafka]:
    opened = Kafka(broker.address, topic)
    yield opened
    await opened.close()


async def until(true: Callable[[], Any], seconds: float = LONG_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  what is awaited happens in another process
            await asyncio.sleep(0.1)


async def in_redis(redis: Redis, stream: str = OUT_STREAM) -> list[dict[str, Any]]:
    entries: Any = await redis.xrange(stream)
    return [json.loads(fields.get(b"event") or fields[b"m"]) for _, fields in entries]


async def in_kafka(broker: Broker, topic: str) -> list[tuple[str, int]]:
    """(key, seq) of everything in the topic, in order per partition."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.address) as consumer:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        found = []
        for part in parts:
            while await consumer.position(part) < ends[part]:
                pages = await consumer.getmany(part, timeout_ms=1_000)
                for record in pages.get(part, []):
                    assert record.key == json.loads(record.value)["order_id"].encode()
                    found.append((record.key.decode(), json.loads(record.value)["seq"]))
        return found


def assert_whole(told: Sequence[tuple[str, int]], counts: Mapping[str, int]) -> None:
    """Every event of these orders is there, each for the first time in its turn."""
    first: dict[str, list[int]] = {order: [] for order in counts}
    for order, seq in told:
        if order in first and seq not in first[order]:
            first[order].append(seq)
    assert first == {order: list(range(1, count + 1)) for order, count in counts.items()}


# Redis ------------------------------------------------------------------------------------


async def test_the_public_stream_has_envelopes_and_nothing_that_is_ours(
    database: Database, line: Writer, redis: Redis, happen: Tick, site_id: str
) -> None:
    order = await happen(count=3)
    async with database.write() as writer:
        offer = {"site_id": site_id, "order_id": order, "m": json.dumps({"type": "offer.made"})}
        await writer.run(
            text("""INSERT INTO outbox (site_id, order_id, seq, message)
            VALUES (:site_id, :order_id, 0, CAST(:m AS jsonb))"""),
            offer,
        )
    while await Publisher(line, redis, out_messages=MANY).once():
        pass
    mine = [event for event in await in_redis(redis) if event["order_id"] == order]
    assert [event["seq"] for event in mine] == [1, 2, 3]
    expected = {"schema", "v", "site_id", "order_id", "seq", "type", "at", "data"}
    assert all(set(event) == expected for event in mine)
    assert mine[0]["schema"] == "paotui.order-event"
    assert "offer.made" in [message["type"] for message in await in_redis(redis, STREAM)]


async def test_the_public_stream_keeps_what_it_was_told_to_and_may_be_off(
    line: Writer, redis: Redis, happen: Tick
) -> None:
    await redis.delete(OUT_STREAM)
    await happen(count=5)
    while await Publisher(line, redis).once():
        pass
    assert await redis.xlen(OUT_STREAM) == 0
    for _ in range(6):
        await happen(count=100)
        while await Publisher(line, redis, out_messages=200).once():
            pass
    assert 200 <= await redis.xlen(OUT_STREAM) <= 300


class Counting(Writer):
    """A writer that counts its statements."""

    statements = 0

    async def all(self, *told: Any) -> Any:
        self.statements += 1
        return await super().all(*told)

    async def run(self, *told: Any) -> Any:
        self.statements += 1
        return await super().run(*told)


@pytest.mark.parametrize("on_to_kafka", [False, True])
async def test_a_batch_costs_three_statements_with_kafka_and_without(
    line: Writer, redis: Redis, happen: Tick, *, on_to_kafka: bool
) -> None:
    while await Publisher(line, redis).once():
        pass
    await happen(count=20)
    writer = Counting(line.connection)
    publisher = Publisher(writer, redis, out_messages=MANY, on_to_kafka=on_to_kafka)
    assert await publisher.once() == 20
    assert writer.statements == 3


# Kafka ------------------------------------------------------------------------------------


async def test_kafka_away_delays_nobody_and_shows(
    scene: Scene, broker: Broker, kafka: Kafka, topic: str
) -> None:
    order = await scene.happen()
    await scene.to_hubs(order, 1)
    publishing = asyncio.create_task(KafkaPublisher(scene.database, kafka).run())
    await scene.nothing_waits()
    with broker.stalled():
        await scene.to_hubs(order, 3)
        told = [one for one in await in_redis(scene.redis, STREAM) if one.get("order_id") == order]
        assert [message["seq"] for message in told] == [1, 2, 3, 4, 5]
        await Sweep(scene.database, Workflows(Settings())).streams()
        assert shown("paotui_stream_backlog", "kafka") == 3
        assert shown("paotui_stream_lag_seconds", "kafka") > 0
        assert shown("paotui_stream_backlog", "redis") == 0
    await scene.nothing_waits()
    publishing.cancel()
    assert_whole(await in_kafka(broker, topic), {order: 5})


def shown(name: str, sink: str) -> float:
    """A figure as Prometheus would read it."""
    value = REGISTRY.get_sample_value(name, {"sink": sink})
    assert value is not None
    return value


async def test_two_relays_at_once_can_only_repeat(
    scene: Scene, broker: Broker, kafka: Kafka, topic: str
) -> None:
    """The one before was cut off while the broker was silent; what it had sent comes late."""
    order = await scene.happen()
    await scene.to_hubs(order, 1)
    await KafkaPublisher(scene.database, kafka).once()
    with broker.stalled():
        await scene.to_hubs(order, 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(KafkaPublisher(scene.database, kafka).once(), 0.5)
        await scene.to_hubs(order, 2)
    other = Kafka(broker.address, topic)
    await asyncio.gather(*(drain(KafkaPublisher(scene.database, one)) for one in (kafka, other)))
    await other.close()
    told = await in_kafka(broker, topic)
    assert_whole(told, {order: 6})
    assert len(told) > 6


async def test_after_a_refusal_the_next_batch_goes_out(kafka: Kafka) -> None:
    with pytest.raises(KafkaError):
        await kafka.publish([(b"k", bytes(2_000_000))])
    assert await kafka.publish([(b"k", b"{}"), (b"l", b"{}")]) == [0, 1]


async def drain(publisher: KafkaPublisher) -> None:
    while await publisher.once():
        pass


# Everything killed ------------------------------------------------------------------------


@asynccontextmanager
async def running(*command: str | Path, log: Path, **variables: str) -> AsyncIterator[int]:
    """A process of ours, killed at the end; its pid."""
    clean = {name: value for name, value in os.environ.items() if "PAOTUI_" not in name}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=clean | variables, stdout=output, stderr=output
        )
    try:
        yield process.pid
        assert process.returncode is None, f"{command} ended by itself"
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def handled(store: Path) -> list[tuple[str, int]]:
    """What a consumer has handled, in its order."""
    if not store.exists():
        return []
    with sqlite3.connect(store) as opened, suppress(sqlite3.OperationalError):
        return list(opened.execute("SELECT order_id, seq FROM handled ORDER BY rowid"))
    return []


@pytest.fixture
def relay(
    postgres_url: str, valkey_url: str, broker: Broker, topic: str, tmp_path: Path
) -> dict[str, str]:
    """The settings of a relay process; its Temporal is away, which no event needs."""
    return {
        "PAOTUI_HOME": str(tmp_path),
        "PAOTUI_DATABASE_URL": postgres_url,
        "PAOTUI_REDIS_URL": valkey_url,
        "PAOTUI_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "PAOTUI_PAYLOAD_KEY": "A" * 43 + "=",
        "PAOTUI_KAFKA_BROKERS": broker.address,
        "PAOTUI_KAFKA_TOPIC": topic,
    }


async def test_relay_broker_and_consumers_are_killed_and_nothing_is_lost(
    scene: Scene, relay: dict[str, str], broker: Broker, topic: str, tmp_path: Path
) -> None:
    """Events go on all the while; all four die in the middle of them, the consumers twice."""
    await scene.redis.delete(OUT_STREAM)
    counts = {await scene.happen(): 1 for _ in range(ORDERS)}
    of_redis, of_kafka = tmp_path / "redis.sqlite", tmp_path / "kafka.sqlite"
    redis_command = (EXAMPLES / "redis_consumer.py", relay["PAOTUI_REDIS_URL"], of_redis)
    kafka_command = (EXAMPLES / "kafka_consumer.py", broker.address, topic, of_kafka)
    stop = asyncio.Event()

    async def live() -> None:
        while not stop.is_set():
            for order in counts:
                await scene.happen(order)
                counts[order] += 1
            await asyncio.sleep(0.05)

    living = asyncio.create_task(live())

    async def whole_round(*, broker_dies: bool) -> None:
        begun = len(handled(of_redis)), len(handled(of_kafka))
        async with (
            running("-m", "workers.relay", log=tmp_path / "relay.log", **relay),
            running(*redis_command, log=tmp_path / "redis.log"),
            running(*kafka_command, log=tmp_path / "kafka.log"),
        ):
            await until(lambda: len(handled(of_redis)) > begun[0] + 3 * ORDERS)
            await until(lambda: len(handled(of_kafka)) > begun[1] + 3 * ORDERS)
            if broker_dies:
                broker.kill()
                before = len(handled(of_redis))
                await until(lambda: len(handled(of_redis)) > before + 3 * ORDERS)
                await asyncio.to_thread(broker.start)
                before = len(handled(of_kafka))
                await until(lambda: len(handled(of_kafka)) > before + 3 * ORDERS)

    await whole_round(broker_dies=True)
    await whole_round(broker_dies=False)
    stop.set()
    await living
    total = sum(counts.values())
    async with (
        running("-m", "workers.relay", log=tmp_path / "relay.log", **relay),
        running(*redis_command, log=tmp_path / "redis.log"),
        running(*kafka_command, log=tmp_path / "kafka.log"),
    ):
        for store in (of_redis, of_kafka):
            await until(lambda store=store: len(mine(handled(store), counts)) == total)
    for store in (of_redis, of_kafka):
        assert_whole(handled(store), counts)
    assert_whole(await in_kafka(broker, topic), counts)
    out = [(event["order_id"], event["seq"]) for event in await in_redis(scene.redis)]
    assert_whole(out, counts)
    async with scene.database.read() as reader:
        streams = await events.streams(reader, counts)
    assert {stream.order_id: stream.seq for stream in streams} == counts


def mine(told: Sequence[tuple[str, int]], counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [one for one in told if one[0] in counts]
