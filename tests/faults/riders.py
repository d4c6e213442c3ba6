"""Riders who take what is offered and carry it: each look decides anew, so nothing is lost."""

import asyncio
import random
from datetime import UTC, datetime

from tests.e2e.world import PLACE, Json
from tests.faults.patience import Patient

LOOK_SECONDS = 0.7
DECLINES = 0.1


class Rider:
    """One rider on shift; `customers` says whose door an order's is."""

    def __init__(self, patient: Patient, name: str, customers: dict[str, str], seed: str) -> None:
        self._patient = patient
        self._who = patient.world.token("rider", name)
        self._customers = customers
        self._dice = random.Random(seed)  # noqa: S311

    async def ride(self) -> None:
        """Work until cancelled."""
        await self._tap("shift", {"on": True, **PLACE})
        while True:
            await asyncio.sleep(LOOK_SECONDS + self._dice.random())
            work = (await self._patient.call("GET", "/v1/rider/offers", self._who)).json()
            for offer in work["offers"]:
                says = "decline" if self._dice.random() < DECLINES else "claim"
                await self._on(offer, says)
            for task in work["tasks"]:
                await self._go_on(task)
            here = {**PLACE, "at": datetime.now(UTC).isoformat()}
            await self._tap("positions", {"positions": [here]})

    async def _go_on(self, task: Json) -> None:
        match task["state"]:
            case "assigned":
                await self._on(task, "arrive-store")
            case "at_store" if task["ready"]:
                await self._on(task, "pickup")
            case "picked_up":
                await self._on(task, "arrive-customer")
            case "arrived":
                order_id = task["order_id"]
                customer = self._patient.world.token("customer", self._customers[order_id])
                view = (await self._patient.call("GET", f"/v1/orders/{order_id}", customer)).json()
                await self._on(task, "deliver", code=view["handover_code"])

    async def _on(self, task: Json, tap: str, **more: str) -> None:
        await self._tap(f"tasks/{task['task_id']}/{tap}", {"token": task["token"], **more})

    async def _tap(self, path: str, body: Json) -> None:
        await self._patient.call("POST", f"/v1/rider/{path}", self._who, body)
