"""Fixtures of the Alipay client's tests: keys of both sides, and the sandbox to talk to."""

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.alipay.accounts import Account
from services.alipay.client import Alipay
from services.alipay.signing import sign, signed_text
from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess


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
def outside(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SandboxProcess, MerchantServer]]:
    """The sandbox at 1,000 times life, and the server it calls back."""
    server = MerchantServer(status=200, body=b"success")
    sandbox = SandboxProcess(tmp_path_factory.mktemp("alipay"), server.port)
    sandbox.start()
    sandbox.call("PUT", "/alipay/settings", speed=1000, early_bills=True)
    tls: Path = sandbox.home / "tls"
    server.serve(tls / f"{PUBLIC_NAME}.pem", tls / f"{PUBLIC_NAME}.key")
    yield sandbox, server
    sandbox.stop()
    server.close()


@pytest.fixture
def sandbox(outside: tuple[SandboxProcess, MerchantServer]) -> Iterator[SandboxProcess]:
    """The process, without faults left behind."""
    yield outside[0]
    outside[0].call("DELETE", "/faults")


@pytest.fixture(scope="session")
def server(outside: tuple[SandboxProcess, MerchantServer]) -> MerchantServer:
    """The merchant's server; tests keep apart by merchants of their own."""
    return outside[1]


@pytest.fixture(scope="session")
async def http(outside: tuple[SandboxProcess, MerchantServer]) -> AsyncIterator[httpx.AsyncClient]:
    """Reaches the real host names through the sandbox's proxy."""
    trust = ssl.create_default_context(cafile=str(outside[0].home / "ca.pem"))
    async with httpx.AsyncClient(proxy=outside[0].proxy, verify=trust, trust_env=False) as client:
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
    private = load_pem_private_key(merchant.keys["private_key_pem"].encode(), password=None)
    public = load_pem_public_key(merchant.keys["alipay_public_key_pem"].encode())
    assert isinstance(private, rsa.RSAPrivateKey)
    assert isinstance(public, rsa.RSAPublicKey)
    return Account(
        seller_id=merchant.seller_id,
        app_id=merchant.keys["app_id"],
        private_key=private,
        alipay_public_key=public,
    )
