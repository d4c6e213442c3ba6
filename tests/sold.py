"""Delivered and paid orders for tests of after-sale: rows and books as the life leaves them."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from domain import ids
from domain.books import journal
from domain.contracts.after_sales import AfterSaleStep, AfterSaleTimers, Ask, AskedLine
from services import events, orders, tables
from services import ledger as books
from services.db import Database
from services.events import Stream

LINES = ((3, 1_000, 30), (1, 2_000, 100))
"""Quantity, goods fen, packing fen: three dumplings for 10.00, one soup for 20.00."""
GOODS_FEN, PACKING_FEN, DELIVERY_FEN = 3_000, 130, 500
MCHID = "1900000001"
PAID_FEN = GOODS_FEN + PACKING_FEN + DELIVERY_FEN


@dataclass(frozen=True, slots=True)
class Sales:
    """One site whose shop has sold and delivered."""

    database: Database
    site_id: str
    channel: str = "wechat"
    mchid: str = MCHID

    @property
    def merchant_id(self) -> str:
        return f"{self.site_id}-merchant"

    async def build(self, *, new_site: bool = True) -> "Sales":
        """Write the site and the merchant's account at the channel, unless they are there."""
        site = {"site_id": self.site_id}
        account = {
            "account_id": f"{self.site_id}-account",
            "merchant_id": self.merchant_id,
            "channel": self.channel,
            "mchid": self.mchid,
            "appid": "app",
            "keys_ref": f"keys/{self.channel}/{self.mchid}",
        }
        async with self.database.write() as writer:
            if new_site:
                await writer.run(insert(tables.sites).values(**site, name="Sales"))
                await writer.run(insert(tables.channel_accounts).values(**site, **account))
        return self

    async def order(self, *, delivered_ago: timedelta = timedelta(), **more: Any) -> str:
        """A delivered order that was paid in full; its id."""
        order_id = ids.order_id(self.site_id, "ann", uuid.uuid4().hex)
        who = {
            "order_id": order_id,
            "site_id": self.site_id,
            "customer_id": "ann",
            "merchant_id": self.merchant_id,
            "shop_id": f"{self.site_id}-shop",
        }
        now = datetime.now(UTC)
        paid_fen = more.get("paid_fen", PAID_FEN)
        row = {**who, **_order(now), "paid_fen": paid_fen, "total_fen": paid_fen, **more}
        lines = [_line(number, *line) for number, line in enumerate(LINES, 1)]
        common = {"order_id": order_id, "site_id": self.site_id}
        async with self.database.write() as writer:
            await events.open_stream(writer, **who)
            await writer.run(insert(tables.orders).values(**row))
            await writer.run(
                text("UPDATE order_streams SET view = CAST(:view AS jsonb) WHERE order_id = :id"),
                {"id": order_id, "view": events.dumps(_view(row))},
            )
            for line in lines:
                await writer.run(insert(tables.order_lines).values(**common, **line))
            task = {**common, **_task(now - delivered_ago), "shop_id": who["shop_id"]}
            await writer.run(insert(tables.delivery_tasks).values(**task))
            attempt = {**common, **_attempt(order_id, self.site_id, paid_fen, now)}
            attempt["channel"] = self.channel
            await writer.run(insert(tables.payment_attempts).values(**attempt))
            captured = journal(
                "payment_captured",
                site_id=self.site_id,
                order_id=order_id,
                channel=self.channel,
                mchid=self.mchid,
                out_trade_no=attempt["out_trade_no"],
                amount_fen=paid_fen,
            )
            await books.post(writer, captured)
        return order_id

    def asked(self, order_id: str, *lines: tuple[int, int], **more: Any) -> Ask:
        """A wish for these (line, quantity)."""
        named: dict[str, Any] = {
            "after_sale_id": uuid.uuid4().hex[:26],
            "order_id": order_id,
            "actor": "customer:ann",
            "request_id": uuid.uuid4().hex,
            "lines": tuple(AskedLine(line_no=number, quantity=count) for number, count in lines),
            "delivery_fee": False,
            "reason_code": "quality",
            "evidence": (),
            "timers": AfterSaleTimers(),
            "auto_approve_fen": 500,
            "approval_limit_fen": 1_500,
        }
        return Ask(**named | more)

    async def stream(self, order_id: str) -> Stream:
        """The public state."""
        async with self.database.read() as reader:
            found = await events.stream(reader, order_id)
        assert found is not None
        return found

    async def row(self, order_id: str) -> Any:
        """The order's row."""
        async with self.database.read() as reader:
            return await orders.find(reader, order_id)

    async def all(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of any question."""
        async with self.database.read() as reader:
            return list(await reader.all(text(statement), parameters))

    async def balance(self, code: str) -> int:
        """An account's balance, fen; 0 where nothing was booked."""
        async with self.database.read() as reader:
            found = await books.balances(reader, site_id=self.site_id)
        return {one.code: one.balance_fen for one in found}.get(code, 0)


def step(ask: Ask, what: str, actor: str = "merchant:m") -> AfterSaleStep:
    """A step on a wish."""
    return AfterSaleStep(
        order_id=ask.order_id,
        key=f"after_sale:{ask.after_sale_id}:{what}",
        actor=actor,
        request_id=uuid.uuid4().hex,
        after_sale_id=ask.after_sale_id,
    )


def _order(now: datetime) -> dict[str, Any]:
    return {
        "zone_id": "z",
        "quote_id": "quote",
        "address_id": "address",
        "status": "delivered",
        "payment": "paid",
        "kitchen": "ready",
        "after_sale": "open",
        "fulfilment": "delivery",
        "tableware": 0,
        "business_day": uuid.uuid4().hex,
        "number": 1,
        "goods_fen": GOODS_FEN,
        "packing_fen": PACKING_FEN,
        "delivery_fee_fen": DELIVERY_FEN,
        "pay_by": now,
        "paid_at": now,
        "promised_at": now,
    }


def _view(row: dict[str, Any]) -> dict[str, Any]:
    names = ("status", "payment", "kitchen", "after_sale", "delivery_fee_fen", "total_fen")
    return {name: row[name] for name in names} | {"held": False}


def _line(number: int, quantity: int, goods_fen: int, packing_fen: int) -> dict[str, Any]:
    return {
        "line_no": number,
        "item_id": f"item-{number}",
        "name": f"item {number}",
        "quantity": quantity,
        "choices": {},
        "unit_fen": goods_fen // quantity,
        "packing_fen": packing_fen,
        "total_fen": goods_fen,
        "paid_fen": goods_fen + packing_fen,
    }


def _task(delivered_at: datetime) -> dict[str, Any]:
    moments = ("food_ready_at", "search_from", "support_at", "give_up_at", "promised_at")
    return {
        "task_id": uuid.uuid4().hex,
        "zone_id": "z",
        "state": "delivered",
        "offer_seconds": 30,
        "rider_silence_seconds": 180,
        "delivered_at": delivered_at,
    } | dict.fromkeys(moments, delivered_at)


def _attempt(order_id: str, site_id: str, paid_fen: int, now: datetime) -> dict[str, Any]:
    return {
        "out_trade_no": ids.out_trade_no(order_id, 1),
        "attempt": 1,
        "account_id": f"{site_id}-account",
        "method": "native",
        "amount_fen": paid_fen,
        "state": "paid",
        "expires_at": now,
        "paid_at": now,
    }
