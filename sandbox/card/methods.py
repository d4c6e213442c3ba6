"""Customers and their cards: kinds of test cards only, a card number exists nowhere here."""

import secrets
from dataclasses import dataclass

from sandbox.card.objects import Objects
from sandbox.card.params import CreateCustomer, ListMethods, Retrieve, read
from sandbox.card.wire import bad_request, make_id, shown
from sandbox.wire import Json

KIND = r"^(ok|3ds|3ds_fail|expired_card|dispute_later|declined:[a-z_]{1,60})$"
"""How a card behaves; `declined:` names Stripe's decline code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """The saved and unsaved payment methods of all accounts."""

    objects: Objects

    def create_customer(self, account: str, given: Json) -> Json:
        """Make a customer that cards can be saved for."""
        wish = read(CreateCustomer, given)
        customer: Json = {
            "id": make_id("cus", 14),
            "object": "customer",
            "address": None,
            "balance": 0,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": wish.description,
            "email": None,
            "invoice_prefix": secrets.token_hex(4).upper(),
            "livemode": False,
            "metadata": wish.metadata,
            "name": None,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
        }
        return self.objects.add(account, customer)

    def make(self, account: str, kind: str) -> Json:
        """Make the method that a customer's device has typed in."""
        card = {
            "brand": "visa",
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "display_brand": "visa",
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": secrets.token_hex(8),
            "funding": "credit",
            "last4": "4242",
            "networks": {"available": ["visa"], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }
        address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
        nobody = {"address": address, "email": None, "name": None, "phone": None, "tax_id": None}
        method = {
            "id": make_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": nobody,
            "card": card,
            "customer": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
            "_kind": kind,
        }
        return self.objects.add(account, method)

    def usable(self, account: str, key: str, customer: str | None) -> Json:
        """Return a method this customer may pay by; a saved one is its customer's alone."""
        method = self.objects.get(account, "payment_method", key, "payment_method")
        if method["customer"] not in {None, customer}:
            raise bad_request(
                "The provided PaymentMethod cannot be attached. To reuse a PaymentMethod, you must"
                " attach it to a Customer first.",
                param="payment_method",
            )
        return method

    def attach(self, method: Json, customer: str | None) -> None:
        """Save a method for its customer, if there is one."""
        if customer is not None:
            method["customer"] = customer
            self.objects.save(method, parent=customer)

    def detach(self, account: str, key: str, given: Json) -> Json:
        """Forget a saved method."""
        read(Retrieve, given)
        method = self.objects.get(account, "payment_method", key, "payment_method")
        method["customer"] = None
        self.objects.save(method, parent="")
        return shown(method)

    def listed(self, account: str, customer: str, given: Json) -> Json:
        """List a customer's saved methods."""
        self.objects.get(account, "customer", customer, "customer")
        return self.objects.page(
            account,
            "payment_method",
            f"/v1/customers/{customer}/payment_methods",
            read(ListMethods, given),
            parent=customer,
        )
