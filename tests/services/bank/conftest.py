"""Fixtures of the bank client's tests: the real sandbox process and what hears its callbacks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from services.bank.accounts import Account
from services.bank.client import Bank
from services.bank.payouts import Payouts
from tests.sandbox.outside import (
    PUBLIC_NAME,
    MerchantServer,
    Received,
    SandboxProcess,
    private_key,
    public_key,
    running,
)

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
        return Account(
            account=given["account"],
            client_id=given["client_id"],
            private_key=private_key(given["private_key_pem"]),
            bank_key_id=given["bank_key_id"],
            bank_key=public_key(given["bank_public_key_pem"]),
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
    with running(tmp_path_factory.mktemp("bank")) as (sandbox, server):
        sandbox.call("PUT", "/settings", speed=100)
        yield World(sandbox, server)


@pytest.fixture(scope="session")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.sandbox.async_client() as client:
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
