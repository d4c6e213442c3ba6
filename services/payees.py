"""How a customer may pay a merchant, and has paid before; what they paid is `payments`'."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text

from services.db import Reader

DOUBT_SECONDS = 300
LATEST_ORDERS = 20
PAYEES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """A merchant at a channel."""

    account_id: str
    merchant_id: str
    channel: str
    keys_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A way that a customer has paid by."""

    channel: str
    method: str
    kept: bool
    """With a card that was, or was being, kept."""


_PAYEES = text("""
SELECT DISTINCT ON (channel) account_id, merchant_id, channel, keys_ref FROM channel_accounts
WHERE site_id = :site_id AND merchant_id = :merchant_id ORDER BY channel, account_id
""")
_PAYEES_OF = text("""
SELECT account_id, merchant_id, channel, keys_ref FROM channel_accounts
WHERE site_id = :site_id AND account_id = ANY(:account_ids) ORDER BY account_id LIMIT :accounts
""")
_DOUBTFUL = text("""
SELECT channel FROM (
  SELECT DISTINCT ON (a.channel) a.channel, a.state FROM (
    SELECT order_id FROM orders WHERE merchant_id = :merchant_id AND site_id = :site_id
    AND placed_at > now() - make_interval(secs => :seconds) ORDER BY placed_at DESC LIMIT :orders
  ) o JOIN payment_attempts a USING (order_id)
  WHERE a.state <> 'created' ORDER BY a.channel, a.created_at DESC
) newest WHERE state = 'unknown'
""")
_USED = text("""
SELECT DISTINCT ON (o.placed_at, o.order_id) a.channel, a.method,
  coalesce((a.wishes ->> 'save')::boolean OR a.wishes ->> 'saved_method' <> '', false) AS kept
FROM (
  SELECT order_id, placed_at FROM orders WHERE site_id = :site_id AND customer_id = :customer_id
  ORDER BY placed_at DESC LIMIT :orders
) o JOIN payment_attempts a USING (order_id)
WHERE a.state IN ('paid', 'authorized') ORDER BY o.placed_at DESC, o.order_id
""")


async def of_merchant(reader: Reader, site_id: str, merchant_id: str) -> dict[str, Payee]:
    """Where a merchant is paid, by channel."""
    found = await reader.all(_PAYEES, {"site_id": site_id, "merchant_id": merchant_id})
    return {row.channel: Payee(**row._mapping) for row in found}  # noqa: SLF001


async def of_accounts(reader: Reader, site_id: str, account_ids: Collection[str]) -> list[Payee]:
    """At most PAYEES_MAX payees by their ids."""
    which = {"site_id": site_id, "account_ids": list(account_ids), "accounts": PAYEES_MAX}
    return [Payee(**row._mapping) for row in await reader.all(_PAYEES_OF, which)]  # noqa: SLF001


async def doubtful(reader: Reader, site_id: str, merchant_id: str) -> set[str]:
    """Channels that gave this merchant's latest payment there no answer, a moment ago."""
    which = {"site_id": site_id, "merchant_id": merchant_id}
    bounds = {"seconds": DOUBT_SECONDS, "orders": LATEST_ORDERS}
    return {row.channel for row in await reader.all(_DOUBTFUL, which | bounds)}


async def used(reader: Reader, site_id: str, customer_id: str) -> list[Used]:
    """How a customer's latest orders were paid, latest first."""
    which = {"site_id": site_id, "customer_id": customer_id, "orders": LATEST_ORDERS}
    return [Used(**row._mapping) for row in await reader.all(_USED, which)]  # noqa: SLF001
