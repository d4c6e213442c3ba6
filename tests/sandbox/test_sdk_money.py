"""Unmodified `wechatpayv3` shares money out, fetches bills and answers complaints."""

import gzip
import hashlib
import json
import time
from datetime import datetime, timedelta, timezone

import pytest
from wechatpayv3 import WeChatPay

from tests.sandbox.outside import PUBLIC_NAME, SandboxProcess, wait_for
from tests.sandbox.test_sdk import MakeSdk, make_sdk

__all__ = ["make_sdk"]
REFUND = {"refund": 250, "total": 1000, "currency": "CNY"}
both_modes = pytest.mark.parametrize(
    "has_certificates", [True, False], ids=["certificate", "public-key"]
)


def _paid(sdk: WeChatPay, sandbox: SandboxProcess) -> tuple[str, str]:
    number = f"m-{sdk._mchid}-{time.time_ns() % 10**9}"
    status, body = sdk.pay(
        "外卖", number, {"total": 1000}, {"openid": "o-1"}, settle_info={"profit_sharing": True}
    )
    assert status == 200, body
    paid = sandbox.pay(mchid=sdk._mchid, out_trade_no=number)
    return number, paid["transaction_id"]


def _finished(sdk: WeChatPay, transaction_id: str, out_order_no: str) -> dict[str, object] | None:
    _, body = sdk.profitsharing_order_query(transaction_id, out_order_no)
    split: dict[str, object] = json.loads(body)
    return split if split["state"] == "FINISHED" else None


# The SDK compares certificates' ends without a time zone.
@pytest.mark.filterwarnings("ignore:Properties that return a naïve datetime")
@both_modes
def test_the_sdk_shares_money_out(
    make_sdk: MakeSdk, sandbox: SandboxProcess, *, has_certificates: bool
) -> None:
    sdk = make_sdk(has_certificates)
    shop = sandbox.call("POST", "/merchants")["mchid"]
    status, body = sdk.profitsharing_add_receiver("MERCHANT_ID", shop, "STORE", name="一家店")
    assert status == 200, body
    number, transaction_id = _paid(sdk, sandbox)
    receivers = [{"type": "MERCHANT_ID", "account": shop, "amount": 300, "description": "货款"}]
    asked = (transaction_id, f"s-{number}", receivers, False)
    early = json.loads(sdk.profitsharing_order(*asked)[1])
    assert early["code"] == "INVALID_REQUEST"
    wait_for(lambda: sdk.profitsharing_order(*asked)[0] == 200)
    split = wait_for(lambda: _finished(sdk, transaction_id, f"s-{number}"))
    assert [share["result"] for share in split["receivers"]] == ["SUCCESS"]  # type: ignore[attr-defined]
    _, body = sdk.profitsharing_amount_query(transaction_id)
    assert json.loads(body)["unsplit_amount"] == 700

    status, body = sdk.profitsharing_return(
        f"b-{number}", shop, 100, "用户退款", out_order_no=f"s-{number}"
    )
    assert status == 200, body

    def returned() -> bool:
        _, body = sdk.profitsharing_return_query(f"s-{number}", f"b-{number}")
        return bool(json.loads(body)["result"] == "SUCCESS")

    wait_for(returned)
    status, body = sdk.profitsharing_unfreeze(transaction_id, f"u-{number}", "解冻全部剩余资金")
    assert status == 200, body
    rest = wait_for(lambda: _finished(sdk, transaction_id, f"u-{number}"))
    (share,) = rest["receivers"]  # type: ignore[misc]
    assert (share["account"], share["amount"]) == (sdk._mchid, 700)
    assert json.loads(sdk.profitsharing_amount_query(transaction_id)[1])["unsplit_amount"] == 0
    (order,) = sandbox.oracle(mchid=sdk._mchid)["orders"]
    assert (order["split_fen"], order["returned_fen"], order["fee_fen"]) == (300, 100, 6)


@both_modes
def test_the_sdk_fetches_bills(
    make_sdk: MakeSdk, sandbox: SandboxProcess, *, has_certificates: bool
) -> None:
    sdk = make_sdk(has_certificates)
    today = datetime.now(timezone(timedelta(hours=8))).date().isoformat()
    number, transaction_id = _paid(sdk, sandbox)
    status, body = sdk.trade_bill(today)
    assert (status, json.loads(body)["code"]) == (400, "STATEMENT_CREATING")
    sandbox.call("PUT", f"/merchants/{sdk._mchid}/settings", bills_ready=True)
    for ask, value in ((sdk.trade_bill, number), (sdk.fundflow_bill, transaction_id)):
        status, body = ask(today, tar_type="GZIP")
        assert status == 200, body
        offer = json.loads(body)
        status, packed = sdk.download_bill(offer["download_url"])
        content = gzip.decompress(packed)
        hashed = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        assert (offer["hash_type"], offer["hash_value"]) == ("SHA1", hashed)
        assert f"`{value},".encode() in content
        assert content.startswith("\ufeff".encode())
    assert sdk.refund(f"r-{number}", REFUND, out_trade_no=number)[0] == 200
    for bill_type, state, column in (
        ("SUCCESS", "SUCCESS", "费率"),
        ("REFUND", "REFUND", "退款申请时间"),
    ):
        status, body = sdk.trade_bill(today, bill_type=bill_type)
        assert status == 200, body
        _, packed = sdk.download_bill(json.loads(body)["download_url"])
        text = gzip.decompress(packed).decode()
        head, line, *summary = text.strip().split("\r\n")
        row = dict(zip(head.split(","), line[1:].split(",`"), strict=True))
        assert (row["交易状态"], row["商户订单号"], len(summary)) == (state, number, 2)
        assert row[column]
    status, _ = sdk.download_bill(offer["download_url"] + "x")
    assert status == 404


@both_modes
def test_the_sdk_answers_a_complaint(
    make_sdk: MakeSdk, sandbox: SandboxProcess, *, has_certificates: bool
) -> None:
    sdk = make_sdk(has_certificates)
    url = f"https://{PUBLIC_NAME}/complaints/{sdk._mchid}"
    assert sdk.complaint_notification_create(url)[0] == 200
    assert json.loads(sdk.complaint_notification_query()[1])["url"] == url
    number, _ = _paid(sdk, sandbox)
    made = sandbox.call("POST", "/complaints", mchid=sdk._mchid, out_trade_no=number)
    _, body = sdk.complaint_detail_query(made["complaint_id"])
    complaint = json.loads(body)
    assert complaint["complaint_state"] == "PENDING"
    assert sdk.decrypt(complaint["payer_phone"]) == "13800000000"
    assert sdk.complaint_response(made["complaint_id"], "已联系骑手")[0] == 204
    assert sdk.complaint_complete(made["complaint_id"])[0] == 204
    _, body = sdk.complaint_history_query(made["complaint_id"])
    said = [entry["operate_type"] for entry in json.loads(body)["data"]]
    assert said == ["MERCHANT_CONFIRM_COMPLETE", "MERCHANT_RESPONSE"]
    assert sdk.complaint_notification_delete()[0] == 204
