"""What the tests need around the sandbox's Alipay: a merchant, its keys, signed requests."""

import base64
import json
import secrets
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from tests.sandbox.outside import PUBLIC_NAME, SandboxProcess, private_key, public_key

HOST = "https://openapi.alipay.com"
CHINA = timezone(timedelta(hours=8))


class AlipayMerchant:
    """A merchant of Alipay with a thin client of its own, so that requests can be wrong."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.keys = sandbox.call("POST", "/alipay/merchants")
        self.seller_id: str = self.keys["seller_id"]
        self.private_key = private_key(self.keys["private_key_pem"])
        self.notify_path = f"/v1/notify/alipay/{self.seller_id}"
        self.http = sandbox.client()

    def parameters(self, method: str, content: Any, /, **changes: str) -> dict[str, str]:
        """The parameters of a request, rightly signed after the changes."""
        parameters = {
            "app_id": self.keys["app_id"],
            "method": method,
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": china_now(),
            "version": "1.0",
            "notify_url": f"https://{PUBLIC_NAME}{self.notify_path}",
            "biz_content": json.dumps(content),
            **changes,
        }
        chosen = sorted((name, value) for name, value in parameters.items() if value)
        text = "&".join(f"{name}={value}" for name, value in chosen)
        signature = self.private_key.sign(text.encode(), padding.PKCS1v15(), SHA256())
        return parameters | {"sign": base64.b64encode(signature).decode()}

    def send(self, parameters: dict[str, str]) -> httpx.Response:
        """Post a form."""
        return self.http.post(f"{HOST}/gateway.do", data=parameters)

    def ask(self, method: str, **content: Any) -> Any:
        """Ask rightly; the node, once its signature holds."""
        answer = self.send(self.parameters(method, content))
        assert answer.status_code == 200
        name = method.replace(".", "_") + "_response"
        raw = answer.text.removeprefix(f'{{"{name}":').rpartition(',"sign":"')[0]
        assert self.is_signed(raw, answer.json()["sign"])
        return json.loads(raw)

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether Alipay signed the text for this merchant."""
        key = public_key(self.keys["alipay_public_key_pem"])
        try:
            key.verify(base64.b64decode(signature), text.encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    def opened(self, body: bytes) -> dict[str, str]:
        """A callback's parameters, once their signature holds."""
        fields = dict(parse_qsl(body.decode()))
        signature, sign_type = fields.pop("sign"), fields.pop("sign_type")
        assert sign_type == "RSA2"
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        assert self.is_signed(text, signature)
        return fields

    def order(self, **changes: Any) -> dict[str, Any]:
        """The content of a right order of 10 yuan."""
        order = {"out_trade_no": secrets.token_hex(8), "total_amount": "10.00", "subject": "外卖"}
        return order | changes

    def made(self, **changes: Any) -> str:
        """Make a trade; our number of it."""
        order = self.order(buyer_id="2088000000000001", **changes)
        assert self.ask("alipay.trade.create", **order)["code"] == "10000"
        return str(order["out_trade_no"])

    def paid(self, **changes: Any) -> str:
        """Make a trade and let it be paid; our number of it."""
        out_trade_no = self.made(**changes)
        self.pay(out_trade_no=out_trade_no)
        return out_trade_no

    def pay(self, expected: int = 200, /, **body: Any) -> Any:
        """Let a customer pay."""
        body = {"seller_id": self.seller_id} | body
        return self.sandbox.call("POST", "/alipay/pay", expected, **body)

    def refund(self, out_trade_no: str, amount: str, number: str) -> Any:
        """Ask for a refund."""
        return self.ask(
            "alipay.trade.refund",
            out_trade_no=out_trade_no,
            refund_amount=amount,
            out_request_no=number,
        )

    def oracle(self, **params: str) -> Any:
        """Ask what money truly moved."""
        return self.sandbox.oracle("/alipay", **{"mchid": self.seller_id} | params)

    def habits(self, **changes: Any) -> None:
        """Serve this merchant otherwise."""
        self.sandbox.call("PUT", f"/alipay/merchants/{self.seller_id}/settings", **changes)

    def url(self, method: str, content: Any) -> str:
        """A signed page for the customer's browser."""
        return f"{HOST}/gateway.do?{urlencode(self.parameters(method, content))}"


def china_now(skew_seconds: float = 0) -> str:
    """China's time now, as the gateway reads it."""
    at = datetime.fromtimestamp(time.time() + skew_seconds, UTC).astimezone(CHINA)
    return at.strftime("%Y-%m-%d %H:%M:%S")
