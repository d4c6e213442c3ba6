"""A running stack that may be killed: never the one that other tests share."""

import os
import sys
import time
from collections.abc import AsyncIterator

import pytest

from tests.faults.seeds import Tell
from tests.faults.stage import Stage
from tests.stack import running_stack


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a line past pytest's capture, with the seconds since the test began."""
    began = time.monotonic()

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{time.monotonic() - began:6.1f} s  {text}")
            sys.stdout.flush()

    return line


@pytest.fixture(scope="package")
async def stage() -> AsyncIterator[Stage]:
    """One stack for this folder; `PAOTUI_FAULT_STACK` names one that is running already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PAOTUI_TEST_STACK", raising=False)
        if given := os.environ.get("PAOTUI_FAULT_STACK"):
            patch.setenv("PAOTUI_TEST_STACK", given)
        with running_stack() as settings:
            async with Stage(settings) as stage:
                yield stage
