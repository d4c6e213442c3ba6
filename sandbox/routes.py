"""What channels' control interfaces have alike: bodies, the oracle, callbacks sent again."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from sandbox.callbacks import Callbacks
from sandbox.oracle import Chosen, money_moved
from sandbox.store import Store
from sandbox.wire import Json

MAX_RESENDS = 200


class Body(BaseModel):
    """What is asked of a control interface: a name nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Attempt(Body):
    """How a customer's try to pay goes; which payment is meant, each channel says."""

    outcome: Literal["success", "fail"] = "success"
    delay_seconds: float = Field(default=0.0, ge=0, le=7 * 24 * 3600)
    """Before division by `speed`."""
    amount_fen: int | None = Field(default=None, gt=0)
    """What a mistaken gateway takes instead of the amount."""
    cleared_late: bool = False
    """Whether the money was taken before the payment was closed or expired."""


class Resend(Body):
    """Which callback to send again, and how often."""

    payee: str = Field(validation_alias=AliasChoices("mchid", "seller_id", "account"))
    """Under the name that the channel has for one."""
    out_trade_no: str | None = None
    out_refund_no: str | None = None
    count: int = Field(default=1, ge=1, le=MAX_RESENDS)
    concurrent: bool = False


def common_routes(
    store: Store, callbacks: Callbacks, orders_moved: Callable[[Store, Chosen], list[Json]]
) -> APIRouter:
    """Make the routes for a channel, by its callbacks and by what it tells the oracle."""
    router = APIRouter()

    @router.post("/notifications/resend")
    async def resend(body: Resend) -> list[int | None]:
        if body.out_trade_no is None and body.out_refund_no is None:
            raise HTTPException(422, "out_trade_no or out_refund_no is required")
        row = callbacks.latest(
            body.payee, out_trade_no=body.out_trade_no, out_refund_no=body.out_refund_no
        )
        if row is None:
            raise HTTPException(404, "no_such_notification")
        return await callbacks.resend(row, count=body.count, concurrent=body.concurrent)

    @router.get("/oracle")
    async def oracle(
        mchid: str | None = None, out_trade_no: str | None = None, prefix: str | None = None
    ) -> JSONResponse:
        chosen = {"mchid": mchid, "out_trade_no": out_trade_no, "prefix": prefix}
        try:
            return JSONResponse(money_moved(orders_moved(store, chosen)))
        except ValueError as error:
            raise HTTPException(413, str(error)) from error

    return router
