"""Balance transactions: what moved on a merchant's balance, the source of its bill."""

from dataclasses import dataclass

from sandbox.card.objects import Objects
from sandbox.card.wire import make_id
from sandbox.wire import Json

FEE_PER_MILLE = 34
FEE_FIXED_FEN = 200
DISPUTE_FEE_FEN = 10_000
"""Not given back, however the dispute ends."""

_CATEGORIES = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "adjustment": "dispute",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Books what moves; amounts in fen, positive into the merchant's balance."""

    objects: Objects

    def book(
        self,
        account: str,
        kind: str,
        amount: int,
        source: Json,
        *,
        fee: int = 0,
        category: str = "",
    ) -> str:
        """Book a movement of an object; its id."""
        details = {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Stripe processing fees" if kind == "charge" else "Dispute fee",
            "type": "stripe_fee",
        }
        body = self.objects.add(
            account,
            {
                "id": make_id("txn"),
                "object": "balance_transaction",
                "amount": amount,
                "balance_type": "payments",
                "currency": source["currency"],
                "description": None,
                "exchange_rate": None,
                "fee": fee,
                "fee_details": [details] if fee else [],
                "net": amount - fee,
                "reporting_category": category or _CATEGORIES[kind],
                "source": source["id"],
                "status": "available",
                "type": kind,
            },
        )
        # Instant here: every amount is available when it is booked.
        body["available_on"] = body["created"]
        self.objects.save(body)
        return str(body["id"])


def charge_fee(amount: int) -> int:
    """Return Stripe's fee for a payment: 3.4 % rounded half up, and a fixed part."""
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED_FEN
