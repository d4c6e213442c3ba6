"""Unmodified npm `wechatpay-axios-plugin` against the sandbox, in public-key mode."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.outside import (
    PUBLIC_NAME,
    Outside,
    SandboxProcess,
    TestMerchant,
    running,
    wait_for,
)

FOLDER = Path(__file__).parent / "node"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules").exists(),
    reason="no node, or `npm ci` was not run in tests/clients/node",
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """A sandbox, fast, and the merchant's server that it calls back."""
    with running(tmp_path_factory.mktemp("sandbox")) as (sandbox, server):
        sandbox.call("PUT", "/settings", speed=60, bills_ready=True)
        yield sandbox, server


def _tell(sandbox: SandboxProcess, **given: Any) -> Any:
    surroundings = {
        **os.environ,
        "HTTPS_PROXY": sandbox.proxy,
        "NODE_EXTRA_CA_CERTS": str(sandbox.home / "ca.pem"),
    }
    done = subprocess.run(
        ["node", "wechat.mjs"],
        input=json.dumps(given),
        cwd=FOLDER,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_plugin_tells_a_whole_story(outside: Outside) -> None:
    sandbox, server = outside
    merchant = TestMerchant(sandbox, certificates=False)
    number = f"Node-{merchant.mchid}"
    told = _tell(
        sandbox,
        keys=merchant.keys,
        control=str(sandbox.control.base_url),
        notify_url=f"https://{PUBLIC_NAME}{merchant.notify_path}",
        number=number,
        today=datetime.now(timezone(timedelta(hours=8))).date().isoformat(),
    )
    merchant.http.close()
    assert told["closed"] == 204
    assert (told["paid"]["trade_type"], told["paid"]["trade_state"]) == ("MWEB", "SUCCESS")
    assert (told["refund"]["status"], told["refund"]["amount"]["refund"]) == ("SUCCESS", 250)
    assert told["hashed"]
    assert told["lines"] == 1 + 2 + 2
    (order,) = sandbox.oracle(mchid=merchant.mchid, out_trade_no=number)["orders"]
    assert (order["paid_fen"], order["refunded_fen"], order["charges"]) == (1000, 250, 1)

    (received,) = wait_for(lambda: server.got(merchant.notify_path))
    callback = {"headers": dict(received.headers), "body": received.body.decode()}
    read = _tell(sandbox, keys=merchant.keys, callback=callback)
    assert read["believed"]
    assert read["resource"]["out_trade_no"] == number
    callback["body"] = callback["body"].replace("TRANSACTION", "TRANSACTIOM")
    assert not _tell(sandbox, keys=merchant.keys, callback=callback)["believed"]
