"""One question to Stripe and its three results, and finding what is asked about."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import stripe
from stripe.params import PaymentIntentListParams

from domain.channels import RefundSaid
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.card.accounts import Account
from services.card.answers import UNEXPECTED_STATE, data_of, items, read_refund, read_refusal
from services.card.wire import Wire, make_client
from services.channel_json import Json, section, text

PAGE_ITEMS = 100
MAX_LOOKUP_PAGES = 20
SEARCH_LAG = timedelta(hours=1)
"""A search is behind by a minute, and by an hour in an outage (Stripe's documentation)."""
NOT_THERE = Rejected(code="resource_missing", kind=Refusal.NOT_FOUND)

T = TypeVar("T")
Ask = Callable[[stripe.StripeClient], Awaitable[stripe.StripeObject]]


async def call(
    wire: Wire,
    account: Account,
    ask: Ask,
    *,
    is_done: Callable[[Json], bool] = lambda _: False,
) -> Outcome[Json]:
    """One request; a refusal that shows the intent as `is_done` wants it is an acceptance."""
    try:
        return Accepted(value=data_of(await ask(make_client(wire, account))))
    except stripe.StripeError as error:
        refusal = read_refusal(error)
        if isinstance(refusal, Rejected) and refusal.code == UNEXPECTED_STATE:
            body: Any = error.json_body
            intent = body["error"].get("payment_intent")
            if isinstance(intent, dict) and is_done(intent):
                return Accepted(value=intent)
        return refusal
    except ValueError:
        return Unknown(reason="wrong_shape")


def read_answer(answer: Outcome[Any], read: Callable[[Any], T]) -> Outcome[T]:
    """What an answer says; what can't be read is Unknown, for something may have happened."""
    if not isinstance(answer, Accepted):
        return answer
    try:
        return Accepted(value=read(answer.value))
    except (ValueError, KeyError, TypeError):
        return Unknown(reason="wrong_shape")


def _expect(intent: Json, out_trade_no: str) -> Json:
    """An answer may still be the answer to another question."""
    if section(intent, "metadata").get("out_trade_no") != out_trade_no:
        raise ValueError("an answer about something else")
    return intent


async def find_id(
    wire: Wire,
    account: Account,
    out_trade_no: str,
    handles: Mapping[str, str] | None,
    *,
    now: datetime,
) -> Outcome[str]:
    """Stripe's id of our number, asked for only where no handle tells it."""
    if handles and "payment_intent" in handles:
        return Accepted(value=handles["payment_intent"])
    found = await find_intent(wire, account, out_trade_no, None, now=now)
    return read_answer(found, lambda intent: text(intent, "id"))


async def find_intent(
    wire: Wire,
    account: Account,
    out_trade_no: str,
    handles: Mapping[str, str] | None,
    *,
    now: datetime,
) -> Outcome[Json]:
    """The intent of our number: by its handle, else by search, else among the latest ones."""
    if handles and "payment_intent" in handles:
        found = await call(
            wire,
            account,
            lambda client: client.v1.payment_intents.retrieve_async(handles["payment_intent"]),
        )
        return read_answer(found, lambda intent: _expect(intent, out_trade_no))
    query = f'metadata["out_trade_no"]:"{out_trade_no}"'
    searched = await call(
        wire,
        account,
        lambda client: client.v1.payment_intents.search_async({"query": query, "limit": 1}),
    )
    if not isinstance(searched, Accepted) or searched.value.get("data"):
        return read_answer(searched, lambda page: _expect(items(page)[0], out_trade_no))
    since = int((now - SEARCH_LAG).timestamp())
    params: PaymentIntentListParams = {"created": {"gte": since}, "limit": PAGE_ITEMS}
    for _ in range(MAX_LOOKUP_PAGES):
        page = read_answer(
            await call(wire, account, lambda client: client.v1.payment_intents.list_async(params)),
            items,
        )
        if not isinstance(page, Accepted):
            return page
        for intent in page.value:
            if (intent.get("metadata") or {}).get("out_trade_no") == out_trade_no:
                return Accepted(value=intent)
        if len(page.value) < PAGE_ITEMS:
            return NOT_THERE
        params["starting_after"] = str(page.value[-1].get("id"))
    return Unknown(reason="too_many_payments")


async def find_refund(
    wire: Wire, account: Account, intent: str, out_refund_no: str
) -> Outcome[RefundSaid]:
    """The refund of our number among those of its payment; lists are never behind."""
    listed = await call(
        wire,
        account,
        lambda client: client.v1.refunds.list_async(
            {"payment_intent": intent, "limit": PAGE_ITEMS}
        ),
    )
    found = read_answer(listed, lambda page: _refund_in(page, out_refund_no))
    if not isinstance(found, Accepted):
        return found
    return NOT_THERE if found.value is None else Accepted(value=found.value)


def _refund_in(page: Json, out_refund_no: str) -> RefundSaid | None:
    for refund in items(page):
        if section(refund, "metadata").get("out_refund_no") == out_refund_no:
            return read_refund(refund)
    if page.get("has_more"):
        raise ValueError("more refunds than a payment may have")
    return None
