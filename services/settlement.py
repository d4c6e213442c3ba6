"""Settlement's rows: contracts, what each order's division is, its numbers, and what came of them.

Whoever writes here holds the order's stream lock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import ids, settlement
from domain.books import account, journal
from domain.contracts.settlement import AGAIN_SECONDS, POLL_SECONDS, SettleOrder
from domain.errors import NotFound
from domain.settlement import Contract, Deliverer, Sale, Shares, SplitState
from services import ledger
from services.db import Reader, Writer

PAGE_ROWS = 200
QUIET_SECONDS = 60
OPEN_STATES = (SplitState.CREATED, SplitState.ASKED)

_CONTRACT = """
SELECT {columns} FROM contracts k
WHERE k.site_id = o.site_id AND k.merchant_id IN (o.merchant_id, '') AND k.kind = 'takeaway'
  AND k.valid_from <= o.placed_at
ORDER BY k.merchant_id DESC, k.valid_from DESC LIMIT 1
"""
_RECEIVED = """(EXISTS (SELECT FROM channel_accounts p
  WHERE p.site_id = o.site_id AND p.merchant_id = 'platform' AND p.channel = c.channel)
AND coalesce(({yields}), true))"""
MAY_SPLIT = _RECEIVED.format(
    yields=_CONTRACT.format(columns="k.commission_bp > 0 OR k.delivered_by = 'platform'")
)
"""Whether order `o` at account `c` may have to be split: its contract gives the platform a part."""
_WITH_CONTRACT = """
SELECT o.order_id, o.delivery_fee_fen, k.* FROM orders o LEFT JOIN LATERAL ({contract}) k ON true
WHERE o.order_id = ANY(:order_ids)
"""
_CONTRACT_OF = text(
    _WITH_CONTRACT.format(
        contract=_CONTRACT.format(columns="k.commission_bp, k.delivered_by, k.rider_fee_bp")
    )
)
_INSERT = text("""
INSERT INTO settlements (order_id, site_id, merchant_id, out_trade_no, account_id, merchant_fen,
  commission_fen, delivery_fen)
SELECT o.order_id, o.site_id, o.merchant_id, a.out_trade_no, a.account_id, :merchant_fen,
  :commission_fen, :delivery_fen
FROM orders o JOIN payment_attempts a ON a.order_id = o.order_id AND a.state = 'paid'
  AND a.purpose = 'order'
WHERE o.order_id = :order_id AND a.amount_fen > (
  SELECT coalesce(sum(amount_fen), 0) FROM refunds r WHERE r.out_trade_no = a.out_trade_no)
""")
_SETTLING = text("""
SELECT s.order_id, s.site_id, s.merchant_id, s.merchant_fen, s.commission_fen, s.delivery_fen,
  s.share_fen, s.shipped_at, s.ended_at, s.out_trade_no, a.channel, a.transaction_id, a.split,
  a.amount_fen AS paid_fen, c.keys_ref, c.mchid, o.customer_id, o.number,
  shop.name AS shop_name,
  a.amount_fen - (SELECT coalesce(sum(amount_fen), 0) FROM refunds r
    WHERE r.out_trade_no = a.out_trade_no)::bigint
  - (SELECT coalesce(sum(CASE j.event WHEN 'dispute_opened' THEN e.amount_fen
      ELSE -e.amount_fen END), 0) FROM ledger_journals j JOIN ledger_entries e
    ON e.journal_id = j.id AND e.side = 'D' WHERE j.site_id = s.site_id
      AND j.order_id = s.order_id AND j.event IN ('dispute_opened', 'dispute_won'))::bigint
    AS left_fen,
  coalesce(p.mchid, '') AS receiver, coalesce(m.name, '') AS receiver_name
FROM settlements s JOIN orders o USING (order_id)
JOIN payment_attempts a ON a.out_trade_no = s.out_trade_no
JOIN channel_accounts c ON c.account_id = s.account_id
LEFT JOIN shops shop ON shop.shop_id = o.shop_id
LEFT JOIN channel_accounts p ON p.site_id = s.site_id AND p.channel = a.channel
  AND p.merchant_id = :platform
LEFT JOIN merchants m ON m.site_id = s.site_id AND m.merchant_id = p.merchant_id
WHERE s.order_id = :order_id ORDER BY p.account_id LIMIT 1
""")
_SPLITS = text("SELECT * FROM splits WHERE order_id = :order_id ORDER BY number")
_NEW_SPLIT = text("""
INSERT INTO splits (out_order_no, site_id, order_id, number, kind, receiver, amount_fen, state)
VALUES (:out_order_no, :site_id, :order_id, :number, :kind, :receiver, :amount_fen, 'created')
""")
_MARK = text("""
UPDATE splits SET state = :state, reason = :reason,
  gateway_number = coalesce(nullif(:name, ''), gateway_number),
  ended_at = CASE WHEN :state IN ('success', 'closed') THEN now() END
WHERE out_order_no = :number AND state IN ('created', 'asked')
""")
_SHIPPED = text("UPDATE settlements SET shipped_at = now() WHERE order_id = :order_id")
_ENDED = text("""
UPDATE settlements SET share_fen = :share_fen, returnable_fen = :returnable_fen, ended_at = now()
WHERE order_id = :order_id AND ended_at IS NULL
""")
_DUE = text("""
SELECT coalesce(sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END), 0)
FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
WHERE j.site_id = :site_id AND j.order_id = :order_id AND e.account = :account
""")
_OPEN = """
SELECT s.order_id, coalesce(i.speed, 1) AS speed, s.followed_at
FROM settlements s LEFT JOIN sites i USING (site_id) WHERE s.ended_at IS NULL
"""
_UNFOLLOWED = text(_OPEN + "AND s.followed_at IS NULL ORDER BY s.created_at LIMIT :limit")
_QUIET = text(
    _OPEN
    + """AND s.followed_at < now() - make_interval(secs => :quiet_seconds)
AND (s.followed_at, s.order_id) > (:at, :id) ORDER BY s.followed_at, s.order_id LIMIT :limit"""
)
_FOLLOWED = text("""
UPDATE settlements SET followed_at = now() WHERE order_id = ANY(:order_ids)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """A stored settlement with its payment, payee and receiver."""

    order_id: str
    site_id: str
    customer_id: str
    merchant_id: str
    out_trade_no: str
    channel: str
    transaction_id: str
    mchid: str
    keys_ref: str
    split: bool
    """The money waits at the channel to be shared out."""
    paid_fen: int
    left_fen: int
    """Paid, not promised back and not with the customer's bank: the payee's, or split."""
    merchant_fen: int
    commission_fen: int
    delivery_fen: int
    share_fen: int
    receiver: str
    """The platform's number at this channel; empty: it has none."""
    receiver_name: str
    shop_name: str
    number: int
    shipped_at: datetime | None
    ended_at: datetime | None


async def contract_of(reader: Reader, order_id: str) -> tuple[Contract, int]:
    """The contract that held when the order was placed, and the order's delivery fee in fen."""
    row = await reader.first(_CONTRACT_OF, {"order_ids": [order_id]})
    if row is None:
        raise NotFound
    return _contract(row), row.delivery_fee_fen


async def rider_fees(reader: Reader, order_ids: Collection[str]) -> dict[str, int]:
    """By order what its delivery earns a rider, fen; the caller bounds their number."""
    rows = await reader.all(_CONTRACT_OF, {"order_ids": list(order_ids)})
    return {row.order_id: _contract(row).rider_fee(row.delivery_fee_fen) for row in rows}


def _contract(row: Row[Any]) -> Contract:
    if row.commission_bp is None:
        return Contract()
    return Contract(
        commission_bp=row.commission_bp,
        delivered_by=Deliverer(row.delivered_by),
        rider_fee_bp=row.rider_fee_bp,
    )


async def divide(reader: Reader, order: Row[Any], *, borne_fen: int) -> Shares:
    """An order's row as its contract divides what it still holds."""
    contract, _ = await contract_of(reader, order.order_id)
    given = (one["amount_fen"] for one in order.discounts if one["bearer"] == "merchant")
    return settlement.divide(
        contract,
        Sale(
            goods_fen=order.goods_fen,
            packing_fen=order.packing_fen,
            delivery_fee_fen=order.delivery_fee_fen,
            channel_fee_fen=order.channel_fee_fen,
            merchant_discount_fen=sum(given),
            borne_fen=borne_fen,
            held_fen=order.paid_fen - order.refunded_fen,
        ),
    )


async def open_settlement(writer: Writer, order_id: str, shares: Shares) -> None:
    """Store what is to become of the money at the order's channel, if any is left there."""
    await writer.run(
        _INSERT,
        {
            "order_id": order_id,
            "merchant_fen": shares.merchant_fen + shares.subsidy_fen,
            "commission_fen": shares.commission_fen,
            "delivery_fen": shares.delivery_fen,
        },
    )


async def settling(reader: Reader, order_id: str) -> Settling:
    """An order's settlement; raises NotFound."""
    named = {"order_id": order_id, "platform": settlement.PLATFORM}
    row = await reader.first(_SETTLING, named)
    if row is None:
        raise NotFound
    return Settling(**row._mapping)  # noqa: SLF001


async def splits(reader: Reader, order_id: str) -> Sequence[Row[Any]]:
    """Every number of an order's settlement, oldest first."""
    return await reader.all(_SPLITS, {"order_id": order_id})


async def new_split(
    writer: Writer, of: Settling, *, kind: str, number: int, amount_fen: int = 0
) -> None:
    """Store a number before the channel hears of it."""
    await writer.run(
        _NEW_SPLIT,
        {
            "out_order_no": ids.out_order_no(of.order_id, number),
            "site_id": of.site_id,
            "order_id": of.order_id,
            "number": number,
            "kind": kind,
            "receiver": of.receiver,
            "amount_fen": amount_fen,
        },
    )


async def mark(
    writer: Writer, out_order_no: str, state: SplitState, reason: str = "", *, name: str = ""
) -> bool:
    """Write where a number is, and the channel's `name` of it, if told; False if it had ended."""
    said = {"number": out_order_no, "state": state, "reason": reason, "name": name}
    return bool(await writer.run(_MARK, said))


async def book_share(writer: Writer, of: Settling, split: Row[Any]) -> None:
    """The platform has its share of an order."""
    await ledger.post(
        writer,
        journal(
            "platform_share_split",
            site_id=of.site_id,
            order_id=of.order_id,
            channel=of.channel,
            mchid=of.mchid,
            out_order_no=split.out_order_no,
            amount_fen=split.amount_fen,
        ),
    )


async def shipped(writer: Writer, order_id: str) -> None:
    """The channel knows of the delivery."""
    await writer.run(_SHIPPED, {"order_id": order_id})


async def due(reader: Reader, of: Settling) -> int:
    """What the order's merchant has to get for it by now, fen."""
    payable = account("merchant", merchant_id=of.merchant_id).code
    named = {"site_id": of.site_id, "order_id": of.order_id, "account": payable}
    return int(await reader.scalar(_DUE, named))


async def end(writer: Writer, of: Settling, *, share_fen: int, returnable: bool) -> None:
    """Book what the payee has at the channel as the merchant's, who owes what is above their due.

    Refunds that were opened since are counted in.
    """
    returnable_fen = share_fen if returnable else 0
    said = {"order_id": of.order_id, "share_fen": share_fen, "returnable_fen": returnable_fen}
    if not await writer.run(_ENDED, said):
        return
    rest = of.left_fen - share_fen
    received = max(min(rest, await due(writer, of)), 0)
    moved = {
        "merchant_received": received,
        "share_owed": max(rest - received, 0),
        # A refund that overtook the split is paid out of what the merchant has at the channel.
        "merchant_returned": max(-rest, 0),
    }
    for event, amount_fen in moved.items():
        if amount_fen:
            await _book(writer, event, of, amount_fen)


async def _book(writer: Writer, event: str, of: Settling, amount_fen: int) -> None:
    booked = await ledger.post(
        writer,
        journal(
            event,
            site_id=of.site_id,
            order_id=of.order_id,
            merchant_id=of.merchant_id,
            channel=of.channel,
            mchid=of.mchid,
            reference=of.order_id,
            amount_fen=amount_fen,
        ),
    )
    if booked.status == "declined":
        raise RuntimeError(f"{event} was declined: {booked.reason}")


async def unfollowed(reader: Reader) -> list[SettleOrder]:
    """The oldest settlements whose workflow nobody has started yet."""
    return [_input(row) for row in await reader.all(_UNFOLLOWED, {"limit": PAGE_ROWS})]


async def quiet(reader: Reader, after: tuple[datetime, str]) -> list[tuple[datetime, SettleOrder]]:
    """A page of open settlements that were started a while ago, beyond (followed_at, id)."""
    page = {"at": after[0], "id": after[1], "limit": PAGE_ROWS, "quiet_seconds": QUIET_SECONDS}
    return [(row.followed_at, _input(row)) for row in await reader.all(_QUIET, page)]


async def followed(writer: Writer, order_ids: Sequence[str]) -> None:
    """Their workflows were started."""
    await writer.run(_FOLLOWED, {"order_ids": list(order_ids)})


def _input(row: Row[Any]) -> SettleOrder:
    return SettleOrder(
        order_id=row.order_id,
        poll_seconds=tuple(seconds / row.speed for seconds in POLL_SECONDS),
        again_seconds=AGAIN_SECONDS / row.speed,
    )
