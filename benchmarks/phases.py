"""What is measured, one function a phase: each returns its figures and prints nothing."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import cpu, pace, reads, stack
from benchmarks.bare import bare_on
from benchmarks.children import ask
from benchmarks.city import City, Order, city_on
from benchmarks.report import Figure
from domain import ids
from services.settings import Settings
from workflows.kit.connect import connect

AT_ONCE = 25
WARM_ORDERS = 10
IDLE_SECONDS = 5.0
QUOTED_AHEAD_SECONDS = 1.0
LONE_ORDERS = 3
POLLED_NOTICE_SECONDS = 0.5
POLLED_PAID_SECONDS = 1.5
READ_SECONDS = 10.0
READ_ORDERS_AT_ONCE = 8
LIVE_ORDERS_PER_SECOND = 5.0
LIVE_CAPACITY_SHARE = 0.8
LIVE_SECONDS = 20.0
PROBES_PER_SECOND = 20.0
PROBE_SPARE_SECONDS = 120.0

RATIO_MIN = 0.5
PLACE_P99_MS = 300
WORKER_MS = 90
EVENTS_MAX = 60
READS_MIN = 4_000
LIVE_P99_MS = 30

MILLI = 1_000


@dataclass(slots=True)
class Measured:
    """Everything that one state of the workflow sandbox showed."""

    figures: list[Figure] = field(default_factory=list)
    whole: dict[str, float] = field(default_factory=dict)
    """CPU ms per order by part, all real parts."""
    bare: dict[str, float] = field(default_factory=dict)
    """CPU ms per order by part, nothing behind the workflow."""
    idle: dict[str, float] = field(default_factory=dict)
    """CPU ms per second by part while nothing happens."""
    per_second: float = 0.0
    orders: list[Order] = field(default_factory=list)


async def throughput(city: City, *, sandboxed: bool, count: int) -> Measured:
    """Whole orders against the bare workflow, and what either costs."""
    label = mode(sandboxed=sandboxed)
    found = Measured()
    pids = await stack.pids()
    before = cpu.of_parts(pids)
    await asyncio.sleep(IDLE_SECONDS)
    found.idle = _each(before, cpu.of_parts(pids), IDLE_SECONDS)
    await pace.closed(city.whole, count=WARM_ORDERS, at_once=WARM_ORDERS)
    before = cpu.of_parts(pids)
    found.per_second, found.orders = await pace.closed(city.whole, count=count, at_once=AT_ONCE)
    found.whole = _each(before, cpu.of_parts(pids), count)
    async with bare_on(city.settings) as bare:
        await pace.closed(bare.whole, count=WARM_ORDERS, at_once=WARM_ORDERS)
        pids = {"worker": bare.pid, "temporal": pids["temporal"]}
        before = cpu.of_parts(pids)
        bare_per_second, _ = await pace.closed(bare.whole, count=count, at_once=AT_ONCE)
        found.bare = _each(before, cpu.of_parts(pids), count)
    note = f"{count} orders, {AT_ONCE} at a time"
    found.figures = [
        Figure(name=f"whole orders, {label}", value=found.per_second, unit="orders/s", note=note),
        Figure(name=f"bare workflow, {label}", value=bare_per_second, unit="orders/s", note=note),
        Figure(
            name=f"whole : bare, {label}",
            value=found.per_second / bare_per_second,
            unit="",
            at_least=RATIO_MIN,
        ),
        Figure(
            name=f"worker CPU per order, {label}",
            value=found.whole["worker"],
            unit="ms",
            at_most=None if sandboxed else WORKER_MS,
        ),
    ]
    return found


async def placing(city: City, *, sandboxed: bool, per_second: float, count: int) -> list[Figure]:
    """From the tap to the payment parameters while whole orders arrive at that rate."""
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    async def live(due: float) -> None:
        customer, number = city.next_customer()
        quote = await city.quote(customer, number)
        await asyncio.sleep(due - loop.time())
        order = await city.place(customer, quote)
        waits.append((loop.time() - due) * MILLI)
        await city.live(order)

    await pace.open_loop(live, count=count, per_second=per_second, ahead=QUOTED_AHEAD_SECONDS)
    label = mode(sandboxed=sandboxed)
    note = f"{count} orders at {per_second:.2f}/s"
    return [
        Figure(
            name=f"place to parameters p50, {label}",
            value=pace.percentile(waits, 0.50),
            unit="ms",
            note=note,
        ),
        Figure(
            name=f"place to parameters p99, {label}",
            value=pace.percentile(waits, 0.99),
            unit="ms",
            at_most=PLACE_P99_MS,
            note=note,
        ),
    ]


async def histories(city: City, under_load: Sequence[Order]) -> list[Figure]:
    """Events and bytes of completed orders: one at a time, polled, and under load."""
    alone = [await city.whole() for _ in range(LONE_ORDERS)]
    timers: dict[str, float | list[float]] = {
        "notice_seconds": POLLED_NOTICE_SECONDS,
        "poll_seconds": [POLLED_PAID_SECONDS],
    }
    async with city_on(city.settings, **timers) as slow:
        noticed = [await _paid_late(slow) for _ in range(LONE_ORDERS)]
        await slow.lose_notices()
        found = [await _paid_late(slow) for _ in range(LONE_ORDERS)]
    lone = await _sizes(city.settings, alone)
    asked = await _sizes(city.settings, found)
    late = await _sizes(city.settings, noticed)
    loaded = await _sizes(city.settings, under_load[-LONE_ORDERS * 3 :])
    return [
        Figure(
            name="events per order, one at a time",
            value=max(events for events, _ in lone),
            unit="events",
            at_most=EVENTS_MAX,
        ),
        Figure(
            name="events per order, payment found by asking",
            value=max(events for events, _ in asked),
            unit="events",
            at_most=EVENTS_MAX,
            note="the notice is lost",
        ),
        Figure(
            name="events per order, notice after asking",
            value=max(events for events, _ in late),
            unit="events",
            at_most=EVENTS_MAX,
            note="paid after the gateway was first asked",
        ),
        Figure(
            name="events per order, under load",
            value=statistics.fmean(events for events, _ in loaded),
            unit="events",
            note="load merges workflow tasks",
        ),
        Figure(
            name="history per order, one at a time",
            value=max(size for _, size in lone),
            unit="bytes",
        ),
    ]


async def status_reads(city: City) -> tuple[list[Figure], dict[str, float]]:
    """Reads of one customer's orders, each connection another, and a constant beside it."""
    customer, number = city.next_customer()

    async def place() -> Order:
        return await city.place(customer, await city.quote(customer, number))

    _, placed = await pace.closed(place, count=reads.CONNECTIONS, at_once=READ_ORDERS_AT_ONCE)
    paths = [f"/v1/orders/{order.order_id}" for order in placed]
    token = city.token("customer", customer)
    pids = await stack.pids()
    before = cpu.of_parts(pids)
    ours = await reads.per_second(city.settings.api_url, paths, token, seconds=READ_SECONDS)
    used = _each(before, cpu.of_parts(pids), ours["per_second"] * READ_SECONDS)
    async with reads.constant_route() as url:
        constant = await reads.per_second(url, ["/constant"], "", seconds=READ_SECONDS)
    for order in placed:
        await city.cancel(customer, order)
    by = f"{reads.CONNECTIONS} connections, {ours['generator']}"
    if "generator_cores" in ours:
        by += f" at {ours['generator_cores']:.0%} of a core"
    figures = [
        Figure(
            name="status reads",
            value=ours["per_second"],
            unit="per s",
            at_least=READS_MIN,
            note=by,
        ),
        Figure(name="status reads p99", value=ours["p99_ms"], unit="ms"),
        Figure(name="constant route", value=constant["per_second"], unit="per s"),
        Figure(
            name="status reads : constant",
            value=ours["per_second"] / constant["per_second"],
            unit="",
        ),
    ]
    return figures, used


async def live(city: City, *, sandboxed: bool, capacity: float) -> list[Figure]:
    """From COMMIT to a WebSocket, with whole orders arriving beside it, and with none.

    Five orders a second, or fewer where that is beyond the machine's measured `capacity`: a
    queue that grows without end would say nothing about the way of an event.
    """
    offered = min(LIVE_ORDERS_PER_SECOND, capacity * LIVE_CAPACITY_SHARE)
    customer, number = city.next_customer()
    probed = await city.place(customer, await city.quote(customer, number))
    wish = {
        "order_id": probed.order_id,
        "token": city.token("customer", customer),
        "api_url": city.settings.api_url,
        "per_second": PROBES_PER_SECOND,
        "seconds": LIVE_SECONDS,
    }
    seconds = LIVE_SECONDS + PROBE_SPARE_SECONDS
    quiet = await ask("benchmarks.probe", wish, seconds=seconds)

    async def life(due: float) -> None:
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        await city.whole()

    loaded, reached = await asyncio.gather(
        ask("benchmarks.probe", wish, seconds=seconds),
        pace.open_loop(
            life,
            count=round(offered * LIVE_SECONDS),
            per_second=offered,
            ahead=0.0,
        ),
    )
    await city.cancel(customer, probed)
    label = mode(sandboxed=sandboxed)
    note = f"{offered:.1f} orders/s offered, {reached:.1f}/s reached"
    events = f"{loaded['events']:.0f} events, {loaded['lost']:.0f} lost; {note}"
    return [
        Figure(name=f"commit to WebSocket p50, {label}", value=loaded["p50_ms"], unit="ms"),
        Figure(
            name=f"commit to WebSocket p99, {label}",
            value=loaded["p99_ms"],
            unit="ms",
            at_most=LIVE_P99_MS,
            note=events,
            fair=offered == LIVE_ORDERS_PER_SECOND and not loaded["lost"],
        ),
        Figure(
            name=f"commit to WebSocket p99, {label}, no orders",
            value=quiet["p99_ms"],
            unit="ms",
            note=f"{quiet['events']:.0f} events, {quiet['lost']:.0f} lost",
        ),
    ]


def mode(*, sandboxed: bool) -> str:
    """How rows name the state of the workflow sandbox."""
    return "sandboxed" if sandboxed else "unsandboxed"


async def _paid_late(city: City) -> Order:
    customer, number = city.next_customer()
    order = await city.place(customer, await city.quote(customer, number))
    await asyncio.sleep(POLLED_PAID_SECONDS)
    await city.live(order)
    return order


async def _sizes(settings: Settings, orders: Sequence[Order]) -> list[tuple[int, int]]:
    """Events and bytes of each order's history, as the server holds it: encrypted."""
    client = await connect(settings)
    found = []
    for order in orders:
        handle = client.get_workflow_handle(ids.order_workflow(order.order_id))
        history = await handle.fetch_history()
        found.append((len(history.events), sum(event.ByteSize() for event in history.events)))
    return found


def _each(before: dict[str, float], after: dict[str, float], count: float) -> dict[str, float]:
    """Milliseconds of CPU per one of `count`, by part."""
    return {name: used * MILLI / count for name, used in cpu.between(before, after).items()}
