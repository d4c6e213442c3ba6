"""Fixtures: the sandbox as a process, a payee with a Stripe account, and the client under test."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.card.accounts import Account, load_account
from services.card.client import Cards
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, Outside, SandboxProcess, running


@dataclass(frozen=True, kw_only=True)
class Payee:
    """An account as we hold it, and the levers outside."""

    account: Account
    path: str
    sandbox: SandboxProcess
    server: MerchantServer

    def control(self, path: str, /, **body: Any) -> Any:
        """Drive Stripe from outside."""
        return self.sandbox.call("POST", f"/card{path}", **body)

    def pay(self, out_trade_no: str, card: str = "ok", **more: Any) -> Any:
        """Let the customer's device confirm."""
        which = {"account": self.account.account, "out_trade_no": out_trade_no}
        return self.control("/pay", card=card, **which, **more)

    def spoil(self, operation: str, fault: str, **more: Any) -> None:
        """Let the next request of this kind go wrong."""
        self.sandbox.fault(operation, fault, mchid=self.account.account, **more)

    def moved(self) -> Any:
        """What money truly moved."""
        return self.sandbox.oracle("/card", mchid=self.account.account)


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The process and the server it calls back."""
    with running(tmp_path_factory.mktemp("sandbox")) as outside:
        yield outside


@pytest.fixture
def payee(
    outside: Outside,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Payee:
    """A payee of this test's own, read from its folder; refunds end at once, searches lag."""
    sandbox, server = outside
    sandbox.call("DELETE", "/faults")
    habits = {"speed": 1, "refund_seconds": 0, "refund_outcome": "succeeded"}
    sandbox.call("PUT", "/card/settings", **habits)
    path = f"/v1/notify/card/{request.node.name}"
    wish = {"webhook_url": f"https://{PUBLIC_NAME}{path}"}
    keys = sandbox.call("POST", "/card/merchants", **wish)
    (tmp_path / "account.json").write_text(json.dumps(keys))
    return Payee(account=load_account(tmp_path), path=path, sandbox=sandbox, server=server)


@pytest.fixture
async def http(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    """Reaches the real host name through the sandbox's proxy."""
    async with outside[0].async_client() as client:
        yield client


@pytest.fixture
def cards(http: httpx.AsyncClient) -> Cards:
    """The client under test."""
    return Cards(http)
