"""Unmodified `stripe` against the sandbox, through the proxy: a payment's whole life."""

from collections.abc import Iterator

import pytest
import stripe

from tests.sandbox.cards import CardMerchant
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for


@pytest.fixture
def cards(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[CardMerchant]:
    monkeypatch.setattr(stripe, "ca_bundle_path", str(sandbox.home / "ca.pem"))
    sandbox.call("PUT", "/card/settings", speed=60, refund_seconds=6, refund_outcome="succeeded")
    made = CardMerchant(sandbox)
    yield made
    made.http.close()


def test_the_sdk_tells_a_whole_story(cards: CardMerchant, server: MerchantServer) -> None:
    sdk = cards.sdk()
    intents = sdk.v1.payment_intents
    order: stripe.params.PaymentIntentCreateParams = {
        "amount": 1250,
        "currency": "cny",
        "capture_method": "manual",
        "allowed_payment_method_types": ["card"],
        "metadata": {"out_trade_no": "sdk-1"},
    }
    made = intents.create(order, {"idempotency_key": "sdk-1"})
    again = intents.create(order, {"idempotency_key": "sdk-1"})
    assert (again.id, made.status) == (made.id, "requires_payment_method")
    with pytest.raises(stripe.IdempotencyError):
        intents.create({**order, "amount": 1}, {"idempotency_key": "sdk-1"})

    assert cards.control("/pay", client_secret=made.client_secret)["status"] == "requires_capture"
    found = intents.retrieve(made.id, {"expand": ["latest_charge"]})
    assert isinstance(found.latest_charge, stripe.Charge)
    assert (found.amount_capturable, found.latest_charge.captured) == (1250, False)
    captured = intents.capture(made.id, {"amount_to_capture": 1000})
    assert (captured.status, captured.amount_received) == ("succeeded", 1000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.cancel(made.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert intents.search({"query": "metadata['out_trade_no']:'nobody'"}).data == []

    refund = sdk.v1.refunds.create({"payment_intent": made.id, "amount": 400})
    assert refund.status == "pending"
    wait_for(lambda: sdk.v1.refunds.retrieve(refund.id).status == "succeeded")
    assert [one.id for one in sdk.v1.refunds.list({"payment_intent": made.id}).data] == [refund.id]

    moved = sdk.v1.balance_transactions.list({"limit": 1, "expand": ["data.source"]})
    lines = list(moved.auto_paging_iter())
    assert [(line.type, line.amount, line.fee) for line in lines] == [
        ("refund", -400, 0),
        ("charge", 1000, 234),
    ]
    assert isinstance(lines[1].source, stripe.Charge)
    assert lines[1].source.payment_intent == made.id

    wait_for(lambda: len(server.got(cards.path)) >= 4)
    events = [cards.event(received) for received in server.got(cards.path)]
    assert {event.type for event in events} == {
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "charge.refunded",
        "refund.updated",
    }
    assert sdk.v1.events.retrieve(events[0].id).type == events[0].type
    forged = server.got(cards.path)[0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(
            forged.body, forged.headers["Stripe-Signature"], "whsec_another"
        )
    (order_seen,) = cards.oracle()["orders"]
    assert (order_seen["authorized_fen"], order_seen["captured_fen"]) == (1250, 1000)
    assert (order_seen["refunded_fen"], order_seen["trade_state"]) == (400, "REFUND")


def test_a_saved_card_pays_with_one_tap(cards: CardMerchant) -> None:
    sdk = cards.sdk()
    customer = sdk.v1.customers.create({"metadata": {"reference": "c-1"}})
    first = cards.intent(customer=customer.id)
    cards.pay(first, save=True)
    (saved,) = sdk.v1.customers.payment_methods.list(customer.id).data
    assert saved.card is not None
    assert (saved.card.last4, saved.customer) == ("4242", customer.id)
    order: stripe.params.PaymentIntentCreateParams = {
        "amount": 500,
        "currency": "cny",
        "customer": customer.id,
        "payment_method": saved.id,
        "confirm": True,
        "off_session": True,
    }
    assert sdk.v1.payment_intents.create(order).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.payment_intents.create({**order, "customer": sdk.v1.customers.create().id})
    sdk.v1.payment_methods.detach(saved.id)
    assert sdk.v1.customers.payment_methods.list(customer.id).data == []


def test_a_payment_by_a_strangers_key_is_not_there(cards: CardMerchant) -> None:
    intent = cards.intent()
    stranger = CardMerchant(cards.sandbox)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        stranger.sdk().v1.payment_intents.retrieve(intent["id"])
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    stranger.keys["secret_key"] = "sk_test_nobody"
    with pytest.raises(stripe.AuthenticationError):
        stranger.sdk().v1.payment_intents.retrieve(intent["id"])
    stranger.http.close()
