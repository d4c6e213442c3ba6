"""Webhooks that Stripe posts to us: verified and read, or refused; never applied."""

from collections.abc import Mapping

import orjson
import stripe

from domain.channels import Notice, NoticeRefused, PaymentNotice, RefundNotice
from services.card.accounts import Account
from services.card.answers import (
    CURRENCY,
    moment,
    read_charge,
    read_dispute,
    read_intent,
    read_refund,
)
from services.channel_json import Json, as_object, section, text

TOLERANCE_SECONDS = 300
REFUND_EVENTS = frozenset(
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)


def read_notice(account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
    """Verify and read a webhook, body as received; raises only NoticeRefused."""
    _verify(account, headers, body)
    try:
        event = as_object(orjson.loads(body))
        if event.get("account") not in {None, account.account}:
            raise NoticeRefused("wrong_payee")
        return _read(account, event)
    except (ValueError, TypeError) as error:
        raise NoticeRefused("wrong_shape") from error


def _verify(account: Account, headers: Mapping[str, str], body: bytes) -> None:
    given = {name.lower(): value for name, value in headers.items()}
    header = given.get("stripe-signature")
    if not header:
        raise NoticeRefused("missing_header")
    verify = stripe.WebhookSignature.verify_header
    try:
        verify(body, header, account.webhook_secret)
    # The SDK compares texts: one that isn't ASCII is a TypeError, a body that isn't UTF-8 another.
    except (stripe.SignatureVerificationError, ValueError, TypeError) as error:
        raise NoticeRefused("bad_signature") from error
    try:
        verify(body, header, account.webhook_secret, TOLERANCE_SECONDS)
    except stripe.SignatureVerificationError as error:
        raise NoticeRefused("stale_timestamp") from error


def _read(account: Account, event: Json) -> Notice:
    event_id, kind = text(event, "id"), text(event, "type")
    said = section(section(event, "data"), "object")
    at = moment(event, "created")
    if kind.startswith("payment_intent."):
        transaction = read_intent(account.account, said, at=at)
        return PaymentNotice(event_id=event_id, transaction=transaction)
    if kind == "charge.refunded":
        # It brings the charge and not the refund: that the payment was paid is all it says.
        transaction = read_charge(account.account, said, at=at)
        return PaymentNotice(event_id=event_id, transaction=transaction)
    if kind in REFUND_EVENTS:
        if text(said, "currency") != CURRENCY:
            raise NoticeRefused("wrong_currency")
        return RefundNotice(event_id=event_id, refund=read_refund(said))
    if kind.startswith("charge.dispute."):
        return read_dispute(event_id, said)
    raise NoticeRefused("unknown_event")
