"""A merchant with a Stripe account at the sandbox, by the unmodified SDK and by plain HTTP."""

import secrets
from typing import Any

import httpx
import stripe

from tests.sandbox.outside import PUBLIC_NAME, Received, SandboxProcess

BASE = "https://api.stripe.com"


class CardMerchant:
    """One account; its SDK is the synchronous one, over the sandbox's proxy."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.path = f"/card/{secrets.token_hex(6)}"
        self.keys = self.control("/merchants", webhook_url=f"https://{PUBLIC_NAME}{self.path}")
        self.account: str = self.keys["account"]
        self.http = sandbox.client(BASE)
        self.http.auth = self._signed

    def sdk(self) -> stripe.StripeClient:
        """The SDK as it comes, but for the way to the internet."""
        http = stripe.RequestsClient(proxy=self.sandbox.proxy)
        return stripe.StripeClient(self.keys["secret_key"], http_client=http)

    def control(self, path: str, expected: int = 200, /, **body: Any) -> Any:
        """Drive Stripe from outside."""
        return self.sandbox.call("POST", f"/card{path}", expected, **body)

    def post(self, path: str, key: str | None = None, **form: Any) -> httpx.Response:
        """Ask over plain HTTP, under an idempotency key."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(f"/v1{path}", data=form, headers=headers)

    def get(self, path: str, **params: Any) -> Any:
        """Look over plain HTTP; it must be answered."""
        answer = self.http.get(f"/v1{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def intent(self, number: str | None = None, **form: Any) -> Any:
        """Make an intent of 1,000 fen, held for us once it is paid."""
        form = {
            "amount": 1000,
            "currency": "cny",
            "capture_method": "manual",
            "metadata[out_trade_no]": number or secrets.token_hex(8),
            **form,
        }
        answer = self.post("/payment_intents", **form)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pay(self, intent: Any, card: str = "ok", **more: Any) -> Any:
        """Let the customer's device confirm."""
        return self.control("/pay", client_secret=intent["client_secret"], card=card, **more)

    def captured(self, **form: Any) -> Any:
        """Make an intent that is paid and captured."""
        intent = self.intent(**form)
        assert self.pay(intent)["status"] == "requires_capture"
        return self.post(f"/payment_intents/{intent['id']}/capture").json()

    def event(self, received: Received) -> Any:
        """Believe a webhook by the SDK, or fail."""
        return stripe.Webhook.construct_event(
            received.body, received.headers["Stripe-Signature"], self.keys["webhook_secret"]
        )

    def oracle(self) -> Any:
        """What money truly moved."""
        return self.sandbox.oracle("/card", mchid=self.account)

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self.keys['secret_key']}"
        return request
