"""Calls to Stripe, one payee at a time; what follows from them is decided elsewhere.

Stripe asks by its own id, the port by our number: `handles` of the create name the intent. Where
they were lost with the answer, a search over metadata finds what is older than an hour, and the
list of intents, which is never behind, finds the rest.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import stripe
from stripe.params import (
    BalanceTransactionListParams,
    DisputeUpdateParams,
    PaymentIntentCreateParams,
)

from domain.channels import (
    Ability,
    Bill,
    BillKind,
    Create,
    Notice,
    Opened,
    RefundSaid,
    SavedMethod,
    SplitSaid,
    Transaction,
)
from domain.outcomes import Accepted, Outcome, Unknown
from services.card.accounts import Account, load_account
from services.card.answers import (
    CURRENCY,
    REPLAYED,
    items,
    read_funds,
    read_intent,
    read_opened,
    read_refund,
    read_saved,
    read_trade,
)
from services.card.calls import (
    NOT_THERE,
    PAGE_ITEMS,
    Ask,
    call,
    find_id,
    find_intent,
    find_refund,
    read_answer,
)
from services.card.notices import read_notice
from services.card.wire import Wire
from services.channel_json import Json, as_object, text

CHINA = timezone(timedelta(hours=8))
MAX_BILL_PAGES = 1000


class Cards:
    """Stripe as one of the payment channels (`services.channel.Channel`).

    Every payment is a manual capture: held, then captured or voided; Stripe voids after seven days.
    Stripe forgets an idempotency key after 24 hours, so a create must not be repeated later; a
    refund may, it is looked for first. PaymentIntents don't expire: close what is late.
    """

    name = "card"
    ability = Ability(methods=("card",), holds=True, saves=True, answers_disputes=20_000)

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
        made = await call(
            self._wire,
            account,
            lambda client: client.v1.payment_intents.create_async(
                params, {"idempotency_key": order.out_trade_no}
            ),
        )
        if made == Unknown(reason=REPLAYED):
            found = await self._intent(account, order.out_trade_no, None)
            made = found if isinstance(found, Accepted) else made
        return read_answer(made, read_opened)

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
        found = await self._intent(account, out_trade_no, handles)
        return read_answer(found, lambda intent: read_intent(account.account, intent))

    async def close(
        self, account: Account, *, out_trade_no: str, handles: Mapping[str, str] | None = None
    ) -> Outcome[None]:
        """Cancel an unpaid payment, void a held one; repeatable. Query next."""
        intent = await self._id(account, out_trade_no, handles)
        if not isinstance(intent, Accepted):
            return intent
        closed = await call(
            self._wire,
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
        captured = await call(
            self._wire,
            account,
            lambda client: client.v1.payment_intents.capture_async(
                intent.value, {"amount_to_capture": amount_fen}
            ),
            is_done=lambda found: found.get("amount_received") == amount_fen,
        )
        return read_answer(captured, lambda found: read_intent(account.account, found))

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
        known = await find_refund(self._wire, account, intent.value, out_refund_no)
        if known != NOT_THERE:
            return known
        asked = await call(
            self._wire,
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
        return read_answer(asked, read_refund)

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
        return await find_refund(self._wire, account, intent.value, out_refund_no)

    async def bill(self, account: Account, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """China's business day out of the balance transactions; of today, what there is so far."""
        begins = datetime.combine(day, time(), CHINA)
        ends = begins + timedelta(days=1)
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
        made = await call(
            self._wire,
            account,
            lambda client: client.v1.customers.create_async(
                {"metadata": {"reference": reference}}, {"idempotency_key": f"customer/{reference}"}
            ),
        )
        return read_answer(made, lambda customer: text(customer, "id"))

    async def saved_methods(self, account: Account, *, payer: str) -> Outcome[list[SavedMethod]]:
        """A customer's saved cards, newest first; no card number is among what is known."""
        listed = await call(
            self._wire,
            account,
            lambda client: client.v1.customers.payment_methods.list_async(
                payer, {"type": "card", "limit": PAGE_ITEMS}
            ),
        )
        return read_answer(listed, read_saved)

    async def forget_method(self, account: Account, *, token: str) -> Outcome[None]:
        """Forget a saved card; repeatable."""
        return read_answer(
            await call(
                self._wire, account, lambda client: client.v1.payment_methods.detach_async(token)
            ),
            lambda _: None,
        )

    async def respond_dispute(
        self, account: Account, *, dispute_id: str, content: str
    ) -> Outcome[None]:
        """Give the customer's bank our evidence as a text; it may be taken only once."""
        params: DisputeUpdateParams = {"evidence": {"uncategorized_text": content}, "submit": True}
        return await self._dispute(
            account, lambda client: client.v1.disputes.update_async(dispute_id, params)
        )

    async def complete_dispute(self, account: Account, *, dispute_id: str) -> Outcome[None]:
        """Accept that a dispute is lost."""
        return await self._dispute(
            account, lambda client: client.v1.disputes.close_async(dispute_id)
        )

    async def _dispute(self, account: Account, ask: Ask) -> Outcome[None]:
        return read_answer(await call(self._wire, account, ask), lambda _: None)

    async def split(self, account: Account, **_: object) -> Outcome[SplitSaid]:
        """Cards are not split."""
        raise NotImplementedError

    query_split = unfreeze = return_split = query_return = split

    async def ensure_receiver(self, account: Account, **_: object) -> Outcome[None]:
        """Cards are not split, nor does their money wait for a delivery."""
        raise NotImplementedError

    upload_shipping = ensure_receiver

    async def _intent(
        self, account: Account, out_trade_no: str, handles: Mapping[str, str] | None
    ) -> Outcome[Json]:
        return await find_intent(self._wire, account, out_trade_no, handles, now=self._now())

    async def _id(
        self, account: Account, out_trade_no: str, handles: Mapping[str, str] | None
    ) -> Outcome[str]:
        return await find_id(self._wire, account, out_trade_no, handles, now=self._now())

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

        return read_answer(await call(self._wire, account, ask), items)


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
