"""What the tests need around the sandbox: its process, a merchant and the merchant's server."""

import base64
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

PUBLIC_NAME = "pay.paotui.example"
HOST = "https://api.mch.weixin.qq.com"
START_SECONDS = 60.0
T = TypeVar("T")
_AGENT = {"User-Agent": "paotui-test", "Accept": "application/json"}


def wait_for(look: Callable[[], T], seconds: float = 10.0) -> T:
    """Look until there is something to see; fails when there is not."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return seen


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on just now."""
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def private_key(pem: str) -> rsa.RSAPrivateKey:
    """A key as the control interface shows it."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def public_key(pem: str) -> rsa.RSAPublicKey:
    """A public key as the control interface shows it."""
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    return key


class SandboxProcess:
    """`python -m sandbox` on free ports; it can be killed and started again."""

    def __init__(self, home: Path, merchant_port: int) -> None:
        self.home = home
        self._ports = free_ports(3)
        self.control = httpx.Client(base_url=f"http://127.0.0.1:{self._ports[0]}", timeout=30)
        self.proxy = f"http://127.0.0.1:{self._ports[2]}"
        self._environment = {
            **os.environ,
            "SANDBOX_HOME": str(home),
            "SANDBOX_CONTROL_PORT": str(self._ports[0]),
            "SANDBOX_TLS_PORT": str(self._ports[1]),
            "SANDBOX_PROXY_PORT": str(self._ports[2]),
            "SANDBOX_PUBLIC_MAP": f"{PUBLIC_NAME}=127.0.0.1:{merchant_port}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again on the same ports and home."""
        command = [sys.executable, "-W", "error", "-m", "sandbox"]
        self._process = subprocess.Popen(command, env=self._environment)
        wait_for(self._is_up, START_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """End it in good order; it must say 0."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(10) == 0
        self.control.close()

    def call(self, method: str, path: str, expected: int = 200, /, **body: Any) -> Any:
        """Use the control interface; the answer must have the expected status."""
        answer = self.control.request(method, f"/control{path}", json=body)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def pay(self, expected: int = 200, /, **body: Any) -> Any:
        """Let a customer pay."""
        return self.call("POST", "/pay", expected, **body)

    def fault(self, operation: str, fault: str, **body: Any) -> int:
        """Arm a fault; its id."""
        armed = self.call("POST", "/faults", operation=operation, fault=fault, **body)
        return int(armed["id"])

    def oracle(self, channel: str = "", /, **params: str) -> Any:
        """Ask what money truly moved, at WeChat Pay or at `/alipay`, `/bank`, `/card`."""
        return self.control.get(f"/control{channel}/oracle", params=params).json()

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts the sandbox's own certificate authority."""
        return ssl.create_default_context(cafile=str(self.home / "ca.pem"))

    def client(self, base_url: str = "") -> httpx.Client:
        """Reaches the real host names through the proxy."""
        return httpx.Client(
            base_url=base_url, proxy=self.proxy, verify=self.trust, trust_env=False, timeout=30
        )

    def async_client(self) -> httpx.AsyncClient:
        """The same, as the clients under test want it."""
        return httpx.AsyncClient(proxy=self.proxy, verify=self.trust, trust_env=False)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the sandbox ended by itself"
        try:
            return self.control.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True, kw_only=True)
class Received:
    """One callback as it came over the wire."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The envelope."""
        return json.loads(self.body)


@dataclass
class MerchantServer:
    """The merchant's https server; it answers `status` and `body` and remembers what came."""

    status: int = 204
    body: bytes = b""
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Received(path=self.path, headers=dict(self.headers.items()), body=body)
                outer.received.append(got)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def serve(self, certificate: Path, key: Path) -> None:
        """Begin to answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def got(self, path: str) -> list[Received]:
        """What came to a path."""
        return [received for received in self.received if received.path == path]


Outside = tuple[SandboxProcess, MerchantServer]


@contextmanager
def running(home: Path, status: int = 204, body: bytes = b"") -> Iterator[Outside]:
    """A sandbox process, and the server it calls back, which shows the sandbox's certificate."""
    server = MerchantServer(status=status, body=body)
    sandbox = SandboxProcess(home, server.port)
    sandbox.start()
    server.serve(home / "tls" / f"{PUBLIC_NAME}.pem", home / "tls" / f"{PUBLIC_NAME}.key")
    yield sandbox, server
    sandbox.stop()
    server.close()


class TestMerchant:
    """A merchant with its keys and a thin client of its own, so that requests can be wrong."""

    __test__ = False

    def __init__(self, sandbox: SandboxProcess, **wish: Any) -> None:
        self.sandbox = sandbox
        self.keys = sandbox.call("POST", "/merchants", **wish)
        self.mchid: str = self.keys["mchid"]
        self.private_key = private_key(self.keys["private_key_pem"])
        self.notify_path = f"/v1/notify/wechat/{self.mchid}"
        self.http = sandbox.client(HOST)

    def sign(self, *lines: bytes | str) -> str:
        """Sign lines with the merchant's key."""
        message = b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines)
        return base64.b64encode(
            self.private_key.sign(message, padding.PKCS1v15(), SHA256())
        ).decode()

    def authorization(self, method: str, target: str, body: bytes, skew: int = 0) -> dict[str, str]:
        """Return the five fields, rightly signed, `skew` seconds from now."""
        timestamp = str(int(time.time()) + skew)
        nonce = secrets.token_hex(16)
        return {
            "mchid": self.mchid,
            "nonce_str": nonce,
            "signature": self.sign(method, target, timestamp, nonce, body),
            "timestamp": timestamp,
            "serial_no": self.keys["serial_no"],
        }

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        fields: dict[str, str] | None = None,
        headers: Mapping[str, str] = _AGENT,
    ) -> httpx.Response:
        """Send a signed request; `fields` replaces the rightly signed ones."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.send(method, target, content, fields=fields, headers=headers)

    def send(
        self,
        method: str,
        target: str,
        content: bytes,
        *,
        fields: dict[str, str] | None = None,
        headers: Mapping[str, str] = _AGENT,
    ) -> httpx.Response:
        """Send signed bytes as they are."""
        fields = fields or self.authorization(method, target, content)
        header = "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{k}="{v}"' for k, v in fields.items())
        request = self.http.build_request(method, target, content=content)
        for name in ("User-Agent", "Accept"):
            del request.headers[name]
        request.headers.update({**headers, "Authorization": header})
        return self.http.send(request)

    def order(self, out_trade_no: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return the body of a right order of 1,000 fen, with changes."""
        return {
            "appid": self.keys["appid"],
            "mchid": self.mchid,
            "description": "外卖",
            "out_trade_no": out_trade_no or secrets.token_hex(8),
            "notify_url": f"https://{PUBLIC_NAME}{self.notify_path}",
            "amount": {"total": 1000, "currency": "CNY"},
            "payer": {"openid": "o-customer"},
            **changes,
        }

    def create(self, order: dict[str, Any], kind: str = "jsapi") -> httpx.Response:
        """Place an order."""
        return self.request("POST", f"/v3/pay/transactions/{kind}", order)

    def query(self, out_trade_no: str) -> httpx.Response:
        """Look an order up."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid={self.mchid}"
        return self.request("GET", path)

    def close(self, out_trade_no: str) -> httpx.Response:
        """Close an order."""
        path = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        return self.request("POST", path, {"mchid": self.mchid})

    def paid_order(self) -> str:
        """Place an order of 1,000 fen and let it be paid; its number."""
        order = self.order()
        assert self.create(order).status_code == 200
        self.sandbox.pay(mchid=self.mchid, out_trade_no=order["out_trade_no"])
        return str(order["out_trade_no"])

    def refund(
        self, out_trade_no: str, out_refund_no: str, fen: int, **changes: Any
    ) -> httpx.Response:
        """Ask for a refund of an order of 1,000 fen."""
        body = {
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "amount": {"refund": fen, "total": 1000, "currency": "CNY"},
            "notify_url": f"https://{PUBLIC_NAME}{self.notify_path}",
            **changes,
        }
        return self.request("POST", "/v3/refund/domestic/refunds", body)

    def refund_status(self, out_refund_no: str) -> str:
        """Look a refund up."""
        answer = self.request("GET", f"/v3/refund/domestic/refunds/{out_refund_no}")
        return str(answer.json()["status"])

    def pay_parameters(self, prepay_id: str) -> dict[str, str]:
        """Return what the app hands to WeChat."""
        timestamp, nonce, package = str(int(time.time())), "n", f"prepay_id={prepay_id}"
        return {
            "appId": self.keys["appid"],
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self.sign(self.keys["appid"], timestamp, nonce, package),
        }

    def open_resource(self, received: Received) -> Any:
        """Decrypt what a callback carries."""
        resource = received.event["resource"]
        plain = AESGCM(self.keys["apiv3_key"].encode()).decrypt(
            resource["nonce"].encode(),
            base64.b64decode(resource["ciphertext"]),
            resource["associated_data"].encode(),
        )
        return json.loads(plain)

    def is_signed_by_public_key(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether `Wechatpay-*` headers hold, by the public key WeChat gave us."""
        key = serialization.load_pem_public_key(self.keys["public_key_pem"].encode())
        assert isinstance(key, rsa.RSAPublicKey)
        lines = (headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"], body.decode())
        message = "".join(f"{line}\n" for line in lines).encode()
        try:
            signature = base64.b64decode(headers["Wechatpay-Signature"])
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return bool(headers["Wechatpay-Serial"] == self.keys["public_key_id"])
