"""Calls to Alipay's open gateway, one payee at a time; what follows is decided elsewhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import orjson

from domain.channels import (
    Ability,
    Bill,
    BillKind,
    Create,
    Notice,
    Opened,
    RefundSaid,
    Share,
    SplitSaid,
    Transaction,
)
from domain.money import yuan
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.alipay.accounts import Account, load_account
from services.alipay.answers import (
    china_time,
    read_refund,
    read_refund_query,
    read_split,
    read_transaction,
)
from services.alipay.bills import read_bill
from services.alipay.notices import read_notice
from services.alipay.wire import GATEWAY, Fields, call, fetch, signed_request
from services.channel_json import text

BILL_HOSTS = ".alipay.com"
BILL_TIMEOUT_SECONDS = 60.0
MAX_BILL_BYTES = 64 * 1024 * 1024
BILL_TYPES = {BillKind.TRADE: "trade", BillKind.FUNDS: "signcustomer"}
MADE_BEFORE = frozenset(
    {"ACQ.TRADE_HAS_SUCCESS", "ACQ.TRADE_HAS_CLOSE", "ACQ.CONTEXT_INCONSISTENT"}
)
"""A create refused because of an earlier one, of which it says nothing."""
PRODUCTS = {
    "jsapi": ("alipay.trade.create", "JSAPI_PAY"),
    "native": ("alipay.trade.precreate", "FACE_TO_FACE_PAYMENT"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_PAY"),
}

T = TypeVar("T")
_USER_ID = re.compile(r"2088[0-9]{12}")


class Alipay:
    """Alipay as its merchants see it: a `services.channel.Channel` without state of its own.

    `not_found` says that there is no trade *yet*: a code that nobody scanned, or a page that
    nobody opened, has none and can be paid until its expiry, which is therefore always sent.
    """

    name = "alipay"
    ability = Ability(
        methods=tuple(PRODUCTS),
        payer_methods=frozenset({"jsapi"}),
        handle_lives={"native": timedelta(hours=2)},
        not_found_is_final=False,
        splits=True,
        instalments=(3, 6, 12),
        refund_age=timedelta(days=365),
        refund_gap=timedelta(seconds=3),
    )

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self._now = now

    def load_account(self, folder: Path) -> Account:
        """`services.alipay.accounts.load_account`."""
        return load_account(folder)

    async def create(self, account: Account, order: Create) -> Outcome[Opened]:
        """Open a payment; a `wap` one is only signed here and made by the customer's browser."""
        if order.method not in PRODUCTS:
            raise NotImplementedError(order.method)
        method, product = PRODUCTS[order.method]
        public = {"notify_url": order.notify_url}
        content = _content(order) | {"product_code": product}
        if order.method == "wap":
            handles = {"biz_content": orjson.dumps(content).decode(), **public}
            if order.return_url:
                handles["return_url"] = order.return_url
            return Accepted(value=Opened(handles=handles))
        if order.method == "jsapi":
            by = "buyer_id" if _USER_ID.fullmatch(order.payer) else "buyer_open_id"
            content |= {by: order.payer, "op_app_id": account.app_id}
        handle = "trade_no" if order.method == "jsapi" else "qr_code"

        def read(fields: Fields) -> Opened:
            _require(fields, out_trade_no=order.out_trade_no)
            return Opened(handles={handle: text(fields, handle)})

        outcome = await self._ask(account, method, content, public, read=read)
        if isinstance(outcome, Rejected) and outcome.code in MADE_BEFORE:
            return Unknown(reason=outcome.code)
        return outcome

    def parameters(
        self, account: Account, *, method: str, handles: Mapping[str, str], now: datetime
    ) -> dict[str, Any]:
        """`tradeNO` for `my.tradePay`, a `qr_code`, or a `url` for the browser, signed now."""
        if method == "jsapi":
            return {"tradeNO": handles["trade_no"]}
        if method == "native":
            return {"qr_code": handles["qr_code"]}
        request = signed_request(account, PRODUCTS[method][0], handles, now=now)
        return {"url": f"{GATEWAY}?{urlencode(request)}"}

    async def query(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[Transaction]:
        """Ask for a payment by our number; `not_found` also of one that can still be paid."""

        def read(fields: Fields) -> Transaction:
            _require(fields, out_trade_no=out_trade_no)
            return read_transaction(account, fields, paid_at="send_pay_date")

        content = {"out_trade_no": out_trade_no}
        return await self._ask(account, "alipay.trade.query", content, read=read)

    async def close(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[None]:
        """Close an unpaid trade; repeatable. Query next: the customer may have been faster.

        Never by `alipay.trade.cancel`, which gives back what was paid.
        """
        content = {"out_trade_no": out_trade_no}
        outcome = await self._ask(account, "alipay.trade.close", content, read=lambda _: None)
        if isinstance(outcome, Rejected) and outcome.code == "ACQ.TRADE_HAS_CLOSE":
            return Accepted(value=None)
        return outcome

    async def capture(
        self,
        account: Account,
        *,
        out_trade_no: str,
        amount_fen: int,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[Transaction]:
        """Alipay takes the money at once."""
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
        notify_url: str,  # noqa: ARG002 - told at the payment's own address,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; only its state says whether the money went back."""
        content = {
            "out_trade_no": out_trade_no,
            "out_request_no": out_refund_no,
            "refund_amount": yuan(refund_fen),
            "refund_reason": reason,
        }

        def read(fields: Fields) -> RefundSaid:
            _require(fields, out_trade_no=out_trade_no)
            return read_refund(
                fields, out_refund_no=out_refund_no, refund_fen=refund_fen, total_fen=total_fen
            )

        return await self._ask(account, "alipay.trade.refund", content, read=read)

    async def query_refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; after `not_found`, of a failed one too, repeat the same number."""

        def read(fields: Fields) -> RefundSaid | None:
            _require(fields, out_trade_no=out_trade_no)
            return read_refund_query(fields, out_refund_no=out_refund_no)

        content = {"out_trade_no": out_trade_no, "out_request_no": out_refund_no}
        method = "alipay.trade.fastpay.refund.query"
        outcome = await self._ask(account, method, content, read=read)
        if not isinstance(outcome, Accepted):
            return outcome
        if outcome.value is None:
            return Rejected(code="no_such_refund", kind=Refusal.NOT_FOUND)
        return Accepted(value=outcome.value)

    async def ensure_receiver(
        self,
        account: Account,
        *,
        receiver: str,
        name: str = "",  # noqa: ARG002 - their number is enough
    ) -> Outcome[None]:
        """Let a receiver be given shares; repeatable."""
        return await self._ask(
            account,
            "alipay.trade.royalty.relation.bind",
            {
                "receiver_list": [{"type": "userId", "account": receiver}],
                "out_request_no": f"bind{receiver}",
            },
            read=lambda fields: _require(fields, result_code="SUCCESS"),
        )

    async def split(
        self,
        account: Account,
        *,
        transaction_id: str,
        out_order_no: str,
        shares: Sequence[Share],
        finish: bool,
    ) -> Outcome[SplitSaid]:
        """Share out a payment by `order.settle`; the results are told by `query_split`."""
        content = {
            "out_request_no": out_order_no,
            "trade_no": transaction_id,
            "royalty_mode": "async",
            "royalty_parameters": [
                {
                    "royalty_type": "transfer",
                    "trans_out_type": "userId",
                    "trans_out": account.seller_id,
                    "trans_in_type": "userId",
                    "trans_in": share.receiver,
                    "amount": yuan(share.amount_fen),
                    "desc": share.description,
                }
                for share in shares
            ],
            "extend_params": {"royalty_finish": "true" if finish else "false"},
        }

        def read(fields: Fields) -> SplitSaid:
            _require(fields, trade_no=transaction_id)
            return SplitSaid(
                out_order_no=out_order_no,
                finished=False,
                results=(),
                name=text(fields, "settle_no"),
            )

        return await self._ask(account, "alipay.trade.order.settle", content, read=read)

    async def query_split(
        self, account: Account, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """Each receiver's result."""
        return await self._ask(
            account,
            "alipay.trade.order.settle.query",
            {"out_request_no": out_order_no, "trade_no": transaction_id},
            read=lambda fields: read_split(fields, out_order_no=out_order_no),
        )

    async def unfreeze(
        self, account: Account, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """End the sharing: a settlement that shares nothing and finishes."""
        return await self.split(
            account,
            transaction_id=transaction_id,
            out_order_no=out_order_no,
            shares=(),
            finish=True,
        )

    async def return_split(
        self, account: Account, *, out_order_no: str, out_return_no: str, share: Share
    ) -> Outcome[SplitSaid]:
        """Alipay takes shares back only within a refund."""
        raise NotImplementedError

    async def query_return(
        self, account: Account, *, out_order_no: str, out_return_no: str
    ) -> Outcome[SplitSaid]:
        """Alipay takes shares back only within a refund."""
        raise NotImplementedError

    async def upload_shipping(
        self, account: Account, *, transaction_id: str, payer: str, description: str
    ) -> Outcome[None]:
        """Nothing waits for a delivery here."""
        raise NotImplementedError

    async def bill(self, account: Account, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """A day's bill by its address, which lives 30 seconds, then by the zip behind it.

        A day without business has none, which Alipay doesn't tell from one that is not ready.
        """
        address = await self._ask(
            account,
            "alipay.data.dataservice.bill.downloadurl.query",
            {"bill_type": BILL_TYPES[kind], "bill_date": day.isoformat()},
            read=_read_address,
        )
        if not isinstance(address, Accepted):
            return address
        request = self._http.build_request("GET", address.value, timeout=BILL_TIMEOUT_SECONDS)
        content = await fetch(
            self._http, request, timeout_seconds=BILL_TIMEOUT_SECONDS, max_bytes=MAX_BILL_BYTES
        )
        if isinstance(content, Unknown):
            return content
        try:
            return Accepted(value=read_bill(account, kind, day, content))
        except ValueError:
            return Unknown(reason="bill_damaged")

    async def notice(
        self,
        account: Account,
        headers: Mapping[str, str],  # noqa: ARG002 - the signature is in the form
        body: bytes,
    ) -> Notice:
        """`services.alipay.notices.read_notice`; answered with the word `success`."""
        return read_notice(account, body)

    async def _ask(
        self,
        account: Account,
        method: str,
        content: Mapping[str, Any],
        public: Mapping[str, str] | None = None,
        *,
        read: Callable[[Fields], T],
    ) -> Outcome[T]:
        answer = await call(self._http, account, method, content, public or {}, now=self._now())
        if not isinstance(answer, Accepted):
            return answer
        try:
            return Accepted(value=read(answer.value))
        except ValueError:
            return Unknown(reason="wrong_shape")


def _content(order: Create) -> dict[str, Any]:
    content: dict[str, Any] = {
        "out_trade_no": order.out_trade_no,
        "total_amount": yuan(order.amount_fen),
        "subject": order.description,
        "time_expire": china_time(order.expires_at),
    }
    extension = {}
    if order.instalments:
        extension["hb_fq_num"] = str(order.instalments)
        extension["hb_fq_seller_percent"] = "100" if order.fee_by_seller else "0"
    if order.split:
        extension["royalty_freeze"] = "true"
    return content | ({"extend_params": extension} if extension else {})


def _require(fields: Fields, **asked: str) -> None:
    """A signed answer may still be the answer to another question."""
    if any(text(fields, name) != value for name, value in asked.items()):
        raise ValueError("an answer about something else")


def _read_address(fields: Fields) -> str:
    """Where the bill is, at Alipay and nowhere else."""
    address = text(fields, "bill_download_url")
    parts = urlsplit(address)
    if parts.scheme != "https" or not (parts.hostname or "").endswith(BILL_HOSTS):
        raise ValueError("not an address of Alipay")
    return address
