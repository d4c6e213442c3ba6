"""Where payment gateways post their notices: verified, stored, answered; applied by others."""

from collections.abc import Mapping

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.channels import (
    DisputeNotice,
    EchoNotice,
    Notice,
    NoticeRefused,
    PaymentNotice,
    RefundNotice,
    TradeState,
)
from domain.errors import NotFound
from services import disputes, metrics, payments, reads, refunds
from services.channel import AccountUnreadable

router = APIRouter(prefix="/v1/notify", tags=["gateways"])
THANKS: Mapping[str, tuple[int, bytes]] = {"wechat": (204, b""), "alipay": (200, b"success")}
"""How a channel wants to hear that its notice is stored; others take an empty 200."""
BAD_SIGNATURE = 401
BAD_NOTICE = 400
SIGNED_WRONG = frozenset(
    {
        "missing_header",
        "stale_timestamp",
        "signtest",
        "unknown_serial",
        "unknown_key",
        "bad_signature",
    }
)
MONEY = frozenset({TradeState.PAID, TradeState.AUTHORIZED})
"""States that move an order; of the others a customer's failure is remembered."""

log = structlog.get_logger()


@router.post("/{channel}/{account_id}")
async def take_notice(parts: Held, request: Request, channel: Id, account_id: Id) -> Response:
    """A channel's notice for one payee, answered as it wants once it is stored for good."""
    body = await request.body()
    async with parts.database.read() as reader:
        account = await reads.account(reader, account_id)
    if account is None or account.channel != channel:
        return await _refuse(parts, channel, account_id, "unknown_account", body)
    try:
        keys = parts.gateways.account(channel, account.keys_ref)
    except AccountUnreadable:
        log.exception("account_unreadable", account_id=account_id)
        return reply({"code": "FAIL", "message": "try again later"}, 503)
    try:
        notice = await parts.gateways.channel(channel).notice(keys, request.headers, body)
    except NoticeRefused as refused:
        return await _refuse(parts, channel, account_id, refused.reason, body)
    try:
        await _store(parts, account_id, notice, body)
    except NotFound:
        return await _refuse(parts, channel, account_id, "unknown_number", body)
    status, content = THANKS.get(channel, (200, b""))
    return Response(content, status, media_type="text/plain" if content else None)


async def _store(parts: Parts, account_id: str, notice: Notice, body: bytes) -> None:
    """Keep the fact and have its workflow told, in one transaction."""
    async with parts.database.write() as writer:
        match notice:
            case PaymentNotice(transaction=said) if said.state not in MONEY:
                await payments.failed(writer, said.out_trade_no, said.failure_code)
            case PaymentNotice(event_id=event_id, transaction=transaction):
                await payments.store_notice(
                    writer,
                    account_id=account_id,
                    event_id=event_id,
                    fact=transaction.fact(),
                    body=body,
                )
            case RefundNotice(event_id=event_id, refund=refund):
                await refunds.store_notice(
                    writer,
                    account_id=account_id,
                    event_id=event_id,
                    out_refund_no=refund.out_refund_no,
                    state=refund.state,
                    body=body,
                )
            case DisputeNotice():
                await disputes.heard(writer, account_id, notice)
            case EchoNotice():
                pass


async def _refuse(
    parts: Parts, channel: str, account_id: str, reason: str, body: bytes
) -> Response:
    """Keep it for people to look at, and change nothing."""
    async with parts.database.write() as writer:
        await payments.quarantine(
            writer, channel=channel, account_id=account_id, reason=reason, body=body
        )
    known = channel if channel in parts.gateways.channels else "other"
    metrics.NOTICES_REFUSED.labels(known, reason).inc()
    status = BAD_SIGNATURE if reason in SIGNED_WRONG else BAD_NOTICE
    return reply({"code": "FAIL", "message": "notice_refused"}, status)
