"""How people pay: with what the API answered, at the channel's cashier; no amounts of their own."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from starlette.types import ASGIApp

from sandbox.people.scene import Pay

Shown = Mapping[str, Any]
"""`payment_parameters`, as the customer's device got them."""


def _wechat(shown: Shown) -> dict[str, Any]:
    """A Native code is scanned; JSAPI parameters are what the page was given."""
    return dict(shown) if "code_url" in shown else {"parameters": dict(shown)}


CASHIERS: Mapping[str, tuple[str, Callable[[Shown], dict[str, Any]]]] = {
    "wechat": ("/control/pay", _wechat),
    "alipay": ("/control/alipay/pay", lambda shown: {"qr_code": shown["qr_code"]}),
    "card": ("/control/card/pay", lambda shown: {"client_secret": shown["client_secret"]}),
    "bank": ("/control/bank/pay", dict),
}
"""Each channel's cashier, and what a device tells it."""


def at_cashiers(control: Callable[[], ASGIApp]) -> Pay:
    """Pay at whatever channel the answer names, through the control interface."""

    async def pay(placed: dict[str, Any]) -> bool:
        path, told = CASHIERS[placed["payment_channel"]]
        transport = httpx.ASGITransport(control())
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as http:
            answer = await http.post(path, json=told(placed["payment_parameters"]))
        return answer.is_success

    return pay
