"""Notices of payments and refunds: whether they are true, and what they say."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from domain.channels import NoticeRefused, PaymentNotice, RefundNotice, RefundSaid, TradeState
from domain.contracts.refunds import RefundState
from services.alipay.accounts import Account
from services.alipay.answers import amount, read_transaction
from services.alipay.signing import is_signed, signed_text
from services.channel_json import text

MAX_FIELDS = 100
TRADE_EVENT = "trade_status_sync"
REFUND_MARKS = frozenset({"out_biz_no", "gmt_refund", "refund_fee"})
"""With one of these a notice is about a refund, whatever its trade_status says."""


def read_notice(account: Account, body: bytes) -> PaymentNotice | RefundNotice:
    """Verify and read a notice, body as received; raises only `NoticeRefused`.

    A payment notice means money here. One of a trade that was closed unpaid, or still waits, is
    refused: it asks for nothing that a query at the deadline doesn't find, and must not be booked.
    """
    fields = _fields(body)
    signature = fields.pop("sign", "")
    if fields.pop("sign_type", "") != "RSA2":
        raise NoticeRefused("bad_signature")
    if not is_signed(account.alipay_public_key, signed_text(fields), signature):
        raise NoticeRefused("bad_signature")
    if fields.get("app_id") != account.app_id or fields.get("seller_id") != account.seller_id:
        raise NoticeRefused("wrong_payee")
    if fields.get("notify_type") != TRADE_EVENT:
        raise NoticeRefused("unknown_event")
    try:
        event_id = text(fields, "notify_id")
        if REFUND_MARKS & fields.keys():
            return RefundNotice(event_id=event_id, refund=_read_refund(fields))
        transaction = read_transaction(account, fields, paid_at="gmt_payment")
    except ValueError as error:
        raise NoticeRefused("wrong_shape") from error
    if transaction.state is not TradeState.PAID:
        raise NoticeRefused("not_a_payment")
    if transaction.success_time is None:
        raise NoticeRefused("wrong_shape")
    return PaymentNotice(event_id=event_id, transaction=transaction)


def _read_refund(fields: Mapping[str, str]) -> RefundSaid:
    """The refund a notice tells of; without its number it could only be guessed which.

    Alipay tells what went back in all and not how much of it is this refund's: 0 stands for that.
    """
    if not 0 < amount(fields, "refund_fee") <= amount(fields, "total_amount"):
        raise ValueError("more went back than was paid")
    return RefundSaid(
        out_refund_no=text(fields, "out_biz_no"),
        refund_id=text(fields, "trade_no"),
        state=RefundState.SUCCESS.value,
        refund_fen=0,
        total_fen=amount(fields, "total_amount"),
    )


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise NoticeRefused("wrong_shape") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NoticeRefused("wrong_shape")
    return fields
