"""How customers act: they order, pay or don't, follow their order, and tell the rider the code."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.people.client import Answer, Line
from sandbox.people.habits import Customer, CustomerHabits, OrderWish, Place
from sandbox.people.scene import Errands, Refused, Scene, until

LOOK_SECONDS = 1.0
"""Real time between looks at an order while its live line is down."""
GLANCE_SECONDS = 10.0
DONE_PAYMENTS = frozenset({"unpaid", "refunded"})
ENDED = frozenset({"delivered", "completed", "cancelled"})
WHO = {"name": "小陶", "phone": "13800138000", "text": "文三路 1 号 2 幢 301"}


class OrderSeen:
    """What a customer saw of one order: the log that measurements are made from."""

    def __init__(self, key: str, customer_id: str, clicked_at: datetime) -> None:
        self.key = key
        self.customer_id = customer_id
        self.clicked_at = clicked_at
        self.order_id = ""
        self.refused: dict[str, Any] | None = None
        self.seq = 0
        self.view: dict[str, Any] = {}
        self.events: list[tuple[int, str, str]] = []
        """(seq, type, at), complete once `ended`."""
        self.ended = False
        self.changed = asyncio.Event()

    def look(self, seq: int, view: dict[str, Any]) -> None:
        """Take the whole state, unless a newer one was seen."""
        if seq >= self.seq:
            self._fold(seq, view)

    def hear(self, seq: int, news: dict[str, Any]) -> bool:
        """Fold the next event; False when one before it is missing, so that a look is needed."""
        if seq == self.seq + 1:
            self._fold(seq, news)
        return seq <= self.seq

    def _fold(self, seq: int, news: dict[str, Any]) -> None:
        self.seq = seq
        self.view |= news
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits for news of this order."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for news until it is so."""
        while not reached():
            await self.changed.wait()

    @property
    def waits_at_counter(self) -> bool:
        """Whether it is ready, and no rider comes for it."""
        fetched = self.view.get("fulfilment") == "self_pickup"
        return fetched and self.status == "awaiting_pickup"

    @property
    def status(self) -> str:
        """The order's public status, or how placing it went so far."""
        if self.refused is not None:
            return "refused"
        return str(self.view.get("status") or "placing")

    @property
    def over(self) -> bool:
        """Whether nothing more has to happen: delivered, or cancelled and the money is home."""
        if self.status == "cancelled":
            return self.view.get("payment") in DONE_PAYMENTS
        return self.status in {"refused", "delivered", "completed"}

    def as_json(self) -> dict[str, Any]:
        """As the control interface shows it."""
        return {
            "key": self.key,
            "customer_id": self.customer_id,
            "order_id": self.order_id,
            "clicked_at": self.clicked_at.isoformat(),
            "status": self.status,
            "payment": self.view.get("payment", ""),
            "close_reason": self.view.get("close_reason", ""),
            "rider_id": self.view.get("rider_id", ""),
            "seq": self.seq,
            "refused": self.refused,
            "ended": self.ended,
            "events": self.events,
        }


class CustomerPersona:
    """One customer, until cancelled."""

    def __init__(
        self, scene: Scene, customer: Customer, new_log: Callable[[OrderSeen], None]
    ) -> None:
        self._scene = scene
        self._token = customer.token
        self._line = scene.line(customer.token)
        self._new_log = new_log
        self.id = customer.id
        self.habits: CustomerHabits = customer.habits
        self._errands = Errands(scene)
        self._writing_down = asyncio.Lock()
        self._known: set[str] = set()

    def begin(self) -> None:
        """Look for orders of before and go on with them."""
        self._errands.begin(self._resume())

    async def close(self) -> None:
        """Put the phone away."""
        await self._errands.close()

    def order(self, wish: OrderWish) -> OrderSeen:
        """Begin to order; the log fills as it goes."""
        seen = OrderSeen(wish.key, self.id, wish.clicked_at or datetime.now(UTC))
        self._new_log(seen)
        self._errands.begin(self._order(wish, seen))
        return seen

    async def _order(self, wish: OrderWish, seen: OrderSeen) -> None:
        try:
            placed = await self._place(wish)
        except Refused as refused:
            seen.refused = refused.args[0]
            seen.ended = True
            seen.tell()
            raise
        order_id = placed["order_id"]
        if wish.ready_after_seconds is not None:
            life = timedelta(seconds=wish.ready_after_seconds / self._scene.speed)
            self._scene.ready_at[order_id] = seen.clicked_at + life
        habits = wish.habits or self.habits
        self._begin_following(order_id, seen, habits)
        if habits.dropoff != "hand":
            await self._line.put(f"/v1/orders/{order_id}/dropoff", {"wish": habits.dropoff})
        if habits.cancels_after_seconds is not None:
            self._errands.begin(self._cancel(order_id, habits.cancels_after_seconds))
        await self._pay(placed, habits)

    async def _place(self, wish: OrderWish) -> dict[str, Any]:
        fetched = wish.fulfilment == "self_pickup"
        address_id = "" if fetched else await self._address(wish.place)
        asked = {
            "shop_id": wish.shop_id,
            "address_id": address_id,
            "lines": wish.lines,
            "fulfilment": wish.fulfilment,
            "tip_fen": wish.tip_fen,
        }
        quote = await self._made("/v1/quotes", asked)
        body = {
            "quote_id": quote["quote_id"],
            "address_id": address_id,
            "remark": wish.remark,
            "tableware": wish.tableware,
            "credit_fen": wish.credit_fen,
            "payment": {
                "channel": wish.channel,
                "method": wish.method or _first_method(quote, wish.channel),
                "instalments": wish.instalments,
            },
        }
        while True:
            answer = await self._line.post("/v1/orders", body, key=wish.key)
            if answer.status != 202:
                return _body(answer)
            await asyncio.sleep(float(answer.body.get("retry_after_seconds", 1)))

    async def _address(self, place: Place) -> str:
        """The customer's address there, made when it is new; they keep a bounded number."""
        async with self._writing_down:
            wanted = place.model_dump()
            async for address in self._line.items("/v1/addresses"):
                if {name: address[name] for name in wanted} == wanted:
                    return str(address["address_id"])
            return str((await self._made("/v1/addresses", WHO | wanted))["address_id"])

    async def _pay(self, placed: dict[str, Any], habits: CustomerHabits) -> None:
        if habits.pays == "no" or placed["status"] != "awaiting_payment":
            return
        if habits.pays == "late":
            await until(datetime.fromisoformat(placed["pay_by"]))
        await self._scene.live(habits.pay_after_seconds)
        if not await self._scene.pay(placed):
            self._scene.trouble["payment refused"] += 1

    async def _cancel(self, order_id: str, after_seconds: float) -> None:
        await self._scene.live(after_seconds)
        path = f"/v1/orders/{order_id}/cancel"
        answer = await self._line.post(path, {}, key=f"cancel-{order_id}")
        if not answer.ok:
            self._scene.trouble[f"cancel {answer.problem}"] += 1

    def _begin_following(self, order_id: str, seen: OrderSeen, habits: CustomerHabits) -> None:
        if order_id in self._known:
            return
        self._known.add(order_id)
        seen.order_id = order_id
        self._scene.codes[order_id] = lambda: self._code(order_id, opens=habits.opens)
        self._errands.begin(self._follow(order_id, seen))
        self._errands.begin(self._fetch(order_id, seen, habits))
        self._errands.begin(self._rate(order_id, seen, habits))

    async def _follow(self, order_id: str, seen: OrderSeen) -> None:
        line = self._scene.line(self._token)
        listening = asyncio.create_task(self._listen(line, order_id, seen))
        try:
            while not seen.over:
                look = await line.get(f"/v1/orders/{order_id}")
                if look.ok:
                    seen.look(int(look.body["seq"]), look.body)
                await _end(seen, GLANCE_SECONDS if line.connected else LOOK_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        page = await self._line.get(f"/v1/orders/{order_id}/events", since=0)
        seen.events = [(e["seq"], e["type"], e["at"]) for e in page.body.get("items", ())]
        seen.ended = True
        seen.tell()
        self._scene.codes.pop(order_id, None)
        self._scene.called_out.pop(order_id, None)

    async def _fetch(self, order_id: str, seen: OrderSeen, habits: CustomerHabits) -> None:
        """Go to the shop for what no rider brings, and tell the code there."""
        await seen.until(lambda: seen.over or seen.waits_at_counter)
        if seen.over or habits.fetches_after_seconds is None:
            return
        await self._scene.live(habits.fetches_after_seconds)
        come = self._scene.counters.get(seen.view["merchant_id"])
        if come is not None:
            await come(order_id, await self._code(order_id, opens=True))

    async def _rate(self, order_id: str, seen: OrderSeen, habits: CustomerHabits) -> None:
        """Say how it was, where something came."""
        await seen.until(lambda: seen.over)
        if habits.rates is None or seen.status != "delivered":
            return
        stars = {"stars": habits.rates}
        said = {"food": stars} | ({"ride": stars} if seen.view["delivery"] == "delivered" else {})
        answer = await self._line.post(f"/v1/orders/{order_id}/rating", said)
        if not answer.ok:
            self._scene.trouble[f"rating {answer.problem}"] += 1

    async def _listen(self, line: Line, order_id: str, seen: OrderSeen) -> None:
        path = f"/v1/orders/{order_id}/live"
        async with aclosing(line.live(lambda: f"{path}?since={seen.seq}")) as messages:
            async for message in messages:
                if message.get("type") == "snapshot":
                    seen.look(int(message["seq"]), message)
                elif "seq" in message and not seen.hear(int(message["seq"]), message["data"]):
                    self._scene.trouble["live gap"] += 1

    async def _code(self, order_id: str, *, opens: bool) -> str:
        """Read the hand-over code from the phone; nothing where nobody comes."""
        if not opens:
            return ""
        answer = await self._line.get(f"/v1/orders/{order_id}")
        return str(answer.body.get("handover_code", ""))

    async def _resume(self) -> None:
        async for order in self._line.items("/v1/orders"):
            order_id = order["order_id"]
            if order["status"] in ENDED or order_id in self._known:
                continue
            seen = OrderSeen(order_id, self.id, datetime.fromisoformat(order["placed_at"]))
            seen.look(order["seq"], order)
            self._new_log(seen)
            self._begin_following(order_id, seen, self.habits)
            if order["status"] == "awaiting_payment":
                self._errands.begin(self._pay_again(order_id))

    async def _pay_again(self, order_id: str) -> None:
        body = {"channel": "wechat", "method": "jsapi"}
        path, key = f"/v1/orders/{order_id}/payments", uuid.uuid4().hex
        again = await self._line.post(path, body, key=key)
        if again.ok:
            await self._pay(again.body, self.habits)

    async def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _body(await self._line.post(path, body))


def _first_method(quote: dict[str, Any], channel: str) -> str:
    """The best way to pay at a channel; "none" where it is not offered, which the API refuses."""
    offered = {way["channel"]: way["methods"] for way in quote["payments"]}
    return str(offered.get(channel, ["none"])[0])


async def _end(seen: OrderSeen, longest_seconds: float) -> None:
    """Wait for the end of an order, no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_seconds):
            while not seen.over:
                await seen.changed.wait()


def _body(answer: Answer) -> dict[str, Any]:
    if not answer.ok:
        raise Refused({"status": answer.status, **answer.body})
    return answer.body
