"""An order's payment as its customer sees it: the page, and opening one attempt per tap.

What a tap opens is named by the state it was made in (the newest attempt and the way that was
chosen), so the same tap twice, or by two requests at once, is one attempt.
"""

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from api import payers, placing
from api.parts import Parts, utc_now
from api.paying import Way, ensure_offered, explained, parameters, ways
from api.replies import reply
from api.schemas import Paying
from domain import ids
from domain.contracts.life import OpenPayment, PayWishes
from domain.errors import ActionNotAllowed, NotFound, PaymentRefused
from domain.orders import CloseReason, Payment, Status
from services import events, payments
from services.events import Stream
from services.identity import Identity

CHECKING_SECONDS = 2
OPEN_SECONDS = 3
"""While the customer is at the cashier: the answer to their coming back should be quick."""
RENEW_AHEAD = timedelta(minutes=1)
"""What a customer pays with must live long enough to pay."""
TRIED = frozenset({"opened", "created", "unknown"})
MONEY = frozenset({Payment.PAID, Payment.REFUNDING, Payment.PARTIALLY_REFUNDED, Payment.REFUNDED})
ENDS = {CloseReason.PAYMENT_EXPIRED: "expired", CloseReason.PAYMENT_REFUSED: "failed"}
WAITS = {"checking": CHECKING_SECONDS, "open": OPEN_SECONDS}


async def page(parts: Parts, who: Identity, order_id: str, device: str) -> Response:
    """Where the payment is; what has grown old to pay with is renewed by the way."""
    stream, attempts, left = await _look(parts, who, order_id)
    if attempts and _is_payable(stream) and _is_old(parts, attempts[-1]):
        with suppress(PaymentRefused, ActionNotAllowed):
            await _open(parts, who, stream, attempts[-1], _way_of(attempts[-1]), device=device)
        stream, attempts, left = await _look(parts, who, order_id)
    newest = attempts[-1] if attempts else None
    state = state_of(stream.view, newest, now=utc_now())
    unpaid = state in {"open", "checking", "failed"}
    shown: dict[str, Any] = {
        "payment_channel": None,
        "payment_method": None,
        "payment_parameters": None,
    }
    if newest is not None:
        shown |= {"payment_channel": newest.channel, "payment_method": newest.method}
        if unpaid and newest.state == "opened" and _is_payable(stream):
            shown |= parameters(parts, newest)
    return reply(
        {
            "order_id": order_id,
            "state": state,
            "ask_again_after_seconds": WAITS.get(state),
            "amount_fen": newest.amount_fen if newest else stream.view["total_fen"],
            "pay_by": stream.view["pay_by"],
            "failure": explained(newest) if newest and unpaid and newest.failure_code else None,
            "ways": [asdict(way) for way in left] if unpaid else [],
            **shown,
        }
    )


async def open_payment(
    parts: Parts, who: Identity, order_id: str, wanted: Paying, device: str
) -> Response:
    """Pay by this way: the open attempt of the same way is handed out again, else a new one."""
    stream, attempts, left = await _look(parts, who, order_id)
    ensure_offered(left, wanted)
    same = next((one for one in reversed(attempts) if _is_same(one, wanted)), None)
    if same is not None and _is_payable(stream) and not _is_old(parts, same):
        return await placing.payment(parts, who, order_id, same.out_trade_no)
    # A refusal is an attempt that failed: its row says why.
    with suppress(PaymentRefused):
        await _open(parts, who, stream, attempts[-1] if attempts else None, wanted, device=device)
    return await placing.payment(parts, who, order_id)


def state_of(view: dict[str, Any], newest: payments.Paying | None, *, now: datetime) -> str:
    """The page's state, from the order's public state and its newest attempt."""
    if view["payment"] in MONEY:
        return "paid"
    if view["payment"] == Payment.AUTHORIZED:
        return "authorized"
    if view["status"] != Status.AWAITING_PAYMENT:
        return ENDS.get(view["close_reason"], "closed")
    if newest is None or now >= newest.expires_at:
        return "checking"
    if newest.state == "failed":
        return "failed"
    # With a saved method it is paid without the customer, who is asked only by a challenge.
    by_itself = newest.wishes.get("saved_method") and not newest.failure_code
    return "open" if newest.state == "opened" and not by_itself else "checking"


async def _look(
    parts: Parts, who: Identity, order_id: str
) -> tuple[Stream, list[payments.Paying], list[Way]]:
    """The order, its attempts, and the ways left: those that just failed come last."""
    async with parts.database.read() as reader:
        stream = await events.stream(reader, order_id)
        if stream is None:
            raise NotFound("there is no such order")
        attempts = await payments.attempts(reader, order_id)
        left = await ways(parts, reader, who, stream.merchant_id)
    failed = {
        one.channel for one in attempts if one.state in {"failed", "unknown"} or one.failure_code
    }
    return stream, attempts, sorted(left, key=lambda way: way.channel in failed)


async def _open(
    parts: Parts,
    who: Identity,
    stream: Stream,
    newest: payments.Paying | None,
    wanted: Paying,
    *,
    device: str,
) -> None:
    before = str(newest.attempt if newest else 0)
    named = wanted.model_dump_json()
    request = ids.derive("pay", stream.order_id, before, named)
    wishes = await payers.prepare(
        parts, who, stream.merchant_id, wanted, ref=request, device=device
    )
    command = OpenPayment(
        actor=who.actor,
        request_id=request,
        channel=wanted.channel,
        method=wanted.method,
        wishes=wishes,
    )
    await parts.durable.command(stream.order_id, "open_payment", command, update_id=request)


def _is_payable(stream: Stream) -> bool:
    return bool(stream.view["status"] == Status.AWAITING_PAYMENT)


def _is_same(one: payments.Paying, wanted: Paying) -> bool:
    return one.state in TRIED and _way_of(one) == wanted


def _is_old(parts: Parts, one: payments.Paying) -> bool:
    """Whether what the customer pays with is no longer good, or soon not."""
    lives = parts.gateways.channel(one.channel).ability.handle_lives.get(one.method)
    if lives is None or one.state != "opened":
        return False
    return utc_now() >= one.created_at + lives - RENEW_AHEAD


def _way_of(one: payments.Paying) -> Paying:
    """The tap that opened an attempt."""
    kept = asdict(PayWishes(**one.wishes))
    wishes = {name: wish for name, wish in kept.items() if name in Paying.model_fields and wish}
    return Paying(channel=one.channel, method=one.method, **wishes)
