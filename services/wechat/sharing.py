"""Profit sharing (分账): receivers, splits, what is left, and shares taken back."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

import httpx

from domain.channels import Share, ShareResult, ShareState, SplitSaid
from domain.outcomes import Outcome, Refusal, Rejected, Unknown
from services.channel_json import Json, fen, optional_text, sections, text
from services.wechat.accounts import Account
from services.wechat.signing import encrypt
from services.wechat.wire import Wire, expect

PATH = "/v3/profitsharing"
REST = "解冻全部剩余资金"
RETURN_STATES = {
    "PROCESSING": ShareState.PENDING,
    "SUCCESS": ShareState.SUCCESS,
    "FAILED": ShareState.CLOSED,
}


class Sharing(Wire):
    """The calls that share an order's money out."""

    async def ensure_receiver(
        self, account: Account, *, receiver: str, name: str = ""
    ) -> Outcome[None]:
        """Let a receiver be given shares; repeatable. A merchant's full `name` must be right."""
        request = self._party(account) | {
            "type": _type(receiver),
            "account": receiver,
            "relation_type": "PARTNER",
        }
        if not name:
            return await self._do(account, "POST", f"{PATH}/receivers/add", request)
        key = await self._sealing_key(account)
        if key is None:
            return Unknown(reason="no_key")
        serial, public_key = key
        request["name"] = encrypt(public_key, name)
        return await self._do(account, "POST", f"{PATH}/receivers/add", request, serial=serial)

    async def split(
        self,
        account: Account,
        *,
        transaction_id: str,
        out_order_no: str,
        shares: Sequence[Share],
        finish: bool,
    ) -> Outcome[SplitSaid]:
        """Share out a payment; finished is not paid: read each receiver's result."""
        request = self._party(account) | {
            "transaction_id": transaction_id,
            "out_order_no": out_order_no,
            "receivers": [
                {
                    "type": _type(share.receiver),
                    "account": share.receiver,
                    "amount": share.amount_fen,
                    "description": share.description,
                }
                for share in shares
            ],
            "unfreeze_unsplit": finish,
        }
        return await self._split(account, f"{PATH}/orders", request, out_order_no)

    async def query_split(
        self, account: Account, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """Each receiver's result; `not_found` if it was never asked for."""
        query = httpx.QueryParams({"transaction_id": transaction_id, **account.sub})
        return await self._ask(
            account,
            "GET",
            f"{PATH}/orders/{quote(out_order_no, safe='')}?{query}",
            read=lambda data: _read_split(account, data, out_order_no),
        )

    async def unfreeze(
        self, account: Account, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """End the sharing: what is left goes to the payee. A number of its own."""
        request = account.sub | {
            "transaction_id": transaction_id,
            "out_order_no": out_order_no,
            "description": REST,
        }
        return await self._split(account, f"{PATH}/orders/unfreeze", request, out_order_no)

    async def return_split(
        self, account: Account, *, out_order_no: str, out_return_no: str, share: Share
    ) -> Outcome[SplitSaid]:
        """Take a share back from a merchant, before a refund; never from a person."""
        request = account.sub | {
            "out_order_no": out_order_no,
            "out_return_no": out_return_no,
            "return_mchid": share.receiver,
            "amount": share.amount_fen,
            "description": share.description,
        }
        return await self._ask(
            account,
            "POST",
            f"{PATH}/return-orders",
            request,
            read=lambda data: _read_return(data, out_return_no),
        )

    async def query_return(
        self, account: Account, *, out_order_no: str, out_return_no: str
    ) -> Outcome[SplitSaid]:
        """What became of a return."""
        query = httpx.QueryParams({"out_order_no": out_order_no, **account.sub})
        return await self._ask(
            account,
            "GET",
            f"{PATH}/return-orders/{quote(out_return_no, safe='')}?{query}",
            read=lambda data: _read_return(data, out_return_no),
        )

    async def _split(
        self, account: Account, target: str, request: Json, out_order_no: str
    ) -> Outcome[SplitSaid]:
        outcome = await self._ask(
            account,
            "POST",
            target,
            request,
            read=lambda data: _read_split(account, data, out_order_no),
        )
        if isinstance(outcome, Rejected) and outcome.code == "INVALID_REQUEST":
            # Also said of a payment that is less than a minute old.
            return replace(outcome, kind=Refusal.LATER)
        return outcome

    @staticmethod
    def _party(account: Account) -> Json:
        if not account.sub_mchid:
            return {"appid": account.appid}
        return {"appid": account.sp_appid, **account.sub}


def _type(receiver: str) -> str:
    """Merchants' numbers are digits; a person is an openid."""
    return "MERCHANT_ID" if receiver.isdigit() else "PERSONAL_OPENID"


def _read_split(account: Account, data: Json, out_order_no: str) -> SplitSaid:
    """A split without the line in which the payee gets what is left."""
    said = SplitSaid(
        out_order_no=text(data, "out_order_no"),
        finished=text(data, "state") == "FINISHED",
        results=tuple(
            ShareResult(
                receiver=text(item, "account"),
                amount_fen=fen(item, "amount"),
                state=ShareState(text(item, "result").lower()),
                reason=optional_text(item, "fail_reason") or "",
            )
            for item in (sections(data, "receivers") if data.get("receivers") else ())
            if item.get("account") != account.payee
        ),
        name=text(data, "order_id"),
    )
    return expect(said, out_order_no=out_order_no)


def _read_return(data: Json, out_return_no: str) -> SplitSaid:
    result = text(data, "result")
    if result not in RETURN_STATES:
        raise ValueError("a result we do not know")
    returned = ShareResult(
        receiver=text(data, "return_mchid"),
        amount_fen=fen(data, "amount"),
        state=RETURN_STATES[result],
        reason=optional_text(data, "fail_reason") or "",
    )
    said = SplitSaid(
        out_order_no=text(data, "out_return_no"),
        finished=returned.state is not ShareState.PENDING,
        results=(returned,),
        name=text(data, "return_id"),
    )
    return expect(said, out_order_no=out_return_no)
