"""Each contract of the corridor is kept, and breaks the build when it is violated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROOMS = ("domain", "services", "activities", "workflows", "workers", "api", "sandbox", "cli")

PLANTED_IMPORTS = {
    "domain": ("domain/planted.py", "import services.db"),
    "services": ("services/planted.py", "import activities"),
    "services-apart": ("services/shops.py", "import services.quotes"),
    "activities": ("activities/planted.py", "import workflows"),
    "workflows": ("workflows/planted.py", "import services.orders"),
    "workers": ("workers/planted.py", "import api"),
    "api": ("api/planted.py", "import activities"),
    "cli": ("cli/planted.py", "import services.orders"),
    "sandbox": ("sandbox/planted.py", "import domain.money"),
}
PLANTED_BANS = {
    "domain/planted.py": "from datetime import datetime\n\nNOW = datetime.now()",
    "domain/planted_ids.py": "from uuid import uuid4\n\nID = uuid4()",
    "workflows/planted.py": "import random\n\nDICE = random.random()",
    "workflows/planted_gather.py": "import asyncio\n\nBOTH = asyncio.gather",
    "services/planted.py": "from temporalio.client import Client\n\nCLIENT = Client",
    "activities/planted.py": "from temporalio.client import Client\n\nCLIENT = Client",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path, *contract: str) -> subprocess.CompletedProcess[str]:
    only = [part for one in contract for part in ("--contract", one)]
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache", *only],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept_and_has_a_planted_violation(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout
    assert f"{len(PLANTED_IMPORTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("contract", PLANTED_IMPORTS)
def test_a_door_that_opens_the_wrong_way_breaks_the_build(copy: Path, contract: str) -> None:
    path, line = PLANTED_IMPORTS[contract]
    with (copy / path).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(copy, contract)
    assert result.returncode == 1, result.stdout
    assert "0 kept, 1 broken" in result.stdout


@pytest.mark.parametrize("path", PLANTED_BANS)
def test_a_clock_or_dice_in_the_wrong_room_breaks_the_build(copy: Path, path: str) -> None:
    (copy / path).write_text(PLANTED_BANS[path] + "\n")
    result = subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--select", "TID251", path],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout
    assert "TID251" in result.stdout
