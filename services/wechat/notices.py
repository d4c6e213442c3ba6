"""Notices that WeChat Pay posts to us: verified, opened and read, or refused; never applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.wechat.accounts import Account
from services.wechat.answers import (
    PAID_STATES,
    Json,
    RefundState,
    Transaction,
    read_json,
    read_refund,
    read_transaction,
    section,
    text,
)
from services.wechat.signing import Refusal, find_fault, open_sealed

ALGORITHM = "AEAD_AES_256_GCM"
PAYMENT_EVENT = "TRANSACTION.SUCCESS"
REFUND_EVENTS = frozenset({"REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"})


class NoticeRefused(Exception):
    """A notice that must not be believed; `reason` tells why and holds nothing it said."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNotice:
    """A customer has paid. `event_id` is the same in every repetition."""

    event_id: str
    transaction: Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNotice:
    """A refund has ended, well or not. `event_id` is the same in every repetition."""

    event_id: str
    refund: RefundState


def read_notice(
    account: Account, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> PaymentNotice | RefundNotice:
    """Verify, open and read a notice, body as received; raises only `NoticeRefused`."""
    fault = find_fault(account, headers, body, now=now)
    if fault is not None:
        raise NoticeRefused(fault)
    try:
        envelope = read_json(body)
        event_id, event_type = text(envelope, "id"), text(envelope, "event_type")
        sealed = section(envelope, "resource")
    except ValueError as error:
        raise NoticeRefused(Refusal.WRONG_SHAPE) from error
    if event_type != PAYMENT_EVENT and event_type not in REFUND_EVENTS:
        raise NoticeRefused(Refusal.UNKNOWN_EVENT)
    resource = _open(account, sealed)
    try:
        if text(resource, "mchid") != account.mchid:
            raise NoticeRefused(Refusal.WRONG_PAYEE)
        if event_type == PAYMENT_EVENT:
            transaction = read_transaction(resource)
            if transaction.trade_state not in PAID_STATES:
                raise NoticeRefused(Refusal.WRONG_SHAPE)
            return PaymentNotice(event_id=event_id, transaction=transaction)
        refund = read_refund(resource, status_field="refund_status")
        return RefundNotice(event_id=event_id, refund=refund)
    except ValueError as error:
        raise NoticeRefused(Refusal.WRONG_SHAPE) from error


def _open(account: Account, sealed: Json) -> Json:
    try:
        if sealed.get("algorithm") != ALGORITHM:
            raise NoticeRefused(Refusal.BAD_ENCRYPTION)
        plain = open_sealed(
            account.apiv3_key,
            nonce=text(sealed, "nonce"),
            associated_data=str(sealed.get("associated_data") or ""),
            ciphertext=str(sealed.get("ciphertext")),
        )
    except ValueError as error:
        raise NoticeRefused(Refusal.BAD_ENCRYPTION) from error
    try:
        return read_json(plain)
    except ValueError as error:
        raise NoticeRefused(Refusal.WRONG_SHAPE) from error
