"""How customers pay, as `--channel` says it, and what they need for it beforehand."""

import random
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from cli import people
from cli.people import People

WAYS: dict[str, dict[str, Any]] = {
    "wechat": {"channel": "wechat"},
    "alipay": {"channel": "alipay", "method": "native"},
    "huabei": {"channel": "alipay", "method": "native", "instalments": 3},
    "card": {"channel": "card"},
    "balance": {"channel": "bank", "method": "wallet"},
    "ecny": {"channel": "bank", "method": "ecny"},
    "mixed": {"channel": "wechat", "credit_fen": 500},
}
WALLET_FEN = 100_000
GIFT_LIVES = timedelta(days=30)


def channels_of(ways: Iterable[str]) -> list[str]:
    """The channels that these ways use, each once."""
    return list(dict.fromkeys(WAYS[way]["channel"] for way in ways))


def way_of(order: str, ways: Sequence[str]) -> dict[str, Any]:
    """How an order of a day is paid; the same in every run."""
    dice = random.Random(order)  # noqa: S311 - no secret: a day to be had again
    return WAYS[dice.choice(ways)]


async def prepare(
    group: People, api: httpx.AsyncClient, customer_id: str, wallet: str, way: dict[str, Any]
) -> None:
    """Fill the customer's wallet at the partner's bank, or have support give them credit."""
    if way.get("method") == "wallet":
        filled = {"wallet": wallet, "top_up_fen": WALLET_FEN}
        answer = await group.http.post("/control/bank/wallets", json=filled)
        answer.raise_for_status()
    if way.get("credit_fen"):
        gift = {
            "customer_id": customer_id,
            "amount_fen": way["credit_fen"],
            "reason_code": "demo",
            "expires_at": (datetime.now(UTC) + GIFT_LIVES).isoformat(),
        }
        support = people.token(group.site_id, "support", f"for-{customer_id}")
        headers = {"Authorization": f"Bearer {support}", "Idempotency-Key": uuid.uuid4().hex}
        answer = await api.post("/v1/support/credit", json=gift, headers=headers)
        answer.raise_for_status()
