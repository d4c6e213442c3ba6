"""How a shop's people act: they see orders, accept or reject, cook, and answer wishes to cancel."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.people.habits import Merchant, MerchantHabits
from sandbox.people.scene import Errands, Scene, until

LOOK_SECONDS = 2.0
"""Real time between looks at the list while the live line is down."""
GLANCE_SECONDS = 15.0
"""The same while it is up, in case something was missed."""
WATCHED = ("awaiting_acceptance", "preparing", "awaiting_pickup")
REJECT_REASON = "too_busy"


class MerchantPersona:
    """One merchant's people, until cancelled."""

    def __init__(self, scene: Scene, merchant: Merchant) -> None:
        self._scene = scene
        self._line = scene.line(merchant.token)
        self.habits: MerchantHabits = merchant.habits
        self._scene.counters[merchant.id] = self._hand_over
        self._begun: set[tuple[str, str]] = set()
        self._errands = Errands(scene)

    def begin(self) -> None:
        """Open the shop's screen."""
        self._errands.begin(self._listen())
        self._errands.begin(self._look())

    async def close(self) -> None:
        """Close it."""
        await self._errands.close()

    async def _listen(self) -> None:
        async with aclosing(self._line.live(lambda: "/v1/merchant/live")) as messages:
            async for message in messages:
                for order in message.get("orders") or ():
                    self._see(order["order_id"], order)
                if "order_id" in message:
                    self._see(message["order_id"], message.get("data") or {})

    async def _look(self) -> None:
        while True:
            for status in WATCHED:
                async for order in self._line.items("/v1/merchant/orders", status=status):
                    self._see(order["order_id"], order)
            await asyncio.sleep(GLANCE_SECONDS if self._line.connected else LOOK_SECONDS)

    def _see(self, order_id: str, news: dict[str, Any]) -> None:
        """Begin what an order asks for, once."""
        if news.get("status") == "awaiting_acceptance":
            self._once("answer", order_id)
        if news.get("kitchen") == "preparing":
            self._once("cook", order_id)
        if news.get("cancel_request") == "asked":
            self._once("cancel", order_id)

    def _once(self, what: str, order_id: str) -> None:
        if (what, order_id) in self._begun:
            return
        self._begun.add((what, order_id))
        act = {"answer": self._answer, "cook": self._cook, "cancel": self._decide_cancel}[what]
        self._errands.begin(act(order_id))

    async def _answer(self, order_id: str) -> None:
        habits = self.habits
        if habits.accepts_after_seconds == "silent":
            return
        await self._scene.live(habits.accepts_after_seconds)
        if self._scene.happens(habits.rejects):
            await self._post(order_id, "reject", {"reason_code": REJECT_REASON})
        else:
            await self._post(order_id, "accept", {})

    async def _cook(self, order_id: str) -> None:
        cooked_at = datetime.now(UTC) + timedelta(
            seconds=self.habits.cooks_seconds / self._scene.speed
        )
        ready_at = self._scene.ready_at.get(order_id, cooked_at)
        if self.habits.tells_prep:
            seconds = (ready_at - datetime.now(UTC)).total_seconds() * self._scene.speed
            await self._post(order_id, "prep", {"minutes": max(0.0, seconds / 60)})
        await until(ready_at)
        await self._post(order_id, "ready", {})
        self._scene.counter(order_id).set()

    async def _hand_over(self, order_id: str, code: str) -> None:
        await self._post(order_id, "hand-over", {"code": code})

    async def _decide_cancel(self, order_id: str) -> None:
        decision = {"yes": "agree", "no": "decline"}.get(self.habits.agrees_to_cancel)
        if decision is not None:
            await self._post(order_id, "cancel-request", {"decision": decision})

    async def _post(self, order_id: str, act: str, body: dict[str, Any]) -> None:
        path = f"/v1/merchant/orders/{order_id}/{act}"
        answer = await self._line.post(path, body, key=f"{act}-{order_id}")
        if not answer.ok:
            self._scene.trouble[f"{act} {answer.problem}"] += 1
