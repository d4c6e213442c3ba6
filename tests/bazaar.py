"""One shop that is paid at every channel of a real sandbox, and each act on its orders' money."""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import insert, text
from temporalio.testing import ActivityEnvironment

from activities.after_sales import AfterSaleActs
from activities.orders import OrderActs
from activities.payments import EXPIRY_MARGIN, PaymentActs
from activities.refunds import RefundActs
from activities.settlement import SettlementActs
from activities.support import SupportActs
from domain import ids
from domain.channels import TradeState
from domain.contracts.life import Order, Timers
from domain.contracts.orders import AcceptStep
from domain.matching import AT_ONCE
from domain.outcomes import Accepted
from domain.settlement import PLATFORM
from services import credit, disputes, laws, ledger, payments, seeds, tables
from services.card.answers import read_dispute
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess

METHODS = {"wechat": "native", "alipay": "native", "card": "card", "bank": "ecny"}
PATHS = {"wechat": "", "alipay": "/alipay", "card": "/card", "bank": "/bank"}
NAMES = {"wechat": "mchid", "alipay": "seller_id", "card": "account", "bank": "account"}
APPS = {"wechat": "appid", "alipay": "app_id"}
LINES = ((3, 1_000, 30), (1, 2_000, 100))
"""Quantity, goods fen, packing fen."""
GOODS_FEN, PACKING_FEN, DELIVERY_FEN = 3_000, 130, 500
DISCOUNT_FEN = 200
TIP_FEN = 300
RIDER, CUSTOMER = "rider", "ann"
LATER = timedelta(minutes=30)
T = TypeVar("T")
Payees = Mapping[tuple[str, str], Mapping[str, str]]
"""(merchant or platform, channel) → `mchid` and `appid`; their keys are kept."""


@contextmanager
def outside(home: Path) -> Iterator[SandboxProcess]:
    """Quick gateways, and somebody who takes their notices and does nothing."""
    server = MerchantServer()
    sandbox = SandboxProcess(home, server.port)
    sandbox.start()
    server.serve(home / "tls" / f"{PUBLIC_NAME}.pem", home / "tls" / f"{PUBLIC_NAME}.key")
    for path in ("", "/alipay", "/card"):
        sandbox.call("PUT", f"{path}/settings", speed=1_000, refund_seconds=1)
    yield sandbox
    sandbox.stop()
    server.close()


def enrol(sandbox: SandboxProcess, home: Path, channels: Sequence[str] = tuple(METHODS)) -> Payees:
    """A shop's and the platform's payees at these channels."""
    made = {}
    for channel in channels:
        for whose in ("shop", PLATFORM):
            keys = sandbox.call("POST", f"{PATHS[channel]}/merchants")
            payee = {"channel": channel, "mchid": str(keys[NAMES[channel]])}
            payee["appid"] = str(keys[APPS[channel]]) if channel in APPS else ""
            seeds.keep_keys(home, payee | {"keys": keys})
            made[whose, channel] = payee
    return made


@dataclass(frozen=True, slots=True)
class Bazaar:
    """A site with one shop, one customer, one rider, and payees at every channel."""

    database: Database
    site_id: str
    sandbox: SandboxProcess
    gateways: Gateways
    payees: Payees

    @classmethod
    async def build(
        cls, database: Database, sandbox: SandboxProcess, home: Path, payees: Payees
    ) -> "Bazaar":
        """Plant the city; its contract gives the platform a tenth and the delivery."""
        site_id = f"site-{uuid.uuid4().hex[:12]}"
        merchant = f"{site_id}-merchant"
        shop = {"shop_id": f"{site_id}-shop", "merchant_id": merchant, "zone_id": "z"}
        city = {
            "site": {"site_id": site_id, "name": "Bazaar"},
            "zones": [{"zone_id": "z", "rules": AT_ONCE}],
            "merchants": [
                {"merchant_id": merchant, "name": "Noodles"},
                {"merchant_id": PLATFORM, "name": "平台有限公司"},
            ],
            "contracts": [{"commission_bp": 1_000}],
            "channel_accounts": [
                dict(payee)
                | {"account_id": f"{site_id}-{whose}-{channel}"}
                | {"merchant_id": PLATFORM if whose == PLATFORM else merchant}
                for (whose, channel), payee in payees.items()
            ],
            "shops": [shop | {"name": "Noodles", "lat": 30.0, "lng": 120.0}],
            "items": [
                {"shop_id": shop["shop_id"], "item_id": f"item-{line}", "name": "x", "price_fen": 1}
                for line in range(len(LINES))
            ],
            "riders": [{"rider_id": RIDER, "zone_id": "z"}],
        }
        async with database.write() as writer:
            await seeds.plant(writer, city)
        gateways = Gateways(
            Settings(
                home=home,
                public_url=f"https://{PUBLIC_NAME}",
                gateway_proxy=sandbox.proxy,
                gateway_ca=str(sandbox.home / "ca.pem"),
            )
        )
        return cls(database, site_id, sandbox, gateways, payees)

    @property
    def payments(self) -> PaymentActs:
        return PaymentActs(self.database, self.gateways)

    @property
    def refunds(self) -> RefundActs:
        return RefundActs(self.database, self.gateways)

    @property
    def orders(self) -> OrderActs:
        return OrderActs(self.database)

    @property
    def support(self) -> SupportActs:
        return SupportActs(self.database)

    @property
    def after_sales(self) -> AfterSaleActs:
        return AfterSaleActs(self.database, self.gateways.abilities)

    @property
    def settlement(self) -> SettlementActs:
        return SettlementActs(self.database, self.gateways)

    async def all(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of a question about the site, `:site`."""
        async with self.database.read() as reader:
            return list(await reader.all(text(statement), parameters | {"site": self.site_id}))

    async def order(
        self, channel: str, *, credit_fen: int, discount_fen: int, tip_fen: int
    ) -> Order:
        """An order by a quote of its own, not placed yet; its customer has the credit for it."""
        quote_id = uuid.uuid4().hex
        total_fen = GOODS_FEN + PACKING_FEN + DELIVERY_FEN + tip_fen - discount_fen
        who: dict[str, Any] = {"site_id": self.site_id, "customer_id": CUSTOMER}
        quote = {
            **who,
            "quote_id": quote_id,
            "shop_id": f"{self.site_id}-shop",
            "address_id": "home",
            "fulfilment": "delivery",
            "lines": [_line(number, *line) for number, line in enumerate(LINES)],
            "goods_fen": GOODS_FEN,
            "packing_fen": PACKING_FEN,
            "delivery_fee_fen": DELIVERY_FEN,
            "tip_fen": tip_fen,
            "discounts": _discounts(discount_fen),
            "total_fen": total_fen,
            "distance_meters": 100,
            "promise_minutes": 30,
            "expires_at": datetime.now(UTC) + LATER,
        }
        credit_fen = min(credit_fen, total_fen)
        gift = credit.Grant(
            **who,
            grant_id=uuid.uuid4().hex,
            reason="gift",
            amount_fen=credit_fen,
            expires_at=datetime.now(UTC) + LATER,
        )
        async with self.database.write() as writer:
            await writer.run(insert(tables.quotes).values(**quote))
            if credit_fen:
                await ledger.post(writer, await credit.grant(writer, gift))
        return Order(
            **who,
            order_id=ids.order_id(self.site_id, CUSTOMER, quote_id),
            merchant_id=f"{self.site_id}-merchant",
            shop_id=f"{self.site_id}-shop",
            quote_id=quote_id,
            channel=channel,
            method=METHODS[channel],
            total_fen=total_fen,
            credit_fen=credit_fen,
            auto_accept=False,
            tableware=0,
            pay_by=datetime.now(UTC).replace(microsecond=0) + LATER,
            timers=Timers(),
        )

    def pay(self, attempt: Any, whose: str = "shop", **more: Any) -> None:
        """The customer pays an attempt, if the channel lets them."""
        channel, handles = attempt.channel, attempt.handles
        payee = "mchid" if channel == "bank" else NAMES[channel]
        mchid = self.payees[whose, channel]["mchid"]
        named = {payee: mchid, "out_trade_no": attempt.out_trade_no}
        if "qr_code" in handles:
            named = {"qr_code": handles["qr_code"]}
        answer = self.sandbox.control.post(f"/control{PATHS[channel]}/pay", json=named | more)
        assert answer.status_code in {200, 404, 409}, answer.text

    async def notice(self, out_trade_no: str) -> int | None:
        """What the channel says of a payment, stored as its notice would be; None: no money."""
        async with self.database.read() as reader:
            paying = await payments.paying(reader, out_trade_no)
        account = self.gateways.account(paying.channel, paying.keys_ref)
        said = await self.gateways.channel(paying.channel).query(
            account, out_trade_no=out_trade_no, handles=paying.handles
        )
        if not isinstance(said, Accepted):
            return None
        if said.value.state not in {TradeState.PAID, TradeState.AUTHORIZED}:
            return None
        async with self.database.write() as writer:
            notice_id, _ = await payments.store_fact(
                writer,
                paying,
                event_id=f"notice:{said.value.state}:{out_trade_no}",
                fact=said.value.fact(),
            )
        return notice_id

    async def hear(self, dispute: Mapping[str, Any]) -> None:
        """A notice about a dispute at the card channel."""
        notice = read_dispute(secrets.token_hex(8), dict(dispute))
        async with self.database.write() as writer:
            await disputes.heard(writer, f"{self.site_id}-shop-card", notice)

    async def expire(self) -> None:
        """The time to pay is over for every attempt."""
        async with self.database.write() as writer:
            await writer.run(
                text("UPDATE payment_attempts SET expires_at = :at WHERE site_id = :site"),
                {"at": datetime.now(UTC) - EXPIRY_MARGIN, "site": self.site_id},
            )

    async def resolve_tickets(self) -> None:
        """People have looked at everything."""
        async with self.database.write() as writer:
            resolved = "UPDATE tickets SET state = 'resolved' WHERE site_id = :site"
            await writer.run(text(resolved), {"site": self.site_id})

    def moved(self, *who: str) -> list[dict[str, Any]]:
        """What truly moved at every channel for the shop's payments, or for theirs."""
        return [
            one
            for (whose, channel), payee in self.payees.items()
            if whose in (who or ("shop",))
            for one in self.sandbox.oracle(PATHS[channel], mchid=payee["mchid"])["orders"]
        ]

    async def left(self, order_id: str) -> dict[str, int]:
        """What of an order is not home: held, disputed, in suspense, in flight, or a share."""
        rows = await self.all(
            r"""SELECT e.account,
              sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END)::bigint AS fen
            FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
            WHERE j.site_id = :site AND j.order_id = :order_id AND e.account SIMILAR TO
              '(suspense|refund|order)\:%|platform\:%\:receivable' GROUP BY e.account""",
            order_id=order_id,
        )
        return {row.account.rpartition(":")[2]: row.fen for row in rows if row.fen}

    async def broken(self) -> list[laws.Verdict]:
        """Laws that do not hold; a ticket's or settlement's follower is a workflow's concern."""
        async with self.database.snapshot() as reader:
            verdicts = await laws.check(reader, self.site_id)
        return [one for one in verdicts if one.broken and not one.law.startswith("4")]

    async def told(self, oracle: list[dict[str, Any]]) -> laws.Verdict:
        """The books beside what truly moved."""
        async with self.database.snapshot() as reader:
            return await laws.compare(reader, oracle, self.site_id)


def accepting(order_id: str) -> AcceptStep:
    """The shop takes the order."""
    soon: Any = datetime.now(UTC) + LATER
    moments = ("promised_at", "food_ready_at", "search_from", "support_at", "give_up_at")
    return AcceptStep(
        order_id=order_id,
        key="accepted",
        offer_seconds=30,
        rider_silence_seconds=180,
        **dict.fromkeys(moments, soon),
    )


async def once(act: Callable[[Any], Awaitable[T]], value: Any, attempt: int = 1) -> T:
    """One try of an act, as Temporal makes it."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    return await environment.run(act, value)


def _line(number: int, quantity: int, goods_fen: int, packing_fen: int) -> dict[str, Any]:
    return {
        "item_id": f"item-{number}",
        "name": "x",
        "quantity": quantity,
        "choices": {},
        "unit_fen": goods_fen // quantity,
        "packing_fen": packing_fen,
        "total_fen": goods_fen,
    }


def _discounts(amount_fen: int) -> list[dict[str, Any]]:
    given = {"code": "c", "name": "n", "bearer": "platform", "amount_fen": amount_fen}
    return [given] if amount_fen else []
