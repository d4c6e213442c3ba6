"""PaymentIntents and their charges: made, confirmed, challenged, captured, cancelled."""

import re
import time
from dataclasses import dataclass

from sandbox.card.accounts import Accounts
from sandbox.card.balance import Balance, charge_fee
from sandbox.card.events import Events
from sandbox.card.methods import Methods
from sandbox.card.objects import Objects
from sandbox.card.params import Cancel, Capture, Confirm, CreateIntent, Search, read
from sandbox.card.wire import StripeError, bad_request, make_id, shown
from sandbox.wire import Json

HOLD_SECONDS = 7 * 24 * 3600
SEARCH_LAG_SECONDS = 60
"""A search sees what is older than this; lists and lookups see everything."""
CONFIRMABLE = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
CANCELABLE = CONFIRMABLE | {"requires_capture"}
_CLAUSE = re.compile(r"""metadata\[["'](\w{1,40})["']\]:["']([^"']{1,500})["']""")
_OF_METHODS = frozenset({"display_brand", "networks", "three_d_secure_usage"})
"""What a saved card shows of itself and a charge by it does not."""
_OWN_CODES = frozenset({"expired_card", "incorrect_cvc", "incorrect_number", "processing_error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intents:
    """The payments of all accounts; `_method` and other private fields never leave the sandbox."""

    objects: Objects
    accounts: Accounts
    balance: Balance
    events: Events
    methods: Methods

    def create(self, account: str, given: Json) -> Json:
        """Make a PaymentIntent, and confirm it at once if asked to."""
        wish = read(CreateIntent, given)
        if wish.confirm is False and (wish.off_session or wish.return_url):
            raise bad_request(
                "off_session and return_url need confirm=true.",
                began=False,
                param="off_session" if wish.off_session else "return_url",
            )
        if wish.customer is not None:
            self.objects.get(account, "customer", wish.customer, "customer")
        if wish.payment_method is not None:
            self.methods.usable(account, wish.payment_method, wish.customer)
        key = make_id("pi")
        intent = self.objects.add(
            account,
            {
                **_BLANK,
                "id": key,
                "amount": wish.amount,
                "capture_method": wish.capture_method,
                "client_secret": make_id(f"{key}_secret", 25),
                "currency": wish.currency.lower(),
                "customer": wish.customer,
                "description": wish.description,
                "metadata": wish.metadata,
                "payment_method": wish.payment_method,
                "allowed_payment_method_types": wish.allowed_payment_method_types,
                "payment_method_types": wish.allowed_payment_method_types,
                "setup_future_usage": wish.setup_future_usage,
                "status": "requires_confirmation"
                if wish.payment_method
                else "requires_payment_method",
            },
            number=wish.metadata.get("out_trade_no", ""),
        )
        self._emit(account, "payment_intent.created", intent)
        if wish.confirm:
            self.confirm_with(account, intent, wish)
        return shown(intent)

    def confirm(self, account: str, key: str, given: Json) -> Json:
        """Try to pay by a method that Stripe knows already."""
        wish = read(Confirm, given)
        intent = self.get(account, key)
        if intent["status"] not in CONFIRMABLE:
            raise unexpected_state(intent, "confirmed")
        return self.confirm_with(account, intent, wish)

    def confirm_with(self, account: str, intent: Json, wish: Confirm) -> Json:
        """Confirm by a method of the customer; a decline is a 402 that has left its mark."""
        method_id = wish.payment_method or intent["payment_method"]
        if method_id is None:
            raise bad_request(
                "You cannot confirm this PaymentIntent because it's missing a payment method.",
                code="payment_intent_unexpected_state",
                payment_intent=shown(intent),
            )
        method = self.methods.usable(account, method_id, intent["customer"])
        intent["payment_method"] = method["id"]
        intent["next_action"] = None
        if wish.setup_future_usage is not None:
            intent["setup_future_usage"] = wish.setup_future_usage
        kind: str = method["_kind"]
        if kind in {"3ds", "3ds_fail"} and wish.off_session:
            self._decline(account, intent, method, "authentication_required")
        elif kind in {"3ds", "3ds_fail"}:
            self._challenge(account, intent, wish.return_url)
        elif kind == "expired_card" or kind.startswith("declined:"):
            self._decline(account, intent, method, kind.removeprefix("declined:"))
        else:
            self._charge(account, intent, method)
        return shown(intent)

    def finish_challenge(self, account: str, key: str) -> Json:
        """Let the customer come back from their bank (3DS); a failed proof is a 402."""
        intent = self.get(account, key)
        if intent["status"] != "requires_action":
            raise unexpected_state(intent, "authenticated")
        method = self.objects.get(account, "payment_method", intent["payment_method"])
        intent["next_action"] = None
        if method["_kind"] == "3ds_fail":
            self._decline(account, intent, method, "payment_intent_authentication_failure")
        self._charge(account, intent, method)
        return shown(intent)

    def capture(self, account: str, key: str, given: Json) -> Json:
        """Take what is held, or less; the rest is released."""
        wish = read(Capture, given)
        intent = self.get(account, key)
        if intent["status"] != "requires_capture":
            raise unexpected_state(intent, "captured")
        amount = wish.amount_to_capture or intent["amount_capturable"]
        if amount > intent["amount_capturable"]:
            raise bad_request(
                "The amount to capture is greater than the amount capturable.",
                code="amount_too_large",
                param="amount_to_capture",
                payment_intent=shown(intent),
            )
        charge = self.objects.get(account, "charge", intent["latest_charge"])
        self._take(account, intent, charge, amount)
        return shown(intent)

    def cancel(self, account: str, key: str, given: Json) -> Json:
        """Close an unpaid intent, void a held one."""
        wish = read(Cancel, given)
        intent = self.get(account, key)
        if intent["status"] not in CANCELABLE:
            raise unexpected_state(intent, "canceled")
        self._end(account, intent, wish.cancellation_reason)
        return shown(intent)

    def expire(self, account: str, intent: Json) -> None:
        """Void a hold that nobody captured for seven days."""
        self.objects.schedule(intent, None)
        if intent["status"] == "requires_capture":
            self._end(account, intent, "automatic")

    def search(self, account: str, given: Json) -> Json:
        """Find by one metadata clause, behind by `SEARCH_LAG_SECONDS` as real searches are."""
        wish = read(Search, given)
        clause = _CLAUSE.fullmatch(wish.query)
        if clause is None:
            raise bad_request("The query is not understood.", began=False, param="query")
        seen_until = time.time() - self.accounts.habits().seconds(SEARCH_LAG_SECONDS)
        number = clause[2] if clause[1] == "out_trade_no" else None
        found = [
            shown(intent)
            for intent in self.objects.all(account, "payment_intent", number=number)
            if intent["metadata"].get(clause[1]) == clause[2] and intent["created"] <= seen_until
        ]
        return {
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": len(found) > wish.limit,
            "data": found[: wish.limit],
            "next_page": None,
        }

    def get(self, account: str, key: str) -> Json:
        """Return an intent; 404."""
        return self.objects.get(account, "payment_intent", key, "intent")

    def _emit(self, account: str, kind: str, intent: Json) -> None:
        self.events.emit(account, kind, intent, intent["metadata"].get("out_trade_no", ""))

    def _challenge(self, account: str, intent: Json, return_url: str | None) -> None:
        url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent['id']}"
        intent["status"] = "requires_action"
        intent["next_action"] = (
            {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": url, "return_url": return_url},
            }
            if return_url
            else {
                "type": "use_stripe_sdk",
                "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
            }
        )
        self.objects.save(intent)
        self._emit(account, "payment_intent.requires_action", intent)

    def _decline(self, account: str, intent: Json, method: Json, decline_code: str) -> None:
        own = decline_code in _OWN_CODES or decline_code.startswith(("payment_", "authentication_"))
        code = decline_code if own else "card_declined"
        message = "Your card was declined." if not own else "Your card was not accepted."
        challenged = code == "payment_intent_authentication_failure"
        error: Json = {"code": code, "message": message, "type": "card_error"}
        if not challenged:
            error["decline_code"] = decline_code
            charge = _charge_of(intent, method)
            charge |= {
                "failure_code": code,
                "failure_message": message,
                "outcome": {**_OUTCOME, "type": "issuer_declined", "reason": decline_code},
                "paid": False,
                "status": "failed",
            }
            self.objects.add(account, charge, parent=intent["id"])
            intent["latest_charge"] = error["charge"] = charge["id"]
        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None
        intent["last_payment_error"] = {**error, "payment_method": shown(method)}
        self.objects.save(intent)
        self._emit(account, "payment_intent.payment_failed", intent)
        fields = {name: value for name, value in error.items() if name not in {"message", "type"}}
        raise StripeError(402, "card_error", message, **fields, payment_intent=shown(intent))

    def _charge(self, account: str, intent: Json, method: Json) -> None:
        charge = self.objects.add(account, _charge_of(intent, method), parent=intent["id"])
        intent["latest_charge"] = charge["id"]
        intent["last_payment_error"] = None
        if intent["setup_future_usage"] is not None:
            self.methods.attach(method, intent["customer"])
        if intent["capture_method"] != "manual":
            self._take(account, intent, charge, intent["amount"])
            return
        intent["status"] = "requires_capture"
        intent["amount_capturable"] = intent["amount"]
        self.objects.save(intent)
        hold = self.accounts.habits().seconds(HOLD_SECONDS)
        self.objects.schedule(intent, time.time() + hold)
        self.events.wake.set()
        self._emit(account, "payment_intent.amount_capturable_updated", intent)

    def _take(self, account: str, intent: Json, charge: Json, amount: int) -> None:
        charge |= {"amount_captured": amount, "captured": True}
        charge["balance_transaction"] = self.balance.book(
            account, "charge", amount, charge, fee=charge_fee(amount)
        )
        self.objects.save(charge)
        intent |= {"amount_capturable": 0, "amount_received": amount, "status": "succeeded"}
        self.objects.save(intent)
        self.objects.schedule(intent, None)
        if charge["_kind"] == "dispute_later":
            habits = self.accounts.habits()
            self.objects.schedule(charge, time.time() + habits.seconds(habits.dispute_seconds))
            self.events.wake.set()
        self._emit(account, "payment_intent.succeeded", intent)

    def _end(self, account: str, intent: Json, reason: str | None) -> None:
        intent |= {
            "amount_capturable": 0,
            "canceled_at": int(time.time()),
            "cancellation_reason": reason,
            "next_action": None,
            "status": "canceled",
        }
        self.objects.save(intent)
        self.objects.schedule(intent, None)
        self._emit(account, "payment_intent.canceled", intent)


def unexpected_state(intent: Json, participle: str) -> StripeError:
    """Return the refusal of what the intent's status does not allow; it brings the intent."""
    return bad_request(
        f"This PaymentIntent could not be {participle} because it has a status of"
        f" {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=shown(intent),
    )


_BLANK: Json = {
    "object": "payment_intent",
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "confirmation_method": "automatic",
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "next_action": None,
    "on_behalf_of": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {
        "card": {"installments": None, "network": None, "request_three_d_secure": "automatic"}
    },
    "processing": None,
    "receipt_email": None,
    "review": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "transfer_data": None,
    "transfer_group": None,
}
_OUTCOME: Json = {
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 12,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def _charge_of(intent: Json, method: Json) -> Json:
    used = {name: value for name, value in method["card"].items() if name not in _OF_METHODS}
    return {
        "id": make_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": dict(_OUTCOME),
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": {**used, "network": "visa", "three_d_secure": None},
            "type": "card",
        },
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
        "_kind": method["_kind"],
    }
