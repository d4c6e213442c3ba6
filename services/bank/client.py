"""The bank behind the port of all channels; what follows from its answers is decided elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from domain.channels import (
    Ability,
    Bill,
    BillKind,
    Create,
    Notice,
    NoticeRefused,
    Opened,
    PaymentNotice,
    RefundNotice,
    RefundSaid,
    Share,
    SplitSaid,
    TradeState,
    Transaction,
)
from domain.outcomes import Accepted, Outcome, Unknown
from services.bank import accounts
from services.bank.accounts import Account
from services.bank.answers import (
    CURRENCY,
    HANDLES,
    expect,
    read_handles,
    read_refund,
    read_split,
    read_statement,
    read_transaction,
)
from services.bank.signing import Refusal, find_fault
from services.bank.wire import Wire
from services.channel_json import Json, read_json, section, text

PAYMENT_EVENT = "payment.paid"
REFUND_EVENTS = frozenset({"refund.success", "refund.abnormal", "refund.closed"})


class Bank:
    """A licensed partner: customers' wallets there, and e-CNY (数字人民币) that it accepts."""

    name = "bank"
    ability = Ability(
        methods=("wallet", "ecny"),
        payer_methods=frozenset({"wallet"}),
        splits=True,
        returns_shares=True,
        saves=True,
    )

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._wire = Wire(http, now)

    def load_account(self, folder: Path) -> Account:
        """See `accounts.load_account`."""
        return accounts.load_account(folder)

    async def create(self, account: Account, order: Create) -> Outcome[Opened]:
        """Open a payment; a consent of the wallet's holder as `saved_method` pays it at once."""
        body: Json = {
            "method": order.method,
            "out_trade_no": order.out_trade_no,
            "amount": _amount(order.amount_fen),
            "description": order.description,
            "notify_url": order.notify_url,
            "expires_at": order.expires_at.astimezone(UTC).isoformat(timespec="seconds"),
            "payer": order.payer if order.method == "wallet" else "",
            "consent": order.saved_method,
            "save": order.save,
            "split": order.split,
        }

        def read(data: Json) -> Opened:
            expect(data, account=account.account, out_trade_no=order.out_trade_no)
            return Opened(handles=read_handles(data))

        return await self._wire.ask(account, "POST", "/v1/payments", body, read=read)

    def parameters(
        self,
        account: Account,  # noqa: ARG002 - the port's; nothing is signed for a device
        *,
        method: str,  # noqa: ARG002 - told by the handles
        handles: Mapping[str, str],
        now: datetime,  # noqa: ARG002 - nothing of it goes stale
    ) -> dict[str, Any]:
        """`confirm_url` for a wallet, `code_url` for e-CNY; nothing where it is paid already."""
        return {name: handles[name] for name in HANDLES[1:] if name in handles}

    async def query(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[Transaction]:
        """Ask for a payment by our number."""
        return await self._wire.ask(
            account,
            "GET",
            _payment_path(out_trade_no),
            read=lambda data: read_transaction(
                data, account=account.account, out_trade_no=out_trade_no
            ),
        )

    async def consent(self, account: Account, *, out_trade_no: str) -> Outcome[str]:
        """The consent that came with a payment made with `save`: a later `saved_method`."""
        return await self._wire.ask(
            account,
            "GET",
            f"{_payment_path(out_trade_no)}/consent",
            read=lambda data: text(data, "consent"),
        )

    async def close(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[None]:
        """Close an unpaid payment; repeatable."""
        answer = await self._wire.fetch(account, "POST", f"{_payment_path(out_trade_no)}/close")
        return Accepted(value=None) if isinstance(answer, Accepted) else answer

    async def capture(
        self,
        account: Account,
        *,
        out_trade_no: str,
        amount_fen: int,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[Transaction]:
        """Not at this bank: its payments are taken at once."""
        raise NotImplementedError

    async def refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str,
        notify_url: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; accepted is not refunded: follow its state."""
        body: Json = {
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "amount": _amount(refund_fen),
            "total": _amount(total_fen),
            "reason": reason,
            "notify_url": notify_url,
        }
        return await self._wire.ask(
            account,
            "POST",
            "/v1/refunds",
            body,
            read=lambda data: read_refund(
                data, account=account.account, out_refund_no=out_refund_no
            ),
        )

    async def query_refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; after `not_found` repeat it under the same number."""

        def read(data: Json) -> RefundSaid:
            expect(data, out_trade_no=out_trade_no)
            return read_refund(data, account=account.account, out_refund_no=out_refund_no)

        path = f"/v1/refunds/{quote(out_refund_no, safe='')}"
        return await self._wire.ask(account, "GET", path, read=read)

    async def ensure_receiver(
        self,
        account: Account,  # noqa: ARG002
        *,
        receiver: str,  # noqa: ARG002
        name: str = "",  # noqa: ARG002
    ) -> Outcome[None]:
        """Every account of the bank may be given shares."""
        return Accepted(value=None)

    async def split(
        self,
        account: Account,
        *,
        transaction_id: str,
        out_order_no: str,
        shares: Sequence[Share],
        finish: bool,
    ) -> Outcome[SplitSaid]:
        """Share out a payment made with `split`; ask for the results afterwards."""
        body: Json = {
            "transaction_id": transaction_id,
            "out_order_no": out_order_no,
            "receivers": [_receiver(share) for share in shares],
            "finish": finish,
        }
        return await self._split(account, "/v1/splits", body, out_order_no=out_order_no)

    async def query_split(
        self,
        account: Account,
        *,
        transaction_id: str,  # noqa: ARG002 - the bank knows it by our number
        out_order_no: str,
    ) -> Outcome[SplitSaid]:
        """Each receiver's result."""
        path = f"/v1/splits/{quote(out_order_no, safe='')}"
        return await self._split(account, path, out_order_no=out_order_no)

    async def unfreeze(
        self, account: Account, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """End the sharing: what is left goes to the payee."""
        body: Json = {"transaction_id": transaction_id, "out_order_no": out_order_no}
        return await self._split(account, "/v1/splits/unfreeze", body, out_order_no=out_order_no)

    async def return_split(
        self, account: Account, *, out_order_no: str, out_return_no: str, share: Share
    ) -> Outcome[SplitSaid]:
        """Take a share back from its receiver, who may not have it any more: read its state."""
        body: Json = {
            "out_order_no": out_order_no,
            "out_return_no": out_return_no,
            "receiver": _receiver(share),
        }
        return await self._split(
            account,
            "/v1/split-returns",
            body,
            out_order_no=out_order_no,
            out_return_no=out_return_no,
        )

    async def query_return(
        self, account: Account, *, out_order_no: str, out_return_no: str
    ) -> Outcome[SplitSaid]:
        """What became of a return."""
        path = f"/v1/split-returns/{quote(out_return_no, safe='')}"
        return await self._split(
            account, path, out_order_no=out_order_no, out_return_no=out_return_no
        )

    async def upload_shipping(
        self, account: Account, *, transaction_id: str, payer: str, description: str
    ) -> Outcome[None]:
        """Nothing waits for a delivery here."""
        raise NotImplementedError

    async def bill(self, account: Account, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """A business day's statement; `LATER` until the day is over."""
        path = f"/v1/statements/{kind.value}/{day.isoformat()}"
        answer = await self._wire.fetch(account, "GET", path)
        if not isinstance(answer, Accepted):
            return answer
        try:
            bill = read_statement(answer.value, account=account.account, kind=kind, day=day)
        except ValueError:
            return Unknown(reason="bill_wrong_shape")
        return Accepted(value=bill)

    async def notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify and read a notice, body as received; raises only NoticeRefused."""
        fault = find_fault(account, headers, body, now=self._wire.now())
        if fault is not None:
            raise NoticeRefused(fault)
        try:
            return _read_notice(account, read_json(body))
        except ValueError as error:
            raise NoticeRefused(Refusal.WRONG_SHAPE) from error

    async def _split(
        self,
        account: Account,
        path: str,
        body: Json | None = None,
        *,
        out_order_no: str,
        out_return_no: str | None = None,
    ) -> Outcome[SplitSaid]:
        return await self._wire.ask(
            account,
            "GET" if body is None else "POST",
            path,
            body,
            read=lambda data: read_split(
                data,
                account=account.account,
                out_order_no=out_order_no,
                out_return_no=out_return_no,
            ),
        )


def _read_notice(account: Account, notice: Json) -> Notice:
    event_id, event = text(notice, "id"), text(notice, "type")
    if text(notice, "account") != account.account:
        raise NoticeRefused(Refusal.WRONG_PAYEE)
    data = section(notice, "data")
    if event == PAYMENT_EVENT:
        transaction = read_transaction(data, account=account.account)
        if transaction.state is not TradeState.PAID:
            raise NoticeRefused(Refusal.WRONG_SHAPE)
        return PaymentNotice(event_id=event_id, transaction=transaction)
    if event in REFUND_EVENTS:
        refund = read_refund(data, account=account.account)
        if event != f"refund.{refund.state}":
            raise NoticeRefused(Refusal.WRONG_SHAPE)
        return RefundNotice(event_id=event_id, refund=refund)
    raise NoticeRefused(Refusal.UNKNOWN_EVENT)


def _payment_path(out_trade_no: str) -> str:
    return f"/v1/payments/{quote(out_trade_no, safe='')}"


def _amount(amount_fen: int) -> Json:
    return {"value": amount_fen, "currency": CURRENCY}


def _receiver(share: Share) -> Json:
    return {
        "account": share.receiver,
        "amount": _amount(share.amount_fen),
        "description": share.description,
    }
