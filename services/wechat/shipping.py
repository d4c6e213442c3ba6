"""Deliveries told to WeChat (发货信息管理): money stays frozen until they are.

It is the mini-program's server that tells, so the application's secret is used and no signature.
"""

from datetime import timedelta, timezone

import httpx

from domain.outcomes import Accepted, Outcome, Rejected, Unknown
from services.channel_json import Json, text
from services.wechat.accounts import Account
from services.wechat.wire import Wire

HOST = "https://api.weixin.qq.com"
BY_TRANSACTION = 2
IN_CITY = 2
"""同城配送"""
UNIFIED = 1
BUSY = -1
CHINA = timezone(timedelta(hours=8))


class Shipping(Wire):
    """The calls that tell of deliveries."""

    async def upload_shipping(
        self, account: Account, *, transaction_id: str, payer: str, description: str
    ) -> Outcome[None]:
        """Say that an order is with its courier; `payer` is the customer's openid.

        A refusal's code is WeChat's errcode.
        """
        token = await self._token(account)
        if not isinstance(token, Accepted):
            return token
        shipped = {
            "order_key": {"order_number_type": BY_TRANSACTION, "transaction_id": transaction_id},
            "logistics_type": IN_CITY,
            "delivery_mode": UNIFIED,
            "shipping_list": [{"item_desc": description}],
            "upload_time": self._now().astimezone(CHINA).isoformat(timespec="milliseconds"),
            "payer": {"openid": payer},
        }
        query = httpx.QueryParams({"access_token": token.value})
        answer = await self._tell(f"/wxa/sec/order/upload_shipping_info?{query}", shipped)
        return Accepted(value=None) if isinstance(answer, Accepted) else answer

    async def _token(self, account: Account) -> Outcome[str]:
        """The application's access token, which WeChat repeats as long as it lives."""
        asked = {
            "grant_type": "client_credential",
            "appid": account.appid,
            "secret": account.app_secret,
        }
        answer = await self._tell("/cgi-bin/stable_token", asked)
        if not isinstance(answer, Accepted):
            return answer
        try:
            return Accepted(value=text(answer.value, "access_token"))
        except ValueError:
            return Unknown(reason="wrong_shape")

    async def _tell(self, target: str, content: Json) -> Outcome[Json]:
        answer = await self._plain(HOST + target, content)
        if not isinstance(answer, Accepted):
            return answer
        code = answer.value.get("errcode", 0)
        if type(code) is not int or code == BUSY:
            return Unknown(reason="busy")
        return Rejected(code=str(code)) if code else answer
