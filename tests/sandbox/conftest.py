"""Fixtures: one sandbox process for the folder, a merchant's server, a fresh merchant a test."""

from collections.abc import Iterator

import pytest

from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import MerchantServer, Outside, SandboxProcess, TestMerchant, running


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The process and the server it calls back, which shows the sandbox's certificate."""
    with running(tmp_path_factory.mktemp("sandbox")) as outside:
        yield outside


@pytest.fixture
def sandbox(outside: Outside) -> Iterator[SandboxProcess]:
    """The sandbox, fast (60 times life), without faults left by other tests."""
    outside[0].call("DELETE", "/faults")
    outside[0].call("PUT", "/settings", speed=60, refund_seconds=6, grey=0)
    yield outside[0]
    outside[0].call("DELETE", "/faults")


@pytest.fixture
def server(outside: Outside) -> MerchantServer:
    """The merchant's server, answering 204."""
    outside[1].status, outside[1].body = 204, b""
    return outside[1]


@pytest.fixture
def merchant(sandbox: SandboxProcess) -> Iterator[TestMerchant]:
    """A merchant with platform certificate."""
    made = TestMerchant(sandbox)
    yield made
    made.http.close()


@pytest.fixture
def alipay(sandbox: SandboxProcess, server: MerchantServer) -> Iterator[AlipayMerchant]:
    """A merchant of Alipay whose server takes callbacks for good."""
    server.status, server.body = 200, b"success"
    sandbox.call("PUT", "/alipay/settings", speed=60)
    made = AlipayMerchant(sandbox)
    yield made
    made.http.close()
