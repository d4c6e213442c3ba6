"""The official SDK over our own HTTP client: bounded, without telemetry or logs of what is said."""

import asyncio
import logging
from collections.abc import Mapping

import httpx
import stripe

from services.card.accounts import Account

CONNECT_TIMEOUT_SECONDS = 2.0
TOTAL_TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 2_097_152
"""A hundred balance transactions with their sources are a fifth of it."""
USER_AGENT = "paotui/1"

_TIMEOUT = httpx.Timeout(TOTAL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Stripe-Version")
"""The SDK's other headers tell about the machine it runs on."""

stripe.enable_telemetry = False
# At INFO and DEBUG the SDK logs bodies: client secrets and whatever else an answer holds.
logging.getLogger("stripe").setLevel(logging.WARNING)


class _NoAnswer(stripe.APIConnectionError):
    """Nothing came back that could be read: the SDK's own error, never to be retried by it."""

    def __init__(self) -> None:
        super().__init__("no answer")  # type: ignore[no-untyped-call]


class Wire(stripe.HTTPClient):
    """One request over httpx; no answer is `stripe.APIConnectionError`, from what went wrong."""

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
            timeout=_TIMEOUT,
        )
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_SECONDS):
                return await self._exchange(request)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _NoAnswer from error

    async def _exchange(self, request: httpx.Request) -> tuple[bytes, int, Mapping[str, str]]:
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise _NoAnswer
        finally:
            await response.aclose()
        return bytes(body), response.status_code, response.headers


def make_client(wire: Wire, account: Account) -> stripe.StripeClient:
    """The SDK as this payee; it never repeats a request by itself."""
    return stripe.StripeClient(account.secret_key, http_client=wire, max_network_retries=0)
