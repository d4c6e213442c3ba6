"""A consumer of the topic: `python kafka_consumer.py host:9092 topic store.sqlite`.

Its offset is committed after its store: killed in between, it reads the same events again, and
knows them. Any number of them may run in one group on one store that all of them reach.
"""

import asyncio
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from once import Once

GROUP = "example"


async def main(brokers: str, topic: str, path: str) -> None:
    """Read until killed."""
    once = Once(Path(path))
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with consumer:
        while True:
            pages = await consumer.getmany(timeout_ms=1_000)
            for records in pages.values():
                for record in records:
                    once.handle(record.value)
            if pages:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
