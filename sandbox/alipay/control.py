"""The control interface of Alipay: how tests, demos and people drive it; plain HTTP JSON."""

import asyncio
import sqlite3
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field

from sandbox.alipay.merchants import RefundOutcome, RoyaltyOutcome
from sandbox.alipay.models import NewTrade, TradeName, parse
from sandbox.alipay.oracle import orders_moved
from sandbox.alipay.protocol import AlipayError
from sandbox.alipay.service import Alipay
from sandbox.alipay.trades import PaymentRefused
from sandbox.routes import Attempt, Body, common_routes
from sandbox.wire import Json


class NewMerchant(Body):
    """A merchant to make, or to find again by `seller_id`."""

    seller_id: str | None = Field(default=None, pattern=r"^2088[0-9]{12}$")
    app_id: str | None = Field(default=None, pattern=r"^20[0-9]{14}$")


class Payment(Attempt):
    """One try to pay, by the first given of `qr_code`, `url` (opened before), numbers.

    `fail`: the customer looks at it, which makes it a trade, and pays nothing.
    """

    qr_code: str | None = None
    url: str | None = None
    seller_id: str | None = None
    trade_no: str | None = None
    out_trade_no: str | None = None
    buyer_id: str | None = None


class Habits(Body):
    """Habits to change; what is left out stays, null follows everybody's."""

    speed: float | None = Field(default=None, gt=0, le=1e6)
    refund_seconds: float | None = Field(default=None, ge=0)
    refund_outcome: RefundOutcome | None = None
    seller_has_balance: bool | None = None
    royalty_seconds: float | None = Field(default=None, ge=0)
    royalty_outcome: RoyaltyOutcome | None = None
    early_bills: bool | None = None


def create_control(alipay: Alipay) -> APIRouter:
    """Make the routes under `/control/alipay`; faults are armed at `/control/faults`."""
    router = APIRouter(prefix="/control/alipay")
    router.include_router(_money_routes(alipay))
    router.include_router(_habit_routes(alipay))
    router.include_router(common_routes(alipay.store, alipay.notices, orders_moved))
    return router


def _money_routes(alipay: Alipay) -> APIRouter:
    router = APIRouter()

    @router.post("/merchants")
    async def make_merchant(body: NewMerchant) -> Json:
        merchant = await alipay.merchants.ensure(**body.model_dump())
        return {
            "seller_id": merchant.seller_id,
            "app_id": merchant.app_id,
            "private_key_pem": merchant.app_key_pem,
            "alipay_public_key_pem": merchant.alipay_public_key_pem,
        }

    @router.post("/pay")
    async def pay(payment: Payment) -> JSONResponse:
        try:
            row = _identify(alipay, payment)
            habits = alipay.merchants.habits(row["seller_id"])
            await asyncio.sleep(habits.seconds(payment.delay_seconds))
            if payment.outcome == "fail":
                row = alipay.trades.scan(row, payment.buyer_id)
            else:
                row = alipay.trades.pay(
                    row, payment.buyer_id, payment.amount_fen, cleared_late=payment.cleared_late
                )
        except AlipayError as error:
            raise HTTPException(422, error.sub_code) from error
        except PaymentRefused as error:
            refusal = {"reason": error.reason, "trade_status": error.trade_status}
            return JSONResponse(refusal, 409)
        return JSONResponse({"trade_status": row["state"], "trade_no": row["trade_no"]})

    return router


def _habit_routes(alipay: Alipay) -> APIRouter:
    router = APIRouter()

    @router.get("/settings")
    async def settings() -> dict[str, Any]:
        return asdict(alipay.merchants.habits())

    @router.put("/settings")
    async def change_settings(body: Habits) -> dict[str, Any]:
        alipay.merchants.habits.change(body.model_dump(exclude_none=True))
        return asdict(alipay.merchants.habits())

    @router.put("/merchants/{seller_id}/settings")
    async def override_settings(seller_id: str, body: Habits) -> dict[str, Any]:
        if alipay.merchants.find(seller_id) is None:
            raise HTTPException(404, "no_such_merchant")
        alipay.merchants.habits.override(seller_id, body.model_dump(exclude_unset=True))
        return asdict(alipay.merchants.habits(seller_id))

    return router


def _identify(alipay: Alipay, payment: Payment) -> sqlite3.Row:
    if payment.qr_code is not None:
        row = alipay.trades.find_code(payment.qr_code)
    elif payment.url is not None:
        row = _behind(alipay, payment.url)
    else:
        name = TradeName(out_trade_no=payment.out_trade_no, trade_no=payment.trade_no)
        row = alipay.trades.named(payment.seller_id or "", name)
    if row is None:
        raise PaymentRefused("unknown_order")
    return row


def _behind(alipay: Alipay, url: str) -> sqlite3.Row | None:
    """Return the trade of a page that was opened before; its signature was checked then."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    merchant = alipay.merchants.find_app(query.get("app_id", ""))
    if merchant is None:
        return None
    try:
        body, _ = parse(NewTrade, query.get("biz_content", ""))
    except AlipayError:
        return None
    return alipay.trades.find(merchant.seller_id, body.out_trade_no)
