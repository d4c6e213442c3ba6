"""One running stack for all tests that need it: `paotui up --detach` in a folder of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.settings import Settings, of_stack

BIN = Path(sys.executable).parent
START_SECONDS = 600
STOP_SECONDS = 60


@contextmanager
def running_stack() -> Iterator[Settings]:
    """Start it, hand out where its parts are, stop it; or the one in `PAOTUI_TEST_STACK`."""
    given = os.environ.get("PAOTUI_TEST_STACK")
    if given:
        yield of_stack(Path(given))
        return
    with tempfile.TemporaryDirectory(prefix="paotui-stack-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        environment = {**os.environ, "PAOTUI_HOME": folder, "PAOTUI_RATE_LIMIT": "100000/minute"}
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
            yield of_stack(Path(folder))
        finally:
            subprocess.run(
                [BIN / "paotui", "down"],
                env=environment,
                timeout=STOP_SECONDS,
                capture_output=True,
                check=False,
            )
