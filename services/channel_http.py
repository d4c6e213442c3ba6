"""One bounded exchange with a payment channel; what is said in it is the channel's own."""

import asyncio
from dataclasses import dataclass

import httpx

from domain.outcomes import Unknown

CONNECT_TIMEOUT_SECONDS = 2.0
TOTAL_TIMEOUT_SECONDS = 5.0
TIMEOUT = httpx.Timeout(TOTAL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
USER_AGENT = "paotui/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back over the wire, not yet believed."""

    status: int
    headers: httpx.Headers
    body: bytes


async def exchange(
    http: httpx.AsyncClient,
    request: httpx.Request,
    *,
    max_bytes: int,
    timeout_seconds: float | None = None,
) -> Answer | Unknown:
    """Send a request once; the whole answer, or why there is none: it may have been heard.

    Within `TOTAL_TIMEOUT_SECONDS`, where nothing else is said.
    """
    try:
        async with asyncio.timeout(timeout_seconds or TOTAL_TIMEOUT_SECONDS):
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > max_bytes:
                        return Unknown(reason="answer_too_large")
            finally:
                await response.aclose()
    except TimeoutError:
        return Unknown(reason="timeout")
    except httpx.HTTPError as error:
        return Unknown(reason=type(error).__name__)
    return Answer(status=response.status_code, headers=response.headers, body=bytes(body))
