"""`paotui simulate`: a delivery day, published or of a seed, through the running stack, sped up."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import city, day_money, people
from cli.day import Result, measured
from cli.mdrp import Instance, NoInstance, Order, read
from cli.report import Report
from cli.seeded_city import day_of
from cli.ways import WAYS, channels_of, prepare, way_of
from services.settings import Settings, settings

LEAD_MINUTES = 5
"""Of the day, before the first order: riders come on shift."""
SETUP_SECONDS = 1.0
SETTLING_MINUTES = 240
"""Of the day, after the last order: the longest timer of a delivery ends within."""
PATIENCE_SECONDS = 120
"""Real time on top: what a busy machine may take."""
MONEY_SECONDS = 60
"""Real time: what the gateway has moved is in the books after its notice, or the next question."""
AT_ONCE = 16
LOOK_SECONDS = 1.0
PLAIN_LINE_SECONDS = 10.0
ACCEPT_SECONDS = 10
PAY_SECONDS = 5
AFTER_SALE_MINUTES = 60
"""Of the day, where its books are made: a whole day would take its whole time again."""
BOOKS_SECONDS = 600
"""Real time: after-sale, settlements and refunds are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The day's minutes as moments of real time."""

    zero: datetime
    first_minute: float
    speed: float

    def at(self, minute: float) -> datetime:
        """When a minute of the day is."""
        seconds = (minute - self.first_minute + LEAD_MINUTES) * 60 / self.speed
        return self.zero + timedelta(seconds=seconds)


@click.command()
@click.option(
    "--mdrp",
    "source",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of published days (MDRP), or an archive of them (tar.xz) as it is.",
)
@click.option("--instance", help="Which of them, for example 1o50t100s1p100.")
@click.option("--city", "seed", type=int, help="Instead: the day of a seed, with rain and peaks.")
@click.option("--orders", type=click.IntRange(10, 20_000), default=300, show_default=True)
@click.option("--speed", type=click.FloatRange(1, 1_000), default=60, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only the first orders of the day.")
@click.option(
    "--channel",
    "ways",
    multiple=True,
    type=click.Choice([*WAYS, "all"]),
    help="How customers pay; repeatable.  [default: wechat]",
)
@click.option("--faults", is_flag=True, help="The gateways misbehave while the day goes on.")
@click.option("--books", is_flag=True, help="Afterwards: settle everything, reconcile the day.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def simulate(
    *,
    source: Path | None,
    instance: str | None,
    seed: int | None,
    orders: int,
    speed: float,
    limit: int | None,
    ways: tuple[str, ...],
    faults: bool,
    books: bool,
    as_json: bool,
) -> None:
    """Drive a delivery day through the running stack, SPEED times faster than life."""
    known = settings()
    people.need_stack(known)
    report = Report(Console(stderr=True, highlight=False, soft_wrap=True))
    try:
        if seed is not None:
            day = day_of(seed, orders)
        elif source is not None and instance is not None:
            day = read(source, instance, limit=limit)
        else:
            raise click.UsageError("name a day: --city SEED, or --mdrp FOLDER --instance NAME")
        money = Money(ways=_ways(ways), faults=faults, books=books)
        result = asyncio.run(_simulate(known, day, speed, money, report, plain=as_json))
    except (NoInstance, httpx.HTTPError) as error:
        raise click.ClickException(str(error) or repr(error)) from error
    if as_json:
        click.echo(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        Report().table("", list(result.rows()))
    sys.exit(0 if result.good else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """How a day is paid, and what is done about its books."""

    ways: Sequence[str]
    faults: bool
    books: bool

    @property
    def channels(self) -> list[str]:
        """Those that the ways use."""
        return channels_of(self.ways)


def _ways(chosen: Sequence[str]) -> Sequence[str]:
    return list(WAYS) if "all" in chosen else chosen or ("wechat",)


async def _simulate(
    known: Settings, day: Instance, speed: float, money: Money, report: Report, *, plain: bool
) -> Result:
    site_id = f"sim-{day.name}-{secrets.token_hex(3)}"
    shops, couriers = len(day.restaurants), len(day.couriers)
    report.say(f"{len(day.orders)} orders, {shops} shops, {couriers} couriers: site {site_id}")
    timers = {"after_sale_seconds": AFTER_SALE_MINUTES * 60} if money.books else {}
    rows = city.city_of(day, site_id, speed, channels=money.channels, timers=timers)
    report.say(await city.seed(rows))
    async with people.session(known, site_id, speed=speed) as group:
        await _prepare(known, group, day, money)
        clock = Clock(
            zero=datetime.now(UTC) + timedelta(seconds=SETUP_SECONDS),
            first_minute=day.orders[0].placement_minute,
            speed=speed,
        )
        await _gather(group, day, clock)
        if money.faults:
            await day_money.misbehave(group, money.channels)
        began = time.monotonic()
        try:
            await _live(group, day, clock, money.ways, report, plain=plain)
        finally:
            if money.faults:
                await day_money.behave(group)
        wall_seconds = time.monotonic() - began
        last = await group.progress(log=True)
        reconciled = {}
        if money.books:
            await day_money.settled(group, report, seconds=BOOKS_SECONDS)
            reconciled = await day_money.reconciled(
                group, day, money.channels, report, since=clock.zero
            )
    laws = await _verified(site_id)
    ready = {order.name: (order.ready_minute - order.placement_minute) * 60 for order in day.orders}
    return Result(
        instance=day.name,
        site_id=site_id,
        speed=speed,
        orders=len(day.orders),
        **measured(last["log"], ready, speed),
        wall_seconds=wall_seconds,
        orders_per_second=len(day.orders) / wall_seconds,
        laws_checked=laws["laws"],
        laws_broken=laws["broken"],
        trouble=last["trouble"],
        reconciled=reconciled,
    )


async def _gather(group: people.People, day: Instance, clock: Clock) -> None:
    """Everybody of the day takes part, a few at a time."""
    plane = city.plane_of(day)
    ride = {
        "answers_after_seconds": 0,
        "speed_meters_per_minute": day.meters_per_minute,
        "service_seconds_pickup": day.pickup_service_minutes * 60,
        "service_seconds_dropoff": day.dropoff_service_minutes * 60,
        "leg_seconds": day.leg_minutes * 60,
    }
    rain = [
        {
            "from_at": clock.at(one.from_minute).isoformat(),
            "until_at": clock.at(one.until_minute).isoformat(),
            "slows_to": one.slows_to,
        }
        for one in day.rain
    ]
    cook = {"accepts_after_seconds": ACCEPT_SECONDS, "tells_prep": True}
    pay = {"pay_after_seconds": PAY_SECONDS}
    await _some_at_once(
        [
            *(
                group.add("merchant", city.of(group.site_id, name), cook)
                for name in day.restaurants
            ),
            *(group.add("customer", order.name, pay) for order in day.orders),
            *(
                group.add(
                    "rider",
                    courier.name,
                    ride
                    | {
                        "start": plane.place(courier.place),
                        "on_at": clock.at(courier.on_minute).isoformat(),
                        "off_at": clock.at(courier.off_minute).isoformat(),
                        "goes_silent": courier.goes_silent,
                        "rain": rain,
                    },
                )
                for courier in day.couriers
                if courier.off_minute > day.orders[0].placement_minute - LEAD_MINUTES
            ),
        ]
    )


async def _prepare(known: Settings, group: people.People, day: Instance, money: Money) -> None:
    """Everybody has what their way to pay needs."""
    async with httpx.AsyncClient(
        base_url=known.api_url, timeout=people.CONTROL_TIMEOUT_SECONDS, trust_env=False
    ) as api:
        await _some_at_once(
            prepare(
                group,
                api,
                order.name,
                city.wallet_of(group.site_id, order.name),
                way_of(order.name, money.ways),
            )
            for order in day.orders
        )


async def _some_at_once(calls: Iterable[Awaitable[None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def call(one: Awaitable[None]) -> None:
        async with gate:
            await one

    await asyncio.gather(*(call(one) for one in calls))


async def _live(
    group: people.People,
    day: Instance,
    clock: Clock,
    ways: Sequence[str],
    report: Report,
    *,
    plain: bool,
) -> None:
    """Place every order at its minute, and stay until all have ended or time is over."""
    deadline = clock.at(day.orders[-1].ready_minute + SETTLING_MINUTES)
    deadline += timedelta(seconds=PATIENCE_SECONDS)
    placing = asyncio.create_task(_place(group, day, clock, ways))
    with _shown(report, len(day.orders), plain=plain) as show:
        try:
            while datetime.now(UTC) < deadline:
                seen = await group.progress()
                show(seen)
                if seen["ended"] == len(day.orders):
                    return
                if placing.done():
                    placing.result()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            placing.cancel()
            await asyncio.gather(placing, return_exceptions=True)


async def _place(group: people.People, day: Instance, clock: Clock, ways: Sequence[str]) -> None:
    plane = city.plane_of(day)
    for order in day.orders:
        clicked_at = clock.at(order.placement_minute)
        await asyncio.sleep(max(0.0, (clicked_at - datetime.now(UTC)).total_seconds()))
        wish = _wish(order, group.site_id, plane, clicked_at)
        await group.order(wish | way_of(order.name, ways))


def _wish(order: Order, site_id: str, plane: city.Plane, clicked_at: datetime) -> dict[str, Any]:
    dish = sum(order.name.encode()) % city.DISHES
    return {
        "customer_id": order.name,
        "shop_id": city.of(site_id, order.restaurant),
        "lines": [{"item_id": f"dish-{dish}", "quantity": 1, "choices": {}}],
        "place": plane.place(order.place),
        "key": order.name,
        "clicked_at": clicked_at.isoformat(),
        "ready_after_seconds": (order.ready_minute - order.placement_minute) * 60,
        "habits": order.habits,
    }


class Show(Protocol):
    """Tell a person how far the day is."""

    def __call__(self, seen: dict[str, Any], /) -> None:
        """Show the people's counters."""


@contextmanager
def _shown(report: Report, orders: int, *, plain: bool) -> Iterator[Show]:
    """A progress bar on a terminal, else a line now and then."""
    if plain or not report.console.is_terminal:
        last = -PLAIN_LINE_SECONDS

        def say(seen: dict[str, Any]) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_LINE_SECONDS or seen["ended"] == orders:
                last = time.monotonic()
                report.say(_line(seen, orders))

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=report.console) as progress:
        bar = progress.add_task("the day begins", total=orders)
        yield lambda seen: progress.update(
            bar, completed=seen["ended"], description=_line(seen, orders)
        )


def _line(seen: dict[str, Any], orders: int) -> str:
    open_orders = seen["orders"] - seen["ended"]
    riders = seen["riders"]
    return (
        f"{seen['orders']}/{orders} placed, {open_orders} open, {seen['ended']} ended; "
        f"{riders['busy']} of {riders['on_shift']} riders busy"
    )


async def _verified(site_id: str) -> dict[str, Any]:
    """The laws on this site's live data: {laws, broken}; money on its way gets time to arrive."""
    until = time.monotonic() + MONEY_SECONDS
    answer = await _verify(site_id)
    while answer["broken"] and time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
        answer = await _verify(site_id)
    return answer


async def _verify(site_id: str) -> dict[str, Any]:
    """One check by the platform itself."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.verify", "--site", site_id, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate()
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise click.ClickException(f"the laws were not checked: {errors.decode()}") from error
    return answer
