"""Calls to Stripe, one payee at a time; what follows from them is decided elsewhere.

Stripe asks by its own id, the port by our number: `handles` of the create name the intent. Where
they were lost with the answer, a search over metadata finds what is older than an hour, and the
list of intents, which is never behind, finds the rest.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import httpx
import stripe
from stripe.params import (
    BalanceTransactionListParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
)

from domain.channels import (
    Ability,
    Bill,
    BillKind,
    Create,
    Notice,
    Opened,
    RefundSaid,
    SplitSaid,
    Transaction,
)
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.card.accounts import Account, load_account
from services.card.answers import (
    CURRENCY,
    REPLAYED,
    UNEXPECTED_STATE,
    Json,
    SavedMethod,
    as_object,
    data_of,
    items,
    read_funds,
    read_intent,
    read_opened,
    read_refund,
    read_refusal,
    read_saved,
    read_trade,
    section,
    text,
)
from services.card.notices import read_notice
from services.card.wire import Wire, make_client

CHINA = timezone(timedelta(hours=8))
PAGE_ITEMS = 100
MAX_LOOKUP_PAGES = 20
MAX_BILL_PAGES = 1000
SEARCH_LAG = timedelta(hours=1)
"""A search is behind by a minute, and by an hour in an outage (Stripe's documentation)."""

T = TypeVar("T")
Ask = Callable[[stripe.StripeClient], Awaitable[stripe.StripeObject]]
_NOT_THERE = Rejected(code="resource_missing", kind=Refusal.NOT_FOUND)


class Cards:
    """Stripe as one of the payment channels (`services.channel.Channel`).

    Every payment is a manual capture: held, then captured or voided; Stripe voids after seven days.
    Stripe forgets an idempotency key after 24 hours, so a create must not be repeated later; a
    refund may, it is looked for first. PaymentIntents don't expire: close what is late.
    """

    name = "card"
    ability = Ability(methods=frozenset({"card"}), holds=True, saves=True)

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._wire = Wire(http)
        self._now = now

    def load_account(self, folder: Path) -> Account:
        """A payee's keys; AccountUnreadable."""
        return load_account(folder)

    async def create(self, account: Account, order: Create) -> Outcome[Opened]:
        """Open a payment; with `saved_method` also try to pay at once.

        Then a decline is `Rejected` with the decline code, and the intent stays behind, unpaid and
        with a secret nobody was given.
        """
        params: PaymentIntentCreateParams = {
            "amount": order.amount_fen,
            "currency": CURRENCY,
            "capture_method": "manual",
            "description": order.description,
            "metadata": {"out_trade_no": order.out_trade_no},
            "allowed_payment_method_types": ["card"],
        }
        if order.payer:
            params["customer"] = order.payer
        if order.save:
            params["setup_future_usage"] = "off_session"
        if order.saved_method:
            params["payment_method"] = order.saved_method
            params["confirm"] = True
            if order.return_url:
                params["return_url"] = order.return_url
        made = await self._call(
            account,
            lambda client: client.v1.payment_intents.create_async(
                params, {"idempotency_key": order.out_trade_no}
            ),
        )
        if made == Unknown(reason=REPLAYED):
            found = await self._find(account, order.out_trade_no, None)
            made = found if isinstance(found, Accepted) else made
        return _read(made, read_opened)

    def parameters(
        self,
        account: Account,
        *,
        method: str,  # noqa: ARG002 (there is one)
        handles: Mapping[str, str],
        now: datetime,  # noqa: ARG002 (nothing is signed)
    ) -> dict[str, Any]:
        """What Stripe's own fields on the device need; card numbers go from there to Stripe."""
        return {
            "publishable_key": account.publishable_key,
            "client_secret": handles["client_secret"],
            "payment_intent": handles["payment_intent"],
        }

    async def query(
        self, account: Account, *, out_trade_no: str, handles: Mapping[str, str] | None = None
    ) -> Outcome[Transaction]:
        """Ask for a payment by our number."""
        found = await self._find(account, out_trade_no, handles)
        return _read(found, lambda intent: read_intent(account.account, intent))

    async def close(
        self, account: Account, *, out_trade_no: str, handles: Mapping[str, str] | None = None
    ) -> Outcome[None]:
        """Cancel an unpaid payment, void a held one; repeatable. Query next."""
        intent = await self._id(account, out_trade_no, handles)
        if not isinstance(intent, Accepted):
            return intent
        closed = await self._call(
            account,
            lambda client: client.v1.payment_intents.cancel_async(intent.value),
            is_done=lambda found: found.get("status") == "canceled",
        )
        return Accepted(value=None) if isinstance(closed, Accepted) else closed

    async def capture(
        self,
        account: Account,
        *,
        out_trade_no: str,
        amount_fen: int,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[Transaction]:
        """Take what is held, or less of it, once; repeatable with the same amount."""
        intent = await self._id(account, out_trade_no, handles)
        if not isinstance(intent, Accepted):
            return intent
        captured = await self._call(
            account,
            lambda client: client.v1.payment_intents.capture_async(
                intent.value, {"amount_to_capture": amount_fen}
            ),
            is_done=lambda found: found.get("amount_received") == amount_fen,
        )
        return _read(captured, lambda found: read_intent(account.account, found))

    async def refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str,  # noqa: ARG002 (Stripe takes three words of its own, and ours may be free text)
        notify_url: str,  # noqa: ARG002 (the account's webhook endpoint hears of it)
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[RefundSaid]:
        """Ask for a refund, unless it is there already; accepted is not refunded."""
        intent = await self._id(account, out_trade_no, handles)
        if not isinstance(intent, Accepted):
            return intent
        known = await self._refund_of(account, intent.value, out_refund_no)
        if known != _NOT_THERE:
            return known
        asked = await self._call(
            account,
            lambda client: client.v1.refunds.create_async(
                {
                    "payment_intent": intent.value,
                    "amount": refund_fen,
                    "metadata": {
                        "out_trade_no": out_trade_no,
                        "out_refund_no": out_refund_no,
                        "total_fen": str(total_fen),
                    },
                    "reason": "requested_by_customer",
                },
                {"idempotency_key": out_refund_no},
            ),
        )
        return _read(asked, read_refund)

    async def query_refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[RefundSaid]:
        """Ask for a refund by our number."""
        intent = await self._id(account, out_trade_no, handles)
        if not isinstance(intent, Accepted):
            return intent
        return await self._refund_of(account, intent.value, out_refund_no)

    async def bill(self, account: Account, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """China's business day out of the balance transactions; `LATER` until the day has ended."""
        begins = datetime.combine(day, time(), CHINA)
        ends = begins + timedelta(days=1)
        if self._now() < ends:
            return Rejected(code="bill_not_ready")
        digest = hashlib.sha256()
        moved: list[Json] = []
        after = ""
        for _ in range(MAX_BILL_PAGES):
            page = await self._bill_page(account, begins, ends, after, digest)
            if not isinstance(page, Accepted):
                return page
            moved += page.value
            if len(page.value) < PAGE_ITEMS:
                return _bill(kind, moved, digest.hexdigest())
            after = str(page.value[-1].get("id"))
        return Unknown(reason="bill_too_long")

    async def notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify and read a webhook, body as received; raises only NoticeRefused."""
        return read_notice(account, headers, body)

    async def make_customer(self, account: Account, *, reference: str) -> Outcome[str]:
        """The id that cards are saved under; `reference` is ours, and the same gives the same."""
        made = await self._call(
            account,
            lambda client: client.v1.customers.create_async(
                {"metadata": {"reference": reference}}, {"idempotency_key": f"customer/{reference}"}
            ),
        )
        return _read(made, lambda customer: text(customer, "id"))

    async def saved_methods(self, account: Account, *, payer: str) -> Outcome[list[SavedMethod]]:
        """A customer's saved cards, newest first; no card number is among what is known."""
        listed = await self._call(
            account,
            lambda client: client.v1.customers.payment_methods.list_async(
                payer, {"type": "card", "limit": PAGE_ITEMS}
            ),
        )
        return _read(listed, read_saved)

    async def forget_method(self, account: Account, *, token: str) -> Outcome[None]:
        """Forget a saved card; repeatable."""
        return _read(
            await self._call(account, lambda client: client.v1.payment_methods.detach_async(token)),
            lambda _: None,
        )

    async def split(self, account: Account, **_: object) -> Outcome[SplitSaid]:
        """Cards are not split."""
        raise NotImplementedError

    query_split = unfreeze = return_split = query_return = split

    async def _refund_of(
        self, account: Account, intent: str, out_refund_no: str
    ) -> Outcome[RefundSaid]:
        listed = await self._call(
            account,
            lambda client: client.v1.refunds.list_async(
                {"payment_intent": intent, "limit": PAGE_ITEMS}
            ),
        )
        if not isinstance(listed, Accepted):
            return listed
        for refund in items(listed.value):
            if section(refund, "metadata").get("out_refund_no") == out_refund_no:
                return _read(Accepted(value=refund), read_refund)
        return Unknown(reason="too_many_refunds") if listed.value.get("has_more") else _NOT_THERE

    async def _bill_page(
        self,
        account: Account,
        begins: datetime,
        ends: datetime,
        after: str,
        digest: "hashlib._Hash",
    ) -> Outcome[list[Json]]:
        params: BalanceTransactionListParams = {
            "created": {"gte": int(begins.timestamp()), "lt": int(ends.timestamp())},
            "limit": PAGE_ITEMS,
            "expand": ["data.source"],
        }
        if after:
            params["starting_after"] = after

        async def ask(client: stripe.StripeClient) -> stripe.StripeObject:
            page = await client.v1.balance_transactions.list_async(params)
            digest.update((page.last_response.body if page.last_response else "").encode())
            return page

        return _read(await self._call(account, ask), items)

    async def _id(
        self, account: Account, out_trade_no: str, handles: Mapping[str, str] | None
    ) -> Outcome[str]:
        if handles and "payment_intent" in handles:
            return Accepted(value=handles["payment_intent"])
        found = await self._find(account, out_trade_no, None)
        return _read(found, lambda intent: text(intent, "id"))

    async def _find(
        self, account: Account, out_trade_no: str, handles: Mapping[str, str] | None
    ) -> Outcome[Json]:
        """The intent of our number: by its handle, else by search, else among the latest ones."""
        if handles and "payment_intent" in handles:
            found = await self._call(
                account,
                lambda client: client.v1.payment_intents.retrieve_async(handles["payment_intent"]),
            )
            return _read(found, lambda intent: _expect(intent, out_trade_no))
        query = f'metadata["out_trade_no"]:"{out_trade_no}"'
        searched = await self._call(
            account,
            lambda client: client.v1.payment_intents.search_async({"query": query, "limit": 1}),
        )
        if not isinstance(searched, Accepted) or searched.value.get("data"):
            return _read(searched, lambda page: _expect(items(page)[0], out_trade_no))
        since = int((self._now() - SEARCH_LAG).timestamp())
        params: PaymentIntentListParams = {"created": {"gte": since}, "limit": PAGE_ITEMS}
        for _ in range(MAX_LOOKUP_PAGES):
            page = _read(
                await self._call(
                    account, lambda client: client.v1.payment_intents.list_async(params)
                ),
                items,
            )
            if not isinstance(page, Accepted):
                return page
            for intent in page.value:
                if (intent.get("metadata") or {}).get("out_trade_no") == out_trade_no:
                    return Accepted(value=intent)
            if len(page.value) < PAGE_ITEMS:
                return _NOT_THERE
            params["starting_after"] = str(page.value[-1].get("id"))
        return Unknown(reason="too_many_payments")

    async def _call(
        self,
        account: Account,
        ask: Ask,
        *,
        is_done: Callable[[Json], bool] = lambda _: False,
    ) -> Outcome[Json]:
        """One request; a refusal that shows the intent as `is_done` wants it is an acceptance."""
        try:
            return Accepted(value=data_of(await ask(make_client(self._wire, account))))
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


def _read(answer: Outcome[Any], read: Callable[[Any], T]) -> Outcome[T]:
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


def _bill(kind: BillKind, moved: list[Json], sha256: str) -> Outcome[Bill]:
    if any(as_object(line).get("currency") != CURRENCY for line in moved):
        return Unknown(reason="bill_currency")
    try:
        if kind is BillKind.FUNDS:
            funds = tuple(row for line in moved for row in read_funds(line))
            return Accepted(value=Bill(kind=kind, sha256=sha256, funds=funds))
        trades = tuple(row for line in moved if (row := read_trade(line)) is not None)
        return Accepted(value=Bill(kind=kind, sha256=sha256, trades=trades))
    except ValueError:
        return Unknown(reason="bill_wrong_shape")
