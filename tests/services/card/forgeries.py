"""Forgeries of Stripe's webhooks: of each right one, one thing is wrong."""

import random
import time
from collections.abc import Iterator
from typing import Any

import stripe

FORGED = 60
INTENT: dict[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 2999,
    "amount_received": 2000,
    "currency": "cny",
    "status": "succeeded",
    "last_payment_error": None,
    "metadata": {"out_trade_no": "n1"},
}


def event_of(kind: str = "payment_intent.succeeded", **changes: Any) -> dict[str, Any]:
    """A webhook's body."""
    event = {
        "id": "evt_1",
        "object": "event",
        "created": 1_700_000_000,
        "data": {"object": INTENT},
        "type": kind,
    }
    return event | changes


def signature(body: bytes, webhook_secret: str, *, age: int = 0) -> str:
    """The header of a webhook signed so many seconds ago."""
    return stripe.WebhookSignature.generate_signature_header(
        body.decode(), webhook_secret, int(time.time()) - age
    )


def forgeries(webhook_secret: str, right: bytes) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Forgeries of this true webhook: their names, headers and bodies."""
    dice = random.Random(7)  # noqa: S311 (no secret)
    header = signature(right, webhook_secret)
    stamp, _, mac = header.partition(",v1=")
    ways = {
        "no header": {},
        "empty": {"Stripe-Signature": ""},
        "no time": {"Stripe-Signature": f"v1={mac}"},
        "no signature": {"Stripe-Signature": stamp},
        "other scheme": {"Stripe-Signature": f"{stamp},v0={mac}"},
        "not ascii": {"Stripe-Signature": f"{stamp},v1=é"},
        "no number": {"Stripe-Signature": f"t=x,v1={mac}"},
        "huge time": {"Stripe-Signature": f"t={'9' * 5000},v1={mac}"},
        "negative time": {"Stripe-Signature": f"t=-1,v1={mac}"},
        "swapped case": {"Stripe-Signature": f"{stamp},v1={mac.upper()}"},
        "no equals": {"Stripe-Signature": "t,v1"},
        "commas": {"Stripe-Signature": "," * 999},
    }
    for name, headers in ways.items():
        yield name, headers, right
    for number in range(FORGED):
        place = dice.randrange(len(right))
        flipped = bytes([right[place] ^ (1 << dice.randrange(8))])
        body = right[:place] + flipped + right[place + 1 :]
        yield f"bit {number}", {"Stripe-Signature": header}, body
    for number in range(10):
        old = signature(right, webhook_secret, age=301 + dice.randrange(10**6))
        yield f"old {number}", {"Stripe-Signature": old}, right
        strangers = signature(right, f"whsec_{dice.randrange(10**9)}")
        yield f"secret {number}", {"Stripe-Signature": strangers}, right
