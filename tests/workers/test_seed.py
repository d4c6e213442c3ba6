"""`python -m workers.seed` as it is run: the real sandbox makes keys that can be read back."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from services import tables
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.sandbox.outside import SandboxProcess, free_ports
from workers.demo_city import PAYEES, REVENUE_FEN, SPLITTING
from workers.seed import ENROLMENTS

SEED_SECONDS = 60


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox that calls nobody back."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"), free_ports(1)[0])
    process.start()
    yield process
    process.stop()


def run_seed(
    home: Path, postgres_url: str, personal_key: str, *, sandbox_url: str, city: Any = None
) -> subprocess.CompletedProcess[str]:
    """The program in a state folder of its own."""
    environment = {
        **os.environ,
        "PAOTUI_HOME": str(home),
        "PAOTUI_DATABASE_URL": postgres_url,
        "PAOTUI_PERSONAL_KEY": personal_key,
        "PAOTUI_SANDBOX_URL": sandbox_url,
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "workers.seed", *(["-"] if city else [])],
        input=json.dumps(city),
        env=environment,
        capture_output=True,
        text=True,
        timeout=SEED_SECONDS,
        check=False,
    )


async def test_the_demo_city_is_seeded_twice_with_the_same_keys(
    database: Database,
    postgres_url: str,
    personal_key: str,
    sandbox: SandboxProcess,
    tmp_path: Path,
) -> None:
    url = str(sandbox.control.base_url).removesuffix("/control/")
    done = [
        run_seed(tmp_path, postgres_url, personal_key, sandbox_url=url.rstrip("/"))
        for _ in range(2)
    ]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr
    assert done[0].stdout == done[1].stdout
    assert "hangzhou-demo" in done[0].stdout
    async with database.read() as reader:
        accounts = await reader.all(
            select(tables.channel_accounts).where(
                tables.channel_accounts.c.site_id == "hangzhou-demo"
            )
        )
        tokens = await reader.all(
            text("""SELECT payee FROM riders WHERE site_id = 'hangzhou-demo'
            UNION ALL SELECT payee FROM merchants
            WHERE site_id = 'hangzhou-demo' AND merchant_id <> 'platform'""")
        )
    assert Counter(row.channel for row in accounts) == {
        channel: 3 + (channel in SPLITTING) + (channel == "bank") for channel in PAYEES
    }
    assert len({row.payee for row in tokens} - {""}) == len(tokens) == 9
    own = next(row.mchid for row in accounts if row.merchant_id == "")
    assert sandbox.call("GET", f"/bank/balances/{own}")["balance_fen"] == REVENUE_FEN
    gateways = Gateways(Settings(home=tmp_path))
    for row in accounts:
        account = gateways.account(row.channel, row.keys_ref)
        number = ENROLMENTS[row.channel].mchid
        assert getattr(account, number) == row.mchid
    await gateways.close()


@pytest.mark.parametrize(
    ("city", "named"),
    [
        ({"site": {"site_id": "s", "name": "s"}, "shop": []}, "shop"),
        ([1], "city"),
        ({"channel_accounts": [{"mchid": "12345678"}]}, "city"),
        ({"site": {"site_id": "s"}, "channel_accounts": [{"mchid": "1"}]}, "channel_accounts"),
        ({"site": {"site_id": "s"}}, "name"),
    ],
)
def test_a_wrong_city_is_named_in_one_line(
    postgres_url: str, personal_key: str, tmp_path: Path, city: Any, named: str
) -> None:
    done = run_seed(tmp_path, postgres_url, personal_key, sandbox_url="", city=city)
    assert done.returncode == 1
    assert done.stderr.startswith("seed: ")
    assert named in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_sandbox_payees_are_left_out_and_that_is_said(
    postgres_url: str, personal_key: str, site_id: str, tmp_path: Path
) -> None:
    city = {
        "site": {"site_id": site_id, "name": "none"},
        "channel_accounts": [{"account_id": "a", "merchant_id": "m", "mchid": "12345678"}],
    }
    done = run_seed(tmp_path, postgres_url, personal_key, sandbox_url="", city=city)
    assert done.returncode == 0, done.stderr
    assert "PAOTUI_SANDBOX_URL" in done.stdout
    assert not (tmp_path / "keys").exists()
