"""Refunds of charges: asked for, pending, and how each comes to its end."""

import time
from dataclasses import dataclass
from typing import Literal

from sandbox.card.accounts import Accounts
from sandbox.card.balance import Balance
from sandbox.card.events import Events
from sandbox.card.objects import Objects
from sandbox.card.params import CreateRefund, ListRefunds, read
from sandbox.card.wire import bad_request, make_id, shown
from sandbox.wire import Json

Ending = Literal["succeeded", "failed", "canceled"]
ALIVE = frozenset({"pending", "succeeded"})


class RefundIsFinal(Exception):
    """A refund that failed or was canceled stays so, and so does one that succeeded twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """The refunds of all accounts, kept under their PaymentIntent."""

    objects: Objects
    accounts: Accounts
    balance: Balance
    events: Events

    def create(self, account: str, given: Json) -> Json:
        """Ask for a refund; it is pending, or done at once where `refund_seconds` is 0."""
        wish = read(CreateRefund, given)
        charge = self._charge(account, wish)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = wish.amount or left
        if charge["disputed"]:
            raise bad_request(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                code="charge_disputed",
            )
        if left == 0:
            raise bad_request(
                f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
            )
        if amount > left:
            raise bad_request(
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                param="amount",
            )
        refund = {
            "id": make_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "currency": charge["currency"],
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "metadata": wish.metadata,
            "payment_intent": charge["payment_intent"],
            "reason": wish.reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending",
            "transfer_reversal": None,
            "_number": charge["metadata"].get("out_trade_no", ""),
        }
        number = wish.metadata.get("out_refund_no", "")
        self.objects.add(account, refund, parent=charge["payment_intent"], number=number)
        refund["balance_transaction"] = self.balance.book(account, "refund", -amount, refund)
        self.objects.save(refund)
        self._book_back(charge, amount)
        self._emit(account, "refund.created", refund)
        self._emit(account, "charge.refunded", refund, charge)
        habits = self.accounts.habits()
        if habits.refund_seconds == 0:
            self._end(account, refund, habits.refund_outcome)
        else:
            self.objects.schedule(refund, time.time() + habits.seconds(habits.refund_seconds))
            self.events.wake.set()
        return shown(refund)

    def settle(self, account: str, refund: Json) -> None:
        """End a refund whose time has come, as the habits say."""
        self.objects.schedule(refund, None)
        self._end(account, refund, self.accounts.habits().refund_outcome)

    def resolve(self, account: str, key: str, status: Ending) -> Json:
        """End a refund by hand; even one that succeeded may still fail. `RefundIsFinal`, 404."""
        refund = self.objects.get(account, "refund", key)
        if refund["status"] not in ALIVE or refund["status"] == status:
            raise RefundIsFinal
        self.objects.schedule(refund, None)
        self._end(account, refund, status)
        return shown(refund)

    def listed(self, account: str, given: Json) -> Json:
        """List refunds, of one payment or of all."""
        wish = read(ListRefunds, given)
        parent = wish.payment_intent
        if wish.charge is not None:
            parent = self.objects.get(account, "charge", wish.charge)["payment_intent"]
        elif parent is not None:
            self.objects.get(account, "payment_intent", parent, "payment_intent")
        return self.objects.page(account, "refund", "/v1/refunds", wish, parent=parent)

    def _charge(self, account: str, wish: CreateRefund) -> Json:
        if wish.charge is not None:
            charge = self.objects.get(account, "charge", wish.charge, "charge")
        elif wish.payment_intent is not None:
            key = wish.payment_intent
            intent = self.objects.get(account, "payment_intent", key, "payment_intent")
            if intent["status"] != "succeeded":
                raise bad_request(
                    f"This PaymentIntent ({key}) does not have a successful charge to refund.",
                    code="payment_intent_unexpected_state",
                    payment_intent=shown(intent),
                )
            charge = self.objects.get(account, "charge", intent["latest_charge"])
        else:
            raise bad_request(
                "One of the following params should be provided for this request: payment_intent"
                " or charge.",
                began=False,
            )
        return charge

    def _end(self, account: str, refund: Json, status: str) -> None:
        if status == "pending":
            return
        refund["status"] = status
        if status != "succeeded":
            charge = self.objects.get(account, "charge", refund["charge"])
            self._book_back(charge, -refund["amount"])
            refund["failure_reason"] = "expired_or_canceled_card"
            refund["failure_balance_transaction"] = self.balance.book(
                account, "refund_failure", refund["amount"], refund
            )
        self.objects.save(refund)
        self._emit(account, "refund.updated", refund)
        self._emit(account, "charge.refund.updated", refund)
        if status == "failed":
            self._emit(account, "refund.failed", refund)

    def _book_back(self, charge: Json, amount: int) -> None:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        self.objects.save(charge)

    def _emit(self, account: str, kind: str, refund: Json, body: Json | None = None) -> None:
        number = refund["metadata"].get("out_refund_no")
        self.events.emit(account, kind, body or refund, refund["_number"], number)
