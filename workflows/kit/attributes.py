"""The one registry of search attributes: codes and ids only, never read to decide anything."""

from temporalio.common import SearchAttributeKey

ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
"""`domain.orders.Status`, upserted at milestones."""
SITE = SearchAttributeKey.for_keyword("Site")
"""`site_id`, set at the start."""
SHOP = SearchAttributeKey.for_keyword("Shop")
"""`shop_id`, set at the start."""
CLOSE_REASON = SearchAttributeKey.for_keyword("CloseReason")
"""`domain.orders.CloseReason`, set at an early end."""

ALL = (ORDER_STATUS, SITE, SHOP, CLOSE_REASON)
"""What the namespace must know before the first workflow starts."""
