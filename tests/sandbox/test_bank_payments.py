"""Payments at the bank: wallets, e-CNY, consents, refunds, callbacks, and who may ask."""

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from tests.sandbox.bank import BankClient
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for


@pytest.fixture
def bank(sandbox: SandboxProcess) -> Iterator[BankClient]:
    made = BankClient(sandbox)
    yield made
    made.http.close()


def test_a_wallet_pays_once_and_gets_it_back(
    bank: BankClient, sandbox: SandboxProcess, server: MerchantServer
) -> None:
    wallet = sandbox.call("POST", "/bank/wallets", top_up_fen=1500)["wallet"]
    body = bank.payment()
    number = body["out_trade_no"]
    opened = bank.post("/v1/payments", **body)
    assert bank.post("/v1/payments", **body) == opened
    bank.post("/v1/payments", 409, **{**body, "description": "另一单"})
    poor = sandbox.call("POST", "/bank/wallets")["wallet"]
    shown = {"confirm_url": opened["confirm_url"]}
    refused = sandbox.call("POST", "/bank/pay", 409, **shown, wallet=poor)
    assert refused["reason"] == "insufficient_funds"
    sandbox.call("POST", "/bank/pay", **shown, wallet=wallet)
    again = sandbox.call("POST", "/bank/pay", 409, **shown, wallet=wallet)
    assert again["reason"] == "already_paid"
    paid = bank.get(f"/v1/payments/{number}")
    assert (paid["state"], paid["amount"]["value"]) == ("PAID", 1000)
    assert (bank.balance_fen(wallet), bank.balance_fen()) == (500, 1000)
    assert bank.post(f"/v1/payments/{number}/close", 409)["code"] == "PAYMENT_PAID"
    bank.refund(number, 1001, 409)
    refund = bank.refund(number, 400)
    assert refund["state"] == "PROCESSING"
    path = f"/v1/refunds/{refund['out_refund_no']}"
    wait_for(lambda: bank.get(path)["state"] == "SUCCESS")
    assert (bank.balance_fen(wallet), bank.balance_fen()) == (900, 600)
    heard = wait_for(lambda: server.got(bank.notify_path)[1:] and server.got(bank.notify_path))
    assert all(bank.is_signed(one.headers, one.body) for one in heard)
    # Two notices on their way at once may overtake each other.
    said = {one.event["type"]: one.event["data"] for one in heard}
    assert set(said) == {"payment.paid", "refund.success"}
    assert said["payment.paid"] == paid
    moved = bank.oracle()
    assert (moved["paid_fen"], moved["refunded_fen"]) == (1000, 400)
    (order,) = moved["orders"]
    assert (order["trade_state"], order["charges"], order["split_fen"]) == ("REFUND", 1, 0)


def test_a_consent_pays_at_once_or_waits_for_money(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    opened = sandbox.call("POST", "/bank/wallets", top_up_fen=1000)
    wallet = opened["wallet"]
    first = bank.post("/v1/payments", **bank.payment(consent=opened["consent"]))
    assert first["state"] == "PAID"
    assert "confirm_url" not in first
    body = bank.payment(consent=opened["consent"], save=True)
    second = bank.post("/v1/payments", **body)
    assert (second["state"], second["failure_code"]) == ("OPEN", "INSUFFICIENT_FUNDS")
    sandbox.call("POST", "/bank/wallets", wallet=wallet, top_up_fen=1000)
    consent_path = f"/v1/payments/{body['out_trade_no']}/consent"
    bank.get(consent_path, 404)
    sandbox.call("POST", "/bank/pay", confirm_url=second["confirm_url"], wallet=wallet)
    assert bank.get(consent_path)["consent"] != opened["consent"]
    assert bank.post("/v1/payments", **body)["state"] == "PAID"
    assert bank.balance_fen(wallet) == 0
    bank.post("/v1/payments", 400, **bank.payment(consent="consent-nobody"))


def test_ecny_closes_declines_expires_and_clears_late(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    body = bank.payment(method="ecny")
    shown = {"mchid": bank.account, "out_trade_no": body["out_trade_no"]}
    bank.post("/v1/payments", **body)
    sandbox.call("POST", "/bank/pay", **shown, outcome="fail")
    path = f"/v1/payments/{body['out_trade_no']}"
    assert bank.get(path)["failure_code"] == "DECLINED"
    for _ in range(2):
        assert bank.post(f"{path}/close")["state"] == "CLOSED"
    assert sandbox.call("POST", "/bank/pay", 409, **shown)["reason"] == "order_closed"
    sandbox.call("POST", "/bank/pay", **shown, cleared_late=True)
    assert bank.get(path)["state"] == "PAID"
    soon = datetime.now(UTC) + timedelta(seconds=1)
    brief = bank.payment(method="ecny", expires_at=soon.isoformat())
    bank.post("/v1/payments", **brief)
    path = f"/v1/payments/{brief['out_trade_no']}"
    wait_for(lambda: bank.get(path)["state"] == "CLOSED")
    assert bank.post("/v1/payments", **brief)["state"] == "CLOSED"
    bank.get("/v1/payments/never-made", 404)


def test_a_refund_ends_as_told_and_gives_money_back(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    number = bank.paid()["out_trade_no"]
    sandbox.call("PUT", "/settings", refund_outcome="PROCESSING")
    refund = bank.refund(number, 1000)
    assert bank.balance_fen() == 0
    path = f"/bank/refunds/{refund['out_refund_no']}/resolve"
    sandbox.call("POST", path, mchid=bank.account, status="ABNORMAL")
    sandbox.call("POST", path, mchid=bank.account, status="CLOSED")
    sandbox.call("POST", path, 409, mchid=bank.account, status="SUCCESS")
    sandbox.call("PUT", "/settings", refund_outcome="SUCCESS")
    assert bank.balance_fen() == 1000
    assert bank.oracle()["orders"][0]["trade_state"] == "SUCCESS"
    bank.refund(number, 1000, 409, out_refund_no=refund["out_refund_no"], reason="other")


def _wrong_headers(bank: BankClient, other: BankClient, kind: str) -> dict[str, str]:
    target = "/v1/payments/x"
    right = bank.headers("GET", target, b"")
    stale = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    wrong: dict[str, dict[str, str]] = {
        "no signature": {name: value for name, value in right.items() if name != "Signature"},
        "another target": bank.headers("GET", "/v1/payments/y", b""),
        "another method": bank.headers("POST", target, b""),
        "another body": bank.headers("GET", target, b"x"),
        "another key": right | {"Signature": other.headers("GET", target, b"")["Signature"]},
        "another id": right | {"X-Request-ID": "0" * 36},
        "stale": bank.headers("GET", target, b"", date=stale),
        "no date": bank.headers("GET", target, b"", date="yesterday"),
        "nobody": right
        | {"Signature": right["Signature"].replace(bank.keys["client_id"], "client-nobody")},
        "covers less": right | {"Signature": right["Signature"].replace(" x-request-id", "")},
    }
    return wrong[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("no signature", "another target", "another method", "another body", "another key"),
        *("another id", "stale", "no date", "nobody", "covers less"),
    ],
)
def test_who_does_not_sign_rightly_is_told_nothing(
    bank: BankClient, sandbox: SandboxProcess, kind: str
) -> None:
    other = BankClient(sandbox)
    answer = bank.request("GET", "/v1/payments/x", headers=_wrong_headers(bank, other, kind))
    other.http.close()
    assert answer.status_code == 401
    assert answer.json()["code"] in {"SIGNATURE_WRONG", "DATE_STALE"}


def test_a_requests_id_belongs_to_one_content(bank: BankClient) -> None:
    first, second = bank.payment(method="ecny"), bank.payment(method="ecny")
    wanted = {"x-request-id": "11111111-2222-3333-4444-555555555555"}

    def ask(body: Any) -> httpx.Response:
        content = httpx.Request("POST", "https://x", json=body).content
        headers = bank.headers("POST", "/v1/payments", content, **wanted)
        return bank.http.post("/v1/payments", content=content, headers=headers)

    assert [ask(first).status_code, ask(first).status_code] == [200, 200]
    assert ask(second).json()["code"] == "REQUEST_ID_REUSED"
    assert len(bank.oracle()["orders"]) == 1


@pytest.mark.parametrize(
    ("fault", "status", "happened"),
    [("http_500", 500, 0), ("http_502", 502, 0), ("http_429", 429, 0), ("http_202", 202, 1)],
)
def test_breakdowns(
    bank: BankClient, sandbox: SandboxProcess, fault: str, status: int, happened: int
) -> None:
    sandbox.fault("create", fault, channel="bank", mchid=bank.account)
    answer = bank.request("POST", "/v1/payments", bank.payment())
    assert answer.status_code == status
    assert len(bank.oracle()["orders"]) == happened


@pytest.mark.parametrize(("fault", "happened"), [("drop_before", 0), ("drop_after_commit", 1)])
def test_dropped_connections(
    bank: BankClient, sandbox: SandboxProcess, fault: str, happened: int
) -> None:
    sandbox.fault("create", fault, mchid=bank.account)
    with pytest.raises(httpx.TransportError):
        bank.request("POST", "/v1/payments", bank.payment())
    assert len(bank.oracle()["orders"]) == happened


@pytest.mark.parametrize("fault", ["bad_signature", "wrong_serial", "signtest", "stale_timestamp"])
def test_spoiled_answers(bank: BankClient, sandbox: SandboxProcess, fault: str) -> None:
    sandbox.fault("query", fault, mchid=bank.account)
    answer = bank.request("GET", "/v1/payments/never-made")
    signed = bank.is_signed(answer.headers, answer.content, 404)
    assert signed is (fault == "stale_timestamp")


def test_callbacks_are_repeated_lost_doubled_and_resent(
    bank: BankClient, sandbox: SandboxProcess, server: MerchantServer
) -> None:
    server.status = 500
    number = bank.paid()["out_trade_no"]
    wait_for(lambda: len(server.got(bank.notify_path)) >= 2)
    server.status = 204
    heard = server.got(bank.notify_path)
    assert len({one.event["id"] for one in heard}) == 1
    named = {"mchid": bank.account, "out_trade_no": number}
    assert sandbox.call("POST", "/bank/notifications/resend", **named, count=3) == [204] * 3
    lost, doubled = secrets.token_hex(8), secrets.token_hex(8)
    sandbox.fault("notify", "lost", mchid=bank.account, out_trade_no=lost)
    bank.paid(out_trade_no=lost)
    time.sleep(0.2)
    assert all(one.event["data"]["out_trade_no"] != lost for one in server.got(bank.notify_path))
    sandbox.fault("notify", "duplicate", mchid=bank.account, out_trade_no=doubled, count=4)
    bank.paid(out_trade_no=doubled)
    wait_for(
        lambda: (
            sum(
                one.event["data"]["out_trade_no"] == doubled for one in server.got(bank.notify_path)
            )
            == 4
        )
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": {"value": 0, "currency": "CNY"}}, "/amount/value"),
        ({"amount": {"value": "10", "currency": "CNY"}}, "/amount/value"),
        ({"amount": {"value": 10, "currency": "USD"}}, "/amount/currency"),
        ({"method": "card"}, "/method"),
        ({"expires_at": "2020-01-01T00:00:00+08:00"}, "/expires_at"),
        ({"notify_url": "http://10.0.0.1/x"}, "/notify_url"),
        ({"payer": "w-nobody"}, "/payer"),
        ({"unknown": 1}, "/unknown"),
    ],
)
def test_wrong_parameters_are_named(bank: BankClient, change: dict[str, Any], field: str) -> None:
    assert bank.post("/v1/payments", 400, **bank.payment(**change))["field"] == field
