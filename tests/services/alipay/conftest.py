"""Fixtures of the Alipay client's tests: keys of both sides, and the sandbox to talk to."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from services.alipay.accounts import Account
from services.alipay.client import Alipay
from services.alipay.signing import sign, signed_text
from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import MerchantServer, Outside, SandboxProcess, public_key, running


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A payee of our own making and Alipay's key, for what needs no gateway."""

    account: Account
    alipay_key: rsa.RSAPrivateKey

    def signed(self, fields: dict[str, str]) -> dict[str, str]:
        """Sign a notice as Alipay does."""
        covered = {k: v for k, v in fields.items() if k not in {"sign", "sign_type"}}
        return fields | {"sign": sign(self.alipay_key, signed_text(covered)), "sign_type": "RSA2"}


@pytest.fixture(scope="session")
def keys() -> Keys:
    """Keys for the whole session: making them takes most of a second."""
    ours, alipays = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in "12")
    account = Account(
        seller_id="2088000000000010",
        app_id="2021000000000010",
        private_key=ours,
        alipay_public_key=alipays.public_key(),
    )
    return Keys(account=account, alipay_key=alipays)


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The sandbox at 1,000 times life, and the server it calls back."""
    home = tmp_path_factory.mktemp("alipay")
    with running(home, status=200, body=b"success") as (sandbox, server):
        sandbox.call("PUT", "/alipay/settings", speed=1000, early_bills=True)
        yield sandbox, server


@pytest.fixture
def sandbox(outside: Outside) -> Iterator[SandboxProcess]:
    """The process, without faults left behind."""
    yield outside[0]
    outside[0].call("DELETE", "/faults")


@pytest.fixture(scope="session")
def server(outside: Outside) -> MerchantServer:
    """The merchant's server; tests keep apart by merchants of their own."""
    return outside[1]


@pytest.fixture(scope="session")
async def http(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    """Reaches the real host names through the sandbox's proxy."""
    async with outside[0].async_client() as client:
        yield client


@pytest.fixture(scope="session")
def pay(http: httpx.AsyncClient) -> Alipay:
    """The client under test."""
    return Alipay(http)


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Iterator[AlipayMerchant]:
    """A merchant of this test's own: the levers of the outside."""
    made = AlipayMerchant(sandbox)
    yield made
    made.http.close()


@pytest.fixture
def account(merchant: AlipayMerchant) -> Account:
    """The same merchant as our client knows it."""
    return account_of(merchant)


def account_of(merchant: AlipayMerchant) -> Account:
    """A merchant of the outside as a payee of ours."""
    return Account(
        seller_id=merchant.seller_id,
        app_id=merchant.keys["app_id"],
        private_key=merchant.private_key,
        alipay_public_key=public_key(merchant.keys["alipay_public_key_pem"]),
    )
