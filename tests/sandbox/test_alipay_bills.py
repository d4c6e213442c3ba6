"""Alipay's shares and bills: each receiver's result, and a day's tables as they are fetched."""

import csv
import io
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.alipay.bills import Bills
from sandbox.alipay.merchants import Merchants
from sandbox.alipay.tables import create_tables
from sandbox.store import Store
from tests.sandbox.alipay import AlipayMerchant, china_now
from tests.sandbox.outside import SandboxProcess, wait_for

SETTLE, SETTLE_QUERY = "alipay.trade.order.settle", "alipay.trade.order.settle.query"
BILL = "alipay.data.dataservice.bill.downloadurl.query"
RECEIVER = "2088000000000002"


def _bind(alipay: AlipayMerchant, what: str = "bind") -> None:
    receivers = [{"type": "userId", "account": RECEIVER}]
    method = f"alipay.trade.royalty.relation.{what}"
    bound = alipay.ask(method, receiver_list=receivers, out_request_no="b1")
    assert bound["result_code"] == "SUCCESS"


def _settle(alipay: AlipayMerchant, trade_no: str, number: str, *amounts: str) -> Any:
    shares = [
        {"royalty_type": "transfer", "trans_in": RECEIVER, "amount": amount} for amount in amounts
    ]
    return alipay.ask(SETTLE, out_request_no=number, trade_no=trade_no, royalty_parameters=shares)


def _trade_no(alipay: AlipayMerchant) -> str:
    found = alipay.ask("alipay.trade.query", out_trade_no=alipay.paid())
    return str(found["trade_no"])


def _tables(alipay: AlipayMerchant, kind: str) -> dict[str, list[str]]:
    answer = alipay.ask(BILL, bill_type=kind, bill_date=china_now()[:10])
    with zipfile.ZipFile(
        io.BytesIO(alipay.http.get(answer["bill_download_url"]).content)
    ) as packed:
        assert not any(member.flag_bits & 0x800 for member in packed.infolist())
        return {
            member.filename.encode("cp437").decode("gbk"): packed.read(member)
            .decode("gbk")
            .splitlines()
            for member in packed.infolist()
        }


def _rows(lines: list[str]) -> list[dict[str, str]]:
    assert all(line.startswith("#") for line in lines[:4])
    return list(csv.DictReader(line for line in lines[4:] if not line.startswith("#")))


def test_each_receiver_has_a_result(alipay: AlipayMerchant) -> None:
    _bind(alipay)
    trade_no = _trade_no(alipay)
    alipay.habits(royalty_seconds=20)
    taken = _settle(alipay, trade_no, "s1", "3.00", "2.00")
    assert _settle(alipay, trade_no, "s1", "3.00", "2.00") == taken
    asked = {"out_request_no": "s1", "trade_no": trade_no}
    listed = alipay.ask(SETTLE_QUERY, **asked)["royalty_detail_list"]
    assert [(item["amount"], item["state"]) for item in listed] == [
        ("3.00", "PROCESSING"),
        ("2.00", "PROCESSING"),
    ]
    wait_for(
        lambda: alipay.ask(SETTLE_QUERY, **asked)["royalty_detail_list"][1]["state"] == "SUCCESS"
    )
    by_number = alipay.ask(SETTLE_QUERY, settle_no=taken["settle_no"])
    assert by_number["out_request_no"] == "s1"
    alipay.habits(royalty_seconds=0, royalty_outcome="FAIL")
    _settle(alipay, trade_no, "s2", "4.00")
    failed = wait_for(
        lambda: alipay.ask(SETTLE_QUERY, out_request_no="s2", trade_no=trade_no)[
            "royalty_detail_list"
        ][0].get("error_code")
    )
    assert failed


def test_shares_that_cannot_be(alipay: AlipayMerchant) -> None:
    trade_no = _trade_no(alipay)
    assert _settle(alipay, trade_no, "s1", "1.00")["sub_code"] == "ACQ.ROYALTY_RECEIVER_INVALID"
    _bind(alipay)
    # 6 fen of the ten yuan are Alipay's.
    refused = _settle(alipay, trade_no, "s1", "9.95")
    assert refused["sub_code"] == "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"
    assert _settle(alipay, trade_no, "s1", "9.94")["code"] == "10000"
    other = _settle(alipay, trade_no, "s1", "9.93")
    assert other["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    finish = {"extend_params": {"royalty_finish": "true"}}
    assert alipay.ask(SETTLE, out_request_no="s3", trade_no=trade_no, **finish)["code"] == "10000"
    assert _settle(alipay, trade_no, "s4", "0.01")["sub_code"] == "ACQ.TRADE_SETTLE_ERROR"
    _bind(alipay, "unbind")
    refused = _settle(alipay, _trade_no(alipay), "s5", "1.00")
    assert refused["sub_code"] == "ACQ.ROYALTY_RECEIVER_INVALID"
    none = alipay.ask(SETTLE_QUERY, out_request_no="s9", trade_no=trade_no)
    assert none["sub_code"] == "ACQ.TRADE_SETTLE_NOT_EXIST"


def test_the_trade_bill(alipay: AlipayMerchant) -> None:
    alipay.habits(early_bills=True, speed=1000)
    plain = alipay.paid(subject="外卖, 两份")
    instalments = {"hb_fq_num": "12", "hb_fq_seller_percent": "100"}
    by_seller = alipay.paid(extend_params=instalments)
    alipay.paid(extend_params=instalments | {"hb_fq_seller_percent": "0"})
    alipay.refund(by_seller, "5.00", "r1")
    tables = _tables(alipay, "trade")
    detail = next(lines for name, lines in tables.items() if name.endswith("_业务明细.csv"))
    summary = next(lines for name, lines in tables.items() if name.endswith("(汇总).csv"))
    rows = _rows(detail)
    assert rows[0]["商户订单号"] == f"{plain}\t"
    assert rows[0]["商品名称"] == "外卖  两份"
    assert [row["服务费（元）"] for row in rows] == ["-0.06", "-0.81", "-0.06", "0.40"]
    assert [row["订单金额（元）"] for row in rows] == ["10.00", "10.00", "10.00", "-5.00"]
    assert (rows[3]["业务类型"], rows[3]["退款批次号/请求号"]) == ("退款\t", "r1")
    (total,) = _rows(summary)
    assert total["实收净额（元）"].strip() == "24.47"
    assert "#退款合计：1笔，商家实收退款共-5.00元，商家优惠退款共0.00元" in detail


def test_the_funds_bill(alipay: AlipayMerchant) -> None:
    alipay.habits(early_bills=True)
    _bind(alipay)
    trade_no = _trade_no(alipay)
    _settle(alipay, trade_no, "s1", "2.00")
    alipay.ask("alipay.trade.refund", trade_no=trade_no, refund_amount="5.00", out_request_no="r")
    tables = _tables(alipay, "signcustomer")
    detail = next(lines for name, lines in tables.items() if name.endswith("_账务明细.csv"))
    rows = _rows(detail)
    kinds = {row["业务类型"].strip() for row in rows}
    assert kinds == {"在线支付", "收费", "退费", "交易退款", "交易分账"}
    assert rows[-1]["账户余额（元）"] == "2.97"


def test_when_there_is_a_bill(alipay: AlipayMerchant, sandbox: SandboxProcess) -> None:
    today = {"bill_type": "trade", "bill_date": china_now()[:10]}
    alipay.paid()
    assert alipay.ask(BILL, **today)["sub_code"] == "isp.bill_not_exist"
    alipay.habits(early_bills=True)
    url = alipay.ask(BILL, **today)["bill_download_url"]
    assert alipay.http.get(url).content.startswith(b"PK")
    for spoiled in (url + "0", url.replace("userId=2088", "userId=2089")):
        assert "失效" in alipay.http.get(spoiled).text
    other_day = {"bill_type": "trade", "bill_date": "2026-01-01"}
    assert alipay.ask(BILL, **other_day)["sub_code"] == "isp.bill_not_exist"
    no_day = {"bill_type": "trade", "bill_date": "2026-02-31"}
    assert alipay.ask(BILL, **no_day)["sub_code"] == "isp.invalid_arguments"
    sandbox.fault("bill_download", "http_502", mchid=alipay.seller_id)
    assert alipay.http.get(url).status_code == 502


@pytest.mark.parametrize("name", ["bizType", "timestamp"])
def test_a_bills_address_cannot_be_changed(alipay: AlipayMerchant, name: str) -> None:
    assert (
        "失效"
        in alipay.http.get(
            "https://dwbillcenter.alipay.com/downloadBillFile.resource?" + urlencode({name: "1"})
        ).text
    )


@pytest.mark.parametrize(("age_seconds", "lives"), [(29, True), (32, False)])
def test_a_bills_address_lives_thirty_seconds(
    tmp_path: Path, *, age_seconds: int, lives: bool
) -> None:
    store = Store(tmp_path / "sandbox.sqlite3")
    create_tables(store)
    bills = Bills(store, Merchants(store, 1.0))
    claims = {
        "bizType": "trade",
        "userId": "2088000000000001",
        "bizDates": "20261123",
        "timestamp": str(int(time.time()) - age_seconds),
    }
    found = bills.download(claims | {"token": bills._token(claims)})
    store.close()
    assert (found is not None) is lives
