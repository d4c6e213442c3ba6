"""Disputes (chargebacks): opened by the customer's bank, answered by the merchant, decided."""

import time
from dataclasses import dataclass
from typing import Literal

from sandbox.card.balance import DISPUTE_FEE_FEN, Balance
from sandbox.card.events import Events
from sandbox.card.objects import Objects
from sandbox.card.params import Retrieve, UpdateDispute, read
from sandbox.card.wire import bad_request, make_id, shown
from sandbox.wire import Json

ANSWER_WITHIN_SECONDS = 7 * 24 * 3600
OPEN = frozenset({"needs_response", "under_review"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputes:
    """The disputes of all accounts; the money is gone from the day a dispute opens."""

    objects: Objects
    balance: Balance
    events: Events

    def open(
        self, account: str, charge: Json, *, amount: int | None = None, reason: str = "fraudulent"
    ) -> Json:
        """Take a captured payment back, whole or in part; 400 when it is disputed already."""
        self.objects.schedule(charge, None)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = amount or left
        if charge["disputed"] or not 0 < amount <= left:
            raise bad_request("This charge cannot be disputed.", code="charge_disputed")
        dispute = self.objects.add(
            account,
            {
                "id": make_id("du"),
                "object": "dispute",
                "amount": amount,
                "balance_transactions": [],
                "charge": charge["id"],
                "currency": charge["currency"],
                "enhanced_eligibility_types": [],
                "evidence": {"enhanced_evidence": {}},
                "evidence_details": {
                    "due_by": int(time.time()) + ANSWER_WITHIN_SECONDS,
                    "enhanced_eligibility": {},
                    "has_evidence": False,
                    "past_due": False,
                    "submission_count": 0,
                },
                "is_charge_refundable": False,
                "livemode": False,
                "metadata": {},
                "payment_intent": charge["payment_intent"],
                "payment_method_details": {
                    "card": {
                        "brand": "visa",
                        "case_type": "chargeback",
                        "network_reason_code": "10.4",
                    },
                    "type": "card",
                },
                "reason": reason,
                "status": "needs_response",
                "_number": charge["metadata"].get("out_trade_no", ""),
            },
            parent=charge["payment_intent"],
        )
        charge["disputed"] = True
        self.objects.save(charge)
        self._move(account, dispute, -amount, fee=DISPUTE_FEE_FEN, category="dispute")
        self._emit(account, "charge.dispute.created", dispute)
        return shown(dispute)

    def update(self, account: str, key: str, given: Json) -> Json:
        """Take the merchant's evidence; submitted, the bank reviews it."""
        wish = read(UpdateDispute, given)
        dispute = self._open(account, key)
        dispute["evidence"] |= wish.evidence
        dispute["metadata"] |= wish.metadata
        details = dispute["evidence_details"]
        details["has_evidence"] |= bool(wish.evidence)
        if wish.submit and wish.evidence:
            dispute["status"] = "under_review"
            details["submission_count"] += 1
        self.objects.save(dispute)
        self._emit(account, "charge.dispute.updated", dispute)
        return shown(dispute)

    def close(self, account: str, key: str, given: Json) -> Json:
        """Accept that the dispute is lost."""
        read(Retrieve, given)
        return self.decide(account, key, "lost")

    def decide(self, account: str, key: str, status: Literal["won", "lost"]) -> Json:
        """Let the bank decide; a won dispute gives the money back, its fee never."""
        dispute = self._open(account, key)
        dispute["status"] = status
        self.objects.save(dispute)
        if status == "won":
            self._move(account, dispute, dispute["amount"], fee=0, category="dispute_reversal")
        self._emit(account, "charge.dispute.closed", dispute)
        return shown(dispute)

    def _open(self, account: str, key: str) -> Json:
        dispute = self.objects.get(account, "dispute", key)
        if dispute["status"] not in OPEN:
            raise bad_request("This dispute is already closed")
        return dispute

    def _move(self, account: str, dispute: Json, amount: int, *, fee: int, category: str) -> None:
        moved = self.balance.book(
            account, "adjustment", amount, dispute, fee=fee, category=category
        )
        dispute["balance_transactions"].append(
            shown(self.objects.get(account, "balance_transaction", moved))
        )
        self.objects.save(dispute)

    def _emit(self, account: str, kind: str, dispute: Json) -> None:
        self.events.emit(account, kind, dispute, dispute["_number"])
