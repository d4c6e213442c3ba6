"""A gateway to hold the client's contract against, in its own process, and what hears its notices.

It knows the gateway only by its control interface; another one that offers the same fits as well.
"""

import asyncio
import http.client
import io
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.wechat.accounts import Account

ROOT = Path(__file__).parents[3]
PUBLIC_NAME = "pay.paotui.example"
NOTIFY_URL = f"https://{PUBLIC_NAME}/v1/notify/wechat/1"
START_TIMEOUT_SECONDS = 60
NOTICE_TIMEOUT_SECONDS = 15
SPEED = 100
"""So that a refund is through in a twentieth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where the gateway listens, and the levers of its control interface."""

    home: Path
    control_url: str
    proxy_url: str
    notice_port: int

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts the gateway's own certificate authority."""
        return ssl.create_default_context(cafile=str(self.home / "ca.pem"))

    def control(self, path: str, body: dict[str, Any], *, method: str = "POST") -> Any:
        """Drive the outside world; every refusal is an error of the test."""
        url = f"{self.control_url}/control/{path}"
        answer = httpx.request(method, url, json=body, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def merchant(self, *, certificates: bool) -> Account:
        """A new merchant: by platform certificate, or by public key and without certificates."""
        given = self.control("merchants", {"certificates": certificates})
        private = load_pem_private_key(given["private_key_pem"].encode(), password=None)
        public = load_pem_public_key(given["public_key_pem"].encode())
        assert isinstance(private, RSAPrivateKey)
        assert isinstance(public, RSAPublicKey)
        return Account(
            mchid=given["mchid"],
            appid=given["appid"],
            serial_no=given["serial_no"],
            private_key=private,
            apiv3_key=given["apiv3_key"].encode(),
            public_key_id="" if certificates else given["public_key_id"],
            public_key=None if certificates else public,
            app_secret=given["app_secret"],
        )

    def sub_merchant(self, provider: Account, *, appid: str = "") -> Account:
        """A new merchant of a service provider; its payers are known under `appid`."""
        wanted = {"sp_mchid": provider.mchid} | ({"appid": appid} if appid else {})
        given = self.control("merchants", wanted)
        return replace(
            provider,
            sub_mchid=given["mchid"],
            sp_appid=provider.appid,
            appid=given["appid"] if appid else provider.appid,
        )

    def habits(self, account: Account, **habits: object) -> None:
        """Serve a merchant otherwise."""
        self.control(f"merchants/{account.payee}/settings", habits, method="PUT")

    def oracle(self, account: Account, out_trade_no: str) -> Any:
        """What money truly moved."""
        asked = {"mchid": account.payee, "out_trade_no": out_trade_no}
        url = f"{self.control_url}/control/oracle"
        return httpx.get(url, params=asked, trust_env=False).json()["orders"][0]

    def pay(self, account: Account, out_trade_no: str) -> None:
        """Let the customer pay."""
        self.control("pay", {"mchid": account.payee, "out_trade_no": out_trade_no})

    def spoil(self, account: Account, operation: str, fault: str, **more: object) -> None:
        """Let the merchant's next request or notice of this kind go wrong."""
        script = {"operation": operation, "mchid": account.mchid, "fault": fault, "times": 1}
        self.control("faults", script | more)


@contextmanager
def running_gateway(home: Path) -> Iterator[Gateway]:
    """Start `python -m sandbox` on free ports; stop it at the end."""
    control, tls, proxy, notices = free_ports(4)
    environment = os.environ | {
        "SANDBOX_HOME": str(home),
        "SANDBOX_CONTROL_PORT": str(control),
        "SANDBOX_TLS_PORT": str(tls),
        "SANDBOX_PROXY_PORT": str(proxy),
        "SANDBOX_PUBLIC_MAP": f"{PUBLIC_NAME}=127.0.0.1:{notices}",
        "SANDBOX_SPEED": str(SPEED),
    }
    process = subprocess.Popen([sys.executable, "-m", "sandbox"], cwd=ROOT, env=environment)
    try:
        gateway = Gateway(
            home=home,
            control_url=f"http://127.0.0.1:{control}",
            proxy_url=f"http://127.0.0.1:{proxy}",
            notice_port=notices,
        )
        _wait_until_healthy(process, gateway.control_url, tls)
        yield gateway
    finally:
        process.terminate()
        process.wait(timeout=START_TIMEOUT_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _wait_until_healthy(process: subprocess.Popen[bytes], control_url: str, tls_port: int) -> None:
    until = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx.get(f"{control_url}/healthz", trust_env=False).raise_for_status()
            socket.create_connection(("127.0.0.1", tls_port)).close()
        except (httpx.HTTPError, OSError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the gateway did not start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A notice as it came in."""

    headers: dict[str, str]
    body: bytes


class NoticeEar:
    """What listens under the public name, answers 204 and keeps what it heard."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()

    async def next(self) -> Heard:
        """The oldest notice that nobody has taken yet."""
        async with asyncio.timeout(NOTICE_TIMEOUT_SECONDS):
            return await self._heard.get()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one notice."""
        head = await reader.readuntil(b"\r\n\r\n")
        fields = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2]))
        body = await reader.readexactly(int(fields["Content-Length"]))
        self._heard.put_nowait(Heard(headers=dict(fields.items()), body=body))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncIterator[NoticeEar]:
    """Listen under the public name, with the certificate the gateway's authority made for it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    files = gateway.home / "tls" / PUBLIC_NAME
    context.load_cert_chain(f"{files}.pem", f"{files}.key")
    ear = NoticeEar()
    async with await asyncio.start_server(
        ear.handle, "127.0.0.1", gateway.notice_port, ssl=context
    ):
        yield ear
