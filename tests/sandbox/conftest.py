"""Fixtures: one sandbox process for the folder, a merchant's server, a fresh merchant a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess, TestMerchant


@pytest.fixture(scope="session")
def outside(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SandboxProcess, MerchantServer]]:
    """The process and the server it calls back, which shows the sandbox's certificate."""
    server = MerchantServer()
    sandbox = SandboxProcess(tmp_path_factory.mktemp("sandbox"), server.port)
    sandbox.start()
    tls: Path = sandbox.home / "tls"
    server.serve(tls / f"{PUBLIC_NAME}.pem", tls / f"{PUBLIC_NAME}.key")
    yield sandbox, server
    sandbox.stop()
    server.close()


@pytest.fixture
def sandbox(outside: tuple[SandboxProcess, MerchantServer]) -> Iterator[SandboxProcess]:
    """The sandbox, fast (60 times life), without faults left by other tests."""
    outside[0].call("DELETE", "/faults")
    outside[0].call("PUT", "/settings", speed=60, refund_seconds=6, grey=0)
    yield outside[0]
    outside[0].call("DELETE", "/faults")


@pytest.fixture
def server(outside: tuple[SandboxProcess, MerchantServer]) -> MerchantServer:
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
