"""The bank put together, and the clockwork that ends what is on its way and sends callbacks."""

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
from sandbox.habits import GeneralHabits, HabitBook
from sandbox.internet import PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store


class Bank:
    """One bank: everything it holds lies in the store and the home folder."""

    def __init__(
        self, settings: Settings, store: Store, internet: PublicInternet, faults: Faults
    ) -> None:
        """Wire the parts; nothing runs until `run`."""
        create_tables(store)
        # Everybody's habits are one setting of the sandbox, whichever channel has it.
        initial = GeneralHabits(speed=settings.speed)
        self.habits = HabitBook(store=store, initial=initial, name="habits")
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
        await self.notices.run(
            self.refunds.settle_due, self.splits.settle_due, self.payouts.settle_due
        )
