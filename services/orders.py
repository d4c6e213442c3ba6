"""An order's row and lines: placing it, and each change of its state with its public event.

Every change takes the order's stream lock first, is recognised by its step's key when repeated,
and commits row and event together at its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, TextClause, text

from domain.contracts.life import Order
from domain.contracts.orders import Done, Step
from domain.errors import ActionNotAllowed, NotFound, QuoteExpired, SoldOut
from domain.orders import FINAL, Delivery, Kitchen, Payment, Status, may_follow
from services import events
from services.db import Reader, Writer
from services.events import Event, Stream, dumps

PLACED_KEY = "placed"
KINDS_OF_CHANGE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an act does to the order: public event, view, and the row's columns."""

    type: str
    data: Mapping[str, Any]
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The order after an act; `fresh` False: this step had been done before."""

    stream: Stream
    fresh: bool

    def done(self, refund_nos: tuple[str, ...] = ()) -> Done:
        """The act's answer."""
        view = self.stream.view
        return Done(
            seq=self.stream.seq,
            status=view["status"],
            payment=view["payment"],
            kitchen=view["kitchen"],
            refund_nos=refund_nos,
        )


_QUOTE = text("""
SELECT q.*, s.name AS shop_name, s.zone_id, si.time_zone,
  to_char(now() AT TIME ZONE si.time_zone, 'YYYY-MM-DD') AS business_day
FROM quotes q JOIN shops s USING (shop_id) JOIN sites si ON si.site_id = q.site_id
WHERE q.quote_id = :quote_id AND q.customer_id = :customer_id AND q.site_id = :site_id
""")
_TAKE_STOCK = text("""
UPDATE items SET stock = stock - :quantity
WHERE shop_id = :shop_id AND item_id = :item_id AND available
  AND (stock IS NULL OR stock >= :quantity)
RETURNING stock
""")
_LEASE = text("""
INSERT INTO item_leases (order_id, item_id, site_id, shop_id, quantity, state)
VALUES (:order_id, :item_id, :site_id, :shop_id, :quantity, 'held')
""")
_RELEASE = text("""
WITH lease AS (
  UPDATE item_leases SET state = 'released'
  WHERE order_id = :order_id AND state = 'held' RETURNING shop_id, item_id, quantity
)
UPDATE items SET stock = stock + lease.quantity FROM lease
WHERE items.shop_id = lease.shop_id AND items.item_id = lease.item_id AND items.stock IS NOT NULL
""")
_NUMBER = text("""
INSERT INTO shop_days (shop_id, business_day, site_id, last_number)
VALUES (:shop_id, :business_day, :site_id, 1)
ON CONFLICT (shop_id, business_day) DO UPDATE SET last_number = shop_days.last_number + 1
RETURNING last_number
""")
_ORDER = text("""
INSERT INTO orders (order_id, site_id, customer_id, merchant_id, shop_id, zone_id, quote_id,
  address_id, status, payment, kitchen, fulfilment, window_from, window_to, tableware,
  business_day, number, goods_fen, packing_fen, delivery_fee_fen, tip_fen, discounts,
  channel_fee_fen, total_fen, credit_fen, timers, pay_by)
VALUES (:order_id, :site_id, :customer_id, :merchant_id, :shop_id, :zone_id, :quote_id,
  :address_id, 'awaiting_payment', 'unpaid', 'none', :fulfilment, :window_from, :window_to,
  :tableware, :business_day, :number, :goods_fen, :packing_fen, :delivery_fee_fen, :tip_fen,
  CAST(:discounts AS jsonb), :channel_fee_fen, :total_fen, :credit_fen,
  CAST(:timers AS jsonb), :pay_by)
RETURNING placed_at
""")
_LINES = text("""
INSERT INTO order_lines (order_id, line_no, site_id, item_id, name, quantity, choices, unit_fen,
  packing_fen, total_fen, discount_fen, paid_fen)
SELECT :order_id, no, :site_id, l->>'item_id', l->>'name', (l->>'quantity')::int, l->'choices',
  (l->>'unit_fen')::bigint, (l->>'packing_fen')::bigint, (l->>'total_fen')::bigint,
  coalesce((l->>'discount_fen')::bigint, 0),
  coalesce((l->>'paid_fen')::bigint, (l->>'total_fen')::bigint + (l->>'packing_fen')::bigint)
FROM jsonb_array_elements(CAST(:lines AS jsonb)) WITH ORDINALITY AS t(l, no)
""")
_FIND = text("SELECT * FROM orders WHERE order_id = :order_id")


async def find(reader: Reader, order_id: str) -> Row[Any]:
    """The order's row."""
    row = await reader.first(_FIND, {"order_id": order_id})
    if row is None:
        raise NotFound
    return row


async def reserve(writer: Writer, order: Order) -> Changed:
    """Place the order of a quote: take stock and a number, write rows and `order.placed`."""
    placed = await events.stream(writer, order.order_id)
    if placed is not None:
        return Changed(stream=placed, fresh=False)
    quote = await writer.first(
        _QUOTE,
        {
            "quote_id": order.quote_id,
            "customer_id": order.customer_id,
            "site_id": order.site_id,
        },
    )
    if quote is None or quote.total_fen != order.total_fen:
        raise QuoteExpired
    await _take_stock(writer, order, quote.lines)
    number = await writer.scalar(
        _NUMBER,
        {"shop_id": order.shop_id, "business_day": quote.business_day, "site_id": order.site_id},
    )
    placed_at = await _insert(writer, order, quote, number)
    await events.open_stream(
        writer,
        order_id=order.order_id,
        site_id=order.site_id,
        customer_id=order.customer_id,
        merchant_id=order.merchant_id,
        shop_id=order.shop_id,
    )
    view = _first_view(order, quote, number) | {"placed_at": placed_at}
    event = Event(
        type="order.placed", key=PLACED_KEY, data=view, actor=f"customer:{order.customer_id}"
    )
    await events.append(writer, order.order_id, event)
    stream = await events.stream(writer, order.order_id)
    assert stream is not None  # noqa: S101 - opened above, in this transaction
    return Changed(stream=stream, fresh=True)


async def _take_stock(writer: Writer, order: Order, lines: list[dict[str, Any]]) -> None:
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line["item_id"]] = wanted.get(line["item_id"], 0) + line["quantity"]
    for item_id in sorted(wanted):  # one order of locks for every basket
        parameters = {
            "shop_id": order.shop_id,
            "item_id": item_id,
            "quantity": wanted[item_id],
        }
        taken = await writer.first(_TAKE_STOCK, parameters)
        if taken is None:
            raise SoldOut(item_id=item_id)
        if taken.stock is not None:
            await writer.run(
                _LEASE, parameters | {"order_id": order.order_id, "site_id": order.site_id}
            )


async def _insert(writer: Writer, order: Order, quote: Row[Any], number: int) -> Any:  # noqa: ANN401
    common = {"order_id": order.order_id, "site_id": order.site_id}
    placed_at = await writer.scalar(
        _ORDER,
        common
        | {
            "customer_id": order.customer_id,
            "merchant_id": order.merchant_id,
            "shop_id": order.shop_id,
            "zone_id": quote.zone_id,
            "quote_id": order.quote_id,
            "address_id": quote.address_id,
            "fulfilment": quote.fulfilment,
            "window_from": quote.window_from,
            "window_to": quote.window_to,
            "tableware": order.tableware,
            "business_day": quote.business_day,
            "number": number,
            "goods_fen": quote.goods_fen,
            "packing_fen": quote.packing_fen,
            "delivery_fee_fen": quote.delivery_fee_fen,
            "tip_fen": quote.tip_fen,
            "discounts": dumps(quote.discounts),
            "channel_fee_fen": quote.channel_fee_fen,
            "total_fen": quote.total_fen,
            "credit_fen": order.credit_fen,
            "timers": dumps(order.timers),
            "pay_by": order.pay_by,
        },
    )
    await writer.run(_LINES, common | {"lines": dumps(quote.lines)})
    return placed_at


def _first_view(order: Order, quote: Row[Any], number: int) -> dict[str, Any]:
    window = {"from": quote.window_from, "to": quote.window_to} if quote.window_from else None
    return {
        "order_id": order.order_id,
        "number": number,
        "site_id": order.site_id,
        "shop_id": order.shop_id,
        "shop_name": quote.shop_name,
        "merchant_id": order.merchant_id,
        "status": Status.AWAITING_PAYMENT,
        "payment": Payment.UNPAID,
        "kitchen": Kitchen.NONE,
        "held": False,
        "delivery": Delivery.NONE,
        "after_sale": "none",
        "close_reason": "",
        "cancel_request": "none",
        "fulfilment": quote.fulfilment,
        "requested_window": window,
        "tableware": order.tableware,
        "lines": quote.lines,
        "goods_fen": quote.goods_fen,
        "packing_fen": quote.packing_fen,
        "delivery_fee_fen": quote.delivery_fee_fen,
        "tip_fen": quote.tip_fen,
        "discounts": quote.discounts,
        "channel_fee_fen": quote.channel_fee_fen,
        "total_fen": quote.total_fen,
        "credit_fen": order.credit_fen,
        "paid_fen": 0,
        "refunded_fen": 0,
        "pay_by": order.pay_by,
        "promise": quote.promise.get("told"),
        "promised_from": None,
        "promised_at": None,
        "estimated_at": None,
        "delay": None,
        "rider_id": "",
    }


async def begin(writer: Writer, step: Step) -> tuple[Stream, bool]:
    """Lock the order; whether this step has been done before."""
    stream = await events.lock(writer, step.order_id)
    if stream is None:
        raise NotFound
    return stream, await events.seen(writer, step.order_id, step.key) is not None


async def change(writer: Writer, step: Step, stream: Stream, what: Change) -> Changed:
    """Write row and event of a step that `begin` found to be new; refuse a way back (law 7)."""
    after = what.data.get("status")
    if after is not None and not may_follow(Status(stream.view["status"]), Status(after)):
        raise ActionNotAllowed(status=stream.view["status"])
    known = {name: value for name, value in what.columns.items() if value is not events.NOW}
    await writer.run(
        _update(tuple(known), tuple(name for name in what.columns if name not in known)),
        known | {"order_id": step.order_id},
    )
    event = Event(
        type=what.type,
        key=step.key,
        data=what.data,
        actor=step.actor,
        request_id=step.request_id,
    )
    seq = await events.append(writer, step.order_id, event)
    return Changed(
        stream=Stream(
            order_id=stream.order_id,
            site_id=stream.site_id,
            customer_id=stream.customer_id,
            merchant_id=stream.merchant_id,
            shop_id=stream.shop_id,
            seq=seq,
            view=stream.view | dict(what.data),
        ),
        fresh=True,
    )


@lru_cache(maxsize=KINDS_OF_CHANGE)
def _update(given: tuple[str, ...], dated: tuple[str, ...]) -> TextClause:
    """The change of an order's row in plain SQL: `given` columns, and those that become now()."""
    sets = [f"{name} = :{name}" for name in given]
    sets += [f"{name} = now()" for name in (*dated, "changed_at")]
    return text(f"UPDATE orders SET {', '.join(sets)} WHERE order_id = :order_id")  # noqa: S608


async def apply(writer: Writer, step: Step, what: Change) -> Changed:
    """One step that needs nothing else: lock, recognise, write."""
    stream, repeated = await begin(writer, step)
    if repeated:
        return Changed(stream=stream, fresh=False)
    return await change(writer, step, stream, what)


async def release_stock(writer: Writer, order_id: str) -> None:
    """Give back what the order still holds, exactly once (law 6)."""
    await writer.run(_RELEASE, {"order_id": order_id})


def has_ended(stream: Stream) -> bool:
    """Whether nothing can change the order's status any more."""
    return Status(stream.view["status"]) in FINAL
