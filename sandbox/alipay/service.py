"""Alipay put together, and the clockwork that ends trades and refunds and sends callbacks."""

from sandbox.alipay.bills import Bills
from sandbox.alipay.merchants import Merchants
from sandbox.alipay.notices import Notices
from sandbox.alipay.refunds import Refunds
from sandbox.alipay.royalties import Royalties
from sandbox.alipay.tables import create_tables
from sandbox.alipay.trades import Trades
from sandbox.faults import Faults
from sandbox.internet import PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store


class Alipay:
    """One Alipay: everything it holds lies in the store."""

    def __init__(
        self, settings: Settings, store: Store, internet: PublicInternet, faults: Faults
    ) -> None:
        """Wire the parts; nothing runs until `run`."""
        create_tables(store)
        self.store = store
        self.faults = faults
        self.merchants = Merchants(store, settings.speed)
        self.notices = Notices(
            store=store, merchants=self.merchants, faults=faults, internet=internet
        )
        self.trades = Trades(store, self.notices)
        self.refunds = Refunds(store, self.trades, self.merchants, self.notices)
        self.royalties = Royalties(store, self.trades, self.merchants, self.notices)
        self.bills = Bills(store, self.merchants)

    async def run(self) -> None:
        """End what is due and send callbacks when their time comes, until cancelled."""
        await self.notices.run(
            self.trades.close_due, self.refunds.settle_due, self.royalties.settle_due
        )
