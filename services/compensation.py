"""What compensation costs: how late an order is, and a day's caps, held under races."""

from dataclasses import dataclass

from sqlalchemy import text

from domain.compensation import CUSTOMER_DAY_FEN, SITE_DAY_FEN
from domain.errors import NotFound
from services.db import Reader, Writer

WHOLE_SITE = ""
"""Instead of a customer: the site's row, which counts everybody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How late an order is now, and what may still be given for it."""

    site_id: str
    customer_id: str
    business_day: str
    late_seconds: float
    """After the promised time, at speed 1."""
    goods_fen: int
    delivery_fee_fen: int
    given_fen: int
    left_fen: int


_LATENESS = text("""
SELECT o.site_id, o.customer_id,
  to_char(now() AT TIME ZONE s.time_zone, 'YYYY-MM-DD') AS business_day,
  CAST(coalesce(extract(epoch FROM now() - o.promised_at), 0) * s.speed AS float8) AS late_seconds,
  o.goods_fen, o.delivery_fee_fen, o.paid_fen - o.refunded_fen AS left_fen,
  (SELECT CAST(coalesce(sum(r.amount_fen + r.credit_fen), 0) AS bigint) FROM refunds r
   WHERE r.order_id = o.order_id AND r.reason = :reason) AS given_fen
FROM orders o JOIN sites s USING (site_id) WHERE o.order_id = :order_id
""")
_TAKE = text("""
INSERT INTO compensation_days AS d (site_id, business_day, customer_id, spent_fen)
SELECT :site_id, :business_day, who, :amount_fen
FROM (VALUES (CAST('' AS text), CAST(:site_day_fen AS bigint)), (:customer_id, :customer_day_fen))
  AS cap(who, cap_fen)
WHERE :amount_fen <= cap_fen
ON CONFLICT (site_id, business_day, customer_id) DO UPDATE
SET spent_fen = d.spent_fen + excluded.spent_fen
WHERE d.spent_fen + excluded.spent_fen
  <= CASE d.customer_id WHEN '' THEN :site_day_fen ELSE :customer_day_fen END
RETURNING customer_id
""")
_GIVE_BACK = text("""
UPDATE compensation_days SET spent_fen = spent_fen - :amount_fen
WHERE site_id = :site_id AND business_day = :business_day AND customer_id = :taken
""")


async def lateness(reader: Reader, order_id: str, *, reason: str) -> Lateness:
    """The order's lateness; `reason` names the refunds that were given for it."""
    row = await reader.first(_LATENESS, {"order_id": order_id, "reason": reason})
    if row is None:
        raise NotFound
    return Lateness(**row._mapping)  # noqa: SLF001


async def take(
    writer: Writer,
    late: Lateness,
    amount_fen: int,
    *,
    customer_day_fen: int = CUSTOMER_DAY_FEN,
    site_day_fen: int = SITE_DAY_FEN,
) -> bool:
    """Take an amount of both of today's caps, the customer's and the site's, or of neither."""
    parameters = {
        "site_id": late.site_id,
        "business_day": late.business_day,
        "amount_fen": amount_fen,
    }
    caps = {
        "customer_id": late.customer_id,
        "customer_day_fen": customer_day_fen,
        "site_day_fen": site_day_fen,
    }
    taken = await writer.all(_TAKE, parameters | caps)
    if len(taken) == len((WHOLE_SITE, late.customer_id)):
        return True
    for row in taken:
        await writer.run(_GIVE_BACK, parameters | {"taken": row.customer_id})
    return False
