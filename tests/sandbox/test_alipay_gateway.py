"""Alipay's door: who is let in, what an answer's signature covers, scripted misbehaviour."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.sandbox.alipay import HOST, AlipayMerchant, china_now
from tests.sandbox.outside import MerchantServer, SandboxProcess

QUERY = "alipay.trade.query"


@pytest.fixture(scope="module")
def one_for_all(outside: tuple[SandboxProcess, MerchantServer]) -> Iterator[AlipayMerchant]:
    """One merchant for the file: making keys takes longer than most of its tests."""
    made = AlipayMerchant(outside[0])
    yield made
    made.http.close()


@pytest.fixture
def alipay(one_for_all: AlipayMerchant, sandbox: SandboxProcess) -> AlipayMerchant:
    """That merchant, without faults left by other tests."""
    assert one_for_all.sandbox is sandbox
    return one_for_all


def _refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 200
    assert "sign" not in answer.json()
    return str(answer.json()["error_response"]["sub_code"])


@pytest.mark.parametrize(
    ("changes", "sub_code"),
    [
        ({"app_id": ""}, "isv.missing-app-id"),
        ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
        ({"method": ""}, "isv.missing-method"),
        ({"method": "alipay.trade.steal"}, "isv.invalid-method"),
        ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
        ({"charset": "GBK"}, "isv.invalid-charset"),
        ({"timestamp": ""}, "isv.missing-timestamp"),
        ({"timestamp": "2026-11-23T12:00:00Z"}, "isv.invalid-timestamp"),
    ],
)
def test_wrong_public_parameters_are_named(
    alipay: AlipayMerchant, changes: dict[str, str], sub_code: str
) -> None:
    assert _refusal(alipay.send(alipay.parameters(QUERY, {}, **changes))) == sub_code


@pytest.mark.parametrize("seconds", [-8 * 3600, 600])
def test_a_clock_that_is_not_chinas_is_refused(alipay: AlipayMerchant, seconds: int) -> None:
    asked = alipay.parameters(QUERY, {}, timestamp=china_now(seconds))
    assert _refusal(alipay.send(asked)) == "isv.invalid-timestamp"


def test_a_signature_covers_every_parameter(alipay: AlipayMerchant) -> None:
    right = alipay.parameters(QUERY, {"out_trade_no": "none"})
    assert _refusal(alipay.send(right | {"sign": ""})) == "isv.missing-signature"
    for name, value in {
        "biz_content": '{"out_trade_no":"other"}',
        "notify_url": "https://elsewhere.example/",
        "sign": right["sign"][:-4] + "AAA=",
        "extra": "1",
    }.items():
        assert _refusal(alipay.send(right | {name: value})) == "isv.invalid-signature"
    answer = alipay.send(right | {"empty": ""})
    assert answer.json()["alipay_trade_query_response"]["sub_code"] == "ACQ.TRADE_NOT_EXIST"


def test_parameters_come_in_query_or_form_and_never_twice(alipay: AlipayMerchant) -> None:
    parameters = alipay.parameters(QUERY, {"out_trade_no": alipay.made()})
    content = {"biz_content": parameters.pop("biz_content")}
    url = f"{HOST}/gateway.do?{urlencode(parameters)}"
    answers = [alipay.http.get(f"{url}&{urlencode(content)}"), alipay.http.post(url, data=content)]
    codes = [answer.json()["alipay_trade_query_response"]["code"] for answer in answers]
    assert codes == ["10000", "10000"]
    assert _refusal(alipay.http.post(f"{url}&{urlencode(content)}", data=content)) == (
        "isv.invalid-parameter"
    )
    assert _refusal(alipay.http.post(url, content="biz_content=%ff")) == "isv.invalid-encoding"


def test_an_absolute_request_line_is_understood(
    alipay: AlipayMerchant, sandbox: SandboxProcess
) -> None:
    query = urlencode(alipay.parameters(QUERY, {"out_trade_no": "none"}))
    proxy = httpx.URL(sandbox.proxy)
    with socket.create_connection((proxy.host, proxy.port), timeout=10) as plain:
        plain.sendall(b"CONNECT openapi.alipay.com:443 HTTP/1.1\r\n\r\n")
        assert b" 200 " in plain.recv(1024)
        with sandbox.trust.wrap_socket(plain, server_hostname="openapi.alipay.com") as secure:
            line = f"GET {HOST}/gateway.do?{query} HTTP/1.1\r\n"
            secure.sendall(f"{line}Host: openapi.alipay.com\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: secure.recv(65536), b""))
    assert b"ACQ.TRADE_NOT_EXIST" in answer


@pytest.mark.parametrize("subject", ["}", "{", 'x","sign":"y', "a/b\\", "外卖 {}}"])
def test_the_raw_node_is_signed_whatever_texts_hold(alipay: AlipayMerchant, subject: str) -> None:
    out_trade_no = alipay.made(subject=subject)
    assert alipay.ask(QUERY, out_trade_no=out_trade_no)["subject"] == subject
    raw = alipay.send(alipay.parameters(QUERY, {"out_trade_no": out_trade_no})).text
    assert ("\\/" in raw) is ("/" in subject)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 10_000])
def test_content_that_is_no_object_is_refused(alipay: AlipayMerchant, content: str) -> None:
    answer = alipay.send(alipay.parameters(QUERY, {}, biz_content=content)).json()
    assert answer["alipay_trade_query_response"]["code"] in {"40002", "40004"}


@pytest.mark.parametrize(("fault", "happened"), [("drop_before", 0), ("drop_after_commit", 1)])
def test_a_dropped_connection(
    alipay: AlipayMerchant, sandbox: SandboxProcess, fault: str, happened: int
) -> None:
    order = alipay.order(buyer_id="2088000000000001")
    sandbox.fault("create", fault, channel="alipay", out_trade_no=order["out_trade_no"])
    with pytest.raises(httpx.TransportError):
        alipay.ask("alipay.trade.create", **order)
    assert len(alipay.oracle(out_trade_no=order["out_trade_no"])["orders"]) == happened
    assert alipay.ask("alipay.trade.create", **order)["code"] == "10000"


@pytest.mark.parametrize(
    ("fault", "shown", "happened"),
    [
        ("http_202", ("20000", "aop.unknow-error"), 1),
        ("http_429", ("40005", "isv.app-call-limited"), 0),
        ("system_error", ("40004", "ACQ.SYSTEM_ERROR"), 1),
    ],
)
def test_doubts_are_said_with_http_200(
    alipay: AlipayMerchant,
    sandbox: SandboxProcess,
    *,
    fault: str,
    shown: tuple[str, str],
    happened: int,
) -> None:
    order = alipay.order(buyer_id="2088000000000001")
    sandbox.fault("create", fault, mchid=alipay.seller_id)
    node = alipay.ask("alipay.trade.create", **order)
    assert (node["code"], node["sub_code"]) == shown
    assert len(alipay.oracle(out_trade_no=order["out_trade_no"])["orders"]) == happened


@pytest.mark.parametrize(("fault", "status"), [("http_500", 500), ("http_502", 502)])
def test_breakdowns(
    alipay: AlipayMerchant, sandbox: SandboxProcess, fault: str, status: int
) -> None:
    sandbox.fault("query", fault, mchid=alipay.seller_id)
    parameters = alipay.parameters(QUERY, {"out_trade_no": "none"})
    assert alipay.send(parameters).status_code == status
    assert alipay.send(parameters).status_code == 200


def test_a_spoiled_signature(alipay: AlipayMerchant, sandbox: SandboxProcess) -> None:
    parameters = alipay.parameters(QUERY, {"out_trade_no": alipay.made()})
    sandbox.fault("query", "bad_signature", mchid=alipay.seller_id)
    spoiled, right = (_node(alipay, alipay.send(parameters).text) for _ in range(2))
    assert (spoiled[1], right[1]) == (False, True)
    assert spoiled[0] == right[0]


def _node(alipay: AlipayMerchant, text: str) -> tuple[Any, bool]:
    raw = text.removeprefix('{"alipay_trade_query_response":').rpartition(',"sign":"')[0]
    return json.loads(raw), alipay.is_signed(raw, json.loads(text)["sign"])
