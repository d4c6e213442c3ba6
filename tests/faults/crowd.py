"""Many orders alive at once: each slot walks one order after another through some whole life."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.world import Json, World
from tests.faults.board import ENDS, Board
from tests.faults.patience import Patient
from tests.faults.riders import Rider
from tests.faults.stage import Stage
from tests.faults.wishes import asks_back, asks_in_vain

RIDERS = 8
CUSTOMERS = 40
STEP_SECONDS = 300.0
"""The longest an order may need for one step, with everything killed in between."""
NOTICES = {"notice_seconds": 3, "poll_seconds": [1, 2, 3], "refund_poll_seconds": [2, 3]}
TOWN = {
    "payment_seconds": 200,
    "merchant_remind_seconds": 2,
    "merchant_seconds": 200,
    "merchant_agree_seconds": 8,
    "rider_ahead_seconds": 900,
    "offer_seconds": 8,
    "rider_silence_seconds": 15,
    "search_support_seconds": 200,
    "search_seconds": 300,
    "after_sale_seconds": 5,
    "collect_remind_seconds": [2],
    "collect_seconds": 30,
    **NOTICES,
}
"""Long enough for people who can't get through for a while: who pays gets food."""
DESERT = {
    "payment_seconds": 15,
    "merchant_remind_seconds": 1,
    "merchant_seconds": 12,
    "rider_ahead_seconds": 900,
    "promise_seconds": 1,
    "late_seconds": 1,
    "late_support_seconds": 2,
    "search_support_seconds": 2,
    "search_seconds": 6,
    **NOTICES,
}
"""No riders, and every silence ends soon."""
SPEED = 20
"""Of the gateway's habits: notices come again, refunds end and may follow so much sooner."""
REFUND_SECONDS = 6
PART_FEN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One order's story, and how it may rightly end."""

    world: World
    story: str
    order_id: str
    ends: frozenset[str]
    """Close reasons; empty: completed."""
    given_back_fen: int
    refunds: int
    """The most refunds one payment may have."""


class Crowd:
    """Cities full of people; `walks` is what they have begun."""

    def __init__(self, stage: Stage, town: World, desert: World, seed: int) -> None:
        self.town, self.desert = Patient(town), Patient(desert)
        self.worlds = (town, desert)
        self.board = Board(stage.database, [world.site_id for world in self.worlds])
        self.walks: list[Walk] = []
        self.closing = False
        self.wanted: Callable[[], Sequence[str]] = tuple
        """Stories that are told first, as long as it names any."""
        self._seed = seed
        self._customers: dict[str, str] = {}
        self._people: list[asyncio.Task[None]] = []
        self._slots: list[asyncio.Task[None]] = []

    def begin(self, slots: int) -> None:
        """Set everybody going."""
        self._people = [asyncio.create_task(self.board.watch())]
        for number in range(RIDERS):
            rider = Rider(self.town, f"r{number}", self._customers, f"{self._seed}:{number}")
            self._people.append(asyncio.create_task(rider.ride()))
        self._slots = [asyncio.create_task(self._live(slot)) for slot in range(slots)]

    def check(self) -> None:
        """Raise what has gone wrong for anybody."""
        for task in (*self._people, *self._slots):
            if task.done() and not task.cancelled():
                task.result()

    async def finish(self) -> None:
        """Let everybody end the story they are in."""
        self.closing = True
        await asyncio.gather(*self._slots)
        self.check()

    async def leave(self) -> None:
        """Stop everybody where they are."""
        for task in (*self._slots, *self._people):
            task.cancel()
        await asyncio.gather(*self._slots, *self._people, return_exceptions=True)

    async def _live(self, slot: int) -> None:
        dice = random.Random(f"{self._seed}/{slot}")  # noqa: S311
        await asyncio.sleep(slot / 3)
        stories = list(STORIES)
        dice.shuffle(stories)
        # Slots begin at different stories, so that few of them tell all.
        for turn in range(slot, 1_000_000):
            if self.closing:
                return
            wanted = self.wanted()
            name = dice.choice(wanted) if wanted else stories[turn % len(stories)]
            await STORIES[name](Visit(self, name, dice, f"c{slot % CUSTOMERS}"))

    def meet(self, walk: Walk, customer: str) -> None:
        """An order was placed."""
        self.walks.append(walk)
        self._customers[walk.order_id] = customer


class Visit:
    """One customer's order, with words for what happens to it."""

    def __init__(self, crowd: Crowd, story: str, dice: random.Random, customer: str) -> None:
        self.crowd = crowd
        self.story = story
        self.dice = dice
        self.customer = customer
        self.patient = crowd.town
        self.order: Json = {}

    @property
    def order_id(self) -> str:
        return str(self.order["order_id"])

    async def pause(self) -> None:
        await asyncio.sleep(self.dice.uniform(0.5, 3.0))

    async def place(
        self,
        *ends: str,
        desert: bool = False,
        given_back_fen: int = 0,
        refunds: int = 1,
        channel: str = "wechat",
        fulfilment: str = "delivery",
    ) -> None:
        """Place it, and say how it may end: for these reasons, or completed."""
        self.patient = self.crowd.desert if desert else self.crowd.town
        self.order = await self.patient.place(self.customer, channel, fulfilment)
        # Its deadline is short: killed often enough, a create comes too late.
        ends = (*ends, "payment_refused") if desert else ends
        walk = Walk(
            world=self.patient.world,
            story=self.story,
            order_id=self.order_id,
            ends=frozenset(ends or {""}),
            given_back_fen=given_back_fen,
            refunds=refunds,
        )
        self.crowd.meet(walk, self.customer)
        await self.pause()

    async def until(self, *statuses: str) -> str:
        return await self.crowd.board.until(self.order_id, statuses, STEP_SECONDS)

    async def paid(self) -> None:
        await self.patient.pay(self.order)
        await self.until("awaiting_acceptance")
        await self.pause()

    async def accepted(self) -> None:
        await self.paid()
        await self.patient.merchant(self.order_id, "accept")
        await self.until("preparing", "awaiting_pickup")
        await self.pause()

    async def eaten(self) -> None:
        """From the kitchen to the end."""
        await self.patient.merchant(self.order_id, "ready")
        await self.ended()

    async def ended(self) -> None:
        await self.until(*ENDS)


async def eats(visit: Visit) -> None:
    await visit.place()
    await visit.accepted()
    await visit.eaten()


async def fetches(visit: Visit) -> None:
    """At the counter, if the customer gets through before it is given up."""
    await visit.place(fulfilment="self_pickup")
    await visit.accepted()
    await visit.patient.merchant(visit.order_id, "ready")
    await visit.until("awaiting_pickup")
    code = await visit.patient.code(visit.customer, visit.order_id)
    await visit.patient.merchant(visit.order_id, "hand-over", {"code": code})
    await visit.ended()


async def never_fetches(visit: Visit) -> None:
    await visit.place(fulfilment="self_pickup")
    await visit.accepted()
    await visit.eaten()


async def pays_by_card(visit: Visit) -> None:
    """Held at the order, taken when the shop accepts."""
    await visit.place(channel="card")
    await visit.accepted()
    await visit.eaten()


async def voids_card(visit: Visit) -> None:
    """Held, and given back untaken."""
    await visit.place("customer_cancelled", channel="card")
    await visit.paid()
    await visit.patient.cancel(visit.customer, visit.order_id)
    await visit.until("cancelled")


async def lost_notice(visit: Visit) -> None:
    await visit.place()
    number = f"{visit.order_id}p01"
    fault = {"operation": "notify", "fault": "lost", "out_trade_no": number, "times": 1}
    await visit.patient.at_gateway("faults", fault)
    await visit.accepted()
    await visit.eaten()


async def pays_again(visit: Visit) -> None:
    """By another channel: the same way once more would be the same attempt."""
    await visit.place()
    who = visit.patient.world.token("customer", visit.customer)
    path, again = f"/v1/orders/{visit.order_id}/payments", {"channel": "card", "method": "card"}
    key = f"again-{visit.order_id}"
    visit.order = (await visit.patient.call("POST", path, who, again, key=key)).json()
    await visit.accepted()
    await visit.eaten()


async def cancels_unpaid(visit: Visit) -> None:
    await visit.place("customer_cancelled")
    await visit.patient.cancel(visit.customer, visit.order_id)
    await visit.ended()


async def paid_late(visit: Visit) -> None:
    await visit.place("customer_cancelled")
    await visit.patient.cancel(visit.customer, visit.order_id)
    await visit.ended()
    mchid, number = visit.patient.world.mchid, f"{visit.order_id}p01"
    late = {"mchid": mchid, "out_trade_no": number, "cleared_late": True}
    await visit.patient.at_gateway("pay", late)


async def cancels_paid(visit: Visit) -> None:
    await visit.place("customer_cancelled")
    await visit.paid()
    await visit.patient.cancel(visit.customer, visit.order_id)
    await visit.ended()


async def rejected(visit: Visit) -> None:
    await visit.place("merchant_rejected")
    refund = f"{visit.order_id}r01"
    fault = {"operation": "notify", "fault": "lost", "out_refund_no": refund, "times": 1}
    await visit.patient.at_gateway("faults", fault)
    await visit.paid()
    await visit.patient.merchant(visit.order_id, "reject", {"reason_code": "too_busy"})
    await visit.ended()


async def asks_and_may(visit: Visit) -> None:
    # Silence is a no: an agreement that came too late leaves the order as it was.
    await visit.place("customer_cancelled", "")
    await visit.accepted()
    await visit.patient.cancel(visit.customer, visit.order_id)
    said = await visit.patient.merchant(visit.order_id, "cancel-request", {"decision": "agree"})
    await (visit.ended() if said.is_success else visit.eaten())


async def asks_and_may_not(visit: Visit) -> None:
    await visit.place()
    await visit.accepted()
    await visit.patient.cancel(visit.customer, visit.order_id)
    await visit.patient.merchant(visit.order_id, "cancel-request", {"decision": "decline"})
    await visit.eaten()


async def partly_refunded(visit: Visit) -> None:
    await visit.place(given_back_fen=PART_FEN)
    await visit.accepted()
    await visit.patient.support(visit.order_id, "refund", amount_fen=PART_FEN)
    await visit.eaten()


async def refunded_then_cancelled(visit: Visit) -> None:
    await visit.place("support_cancelled", refunds=2)
    await visit.accepted()
    await visit.patient.support(visit.order_id, "refund", amount_fen=PART_FEN)
    await visit.patient.support(visit.order_id, "cancel_refund")
    await visit.ended()


async def held(visit: Visit) -> None:
    await visit.place()
    await visit.accepted()
    await visit.patient.support(visit.order_id, "hold")
    await visit.pause()
    await visit.patient.support(visit.order_id, "release")
    await visit.eaten()


async def extended(visit: Visit) -> None:
    await visit.place()
    await visit.accepted()
    await visit.patient.support(visit.order_id, "extend", extend_seconds=5)
    await visit.eaten()


async def reassigned(visit: Visit) -> None:
    await visit.place()
    await visit.accepted()
    await visit.patient.support(visit.order_id, "reassign")
    await visit.eaten()


async def nobody_pays(visit: Visit) -> None:
    await visit.place("payment_expired", desert=True)
    await visit.ended()


async def merchant_silent(visit: Visit) -> None:
    await visit.place("merchant_silent", "payment_expired", desert=True)
    await visit.paid()
    await visit.ended()


async def no_rider(visit: Visit) -> None:
    # Late by then, too: the fee went back first, the rest at the end.
    await visit.place("no_rider", "merchant_silent", "payment_expired", desert=True, refunds=2)
    await visit.accepted()
    await visit.ended()


STORIES: dict[str, Callable[[Visit], Awaitable[None]]] = {
    story.__name__: story
    for story in (
        *(pays_by_card, voids_card, fetches, never_fetches),
        *(eats, nobody_pays, held, cancels_unpaid, asks_and_may, merchant_silent, lost_notice),
        *(paid_late, partly_refunded, no_rider, reassigned, cancels_paid, asks_and_may_not),
        *(rejected, refunded_then_cancelled, pays_again, extended, asks_back, asks_in_vain),
    )
}


@asynccontextmanager
async def crowd(stage: Stage, *, seed: int, slots: int) -> AsyncIterator[Crowd]:
    """Two new cities and their people, who leave at the end whatever happens."""
    more: dict[str, Any] = {"customers": CUSTOMERS}
    town = await stage.city(riders=RIDERS, timers=TOWN, channels=("wechat", "card"), **more)
    desert = await stage.city(timers=DESERT, **more)
    shop = f"/v1/merchant/shops/{town.shop_id}"
    await town.call("POST", shop, town.token("merchant", town.merchant_id), {"self_pickup": True})
    for world in (town, desert):
        path = f"/control/merchants/{world.mchid}/settings"
        habits = {"speed": SPEED, "refund_seconds": REFUND_SECONDS}
        (await stage.gateway.put(path, json=habits)).raise_for_status()
    people = Crowd(stage, town, desert, seed)
    people.begin(slots)
    try:
        yield people
    finally:
        await people.leave()
