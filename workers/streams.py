"""Events out to Kafka, at Kafka's own pace: the hubs' stream never waits for it."""

import asyncio

import structlog
from aiokafka.errors import KafkaError

from services import envelope, metrics, outbox
from services.db import Database
from services.kafka import Kafka

POLL_SECONDS = 0.05
FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0

log = structlog.get_logger(__name__)


class KafkaPublisher:
    """Rows that the relay kept for Kafka, oldest first, forgotten when all its replicas have them.

    It may die anywhere, even beside a successor: both begin at the oldest unconfirmed event of
    an order, so that all they can do is repeat.
    """

    def __init__(self, database: Database, kafka: Kafka) -> None:
        self._database = database
        self._kafka = kafka

    async def once(self) -> int:
        """Publish the oldest batch; how many events Kafka took. Raises KafkaError, rows kept."""
        async with self._database.read() as reader:
            batch = await outbox.for_kafka(reader)
        if not batch:
            return 0
        done = await self._kafka.publish(
            [(event.order_id.encode(), envelope.of(event.text)) for event in batch]
        )
        async with self._database.write() as writer:
            await outbox.kafka_has(writer, [batch[index].id for index in done])
        metrics.STREAM_EVENTS.labels("kafka").inc(len(done))
        return len(done)

    async def run(self) -> None:
        """Publish until cancelled; while Kafka is away, rows wait."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                count = await self.once()
            except (KafkaError, OSError) as error:
                metrics.RELAY_FAILURES.labels("kafka").inc()
                log.warning("Kafka does not take events", error_type=type(error).__name__)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
                continue
            backoff = FIRST_BACKOFF_SECONDS
            if not count:
                await asyncio.sleep(POLL_SECONDS)
