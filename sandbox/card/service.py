"""Stripe put together, and the clockwork that ends refunds, opens disputes and sends webhooks."""

from contextlib import suppress

from sandbox.card.accounts import Accounts
from sandbox.card.balance import Balance
from sandbox.card.disputes import Disputes
from sandbox.card.events import Events
from sandbox.card.intents import Intents
from sandbox.card.methods import Methods
from sandbox.card.objects import Objects
from sandbox.card.refunds import Refunds
from sandbox.card.wire import StripeError
from sandbox.faults import Faults
from sandbox.internet import PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.wire import Json


class Stripe:
    """One Stripe: everything it holds lies in the store."""

    def __init__(
        self, settings: Settings, store: Store, internet: PublicInternet, faults: Faults
    ) -> None:
        """Wire the parts; nothing runs until `run`."""
        self.store = store
        self.faults = faults
        self.objects = objects = Objects(store)
        self.accounts = accounts = Accounts(store, settings.speed)
        self.events = events = Events(
            objects=objects, accounts=accounts, faults=faults, internet=internet
        )
        self.methods = Methods(objects=objects)
        balance = Balance(objects=objects)
        self.intents = Intents(
            objects=objects,
            accounts=accounts,
            balance=balance,
            events=events,
            methods=self.methods,
        )
        self.refunds = Refunds(objects=objects, accounts=accounts, balance=balance, events=events)
        self.disputes = Disputes(objects=objects, balance=balance, events=events)

    def number_of(self, account: str, intent: str) -> str | None:
        """Return the merchant's number of an intent, if there is such an intent."""
        row = self.store.one(
            "SELECT number FROM card_objects WHERE id = :id AND account = :account",
            id=intent,
            account=account,
        )
        return row["number"] if row else None

    async def run(self) -> None:
        """Do what comes due and send webhooks, until cancelled."""
        await self.events.run(self._do_due)

    def _do_due(self, now: float) -> float | None:
        for account, body in self.objects.due(now):
            with self.store.transaction():
                self._do(account, body)
        return self.objects.next_due()

    def _do(self, account: str, body: Json) -> None:
        if body["object"] == "refund":
            self.refunds.settle(account, body)
        elif body["object"] == "payment_intent":
            self.intents.expire(account, body)
        else:
            # Refunded in the meantime: there is nothing left to dispute.
            with suppress(StripeError):
                self.disputes.open(account, body)
