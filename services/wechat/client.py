"""WeChat Pay as a payment channel: payments and refunds of one payee at a time."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from domain.channels import (
    Ability,
    BankCard,
    Create,
    Notice,
    NoticeRefused,
    Opened,
    RefundSaid,
    Transaction,
)
from domain.outcomes import Outcome, Refusal, Rejected, Unknown
from services.channel_json import Json
from services.wechat.accounts import Account, load_account
from services.wechat.answers import CURRENCY, read_opened, read_refund, read_transaction
from services.wechat.bills import Bills
from services.wechat.disputes import Disputes
from services.wechat.notices import read_notice
from services.wechat.sharing import Sharing
from services.wechat.shipping import Shipping
from services.wechat.signing import Fault, encrypt, jsapi_parameters
from services.wechat.wire import expect

CHINA = timezone(timedelta(hours=8))
REFUNDS = "/v3/refund/domestic/refunds"
SAYS_NOTHING = frozenset({"OUT_TRADE_NO_USED", "ORDERPAID"})
"""Refusals of a repeated create that tell of an earlier one of the same number: query it."""


class WechatPay(Sharing, Bills, Disputes, Shipping):
    """The port's channel, and what only WeChat Pay has; `Account` holds a payee's keys."""

    name = "wechat"
    ability = Ability(
        methods=("jsapi", "native", "h5"),
        payer_methods=frozenset({"jsapi"}),
        address_methods=frozenset({"h5"}),
        handle_lives={
            "jsapi": timedelta(hours=2),
            "native": timedelta(hours=2),
            "h5": timedelta(minutes=5),
        },
        splits=True,
        split_cap_bp=3_000,
        returns_shares=True,
        ships=True,
        refund_age=timedelta(days=365),
        refund_count=50,
        refund_gap=timedelta(minutes=1),
        answers_disputes=200,
        retries_refunds=True,
    )

    def load_account(self, folder: Path) -> Account:
        """A payee's keys; raises AccountUnreadable."""
        return load_account(folder)

    async def create(self, account: Account, order: Create) -> Outcome[Opened]:
        """Place a channel order; `payer` is the openid of a JSAPI order's customer."""
        request = {
            **_payee(account),
            "description": order.description,
            "out_trade_no": order.out_trade_no,
            "time_expire": order.expires_at.astimezone(CHINA).isoformat(timespec="seconds"),
            "notify_url": order.notify_url,
            "amount": {"total": order.amount_fen, "currency": CURRENCY},
        }
        if order.split:
            request["settle_info"] = {"profit_sharing": True}
        if order.method == "jsapi":
            request["payer"] = _payer(account, order.payer)
        if order.method == "h5":
            request["scene_info"] = {
                "payer_client_ip": order.client_ip,
                "h5_info": {"type": "Wap"},
            }
        outcome = await self._ask(
            account, "POST", f"{_orders(account)}/{order.method}", request, read=read_opened
        )
        if isinstance(outcome, Rejected) and outcome.code in SAYS_NOTHING:
            return Unknown(reason=outcome.code)
        return outcome

    def parameters(
        self, account: Account, *, method: str, handles: Mapping[str, str], now: datetime
    ) -> dict[str, Any]:
        """What the customer's device needs to pay; a page or mini-program gets it signed."""
        if method != "jsapi":
            return dict(handles)
        return jsapi_parameters(account, handles["prepay_id"], now=now, nonce=secrets.token_hex(16))

    async def query(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[Transaction]:
        """Ask for a payment by our number; `not_found` if it was never made."""
        return await self._ask(
            account,
            "GET",
            f"{_order(account, out_trade_no)}?{httpx.QueryParams(_mchids(account))}",
            read=lambda data: expect(
                read_transaction(data), mchid=account.payee, out_trade_no=out_trade_no
            ),
        )

    async def close(
        self,
        account: Account,
        *,
        out_trade_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[None]:
        """Close an unpaid order; repeatable. Query next: the customer may have been faster."""
        return await self._do(
            account, "POST", f"{_order(account, out_trade_no)}/close", _mchids(account)
        )

    async def capture(
        self,
        account: Account,
        *,
        out_trade_no: str,
        amount_fen: int,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[Transaction]:
        """Nothing is held here."""
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
        request: Json = {
            **account.sub,
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "reason": reason,
            "notify_url": notify_url,
            "amount": {"refund": refund_fen, "total": total_fen, "currency": CURRENCY},
        }
        outcome = await self._ask(
            account,
            "POST",
            REFUNDS,
            request,
            read=lambda data: expect(read_refund(data), out_refund_no=out_refund_no),
        )
        if isinstance(outcome, Rejected) and outcome.kind is Refusal.NOT_FOUND:
            # The payment is unknown there: no repetition finds it.
            return replace(outcome, kind=Refusal.NEVER)
        return outcome

    async def query_refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        handles: Mapping[str, str] | None = None,  # noqa: ARG002 - our number is enough
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; after `not_found` repeat it under the same number."""
        del out_trade_no  # WeChat Pay's refund numbers stand by themselves.
        query = f"?{httpx.QueryParams(account.sub)}" if account.sub else ""
        return await self._ask(
            account,
            "GET",
            f"{REFUNDS}/{quote(out_refund_no, safe='')}{query}",
            read=lambda data: expect(read_refund(data), out_refund_no=out_refund_no),
        )

    async def retry_refund(
        self,
        account: Account,
        *,
        out_refund_no: str,
        refund_id: str,
        card: BankCard | None = None,
    ) -> Outcome[RefundSaid]:
        """Send an abnormal refund on its way again: to the customer's card, else to the payee's.

        Money at the payee's bank account is not refunded: it must reach the customer otherwise.
        """
        request = account.sub | {"out_refund_no": out_refund_no, "type": "MERCHANT_BANK_CARD"}
        serial = ""
        if card is not None:
            key = await self._sealing_key(account)
            if key is None:
                return Unknown(reason="no_key")
            serial, public_key = key
            request |= {
                "type": "USER_BANK_CARD",
                "bank_type": card.bank_type,
                "bank_account": encrypt(public_key, card.number),
                "real_name": encrypt(public_key, card.name),
            }
        return await self._ask(
            account,
            "POST",
            f"{REFUNDS}/{quote(refund_id, safe='')}/apply-abnormal-refund",
            request,
            read=lambda data: expect(read_refund(data), out_refund_no=out_refund_no),
            serial=serial,
        )

    async def notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """`read_notice`, fetching certificates once where the serial is not known yet."""
        try:
            return read_notice(account, headers, body, now=self._now())
        except NoticeRefused as refused:
            if refused.reason != Fault.UNKNOWN_SERIAL:
                raise
        await self._learn(account, httpx.Headers(dict(headers)).get("wechatpay-serial", ""))
        return read_notice(account, headers, body, now=self._now())


def _orders(account: Account) -> str:
    return f"/v3/pay/{'partner/' if account.sub_mchid else ''}transactions"


def _order(account: Account, out_trade_no: str) -> str:
    return f"{_orders(account)}/out-trade-no/{quote(out_trade_no, safe='')}"


def _mchids(account: Account) -> dict[str, str]:
    if account.sub_mchid:
        return {"sp_mchid": account.mchid, **account.sub}
    return {"mchid": account.mchid}


def _payee(account: Account) -> Json:
    if not account.sub_mchid:
        return {"appid": account.appid, **_mchids(account)}
    own = {} if account.appid == account.sp_appid else {"sub_appid": account.appid}
    return {"sp_appid": account.sp_appid, **_mchids(account), **own}


def _payer(account: Account, openid: str) -> dict[str, str]:
    if not account.sub_mchid:
        return {"openid": openid}
    return {"sp_openid" if account.appid == account.sp_appid else "sub_openid": openid}
