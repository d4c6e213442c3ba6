"""The official Node SDK against the sandbox, through the proxy; it takes `npm ci` once."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, wait_for

FOLDER = Path(__file__).parents[1] / "clients" / "node"
RUN_SECONDS = 60

pytestmark = pytest.mark.skipif(
    not (FOLDER / "node_modules" / "alipay-sdk").exists() or shutil.which("node") is None,
    reason="no node, or `npm ci` was not run in tests/clients/node",
)


def _run(alipay: AlipayMerchant, **more: Any) -> Any:
    sandbox = alipay.sandbox
    given = {
        "keys": alipay.keys,
        "proxy": sandbox.proxy,
        "ca": str(sandbox.home / "ca.pem"),
        "control": str(sandbox.control.base_url),
        "notify_url": f"https://{PUBLIC_NAME}{alipay.notify_path}",
        **more,
    }
    ended = subprocess.run(
        ["node", "alipay.mjs"],
        cwd=FOLDER,
        # It stamps local time, which Alipay reads as China's.
        env=os.environ | {"TZ": "Asia/Shanghai"},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_official_sdk_tells_a_whole_story(
    alipay: AlipayMerchant, server: MerchantServer
) -> None:
    subject = '外卖 } { "sign":" / \\'
    told = _run(alipay, subject=subject)
    assert (told["created"]["code"], told["found"]["tradeStatus"]) == ("10000", "TRADE_SUCCESS")
    assert told["found"]["subject"] == subject
    assert (told["refunded"]["fundChange"], told["refunded"]["refundFee"]) == ("Y", "2.50")
    assert told["closed"]["subCode"] == "ACQ.TRADE_STATUS_ERROR"
    assert "¥1.00" in alipay.http.get(told["page"]).text

    wait_for(lambda: len(server.got(alipay.notify_path)) == 2)
    notices = [dict(parse_qsl(r.body.decode())) for r in server.got(alipay.notify_path)]
    forged = [notice | {"total_amount": "99.99"} for notice in notices]
    assert _run(alipay, notices=notices + forged) == [True, True, False, False]
