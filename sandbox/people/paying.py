"""How people pay: with what the API answered, at the channel's cashier; no amounts of their own."""

from typing import Any

from pydantic import ValidationError

from sandbox.people.scene import Pay
from sandbox.wechat.customers import Cashier, Payment
from sandbox.wechat.orders import PaymentRefused


def at_cashier(cashier: Cashier) -> Pay:
    """Pay at WeChat's cashier by JSAPI parameters, or by a Native code."""

    async def pay(placed: dict[str, Any]) -> bool:
        try:
            payment = Payment(
                parameters=placed.get("payment_parameters"), code_url=placed.get("code_url")
            )
            cashier.pay(payment)
        except (PaymentRefused, ValidationError):
            return False
        return True

    return pay
