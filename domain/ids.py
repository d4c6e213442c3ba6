"""Names of things that cross systems, as pure functions: order, payment, refund, workflow ids."""

import base64
import hashlib

ORDER_ID_CHARS = 26
"""With an attempt's suffix it fits WeChat's 32 characters."""
TIP_CHARS = 5
"""Enough for an order's few tips; two that fell together would be refused, not mixed."""


def derive(*parts: str) -> str:
    """26 lower-case base32 characters that depend on all parts, and on where each begins."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:ORDER_ID_CHARS]


def order_id(site_id: str, customer_id: str, idempotency_key: str) -> str:
    """The order that this customer's key names, now and at every retry."""
    return derive("order", site_id, customer_id, idempotency_key)


def out_trade_no(order: str, attempt: int) -> str:
    """Our number of a payment at the gateway, ≤ 32 characters."""
    return f"{order}p{attempt:02d}"


def tip_no(order: str, request_id: str) -> str:
    """Our number of a tip's payment at the gateway, 32 characters: a repeat has the same."""
    return f"{order}t{derive('tip', order, request_id)[:TIP_CHARS]}"


def out_refund_no(order: str, number: int) -> str:
    """Our number of a refund at the gateway, ≤ 32 characters."""
    return f"{order}r{number:02d}"


def out_order_no(order: str, number: int) -> str:
    """Our number of a split or an unfreeze at the gateway, ≤ 32 characters."""
    return f"{order}s{number:02d}"


def out_return_no(order: str, number: int) -> str:
    """Our number of a share's return at the gateway, ≤ 32 characters."""
    return f"{order}b{number:02d}"


def order_of(gateway_number: str) -> str:
    """The order that a number at the gateway belongs to."""
    return gateway_number[:ORDER_ID_CHARS]


def order_workflow(order: str) -> str:
    """Workflow id of an order's life."""
    return f"order/{order}"


def refund_workflow(refund_no: str) -> str:
    """Workflow id of a refund's way home."""
    return f"refund/{refund_no}"


def tip_workflow(out_trade_no: str) -> str:
    """Workflow id of a tip that is given after delivery."""
    return f"tip/{out_trade_no}"


def payment_workflow(order: str, tip: str) -> str:
    """Workflow id of whoever waits for a payment: the order, or its `tip` of this number."""
    return tip_workflow(tip) if tip else order_workflow(order)


def after_sale_id(order: str, idempotency_key: str) -> str:
    """The wish for money back that this key of the order's customer names."""
    return derive("after_sale", order, idempotency_key)


def after_sale_workflow(after_sale: str) -> str:
    """Workflow id of a wish for money back."""
    return f"after-sale/{after_sale}"


def dispatch_workflow(site_id: str, zone_id: str) -> str:
    """Workflow id of a zone's dispatch."""
    return f"dispatch/{site_id}/{zone_id}"


def recover_workflow(order: str) -> str:
    """Workflow id of the mending of an order whose workflow is gone."""
    return f"recover/{order}"


def ticket_workflow(ticket_id: int) -> str:
    """Workflow id of a ticket's way to its end."""
    return f"ticket/{ticket_id}"


def settlement_workflow(order: str) -> str:
    """Workflow id of an order's money being shared out."""
    return f"settlement/{order}"


def reconcile_workflow(account_id: str, day: str) -> str:
    """Workflow id of an account's day being reconciled."""
    return f"reconcile/{account_id}/{day}"


def payout_batch(site_id: str, actor: str, idempotency_key: str) -> str:
    """The batch of payouts that this person's key names."""
    return derive("payout", site_id, actor, idempotency_key)


def payout_line(batch: str, party: str, party_id: str) -> str:
    """Our number of one payout at the bank, to a rider or merchant."""
    return derive("payout_line", batch, party, party_id)


def answers_workflow(ticket_id: int) -> str:
    """Workflow id of what a ticket's channel has yet to hear."""
    return f"answers/{ticket_id}"


def payout_workflow(batch: str) -> str:
    """Workflow id of a batch of payouts."""
    return f"payout/{batch}"
