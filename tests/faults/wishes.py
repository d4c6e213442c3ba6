"""Stories of customers who want money back after their order has ended."""

import uuid
from typing import TYPE_CHECKING

from tests.e2e.world import Json

if TYPE_CHECKING:
    from tests.faults.crowd import Visit

NOODLES_FEN = 1_900
"""With their packing: what a wish for the one line gives back."""


async def asks_back(visit: "Visit") -> None:
    """The merchant refuses, support gives it all the same."""
    wish = await _wish(visit, NOODLES_FEN, "quality")
    merchant, no = visit.patient.world.merchant_id, {"reason_code": "fine"}
    await _tap(visit, f"/v1/merchant/after-sales/{wish}/reject", "merchant", merchant, no)
    await _tap(visit, f"/v1/after-sales/{wish}/escalate", "customer", visit.customer, {})
    await _decided(visit, wish, "approve")


async def asks_in_vain(visit: "Visit") -> None:
    """Support's last word is no."""
    await _decided(visit, await _wish(visit, 0, "other"), "reject")


async def _wish(visit: "Visit", given_back_fen: int, reason: str) -> str:
    await visit.place(given_back_fen=given_back_fen)
    await visit.accepted()
    await visit.eaten()
    body = {"lines": [{"line_no": 1, "quantity": 1}], "reason_code": reason}
    path = f"/v1/orders/{visit.order_id}/refunds"
    who = visit.patient.world.token("customer", visit.customer)
    asked = await visit.patient.call("POST", path, who, body, key=uuid.uuid4().hex)
    await visit.pause()
    return str(asked.json()["after_sale_id"])


async def _decided(visit: "Visit", wish: str, decision: str) -> None:
    body = {"decision": decision, "reason_code": "looked"}
    await _tap(visit, f"/v1/support/after-sales/{wish}/decide", "support", "ann", body)


async def _tap(visit: "Visit", path: str, role: str, subject: str, body: Json) -> None:
    who = visit.patient.world.token(role, subject)
    await visit.patient.call("POST", path, who, body or None, key=uuid.uuid4().hex)
    await visit.pause()
