"""`python -m workers.relay`: tells what is stored: events to Redis, facts to workflows; sweeps.

One relay is active; others stand by until its lock is free. Each message goes out at least once,
in order per order.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from activities.payments import PaymentActs
from activities.refunds import RefundActs
from domain.contracts.payments import Settle
from domain.contracts.refunds import EndRefund
from domain.ids import refund_workflow
from domain.positions import PlacesOf
from domain.riding import PHOTO_DAYS
from services import envelope, events, logs, metrics, outbox, positions, process, shifts, snapshots
from services.db import Database, Writer
from services.eta import outside
from services.eta.outside import Outside
from services.gateways import Gateways
from services.kafka import Kafka
from services.outbox import BATCH_ROWS, Fact, Message
from services.positions import Places
from services.settings import settings
from workers.estimates import Estimates
from workers.serve import check_database, window
from workers.shifts import Shifts
from workers.streams import KafkaPublisher
from workers.sweep import Sweep
from workers.temporal import Telemetry, WorkflowGone, Workflows
from workers.traces import Traces

STREAM = "paotui:events"
STREAM_MESSAGES = 100_000
OUT_STREAM = "paotui:out:events"
"""Public events for others than us, in envelopes; `paotui:events` is the hubs' own."""
POLL_SECONDS = 0.010
BUSY_POLL_SECONDS = 0.005
BUSY_SECONDS = 1.0
"""How long after a message the next one is expected soon."""
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 1.0
STANDBY_SECONDS = 0.5
REDIS_SECONDS = 1.0
TELL_AT_ONCE = 20
POOL_CONNECTIONS = 6

Tell = Callable[[Fact], Awaitable[None]]
"""Sends a fact; raises WorkflowGone where nobody can receive it any more."""

log = structlog.get_logger(__name__)


class Publisher:
    """Outbox rows into the Redis streams, then into the snapshots of their orders."""

    def __init__(
        self, writer: Writer, redis: Redis, *, out_messages: int = 0, on_to_kafka: bool = False
    ) -> None:
        """`out_messages`: length of the public stream, 0: none; `on_to_kafka`: it hears later."""
        self._writer = writer
        self._redis = redis
        self._out_messages = out_messages
        self._on_to_kafka = on_to_kafka

    async def once(self) -> int:
        """Publish the oldest batch; how many messages it had. Raises RedisError, rows kept."""
        batch = await outbox.messages(self._writer)
        if not batch:
            return 0
        with metrics.RELAY_SECONDS.time():
            await self._push(batch)
            await self._forget_places(batch)
            touched = {message.order_id for message in batch if message.seq}
            await snapshots.put(self._redis, await events.streams(self._writer, touched))
            await outbox.published(self._writer, batch, on_to_kafka=self._on_to_kafka)
        metrics.EVENTS_RELAYED.inc(len(batch))
        return len(batch)

    async def _push(self, batch: Sequence[Message]) -> None:
        # MULTI: all of the batch or nothing, or a refused message would arrive after later ones.
        pipeline = self._redis.pipeline(transaction=True)
        for message in batch:
            pipeline.xadd(STREAM, {"m": message.text}, maxlen=STREAM_MESSAGES, approximate=True)
        public = [message for message in batch if message.seq] if self._out_messages else []
        for message in public:
            pipeline.xadd(
                OUT_STREAM,
                {
                    "order_id": message.order_id,
                    "seq": message.seq,
                    "event": envelope.of(message.text),
                },
                maxlen=self._out_messages,
                approximate=True,
            )
        await pipeline.execute()
        metrics.STREAM_EVENTS.labels("redis").inc(len(public))

    async def _forget_places(self, batch: Sequence[Message]) -> None:
        """Of those whose shift has ended, and who have not begun another since."""
        told = [orjson.loads(message.text) for message in batch if not message.seq]
        ended = [(one["site_id"], one["rider_id"]) for one in told if one["type"] == "shift.ended"]
        if ended:
            await positions.end(self._redis, await shifts.off(self._writer, ended))

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until told to stop; while Redis is away, rows wait."""
        loop = asyncio.get_running_loop()
        last, backoff = 0.0, FIRST_BACKOFF_SECONDS
        while not stop.is_set():
            try:
                count = await self.once()
            except RedisError as error:
                metrics.RELAY_FAILURES.labels("redis").inc()
                log.warning("Redis does not take events", error_type=type(error).__name__)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
                continue
            backoff = FIRST_BACKOFF_SECONDS
            if count:
                last = loop.time()
            if count < BATCH_ROWS:
                busy = loop.time() - last < BUSY_SECONDS
                await asyncio.sleep(BUSY_POLL_SECONDS if busy else POLL_SECONDS)


class Teller:
    """Facts to their workflows, some at a time, each confirmed or tried again later."""

    def __init__(
        self, writer: Writer, tell: Tell, on_ended: Mapping[str, Callable[[Fact], Awaitable[None]]]
    ) -> None:
        """`on_ended`: what to do with a fact of that name whose workflow is gone."""
        self._writer = writer
        self._tell = tell
        self._on_ended = on_ended
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._told: list[int] = []
        self._failed: list[int] = []

    async def once(self) -> int:
        """Write down what became of earlier facts, send new ones; how many are on their way."""
        told, self._told = self._told, []
        failed, self._failed = self._failed, []
        if told:
            await outbox.confirm(self._writer, told)
        if failed:
            await outbox.postpone(self._writer, failed)
        # Only now may they be looked for again.
        for number in (*told, *failed):
            del self._busy[number]
        free = TELL_AT_ONCE - len(self._busy)
        if free:
            for fact in await outbox.due(self._writer, busy=list(self._busy), limit=free):
                self._busy[fact.id] = asyncio.create_task(self._send(fact))
        return len(self._busy)

    async def _send(self, fact: Fact) -> None:
        try:
            outcome = await self._deliver(fact)
            self._told.append(fact.id)
        except Exception as error:  # noqa: BLE001  one bad fact must not stop the others
            outcome = "failed"
            self._failed.append(fact.id)
            log.warning(
                "fact not told",
                fact=fact.name,
                order_id=fact.order_id,
                tries=fact.tries,
                error_type=type(error).__name__,
            )
        metrics.FACTS_TOLD.labels(fact.name, outcome).inc()

    async def _deliver(self, fact: Fact) -> str:
        try:
            await self._tell(fact)
        except WorkflowGone:
            if fact.name in self._on_ended:
                await self._on_ended[fact.name](fact)
            log.info("fact for an ended workflow", fact=fact.name, order_id=fact.order_id)
            return "ended"
        return "told"

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until told to stop."""
        while not stop.is_set():
            busy = await self.once()
            await asyncio.sleep(BUSY_POLL_SECONDS if busy else POLL_SECONDS)

    def drop(self) -> None:
        """Forget what is on its way: it stays unconfirmed and is told again."""
        for task in self._busy.values():
            task.cancel()


class LatePayments:
    """Money for an order whose workflow has ended: settled here, its refund started at once."""

    def __init__(self, acts: PaymentActs, sweep: Sweep) -> None:
        self._acts = acts
        self._sweep = sweep

    async def settle(self, fact: Fact) -> None:
        """Apply the stored fact; what it sends home is followed by a workflow of its own."""
        notice_id = int(fact.body["notice_id"])
        done = await self._acts.settle(Settle(order_id=fact.order_id, notice_id=notice_id))
        await self._sweep.start_refunds(done.refund_nos)


class Relay:
    """All that the active relay does, over one database."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        workflows: Workflows,
        gateways: Gateways,
        around: Outside,
        *,
        places: PlacesOf,
        trace_days: int,
        photo_days: int = PHOTO_DAYS,
        out_messages: int = 0,
        kafka: Kafka | None = None,
    ) -> None:
        self._database = database
        self._out_messages = out_messages
        self._kafka = kafka
        self._redis = redis
        self._workflows = workflows
        self._sweep = Sweep(database, workflows, photo_days=photo_days)
        self._estimates = Estimates(database, around, places)
        self._traces = Traces(database, redis, days=trace_days)
        self._shifts = Shifts(database)
        late = LatePayments(PaymentActs(database, gateways), self._sweep)
        refunds = RefundActs(database, gateways)

        async def refund_settled(fact: Fact) -> None:
            """A refund that a person had to mend ends after its workflow."""
            number = fact.workflow_id.removeprefix(refund_workflow(""))
            await refunds.finish(EndRefund(out_refund_no=number, state=fact.body["state"]))

        self._on_ended = {"payment_settled": late.settle, "refund_settled": refund_settled}

    async def run(self, stop: asyncio.Event) -> None:
        """Relay whenever the lock is free, until told to stop."""
        backoff = FIRST_BACKOFF_SECONDS
        while not stop.is_set():
            try:
                await self._tenure(stop)
                backoff = FIRST_BACKOFF_SECONDS
            except* (SQLAlchemyError, OSError):
                metrics.RELAY_FAILURES.labels("database").inc()
                log.warning("the database does not answer", exc_info=True)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    async def _tenure(self, stop: asyncio.Event) -> None:
        metrics.RELAY_ACTIVE.set(0)
        async with outbox.line(self._database) as first, outbox.line(self._database) as second:
            while not await outbox.lock(first):
                if stop.is_set():
                    return
                await asyncio.sleep(STANDBY_SECONDS)
            metrics.RELAY_ACTIVE.set(1)
            log.info("relaying")
            teller = Teller(second, self._tell, self._on_ended)
            publisher = Publisher(
                first,
                self._redis,
                out_messages=self._out_messages,
                on_to_kafka=self._kafka is not None,
            )
            try:
                async with asyncio.TaskGroup() as group:
                    if self._kafka is not None:
                        group.create_task(self._to_kafka(self._kafka, stop))
                    group.create_task(publisher.run(stop))
                    group.create_task(teller.run(stop))
                    group.create_task(self._sweep.run(stop))
                    group.create_task(self._estimates.run(stop))
                    group.create_task(self._traces.run(stop))
                    group.create_task(self._shifts.run(stop))
            finally:
                teller.drop()
                metrics.RELAY_ACTIVE.set(0)

    async def _to_kafka(self, kafka: Kafka, stop: asyncio.Event) -> None:
        """Until told to stop, even in the middle of a broker's silence."""
        publishing = asyncio.create_task(KafkaPublisher(self._database, kafka).run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({publishing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing

    async def _tell(self, fact: Fact) -> None:
        await self._workflows.tell(fact.workflow_id, fact.name, fact.body)


async def main(stop: asyncio.Event) -> None:
    """Relay or stand by until told to stop."""
    known = settings()
    telemetry = Telemetry(metrics=bool(known.metrics_port))
    database = Database(known.database_url, pool_size=POOL_CONNECTIONS)
    redis = connect_redis(known.redis_url)
    gateways = Gateways(known)
    workflows = Workflows(known, telemetry.runtime)
    kafka = Kafka(known.kafka_brokers, known.kafka_topic) if known.kafka_brokers else None
    checks = {
        "database": check_database(database),
        "redis": redis.ping,
        "temporal": workflows.check,
    }
    async with window(known.metrics_port, checks, telemetry), outside.client(known) as http:
        around = Outside(outside.provider(known, http))
        relay = Relay(
            database,
            redis,
            workflows,
            gateways,
            around,
            places=Places(known.redis_url).of,
            trace_days=known.trace_days,
            photo_days=known.photo_days,
            out_messages=known.out_stream_messages,
            kafka=kafka,
        )
        await relay.run(stop)
    if kafka is not None:
        await kafka.close()
    await gateways.close()
    await redis.aclose()
    await database.close()


def connect_redis(url: str) -> Redis:
    """A client that fails soon instead of waiting: rows keep what Redis can't take."""
    return Redis.from_url(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


if __name__ == "__main__":
    logs.configure("relay", settings().log_level)
    process.run(main)
