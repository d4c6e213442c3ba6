"""A gateway to hold the client's contract against, in its own process, and what hears its notices.

It knows the gateway only by its control interface; another one that offers the same fits as well.
"""

import asyncio
import http.client
import io
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.wechat.accounts import Account
from tests.sandbox.outside import PUBLIC_NAME, SandboxProcess, free_ports, private_key, public_key

NOTIFY_URL = f"https://{PUBLIC_NAME}/v1/notify/wechat/1"
NOTICE_TIMEOUT_SECONDS = 15
SPEED = 100
"""So that a refund is through in a twentieth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The levers of the gateway's control interface."""

    sandbox: SandboxProcess
    notice_port: int

    def control(self, path: str, body: dict[str, Any], *, method: str = "POST") -> Any:
        """Drive the outside world; every refusal is an error of the test."""
        return self.sandbox.call(method, f"/{path}", **body)

    def merchant(self, *, certificates: bool) -> Account:
        """A new merchant: by platform certificate, or by public key and without certificates."""
        given = self.control("merchants", {"certificates": certificates})
        return Account(
            mchid=given["mchid"],
            appid=given["appid"],
            serial_no=given["serial_no"],
            private_key=private_key(given["private_key_pem"]),
            apiv3_key=given["apiv3_key"].encode(),
            public_key_id="" if certificates else given["public_key_id"],
            public_key=None if certificates else public_key(given["public_key_pem"]),
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
        return self.sandbox.oracle(mchid=account.payee, out_trade_no=out_trade_no)["orders"][0]

    def pay(self, account: Account, out_trade_no: str) -> None:
        """Let the customer pay."""
        self.control("pay", {"mchid": account.payee, "out_trade_no": out_trade_no})

    def spoil(self, account: Account, operation: str, fault: str, **more: object) -> None:
        """Let the merchant's next request or notice of this kind go wrong."""
        script = {"operation": operation, "mchid": account.mchid, "fault": fault, "times": 1}
        self.control("faults", script | more)


@contextmanager
def running_gateway(home: Path) -> Iterator[Gateway]:
    """Start the sandbox with nobody behind the public name yet; stop it at the end."""
    (notices,) = free_ports(1)
    sandbox = SandboxProcess(home, notices)
    sandbox.start()
    sandbox.call("PUT", "/settings", speed=SPEED)
    yield Gateway(sandbox=sandbox, notice_port=notices)
    sandbox.stop()


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
    files = gateway.sandbox.home / "tls" / PUBLIC_NAME
    context.load_cert_chain(f"{files}.pem", f"{files}.key")
    ear = NoticeEar()
    async with await asyncio.start_server(
        ear.handle, "127.0.0.1", gateway.notice_port, ssl=context
    ):
        yield ear
