"""A shop's real payments at the sandbox's channels; settlement's acts as its workflow runs them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import insert, text
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.orders import OrderActs
from activities.refunds import RefundActs
from activities.settlement import SettlementActs
from domain import ids
from domain.channels import Create, TradeState
from domain.contracts.orders import Step
from domain.contracts.refunds import EndRefund, RefundOf, RefundState
from domain.contracts.settlement import FollowSplit, SettlementOf, SplitNow, Splitting
from domain.outcomes import Accepted
from domain.settlement import PLATFORM, SPLITS_MAX
from services import events, laws, refunds, tables
from services.db import Database
from services.gateways import Gateways
from services.seeds import keep_keys
from services.settings import Settings
from tests.sandbox.outside import PUBLIC_NAME, SandboxProcess
from tests.sold import Sales

COMMISSION_BP = 1_000
TRIES = 400
PAUSE_SECONDS = 0.02
NAMES = {"wechat": "mchid", "alipay": "seller_id", "bank": "account"}
PATHS = {"wechat": "", "alipay": "/alipay", "bank": "/bank"}
ON_ITS_WAY = (RefundState.CREATED, RefundState.PROCESSING)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Till:
    """One site with a shop and the platform at one channel of a real sandbox."""

    sales: Sales
    sandbox: SandboxProcess
    gateways: Gateways
    platform: str

    @classmethod
    async def build(
        cls, database: Database, site_id: str, sandbox: SandboxProcess, channel: str, home: Path
    ) -> "Till":
        """Make both payees, their rows and keys, and the site's contract."""
        shop, platform = _enrol(sandbox, home, channel), _enrol(sandbox, home, channel)
        sales = await Sales(database, site_id, channel=channel, mchid=shop).build()
        site = {"site_id": site_id}
        receiver = {"merchant_id": PLATFORM, "channel": channel, "mchid": platform}
        async with database.write() as writer:
            await writer.run(
                insert(tables.merchants).values(**site, merchant_id=PLATFORM, name="平台有限公司")
            )
            await writer.run(
                insert(tables.channel_accounts).values(
                    **site, **receiver, account_id=f"{site_id}-platform", appid="", keys_ref=""
                )
            )
            await writer.run(
                insert(tables.contracts).values(
                    **site, valid_from=datetime(2000, 1, 1, tzinfo=UTC), commission_bp=COMMISSION_BP
                )
            )
        gateways = Gateways(
            Settings(
                home=home,
                public_url=f"https://{PUBLIC_NAME}",
                gateway_proxy=sandbox.proxy,
                gateway_ca=str(sandbox.home / "ca.pem"),
            )
        )
        return cls(sales, sandbox, gateways, platform)

    @property
    def database(self) -> Database:
        return self.sales.database

    @property
    def channel(self) -> str:
        return self.sales.channel

    @property
    def acts(self) -> SettlementActs:
        return SettlementActs(self.database, self.gateways)

    async def sold(self, **more: Any) -> str:
        """An order that was really paid, delivered, and is completed; its id."""
        order_id = await self.sales.order(**more)
        row = await self.sales.row(order_id)
        number = ids.out_trade_no(order_id, 1)
        channel = self.gateways.channel(self.channel)
        account = self.gateways.account(self.channel, f"keys/{self.channel}/{self.sales.mchid}")
        opened = await channel.create(
            account,
            Create(
                method="ecny" if self.channel == "bank" else "native",
                out_trade_no=number,
                amount_fen=row.paid_fen,
                description="Kitchen #1",
                notify_url=self.gateways.notify_url(self.channel, "account"),
                expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=15),
                split=True,
            ),
        )
        assert isinstance(opened, Accepted), opened
        payment = {"mchid": self.sales.mchid, "out_trade_no": number}
        if self.channel == "alipay":
            payment = {"qr_code": opened.value.handles["qr_code"]}
        self.sandbox.call("POST", f"{PATHS[self.channel]}/pay", **payment)
        asked = await channel.query(account, out_trade_no=number, handles=opened.value.handles)
        assert isinstance(asked, Accepted)
        assert asked.value.state is TradeState.PAID
        async with self.database.write() as writer:
            await writer.run(
                text("""UPDATE payment_attempts SET split = true, transaction_id = :transaction_id,
                  handles = CAST(:handles AS jsonb) WHERE out_trade_no = :number"""),
                {
                    "number": number,
                    "transaction_id": asked.value.transaction_id,
                    "handles": events.dumps(opened.value.handles),
                },
            )
        await OrderActs(self.database).complete(Step(order_id=order_id, key="completed"))
        return order_id

    async def settle(self, order_id: str, between: Callable[[], object] = lambda: None) -> None:
        """The story of `workflows.settlement`; `between` happens before each further number."""
        for tried in range(SPLITS_MAX):
            if tried:
                between()
            said = await self._split(order_id)
            if said.state != Splitting.CLOSED:
                break
        if said.state != Splitting.NONE:
            await retried(self.acts.unfreeze, SettlementOf(order_id=order_id))
        await self.acts.finish(SettlementOf(order_id=order_id))

    async def _split(self, order_id: str) -> SplitNow:
        said = await retried(self.acts.split, SettlementOf(order_id=order_id))
        if said.state != Splitting.ASKED:
            return said
        number = said.out_order_no
        follow = FollowSplit(order_id=order_id, out_order_no=number, waits_seconds=(0.02,))
        return await retried(self.acts.follow, follow)

    async def open_refund(self, order_id: str, amount_fen: int, source: Any) -> str:
        """A refund that somebody has decided after the order's end; its number."""
        async with self.database.write() as writer:
            await events.lock(writer, order_id)
            opened = await refunds.open_refund(
                writer,
                await self.sales.stream(order_id),
                cause=f"test:{amount_fen}:{source}",
                reason="test",
                amount_fen=amount_fen,
                source=source,
            )
        assert opened is not None
        return opened.out_refund_no

    async def refund(self, number: str) -> None:
        """Its whole way home."""
        acts, state = RefundActs(self.database, self.gateways), str(RefundState.CREATED)
        while state in ON_ITS_WAY:
            state = (await retried(acts.request, RefundOf(out_refund_no=number))).state
        assert state == RefundState.SUCCESS
        await acts.finish(EndRefund(out_refund_no=number, state=state))

    async def moved(self, order_id: str) -> Any:
        """What the channel itself says has moved for the order."""
        answer = self.sandbox.control.get(
            f"/control{PATHS[self.channel]}/oracle", params={"prefix": order_id}
        )
        [one] = answer.json()["orders"]
        return one

    async def of_order(self, order_id: str, code: str) -> int:
        """An account's part of an order: debits less credits, fen."""
        [row] = await self.sales.all(
            """SELECT sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) AS fen
            FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
            WHERE j.order_id = :order_id AND e.account LIKE :code""",
            order_id=order_id,
            code=code,
        )
        return int(row.fen or 0)

    async def assert_laws(self) -> None:
        """Every law that these rows can keep: their events were not told one by one."""
        async with self.database.snapshot() as reader:
            verdicts = await laws.check(reader, self.sales.site_id)
        unfolded = "7 events fold to the state", "7 seq is gapless from 1"
        assert [one for one in verdicts if one.broken and one.law not in unfolded] == []


async def retried(act: Callable[[Any], Awaitable[T]], value: Any) -> T:
    """An act tried as Temporal does, without its pauses."""
    environment = ActivityEnvironment()
    for attempt in range(1, TRIES):
        environment.info = replace(environment.info, attempt=attempt)
        try:
            return await environment.run(act, value)
        except ApplicationError as error:
            if error.non_retryable:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    raise TimeoutError(value)


def _enrol(sandbox: SandboxProcess, home: Path, channel: str) -> str:
    """A new payee at the channel, its keys kept."""
    given = sandbox.call("POST", f"{PATHS[channel]}/merchants")
    number = str(given[NAMES[channel]])
    keep_keys(home, {"channel": channel, "mchid": number, "keys": given})
    return number
