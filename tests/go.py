"""Tools written in Go that tests need: built once where there is a toolchain, kept in the cache."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD_SECONDS = 280
CACHE = Path.home() / ".cache" / "paotui"


def built(package: str, version: str, *flags: str) -> Path:
    """The tool's binary, or a reason to skip."""
    name = package.rpartition("/")[2]
    home = CACHE / f"{name}-{version}"
    binary = home / name
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"{name} is not there, and no Go toolchain to build it")
    done = subprocess.run(
        ["nice", go, "install", *flags, f"{package}@v{version}"],
        env=os.environ | {"GOBIN": str(home)},
        timeout=BUILD_SECONDS,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"{name} could not be built: is there a module proxy?")
    return binary
