"""Where payment gateways post their notices: verified, stored, answered; applied by others."""

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.channels import DisputeNotice, Notice, NoticeRefused, PaymentNotice, RefundNotice
from domain.errors import NotFound
from services import payments, reads, refunds
from services.channel import AccountUnreadable

router = APIRouter(prefix="/v1/notify", tags=["gateways"])
WECHAT = "wechat"
BAD_SIGNATURE = 401
BAD_NOTICE = 400
SIGNED_WRONG = frozenset(
    {"missing_header", "stale_timestamp", "signtest", "unknown_serial", "bad_signature"}
)

log = structlog.get_logger()


@router.post("/wechat/{account_id}", status_code=204)
async def take_wechat_notice(parts: Held, request: Request, account_id: Id) -> Response:
    """A notice of WeChat Pay for one payee; 204 once it is stored for good."""
    body = await request.body()
    async with parts.database.read() as reader:
        account = await reads.account(reader, account_id)
    if account is None or account.channel != WECHAT:
        return await _refuse(parts, account_id, "unknown_account", body)
    try:
        keys = parts.account(account.keys_ref)
    except AccountUnreadable:
        log.exception("account_unreadable", account_id=account_id)
        return reply({"code": "FAIL", "message": "try again later"}, 503)
    try:
        notice = await parts.wechat.notice(keys, request.headers, body)
    except NoticeRefused as refused:
        return await _refuse(parts, account_id, refused.reason, body)
    try:
        await _store(parts, account_id, notice, body)
    except NotFound:
        return await _refuse(parts, account_id, "unknown_number", body)
    return Response(status_code=204)


async def _store(parts: Parts, account_id: str, notice: Notice, body: bytes) -> None:
    """Keep the fact and have its workflow told, in one transaction."""
    async with parts.database.write() as writer:
        match notice:
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
                raise NotFound


async def _refuse(parts: Parts, account_id: str, reason: str, body: bytes) -> Response:
    """Keep it for people to look at, and change nothing."""
    async with parts.database.write() as writer:
        await payments.quarantine(
            writer, channel=WECHAT, account_id=account_id, reason=reason, body=body
        )
    status = BAD_SIGNATURE if reason in SIGNED_WRONG else BAD_NOTICE
    return reply({"code": "FAIL", "message": "notice_refused"}, status)
