"""Kafka as a place to publish to: one idempotent producer, one batch a partition at a time."""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

REQUEST_MS = 10_000
BATCH_BYTES = 900_000
"""Below what a broker takes as it comes (`message.max.bytes`, 1 MiB)."""

Record = tuple[bytes, bytes]
"""Key and value."""
Sent = asyncio.Future[object]

log = structlog.get_logger(__name__)
_partition_of = DefaultPartitioner()


class Kafka:
    """Publishes in order per key; what is not confirmed is the caller's to publish again.

    A batch that fails while a later one of its partition is on its way would arrive after it. So
    a partition has one batch on its way, and nothing follows before its fate is known.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        """`brokers`: host:port, comma separated."""
        self._brokers = brokers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._on_their_way: set[Sent] = set()

    async def publish(self, records: Sequence[Record]) -> list[int]:
        """Publish what fits into one batch a partition; the indexes that all replicas have.

        Waits for as long as the broker is away. May be cancelled: the batches go on by
        themselves, and the next call waits for them first.

        Raises:
            KafkaError: nothing was confirmed.
        """
        await self._settle()
        producer = self._producer or await self._start()
        sent: dict[Sent, list[int]] = {}
        errors: list[KafkaError] = []
        try:
            for partition, (batch, indexes) in (await self._batches(producer, records)).items():
                future = await producer.send_batch(batch, self._topic, partition=partition)
                self._on_their_way.add(future)
                sent[future] = indexes
        except KafkaError as error:
            errors.append(error)
        errors += await self._settle()
        if errors:
            log.warning("Kafka refused events", error_type=type(errors[0]).__name__)
            # After a refusal the producer's numbering has a hole; a new one begins its own.
            await self.close()
        confirmed = (indexes for future, indexes in sent.items() if not future.exception())
        done = [index for indexes in confirmed for index in indexes]
        if errors and not done:
            raise errors[0]
        return done

    async def close(self) -> None:
        """Let the producer go; one that still has something on its way ends with the process."""
        if self._producer is not None and not self._on_their_way:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            enable_idempotence=True,
            acks="all",
            request_timeout_ms=REQUEST_MS,
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer

    async def _batches(
        self, producer: AIOKafkaProducer, records: Sequence[Record]
    ) -> dict[int, tuple[BatchBuilder, list[int]]]:
        partitions = sorted(await producer.partitions_for(self._topic))
        chosen: dict[int, tuple[BatchBuilder, list[int]]] = {}
        full: set[int] = set()
        for index, (key, value) in enumerate(records):
            partition = _partition_of(key, partitions, partitions)
            if partition not in chosen:
                chosen[partition] = producer.create_batch(), []
            batch, indexes = chosen[partition]
            if partition in full:
                continue
            if batch.append(key=key, value=value, timestamp=None) is None:
                full.add(partition)
            else:
                indexes.append(index)
        return chosen

    async def _settle(self) -> list[KafkaError]:
        """Wait until nothing is on its way; why what failed has failed."""
        if not self._on_their_way:
            return []
        done, _ = await asyncio.wait(self._on_their_way)
        self._on_their_way -= done
        errors = [future.exception() for future in done]
        return [error for error in errors if isinstance(error, KafkaError)]
