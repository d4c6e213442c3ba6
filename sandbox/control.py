"""The control interface: how tests, demos and people drive the outside world; plain HTTP JSON."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field

from sandbox.faults import FaultScript
from sandbox.habits import RefundOutcome
from sandbox.routes import Body, common_routes
from sandbox.wechat.complaints import ProblemType
from sandbox.wechat.customers import Payment
from sandbox.wechat.keys import CERTIFICATE_LIFETIME
from sandbox.wechat.oracle import orders_moved
from sandbox.wechat.orders import PaymentRefused
from sandbox.wechat.protocol import WeChatError
from sandbox.wechat.refunds import RefundIsFinal, Resolution
from sandbox.wechat.service import WeChatPay
from sandbox.wire import Json


class NewMerchant(Body):
    """A merchant to make, or to find again by `mchid`."""

    name: str = ""
    certificates: bool = True
    mchid: str | None = Field(default=None, pattern=r"^[0-9]{8,32}$")
    appid: str | None = Field(default=None, pattern=r"^wx[0-9a-z]{16}$")
    sp_mchid: str | None = Field(default=None, pattern=r"^[0-9]{8,32}$")


class MerchantHabits(Body):
    """Habits overridden for one merchant; what is left out stays, null follows everybody's."""

    speed: float | None = Field(default=None, gt=0, le=1e6)
    refund_seconds: float | None = Field(default=None, ge=0)
    refund_outcome: RefundOutcome | None = None
    fee_per_10000: int | None = Field(default=None, ge=0, le=10_000)
    split_percent: int | None = Field(default=None, ge=0, le=100)
    split_seconds: float | None = Field(default=None, ge=0)
    has_balance: bool | None = None
    bills_ready: bool | None = None


class GeneralHabits(MerchantHabits):
    """Habits for everybody; what is left out or null stays."""

    grey: float | None = Field(default=None, ge=0, le=1)


class Resolve(Body):
    """How a refund ends by hand."""

    mchid: str
    status: Resolution


class NewCertificate(Body):
    """WeChat's next platform certificate, and how long it is valid; left out: five years."""

    lifetime_seconds: float | None = Field(default=None, gt=0)


class FailingReceiver(Body):
    """Why a receiver's shares are closed from now on; null: they are paid again."""

    account: str
    fail_reason: (
        Literal[
            "ACCOUNT_ABNORMAL",
            "NO_RELATION",
            "RECEIVER_HIGH_RISK",
            "RECEIVER_REAL_NAME_NOT_VERIFIED",
            "NO_AUTH",
            "RECEIVER_RECEIPT_LIMIT",
            "PAYER_ACCOUNT_ABNORMAL",
        ]
        | None
    )


class Complaint(Body):
    """What a customer complains about."""

    mchid: str
    out_trade_no: str
    problem_type: ProblemType = "SERVICE_NOT_WORK"
    detail: str = Field(default="餐品未送达", min_length=1, max_length=300)
    phone: str = Field(default="13800000000", pattern=r"^[0-9]{11}$")


class Echo(Body):
    """Where a merchant tests that it can read callbacks."""

    mchid: str
    notify_url: str


def create_control(wechat: WeChatPay) -> APIRouter:
    """Make the routes under `/control` that drive WeChat Pay."""
    router = APIRouter(prefix="/control")
    router.include_router(_money_routes(wechat))
    router.include_router(_fault_routes(wechat))
    router.include_router(_habit_routes(wechat))
    router.include_router(_event_routes(wechat))
    router.include_router(common_routes(wechat.store, wechat.notices, orders_moved))
    return router


def _money_routes(wechat: WeChatPay) -> APIRouter:
    router = APIRouter()

    @router.post("/merchants")
    async def make_merchant(body: NewMerchant) -> Json:
        if body.sp_mchid is not None and wechat.merchants.find(body.sp_mchid) is None:
            raise HTTPException(404, "no_such_merchant")
        merchant = await wechat.merchants.ensure(**body.model_dump())
        return {
            "mchid": merchant.mchid,
            "appid": merchant.appid,
            "serial_no": merchant.serial_no,
            "private_key_pem": merchant.private_key_pem,
            "apiv3_key": merchant.apiv3_key,
            "app_secret": merchant.app_secret,
            "public_key_id": wechat.keys.public_key.serial,
            "public_key_pem": wechat.keys.public_key_pem,
        }

    @router.post("/pay")
    async def pay(payment: Payment) -> JSONResponse:
        try:
            trade_state, transaction_id = await wechat.cashier.pay_in_time(payment)
        except PaymentRefused as error:
            refusal = {"reason": error.reason, "trade_state": error.trade_state}
            return JSONResponse(refusal, 409)
        return JSONResponse({"trade_state": trade_state, "transaction_id": transaction_id})

    @router.post("/refunds/{out_refund_no}/resolve")
    async def resolve_refund(out_refund_no: str, body: Resolve) -> Json:
        try:
            return wechat.refunds.resolve(body.mchid, out_refund_no, body.status)
        except WeChatError as error:
            raise HTTPException(404, error.code) from error
        except RefundIsFinal as error:
            raise HTTPException(409, "refund_is_final") from error

    return router


def _fault_routes(wechat: WeChatPay) -> APIRouter:
    router = APIRouter()

    @router.post("/faults")
    async def arm_fault(script: FaultScript) -> dict[str, int]:
        fault_id = wechat.faults.arm(script)
        if fault_id is None:
            raise HTTPException(409, "too_many_faults")
        return {"id": fault_id}

    @router.get("/faults")
    async def list_faults() -> list[dict[str, Any]]:
        return [
            {"id": fault_id, "times_left": times_left, **script.model_dump(exclude_none=True)}
            for fault_id, times_left, script in wechat.faults.armed()
        ]

    @router.delete("/faults")
    async def disarm_all() -> dict[str, int]:
        return {"disarmed": wechat.faults.disarm()}

    @router.delete("/faults/{fault_id}")
    async def disarm(fault_id: int) -> dict[str, int]:
        if not wechat.faults.disarm(fault_id):
            raise HTTPException(404, "no_such_fault")
        return {"disarmed": 1}

    return router


def _event_routes(wechat: WeChatPay) -> APIRouter:
    router = APIRouter()

    @router.post("/certificates")
    async def roll_certificate(body: NewCertificate) -> Json:
        given = body.lifetime_seconds
        wechat.keys.roll(CERTIFICATE_LIFETIME if given is None else timedelta(seconds=given))
        return {"serial_no": wechat.keys.certificate.serial}

    @router.put("/receivers")
    async def let_receiver_fail(body: FailingReceiver) -> Json:
        wechat.splits.let_fail(body.account, body.fail_reason)
        return body.model_dump()

    @router.post("/complaints")
    async def complain(body: Complaint) -> Json:
        try:
            return {"complaint_id": wechat.complaints.file(**body.model_dump())}
        except WeChatError as error:
            raise HTTPException(404, error.code) from error

    @router.post("/notifications/echo")
    async def echo(body: Echo) -> Json:
        if wechat.merchants.find(body.mchid) is None:
            raise HTTPException(404, "no_such_merchant")
        wechat.notices.add(
            mchid=body.mchid,
            out_trade_no="",
            notify_url=body.notify_url,
            event_type="SECURITY_ECHO.SUCCESS",
            resource={"mchid": body.mchid},
        )
        return {}

    return router


def _habit_routes(wechat: WeChatPay) -> APIRouter:
    router = APIRouter()

    @router.get("/settings")
    async def settings() -> dict[str, Any]:
        return asdict(wechat.merchants.habits())

    @router.put("/settings")
    async def change_settings(body: GeneralHabits) -> dict[str, Any]:
        wechat.merchants.habits.change(body.model_dump(exclude_none=True))
        return asdict(wechat.merchants.habits())

    @router.put("/merchants/{mchid}/settings")
    async def override_settings(mchid: str, body: MerchantHabits) -> dict[str, Any]:
        if wechat.merchants.find(mchid) is None:
            raise HTTPException(404, "no_such_merchant")
        wechat.merchants.habits.override(mchid, body.model_dump(exclude_unset=True))
        return asdict(wechat.merchants.habits(mchid))

    return router
