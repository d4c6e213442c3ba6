"""`api.weixin.qq.com`: what is told of deliveries by a mini-program's server (§1.12)."""

import json
import secrets
import sqlite3
import time
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.store import Store
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.orders import Orders

TOKEN_SECONDS = 7200
LOGISTICS_TYPES = frozenset({1, 2, 3, 4})
"""Express, 同城配送, virtual, picked up."""
MAX_UPLOADS = 2
"""A shipment may be told once more."""


class MiniPrograms:
    """Access tokens of applications, and the shipments told with them."""

    def __init__(self, store: Store, merchants: Merchants, orders: Orders) -> None:
        """Tokens live in memory: a restart ends them, as WeChat may at any time."""
        self._store = store
        self._merchants = merchants
        self._orders = orders
        self._tokens: dict[str, tuple[str, float]] = {}

    def routes(self) -> list[Route]:
        """Make the routes of the host."""
        routes = (
            ("/cgi-bin/stable_token", self._token),
            ("/wxa/sec/order/upload_shipping_info", self._upload),
        )

        def route(path: str, act: Any) -> Route:  # noqa: ANN401
            async def endpoint(request: Request) -> Response:
                try:
                    body = json.loads(await request.body())
                    answer = act(request.query_params.get("access_token", ""), body)
                except (ValueError, KeyError, TypeError, AttributeError):
                    answer = _no(47001, "data format error")
                return JSONResponse(answer)

            return Route(path, endpoint, methods=["POST"])

        return [route(path, act) for path, act in routes]

    def _token(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        merchant = self._merchants.by_appid(body["appid"])
        if merchant is None or body["grant_type"] != "client_credential":
            return _no(40013, "invalid appid")
        if body["secret"] != merchant.app_secret:
            return _no(40125, "invalid appsecret")
        token, until = self._tokens.get(merchant.appid, ("", 0.0))
        if until < time.time():
            token, until = secrets.token_urlsafe(48), time.time() + TOKEN_SECONDS
            self._tokens[merchant.appid] = token, until
        return {"access_token": token, "expires_in": int(until - time.time())}

    def _upload(self, token: str, body: dict[str, Any]) -> dict[str, Any]:
        appid = next((appid for appid, (known, _) in self._tokens.items() if known == token), None)
        if appid is None or self._tokens[appid][1] < time.time():
            return _no(40001, "invalid credential, access_token is invalid or not latest")
        order = self._order(body["order_key"], self._merchants.by_appid(appid))
        if order is None or order["transaction_id"] is None:
            return _no(10060001, "支付单不存在")
        if body["logistics_type"] not in LOGISTICS_TYPES or body["delivery_mode"] != 1:
            return _no(10060005, "物流类型有误")
        datetime.fromisoformat(body["upload_time"])
        if not all(parcel["item_desc"] for parcel in body["shipping_list"]):
            return _no(10060010, "商品描述不能为空")
        if body["payer"]["openid"] != order["openid"]:
            return _no(10060023, "支付者与订单不符")
        return self._ship(order["transaction_id"], body["logistics_type"])

    def _order(self, key: dict[str, Any], merchant: Merchant | None) -> sqlite3.Row | None:
        if merchant is None:
            return None
        if key["order_number_type"] == 2:
            return self._orders.find_paid(merchant.mchid, key["transaction_id"])
        if key["mchid"] != merchant.mchid:
            return None
        return self._orders.find(merchant.mchid, key["out_trade_no"])

    def _ship(self, transaction_id: str, logistics_type: int) -> dict[str, Any]:
        known = self._store.one(
            "SELECT uploads FROM shippings WHERE transaction_id = :id", id=transaction_id
        )
        if known is not None and known["uploads"] >= MAX_UPLOADS:
            return _no(10060003, "支付单已使用重新发货机会")
        self._store.run(
            "INSERT INTO shippings VALUES (:id, :type, 1) ON CONFLICT (transaction_id)"
            " DO UPDATE SET logistics_type = :type, uploads = uploads + 1",
            id=transaction_id,
            type=logistics_type,
        )
        return {"errcode": 0, "errmsg": "ok"}


def _no(code: int, message: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": message}
