"""The bank put together, and the clockwork that ends what is on its way and sends callbacks."""

import asyncio
import time
from contextlib import suppress

from sandbox.bank.accounts import Accounts
from sandbox.bank.notices import Notices
from sandbox.bank.payments import Payments
from sandbox.bank.payouts import Payouts
from sandbox.bank.protocol import load_bank_key
from sandbox.bank.refunds import Refunds
from sandbox.bank.schema import create_tables
from sandbox.bank.splits import Splits
from sandbox.bank.statements import Statements
from sandbox.faults import Faults
from sandbox.internet import PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.wechat.merchants import Merchants

MAX_SLEEP_SECONDS = 30.0


class Bank:
    """One bank: everything it holds lies in the store and the home folder."""

    def __init__(
        self, settings: Settings, store: Store, internet: PublicInternet, faults: Faults
    ) -> None:
        """Wire the parts; nothing runs until `run`."""
        create_tables(store)
        # Everybody's habits are one setting of the sandbox, whichever channel has it.
        self.habits = Merchants(store, settings.speed).habits
        self.store = store
        self.key = load_bank_key(settings.home)
        self.faults = faults
        self.accounts = Accounts(store)
        self.notices = Notices(
            store=store, key=self.key, habits=self.habits, faults=faults, internet=internet
        )
        self.payments = Payments(store, self.accounts, self.notices)
        self.refunds = Refunds(
            store=store,
            accounts=self.accounts,
            payments=self.payments,
            notices=self.notices,
            habits=self.habits,
        )
        wake = self.notices.wake.set
        self.splits = Splits(store, self.accounts, self.payments, self.habits, wake)
        self.payouts = Payouts(store, self.accounts, self.habits, wake)
        self.statements = Statements(store)

    async def run(self) -> None:
        """End refunds, shares and transfers and send callbacks in time, until cancelled."""
        wake = self.notices.wake
        clocks = (
            self.refunds.settle_due,
            self.splits.settle_due,
            self.payouts.settle_due,
            self.notices.send_due,
        )
        try:
            while True:
                wake.clear()
                now = time.time()
                moments = [clock(now) for clock in clocks]
                ahead = [moment - time.time() for moment in moments if moment is not None]
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min([*ahead, MAX_SLEEP_SECONDS]))):
                        await wake.wait()
        finally:
            await self.notices.stop()
