"""What Stripe refuses and remembers, how cards behave, and faults behind the answers."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.sandbox.cards import CardMerchant
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for


@pytest.fixture
def cards(sandbox: SandboxProcess) -> Iterator[CardMerchant]:
    sandbox.call("PUT", "/card/settings", speed=60, refund_seconds=0, refund_outcome="succeeded")
    made = CardMerchant(sandbox)
    yield made
    made.http.close()


def _status(cards: CardMerchant, intent: Any) -> str:
    return str(cards.get(f"/payment_intents/{intent['id']}")["status"])


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"amount": "1", "currency": "cny", "pan": "1"}, "parameter_unknown", "pan"),
        ({"currency": "cny"}, "parameter_missing", "amount"),
        ({"amount": "ten", "currency": "cny"}, "parameter_invalid_integer", "amount"),
        (
            {"amount": "1", "currency": "cny", "payment_method_types[]": "card"},
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
        ({"amount": "1", "currency": "cny", "customer": "cus_no"}, "resource_missing", "customer"),
    ],
)
def test_bad_parameters_are_named_and_use_up_no_key(
    cards: CardMerchant, form: dict[str, str], code: str, param: str
) -> None:
    error = cards.post("/payment_intents", "k", **form).json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert cards.post("/payment_intents", "k", amount=1, currency="cny").status_code == 200


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("declined:insufficient_funds", "card_declined", "insufficient_funds"),
        ("declined:generic_decline", "card_declined", "generic_decline"),
        ("expired_card", "expired_card", "expired_card"),
    ],
)
def test_a_declined_card_may_be_followed_by_another(
    cards: CardMerchant, server: MerchantServer, *, card: str, code: str, decline_code: str
) -> None:
    intent = cards.intent()
    assert cards.pay(intent, card)["failure_code"] == decline_code
    seen = cards.get(f"/payment_intents/{intent['id']}", **{"expand[]": "latest_charge"})
    error = seen["last_payment_error"]
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    assert (seen["status"], seen["latest_charge"]["status"]) == (
        "requires_payment_method",
        "failed",
    )
    assert cards.pay(intent)["status"] == "requires_capture"
    wait_for(lambda: len(server.got(cards.path)) == 2)
    (order,) = cards.oracle()["orders"]
    assert (order["authorized_fen"], order["captured_fen"], order["charges"]) == (1000, 0, 0)


@pytest.mark.parametrize(
    ("card", "end"), [("3ds", "requires_capture"), ("3ds_fail", "requires_payment_method")]
)
def test_a_challenge_waits_for_the_customer(cards: CardMerchant, card: str, end: str) -> None:
    intent = cards.intent()
    where = "https://shop.example/back"
    assert cards.pay(intent, card, finish=False, return_url=where)["status"] == "requires_action"
    action = cards.get(f"/payment_intents/{intent['id']}")["next_action"]
    assert action["redirect_to_url"]["return_url"] == where
    which = {"client_secret": intent["client_secret"]}
    assert cards.control("/challenges", **which)["status"] == end
    assert cards.control("/challenges", 409, **which)["reason"] == "no_challenge"


def test_an_absent_customer_cannot_prove_who_they_are(cards: CardMerchant) -> None:
    customer = cards.post("/customers").json()["id"]
    cards.pay(cards.intent(customer=customer), "3ds", save=True)
    (saved,) = cards.get(f"/customers/{customer}/payment_methods")["data"]
    form = {
        "amount": 7,
        "currency": "cny",
        "customer": customer,
        "payment_method": saved["id"],
        "confirm": "true",
        "off_session": "true",
    }
    answers = [cards.post("/payment_intents", "tap", **form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [402, 402]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    error = answers[0].json()["error"]
    assert (error["code"], error["type"]) == ("authentication_required", "card_error")
    assert error["payment_intent"]["status"] == "requires_payment_method"


def test_what_is_held_is_voided_or_taken_once(cards: CardMerchant) -> None:
    voided, taken = cards.intent(), cards.intent()
    for intent in (voided, taken):
        cards.pay(intent)
    assert cards.post(f"/payment_intents/{voided['id']}/cancel").json()["status"] == "canceled"
    path = f"/payment_intents/{taken['id']}"
    too_much = cards.post(f"{path}/capture", amount_to_capture=1001)
    assert too_much.json()["error"]["code"] == "amount_too_large"
    assert cards.post(f"{path}/capture", amount_to_capture=600).json()["amount_received"] == 600
    for act in ("capture", "cancel"):
        refused = cards.post(f"{path}/{act}").json()["error"]
        assert refused["code"] == "payment_intent_unexpected_state"
        assert refused["payment_intent"]["status"] == "succeeded"
    moved = cards.oracle()
    assert (moved["paid_fen"], [order["charges"] for order in moved["orders"]]) == (600, [0, 1])


def test_an_uncaptured_hold_ends_after_seven_days(cards: CardMerchant) -> None:
    intent = cards.intent()
    cards.sandbox.call("PUT", "/card/settings", speed=7 * 24 * 3600)
    cards.pay(intent)
    wait_for(lambda: _status(cards, intent) == "canceled")
    reason = cards.get(f"/payment_intents/{intent['id']}")["cancellation_reason"]
    assert reason == "automatic"


def test_refunds_never_exceed_what_was_captured(cards: CardMerchant) -> None:
    intent = cards.captured()["id"]
    first = cards.post("/refunds", payment_intent=intent, amount=700).json()
    assert first["status"] == "succeeded"
    refused = cards.post("/refunds", payment_intent=intent, amount=301).json()["error"]
    assert refused["param"] == "amount"
    assert cards.post("/refunds", payment_intent=intent).json()["amount"] == 300
    assert (
        cards.post("/refunds", payment_intent=intent).json()["error"]["code"]
        == "charge_already_refunded"
    )
    page = cards.get("/refunds", payment_intent=intent, limit=1)
    after = cards.get("/refunds", payment_intent=intent, starting_after=page["data"][0]["id"])
    assert (page["has_more"], [one["id"] for one in after["data"]]) == (True, [first["id"]])
    (order,) = cards.oracle()["orders"]
    assert (order["refunded_fen"], order["refunding_fen"]) == (1000, 0)


def test_a_refund_may_fail_after_all(cards: CardMerchant, server: MerchantServer) -> None:
    intent = cards.captured()["id"]
    form = {"payment_intent": intent, "metadata[out_refund_no]": "r-1"}
    refund = cards.post("/refunds", **form).json()
    failed = cards.control("/refunds/r-1/resolve", account=cards.account, status="failed")
    assert failed["status"] == "failed"
    cards.control("/refunds/r-1/resolve", 409, account=cards.account, status="succeeded")
    types = [line["type"] for line in cards.get("/balance_transactions")["data"]]
    assert types == ["refund_failure", "refund", "charge"]
    assert cards.get(f"/refunds/{refund['id']}")["failure_reason"]
    (order,) = cards.oracle()["orders"]
    assert (order["refunded_fen"], order["refunding_fen"]) == (0, 1000)
    wait_for(lambda: b'"refund.failed"' in b"".join(got.body for got in server.got(cards.path)))


def test_a_dispute_takes_the_money_until_it_is_won(
    cards: CardMerchant, server: MerchantServer
) -> None:
    intent = cards.captured()
    which = {"client_secret": intent["client_secret"]}
    dispute = cards.control("/disputes", **which)
    cards.control("/disputes", 409, **which)
    refused = cards.post("/refunds", payment_intent=intent["id"]).json()["error"]
    assert refused["code"] == "charge_disputed"
    path = f"/disputes/{dispute['id']}"
    told = cards.post(path, **{"evidence[shipping_tracking_number]": "1", "submit": "true"}).json()
    assert (told["status"], told["evidence_details"]["submission_count"]) == ("under_review", 1)
    won = cards.control(f"{path}/win", account=cards.account)
    assert [line["net"] for line in won["balance_transactions"]] == [-11_000, 1000]
    assert cards.post(f"{path}/close").status_code == 400
    wait_for(lambda: len(server.got(cards.path)) == 5)
    kinds = [cards.event(received).type for received in server.got(cards.path)]
    assert {"charge.dispute.created", "charge.dispute.closed"} <= set(kinds)


def test_some_cards_dispute_later(cards: CardMerchant) -> None:
    cards.sandbox.call("PUT", "/card/settings", dispute_seconds=6)
    intent = cards.intent(capture_method="automatic")
    assert cards.pay(intent, "dispute_later")["status"] == "succeeded"
    charge = cards.get(f"/payment_intents/{intent['id']}")["latest_charge"]
    wait_for(lambda: cards.get(f"/charges/{charge}")["disputed"])


@pytest.mark.parametrize(("fault", "happened"), [("drop_before", 0), ("drop_after_commit", 1)])
def test_a_lost_answer_is_learnt_again_by_its_key(
    cards: CardMerchant, fault: str, happened: int
) -> None:
    cards.sandbox.fault("create", fault, mchid=cards.account)
    form = {"amount": 1000, "currency": "cny", "metadata[out_trade_no]": "n"}
    with pytest.raises(httpx.TransportError):
        cards.post("/payment_intents", "n", **form)
    assert len(cards.oracle()["orders"]) == happened
    again = cards.post("/payment_intents", "n", **form)
    assert again.headers.get("Idempotent-Replayed") == ("true" if happened else None)
    assert len(cards.oracle()["orders"]) == 1


def test_what_broke_after_it_began_is_remembered(cards: CardMerchant) -> None:
    form = {"amount": 1000, "currency": "cny"}
    for fault, after, repeated in [
        ("http_500", False, 200),
        ("http_500", True, 500),
        ("http_502", True, 200),
        ("http_429", False, 200),
    ]:
        key = f"{fault}-{after}"
        cards.sandbox.fault("create", fault, mchid=cards.account, after_commit=after)
        first = cards.post("/payment_intents", key, **form)
        assert first.status_code == int(fault.removeprefix("http_"))
        assert cards.post("/payment_intents", key, **form).status_code == repeated
    assert len(cards.oracle()["orders"]) == 4


def test_webhooks_are_repeated_until_they_are_taken(
    cards: CardMerchant, server: MerchantServer
) -> None:
    server.status = 500
    cards.sandbox.call("PUT", "/card/settings", speed=3000)
    intent = cards.intent(number="hook")
    cards.pay(intent)
    wait_for(lambda: len(server.got(cards.path)) >= 2)
    server.status = 200
    cards.sandbox.fault("notify", "duplicate", mchid=cards.account, count=3)
    cards.post(f"/payment_intents/{intent['id']}/cancel")
    wait_for(lambda: _count(cards, server, "payment_intent.canceled") == 3)
    time.sleep(0.3)
    seen = len(server.got(cards.path))
    resent = cards.control("/notifications/resend", account=cards.account, out_trade_no="hook")
    assert (resent, len(server.got(cards.path))) == ([200], seen + 1)
    ids = {got.event["id"] for got in server.got(cards.path)}
    assert len(ids) == 2, "a repetition is the same event"


def _count(cards: CardMerchant, server: MerchantServer, kind: str) -> int:
    return sum(got.event["type"] == kind for got in server.got(cards.path))
