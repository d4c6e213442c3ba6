"""Notices that WeChat Pay posts to us: verified, opened and read, or refused; never applied."""

from collections.abc import Mapping
from datetime import datetime

from domain.channels import (
    EchoNotice,
    Notice,
    NoticeRefused,
    PaymentNotice,
    RefundNotice,
    TradeState,
)
from services.channel_json import Json, read_json, section, text
from services.wechat.accounts import Account
from services.wechat.answers import read_refund, read_transaction
from services.wechat.disputes import read_complaint
from services.wechat.signing import Fault, find_fault, open_sealed

ALGORITHM = "AEAD_AES_256_GCM"
PAYMENT_EVENT = "TRANSACTION.SUCCESS"
REFUND_EVENTS = frozenset({"REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"})
DISPUTE_EVENTS = frozenset({"COMPLAINT.CREATE", "COMPLAINT.STATE_CHANGE"})
ECHO_EVENT = "SECURITY_ECHO.SUCCESS"
"""回调自检"""


def read_notice(
    account: Account, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Notice:
    """Verify, open and read a notice, body as received.

    Raises only `NoticeRefused`, whose reason is a `Fault`'s value.
    """
    fault = find_fault(account, headers, body, now=now)
    if fault is not None:
        raise _refused(fault)
    try:
        envelope = read_json(body)
        event_id, event_type = text(envelope, "id"), text(envelope, "event_type")
        sealed = section(envelope, "resource")
    except ValueError as error:
        raise _refused(Fault.WRONG_SHAPE) from error
    if event_type not in {PAYMENT_EVENT, ECHO_EVENT, *REFUND_EVENTS, *DISPUTE_EVENTS}:
        raise _refused(Fault.UNKNOWN_EVENT)
    resource = _open(account, sealed)
    if event_type == ECHO_EVENT:
        return EchoNotice(event_id=event_id)
    try:
        if event_type in DISPUTE_EVENTS:
            # It names no payee: that it opens with the payee's key is all there is.
            return read_complaint(resource, event_id=event_id)
        if _payee(resource) != (account.mchid, account.sub_mchid):
            raise _refused(Fault.WRONG_PAYEE)
        if event_type == PAYMENT_EVENT:
            transaction = read_transaction(resource)
            if transaction.state is not TradeState.PAID:
                raise _refused(Fault.WRONG_SHAPE)
            return PaymentNotice(event_id=event_id, transaction=transaction)
        refund = read_refund(resource, status_field="refund_status")
        return RefundNotice(event_id=event_id, refund=refund)
    except ValueError as error:
        raise _refused(Fault.WRONG_SHAPE) from error


def _payee(resource: Json) -> tuple[str, str]:
    """Who signs for the payee, and the payee where it is paid through a service provider."""
    if "sub_mchid" in resource:
        return text(resource, "sp_mchid"), text(resource, "sub_mchid")
    return text(resource, "mchid"), ""


def _open(account: Account, sealed: Json) -> Json:
    try:
        if sealed.get("algorithm") != ALGORITHM:
            raise _refused(Fault.BAD_ENCRYPTION)
        plain = open_sealed(
            account.apiv3_key,
            nonce=text(sealed, "nonce"),
            associated_data=str(sealed.get("associated_data") or ""),
            ciphertext=str(sealed.get("ciphertext")),
        )
    except ValueError as error:
        raise _refused(Fault.BAD_ENCRYPTION) from error
    try:
        return read_json(plain)
    except ValueError as error:
        raise _refused(Fault.WRONG_SHAPE) from error


def _refused(fault: Fault) -> NoticeRefused:
    return NoticeRefused(fault.value)
