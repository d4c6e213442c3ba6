"""A client of the bank with a thin hand of its own, so that requests can be wrong."""

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from tests.sandbox.outside import PUBLIC_NAME, SandboxProcess, private_key, public_key

HOST = "https://bank.sandbox"


class BankClient:
    """An account at the bank and the key that speaks for it."""

    def __init__(self, sandbox: SandboxProcess, **wish: Any) -> None:
        self.sandbox = sandbox
        self.keys = sandbox.call("POST", "/bank/merchants", **wish)
        self.account: str = self.keys["account"]
        self.private_key = private_key(self.keys["private_key_pem"])
        self.notify_path = f"/v1/notify/bank/{self.account}"
        self.http = sandbox.client(HOST)

    def headers(self, method: str, target: str, body: bytes, **wrong: str) -> dict[str, str]:
        """Return rightly signed headers; `wrong` replaces what is signed."""
        values = {
            "(request-target)": f"{method.lower()} {target}",
            "date": format_datetime(datetime.now(UTC), usegmt=True),
            "digest": "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode(),
            "x-request-id": str(uuid.uuid4()),
            **wrong,
        }
        lines = "\n".join(f"{name}: {value}" for name, value in values.items()).encode()
        signature = base64.b64encode(
            self.private_key.sign(lines, padding.PKCS1v15(), SHA256())
        ).decode()
        covers = " ".join(values)
        return {
            "Date": values["date"],
            "Digest": values["digest"],
            "X-Request-ID": values["x-request-id"],
            "Signature": f'keyId="{self.keys["client_id"]}",algorithm="rsa-sha256",'
            f'headers="{covers}",signature="{signature}"',
        }

    def request(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a signed request."""
        content = b"" if body is None else json.dumps(body).encode()
        signed = self.headers(method, target, content) if headers is None else headers
        return self.http.request(method, target, content=content, headers=dict(signed))

    def post(self, path: str, expected: int = 200, /, **body: Any) -> Any:
        """POST a body; the answer must have the expected status and the bank's signature."""
        return self._checked(self.request("POST", path, body), expected)

    def get(self, path: str, expected: int = 200) -> Any:
        """GET, likewise."""
        return self._checked(self.request("GET", path), expected)

    def payment(self, **changes: Any) -> dict[str, Any]:
        """Return the body of a right payment of 1,000 fen, with changes."""
        return {
            "method": "wallet",
            "out_trade_no": secrets.token_hex(8),
            "amount": {"value": 1000, "currency": "CNY"},
            "description": "外卖",
            "notify_url": f"https://{PUBLIC_NAME}{self.notify_path}",
            "expires_at": (datetime.now(UTC) + timedelta(minutes=15)).isoformat(),
            **changes,
        }

    def paid(self, **changes: Any) -> Any:
        """Open an e-CNY payment and let it be paid; the payment as it then is."""
        body = self.payment(method="ecny", **changes)
        opened = self.post("/v1/payments", **body)
        self.sandbox.call("POST", "/bank/pay", code_url=opened["code_url"])
        return self.get(f"/v1/payments/{body['out_trade_no']}")

    def refund(self, out_trade_no: str, fen: int, expected: int = 200, **changes: Any) -> Any:
        """Ask for a refund of a payment of 1,000 fen."""
        body = {
            "out_trade_no": out_trade_no,
            "out_refund_no": secrets.token_hex(8),
            "amount": {"value": fen, "currency": "CNY"},
            "total": {"value": 1000, "currency": "CNY"},
            "reason": "merchant_silent",
            "notify_url": f"https://{PUBLIC_NAME}{self.notify_path}",
            **changes,
        }
        return self.post("/v1/refunds", expected, **body)

    def balance_fen(self, holder: str = "") -> int:
        """What a holder has, by default this client."""
        shown = self.sandbox.call("GET", f"/bank/balances/{holder or self.account}")
        return int(shown["balance_fen"])

    def oracle(self) -> Any:
        """What truly moved for this client."""
        return self.sandbox.oracle("/bank", mchid=self.account)

    def is_signed(self, headers: Mapping[str, str], body: bytes, status: int | None = None) -> bool:
        """Tell whether an answer (with status) or a callback is signed by the bank."""
        key = public_key(self.keys["bank_public_key_pem"])
        first = "" if status is None else f"(status): {status}\n"
        lines = (
            f"{first}date: {headers['Date']}\ndigest: {headers['Digest']}\n"
            f"x-request-id: {headers['X-Request-ID']}"
        )
        signature = headers["Signature"].rpartition('signature="')[2].rstrip('"')
        digest = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
        try:
            key.verify(base64.b64decode(signature), lines.encode(), padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        right_key = f'keyId="{self.keys["bank_key_id"]}"' in headers["Signature"]
        return right_key and headers["Digest"] == digest

    def _checked(self, answer: httpx.Response, expected: int) -> Any:
        assert answer.status_code == expected, answer.text
        assert self.is_signed(answer.headers, answer.content, answer.status_code)
        return answer.json()
