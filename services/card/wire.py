"""The official SDK over our own HTTP client: bounded, without telemetry or logs of what is said."""

import logging
from collections.abc import Mapping

import httpx
import stripe

from domain.outcomes import Unknown
from services.card.accounts import Account
from services.channel_http import TIMEOUT, USER_AGENT, exchange

MAX_ANSWER_BYTES = 2_097_152
"""A hundred balance transactions with their sources are a fifth of it."""

_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Stripe-Version")
"""The SDK's other headers tell about the machine it runs on."""

stripe.enable_telemetry = False
# At INFO and DEBUG the SDK logs bodies: client secrets and whatever else an answer holds.
logging.getLogger("stripe").setLevel(logging.WARNING)


class NoAnswer(stripe.APIConnectionError):
    """Nothing came back that could be read: the SDK's own error, never to be retried by it."""

    def __init__(self, why: Unknown) -> None:
        super().__init__("no answer")  # type: ignore[no-untyped-call]
        self.why = why


class Wire(stripe.HTTPClient):
    """One request over httpx; no answer is `NoAnswer`."""

    name = "httpx"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: str | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send what the SDK has made and read the whole answer."""
        sent = {name: headers[name] for name in _SENT if name in headers}
        request = self._http.build_request(
            method,
            url,
            headers=sent | {"User-Agent": USER_AGENT, "Accept": "application/json"},
            content=(post_data or "").encode(),
            timeout=TIMEOUT,
        )
        answer = await exchange(self._http, request, max_bytes=MAX_ANSWER_BYTES)
        if isinstance(answer, Unknown):
            raise NoAnswer(answer)
        return answer.body, answer.status, answer.headers


def make_client(wire: Wire, account: Account) -> stripe.StripeClient:
    """The SDK as this payee; it never repeats a request by itself."""
    return stripe.StripeClient(account.secret_key, http_client=wire, max_network_retries=0)
