"""WeChat Pay put together, and the clockwork that ends refunds and splits and sends callbacks."""

from sandbox.faults import Faults
from sandbox.internet import Authority, PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.wechat.bills import Bills
from sandbox.wechat.combined import Combined
from sandbox.wechat.complaints import Complaints
from sandbox.wechat.customers import Cashier
from sandbox.wechat.keys import PlatformKeys
from sandbox.wechat.merchants import Merchants
from sandbox.wechat.notices import Notices
from sandbox.wechat.orders import Orders
from sandbox.wechat.refunds import Refunds
from sandbox.wechat.shipping import MiniPrograms
from sandbox.wechat.split_returns import SplitReturns
from sandbox.wechat.splits import Splits
from sandbox.wechat.tables import COLUMNS, SCHEMA


class WeChatPay:
    """One WeChat Pay: everything it holds lies in the store and the home folder."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        authority: Authority,
        internet: PublicInternet,
        faults: Faults,
    ) -> None:
        """Wire the parts; nothing runs until `run`."""
        self.store = store
        store.extend(SCHEMA, COLUMNS)
        self.keys = PlatformKeys(settings.home, authority)
        self.merchants = Merchants(store, settings.speed)
        self.faults = faults
        self.notices = Notices(
            store=store,
            keys=self.keys,
            merchants=self.merchants,
            faults=self.faults,
            internet=internet,
        )
        self.orders = Orders(store, self.merchants, self.notices)
        self.combined = Combined(store, self.merchants, self.orders, self.notices)
        self.refunds = Refunds(store, self.orders, self.merchants, self.notices)
        wake = self.notices.wake
        self.splits = Splits(store, self.orders, self.merchants, wake)
        self.split_returns = SplitReturns(store, self.orders, self.merchants, wake)
        self.bills = Bills(store, self.merchants)
        self.complaints = Complaints(store, self.orders, self.merchants, self.notices)
        self.mini_programs = MiniPrograms(store, self.merchants, self.orders)
        self.cashier = Cashier(orders=self.orders, combined=self.combined, merchants=self.merchants)

    async def run(self) -> None:
        """End refunds and splits and send callbacks when their time comes, until cancelled."""
        await self.notices.run(
            self.refunds.settle_due, self.splits.settle_due, self.split_returns.settle_due
        )
