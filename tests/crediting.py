"""A desk for orders paid by credit: a shop, one customer, and what happens to their orders."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from activities.orders import OrderActs
from activities.payments import PaymentActs
from activities.refunds import RefundActs
from activities.support import SupportActs
from domain import ids
from domain.contracts.life import AT_ONCE, Order, Timers
from domain.contracts.orders import EndDone, EndStep, RefundStep
from domain.contracts.payments import Settle, Settled
from domain.contracts.refunds import EndRefund, RefundOf
from services import credit, events, laws, ledger, payments, tables
from services.db import Database
from services.gateways import Gateways

TOTAL_FEN = 2_000
GOODS_FEN = 1_500


@dataclass(frozen=True, slots=True)
class Desk:
    """A shop, its acts, and one customer's credit."""

    database: Database
    site_id: str
    gateways: Gateways

    async def build(self) -> "Desk":
        """The rows that placing needs."""
        site = {"site_id": self.site_id}
        shop = {"shop_id": f"{self.site_id}-shop", "merchant_id": f"{self.site_id}-m"}
        account = {"account_id": f"{self.site_id}-account", "merchant_id": shop["merchant_id"]}
        rows: list[tuple[Any, dict[str, Any]]] = [
            (tables.sites, {"name": "Credit"}),
            (
                tables.channel_accounts,
                account | {"channel": "wechat", "mchid": "1", "appid": "a", "keys_ref": "k"},
            ),
            (
                tables.shops,
                shop
                | {"zone_id": "z", "name": "Noodles", "lat": 30.0, "lng": 120.0}
                | {"delivery_area": [], "prep_minutes": 10},
            ),
            (
                tables.items,
                {"shop_id": shop["shop_id"], "item_id": "tea", "name": "tea", "price_fen": 1_500}
                | {"packing_fen": 0, "stock": 100},
            ),
        ]
        async with self.database.write() as writer:
            for table, row in rows:
                await writer.run(insert(table).values(**site, **row))
        return self

    async def gift(self, fen: int) -> None:
        """Credit of the customer's."""
        wanted = credit.Grant(
            grant_id=uuid.uuid4().hex,
            site_id=self.site_id,
            customer_id="ann",
            reason="gift",
            amount_fen=fen,
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
        async with self.database.write() as writer:
            await ledger.post(writer, await credit.grant(writer, wanted))

    async def order(
        self,
        credit_fen: int,
        *,
        fetched: bool = False,
        timers: Timers | None = None,
        wished_by: datetime | None = None,
    ) -> Order:
        """An order by a quote of its own, not placed yet; `fetched`: without any delivery."""
        fulfilment = "self_pickup" if fetched else "delivery"
        fee_fen = 0 if fetched else TOTAL_FEN - GOODS_FEN
        quote_id, shop_id = uuid.uuid4().hex, f"{self.site_id}-shop"
        line = {"item_id": "tea", "name": "tea", "quantity": 1, "choices": {}, "unit_fen": 1_500}
        quote = {
            "quote_id": quote_id,
            "site_id": self.site_id,
            "customer_id": "ann",
            "shop_id": shop_id,
            "address_id": "home",
            "fulfilment": fulfilment,
            "lines": [line | {"packing_fen": 0, "total_fen": 1_500}],
            "goods_fen": GOODS_FEN,
            "packing_fen": 0,
            "delivery_fee_fen": fee_fen,
            "total_fen": GOODS_FEN + fee_fen,
            "distance_meters": 100,
            "promise_minutes": 30,
            "window_from": wished_by,
            "window_to": wished_by,
            "expires_at": datetime.now(UTC) + timedelta(minutes=15),
        }
        async with self.database.write() as writer:
            await writer.run(insert(tables.quotes).values(**quote))
        return Order(
            order_id=ids.order_id(self.site_id, "ann", quote_id),
            site_id=self.site_id,
            customer_id="ann",
            merchant_id=f"{self.site_id}-m",
            shop_id=shop_id,
            quote_id=quote_id,
            channel="wechat",
            method="native",
            total_fen=GOODS_FEN + fee_fen,
            credit_fen=credit_fen,
            auto_accept=False,
            fulfilment=fulfilment,
            tableware=0,
            pay_by=datetime.now(UTC) + timedelta(minutes=15),
            wished_by=wished_by or AT_ONCE,
            timers=timers or Timers(),
        )

    async def placed(self, credit_fen: int) -> str:
        """A placed order; its id."""
        order = await self.order(credit_fen)
        done = await OrderActs(self.database).reserve(order)
        assert await OrderActs(self.database).reserve(order) == done
        return order.order_id

    async def money(self, order_id: str, **differs: Any) -> Settled:
        """The channel says that the order's attempt was paid."""
        acts = PaymentActs(self.database, self.gateways)
        async with self.database.write() as writer:
            paying = await payments.paying(writer, ids.out_trade_no(order_id, 1))
            fact = {
                "out_trade_no": paying.out_trade_no,
                "transaction_id": "t",
                "state": "paid",
                "amount_fen": paying.amount_fen,
                "currency": "CNY",
                "mchid": "1",
                "appid": "a",
            }
            notice_id, _ = await payments.store_fact(
                writer, paying, event_id=uuid.uuid4().hex, fact=fact | differs
            )
        return await acts.settle(Settle(order_id=order_id, notice_id=notice_id))

    async def give(self, order_id: str, fen: int) -> list[Any]:
        """Support gives back; the new refund's channel part and credit part."""
        key = f"support:{uuid.uuid4().hex}"
        step = RefundStep(order_id=order_id, key=key, amount_fen=fen, reason="test")
        [number] = (await SupportActs(self.database).refund_part(step)).refund_nos
        [row] = await self.all(
            "SELECT amount_fen, credit_fen, total_fen FROM refunds WHERE out_refund_no = :id",
            id=number,
        )
        return [number, *row]

    async def end(self, order_id: str) -> EndDone:
        """The customer cancels."""
        step = EndStep(order_id=order_id, key="ended", reason="customer_cancelled")
        return await OrderActs(self.database).end(step)

    async def home(self, number: str) -> None:
        """The refund's own acts, where no channel is needed."""
        acts = RefundActs(self.database, self.gateways)
        said = await acts.request(RefundOf(out_refund_no=number))
        await acts.finish(EndRefund(out_refund_no=number, state=said.state))

    async def view(self, order_id: str) -> dict[str, Any]:
        async with self.database.read() as reader:
            stream = await events.stream(reader, order_id)
        assert stream is not None
        return dict(stream.view)

    async def all(self, statement: str, **parameters: Any) -> list[Any]:
        async with self.database.read() as reader:
            return list(await reader.all(text(statement), parameters))

    async def left(self) -> int:
        """What the customer may spend."""
        async with self.database.read() as reader:
            return await credit.available_fen(reader, self.site_id, "ann", now=datetime.now(UTC))

    async def assert_laws(self) -> None:
        async with self.database.snapshot() as reader:
            verdicts = await laws.check(reader, self.site_id)
        assert [one for one in verdicts if one.broken] == []
