"""Fixtures of the WeChat Pay client's tests: keys of both sides, and a gateway to talk to."""

import pytest

from tests.services.wechat.platform import Platform


@pytest.fixture(scope="session")
def platform() -> Platform:
    """Keys for the whole session: making them takes most of a second."""
    return Platform()
