"""One running stack for all tests that need it: `paotui up --detach` in a folder of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.settings import Settings, of_stack

BIN = Path(sys.executable).parent
START_SECONDS = 600
STOP_SECONDS = 60


def environment_of(home: Path) -> dict[str, str]:
    """For processes of a stack: other tests' settings are not its own."""
    clean = {name: value for name, value in os.environ.items() if "PAOTUI_" not in name}
    return clean | {"PAOTUI_HOME": str(home), "PAOTUI_RATE_LIMIT": "100000/minute"}


def settings_of(home: Path) -> Settings:
    """Where a running stack's parts are, whatever other tests have set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if "PAOTUI_" in name]:
            patch.delenv(name)
        return of_stack(home)


@contextmanager
def running_stack() -> Iterator[Settings]:
    """Start it, hand out where its parts are, stop it; or the one in `PAOTUI_TEST_STACK`."""
    given = os.environ.get("PAOTUI_TEST_STACK")
    if given:
        yield settings_of(Path(given))
        return
    with tempfile.TemporaryDirectory(prefix="paotui-stack-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        environment = environment_of(Path(folder))
        up = subprocess.run(
            [BIN / "paotui", "up", "--detach", "--no-demo"],
            env=environment,
            timeout=START_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            assert up.returncode == 0, up.stdout + up.stderr
            yield settings_of(Path(folder))
        finally:
            subprocess.run(
                [BIN / "paotui", "down"],
                env=environment,
                timeout=STOP_SECONDS,
                capture_output=True,
                check=False,
            )
