"""Fixtures of the bank client's tests: the real sandbox process and what hears its callbacks."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.bank.accounts import Account
from services.bank.client import Bank
from services.bank.payouts import Payouts
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, Received, SandboxProcess

HEARING_SECONDS = 10.0
NOTIFY_URL = f"https://{PUBLIC_NAME}/v1/notify/bank"


class World:
    """The levers of the outside world that these tests pull."""

    def __init__(self, sandbox: SandboxProcess, server: MerchantServer) -> None:
        self.sandbox = sandbox
        self._server = server

    def control(self, path: str, **body: Any) -> Any:
        return self.sandbox.call("POST", f"/bank/{path}", **body)

    def account(self) -> Account:
        """A new client of the bank."""
        given = self.control("merchants")
        private = load_pem_private_key(given["private_key_pem"].encode(), password=None)
        public = load_pem_public_key(given["bank_public_key_pem"].encode())
        assert isinstance(private, RSAPrivateKey)
        assert isinstance(public, RSAPublicKey)
        return Account(
            account=given["account"],
            client_id=given["client_id"],
            private_key=private,
            bank_key_id=given["bank_key_id"],
            bank_key=public,
        )

    def pay(self, account: Account, out_trade_no: str, **more: Any) -> None:
        self.control("pay", mchid=account.account, out_trade_no=out_trade_no, **more)

    def spoil(self, account: Account, operation: str, fault: str, **more: Any) -> None:
        """Let the account's next request or callback of this kind go wrong."""
        self.sandbox.fault(operation, fault, channel="bank", mchid=account.account, **more)

    async def heard(self, account: Account, count: int = 1) -> list[Received]:
        """The callbacks about an account, once there are so many."""
        async with asyncio.timeout(HEARING_SECONDS):
            while True:
                about = f'"account":"{account.account}"'.encode()
                got = [one for one in self._server.received if about in one.body]
                if len(got) >= count:
                    return got
                await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = MerchantServer()
    sandbox = SandboxProcess(tmp_path_factory.mktemp("bank"), server.port)
    sandbox.start()
    tls: Path = sandbox.home / "tls"
    server.serve(tls / f"{PUBLIC_NAME}.pem", tls / f"{PUBLIC_NAME}.key")
    sandbox.call("PUT", "/settings", speed=100)
    yield World(sandbox, server)
    sandbox.stop()
    server.close()


@pytest.fixture(scope="session")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    trust = ssl.create_default_context(cafile=str(world.sandbox.home / "ca.pem"))
    async with httpx.AsyncClient(
        proxy=world.sandbox.proxy, verify=trust, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def bank(http: httpx.AsyncClient) -> Bank:
    return Bank(http)


@pytest.fixture(scope="session")
def payouts(http: httpx.AsyncClient) -> Payouts:
    return Payouts(http)


@pytest.fixture
def account(world: World) -> Account:
    return world.account()
