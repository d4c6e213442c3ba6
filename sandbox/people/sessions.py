"""Groups of people around one API: who is there, what they saw; not how they act."""

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from typing import Any, TypeVar

from sandbox.people.customers import CustomerPersona, OrderSeen
from sandbox.people.habits import Customer, Merchant, OrderWish, Rider, SessionWish
from sandbox.people.merchants import MerchantPersona
from sandbox.people.riders import RiderPersona
from sandbox.people.scene import Pay, Scene

Persona = CustomerPersona | MerchantPersona | RiderPersona
SomePersona = TypeVar("SomePersona", CustomerPersona, MerchantPersona, RiderPersona)

SESSIONS_MAX = 20
PEOPLE_MAX = 5_000
ORDERS_MAX = 20_000


class NotHere(LookupError):
    """There is no such session, person or order."""


class TooMany(Exception):
    """A bound of this simulation is reached."""


class Session:
    """One group, until it is closed."""

    def __init__(self, wish: SessionWish, pay: Pay) -> None:
        self.scene = Scene(wish.api_url, wish.speed, pay, random.Random(wish.seed))  # noqa: S311
        self.customers: dict[str, CustomerPersona] = {}
        self.merchants: dict[str, MerchantPersona] = {}
        self.riders: dict[str, RiderPersona] = {}
        self.orders: dict[str, OrderSeen] = {}
        """Logs by key, in the order of placing."""

    def add_customer(self, customer: Customer) -> None:
        """Let a customer take part, or change one's habits."""
        if customer.id in self.customers:
            self.customers[customer.id].habits = customer.habits
            return
        persona = CustomerPersona(self.scene, customer, self._remember)
        self._join(self.customers, customer.id, persona)

    def add_merchant(self, merchant: Merchant) -> None:
        """Let a merchant take part, or change one's habits."""
        if merchant.id in self.merchants:
            self.merchants[merchant.id].habits = merchant.habits
            return
        self._join(self.merchants, merchant.id, MerchantPersona(self.scene, merchant))

    def add_rider(self, rider: Rider) -> None:
        """Let a rider take part, or change one's habits (not their shift)."""
        if rider.id in self.riders:
            self.riders[rider.id].habits = rider.habits
            return
        self._join(self.riders, rider.id, RiderPersona(self.scene, rider))

    def order(self, wish: OrderWish) -> OrderSeen:
        """Let a customer order; the same key is the same order."""
        if wish.key in self.orders:
            return self.orders[wish.key]
        if len(self.orders) >= ORDERS_MAX:
            raise TooMany(f"at most {ORDERS_MAX} orders in a session")
        customer = self.customers.get(wish.customer_id)
        if customer is None:
            raise NotHere("customer")
        return customer.order(wish)

    def seen(self, key: str) -> OrderSeen:
        """What was seen of one order."""
        if key not in self.orders:
            raise NotHere("order")
        return self.orders[key]

    def progress(self) -> dict[str, Any]:
        """Counts of what people see."""
        orders = self.orders.values()
        return {
            "orders": len(orders),
            "ended": sum(order.ended for order in orders),
            "by_status": Counter(order.status for order in orders),
            "customers": len(self.customers),
            "merchants": len(self.merchants),
            "riders": {
                "all": len(self.riders),
                "on_shift": sum(rider.on_shift for rider in self.riders.values()),
                "busy": sum(rider.busy for rider in self.riders.values()),
                "delivered": sum(rider.delivered for rider in self.riders.values()),
            },
            "trouble": {name: count for name, count in self.scene.trouble.items() if count},
        }

    async def close(self) -> None:
        """Everybody goes home."""
        people: list[Persona] = [
            *self.customers.values(),
            *self.merchants.values(),
            *self.riders.values(),
        ]
        await asyncio.gather(*(person.close() for person in people))
        await self.scene.http.aclose()

    @staticmethod
    def _join(group: dict[str, SomePersona], name: str, persona: SomePersona) -> None:
        if len(group) >= PEOPLE_MAX:
            raise TooMany(f"at most {PEOPLE_MAX} people of a kind in a session")
        group[name] = persona
        persona.begin()

    def _remember(self, seen: OrderSeen) -> None:
        self.orders.setdefault(seen.key, seen)


async def await_change(seen: OrderSeen, seconds: float, *, status: str = "") -> None:
    """Wait until an order is placed or refused, or has the status, or has ended; or no longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (seen.ended or _reached(seen, status)):
                await seen.changed.wait()


def _reached(seen: OrderSeen, status: str) -> bool:
    return seen.status == status if status else seen.seq > 0


class People:
    """Every session of this process."""

    def __init__(self, pay: Pay) -> None:
        self._pay = pay
        self._sessions: dict[str, Session] = {}

    def open(self, wish: SessionWish) -> str:
        """Begin a session, or find the one of that id; its id."""
        session_id = wish.session_id or uuid.uuid4().hex[:12]
        if session_id not in self._sessions:
            if len(self._sessions) >= SESSIONS_MAX:
                raise TooMany(f"at most {SESSIONS_MAX} sessions; end one")
            self._sessions[session_id] = Session(wish, self._pay)
        return session_id

    def get(self, session_id: str) -> Session:
        """A session that is open."""
        if session_id not in self._sessions:
            raise NotHere("session")
        return self._sessions[session_id]

    async def end(self, session_id: str) -> None:
        """End one; ending it again changes nothing."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """End all, when the process ends."""
        for session_id in tuple(self._sessions):
            await self.end(session_id)
