"""Fixtures of the WeChat Pay client's tests: keys of both sides, and a gateway to talk to."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.services.wechat.gateway import Gateway, NoticeEar, listening, running_gateway
from tests.services.wechat.platform import Platform


@pytest.fixture(scope="session")
def platform() -> Platform:
    """Keys for the whole session: making them takes most of a second."""
    return Platform()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway's fake; tests keep apart by merchants of their own."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
async def ear(gateway: Gateway) -> AsyncIterator[NoticeEar]:
    """Hears every notice of the session, so a test takes all that it causes."""
    async with listening(gateway) as opened:
        yield opened


@pytest.fixture(scope="session")
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Reaches the real host name through the gateway's proxy."""
    async with gateway.sandbox.async_client() as client:
        yield client


@pytest.fixture(scope="session")
def pay(http: httpx.AsyncClient) -> WechatPay:
    """The client under test."""
    return WechatPay(http)


@pytest.fixture(params=["certificate", "public_key"])
def account(request: pytest.FixtureRequest, gateway: Gateway) -> Account:
    """A merchant of this test's own, in either key mode."""
    return gateway.merchant(certificates=request.param == "certificate")


@pytest.fixture
def certificate_account(gateway: Gateway) -> Account:
    """A merchant of this test's own that knows no public key."""
    return gateway.merchant(certificates=True)
