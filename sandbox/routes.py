"""Control routes that all channels have alike: what truly moved, and callbacks sent again."""

from collections.abc import Callable

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
