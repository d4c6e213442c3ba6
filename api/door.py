"""The customer's door: how it is to be handed over, calls, silence, photos, the way back."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.identity import Customer, OfOrder, Rider, ensure_theirs
from api.orders import ensure_mine
from api.parts import Held
from api.replies import reply
from api.rider import act, done
from api.schemas import Id, Token
from api.tickets import PHOTO_ANSWER, PHOTO_BODY, PHOTO_HEADERS
from domain.riding import Call, DropOff
from services import dispatch, events

router = APIRouter(prefix="/v1", tags=["door"])


@router.put("/orders/{order_id}/dropoff", response_model=schemas.DropOffWished)
async def wish_dropoff(
    parts: Held, who: Customer, order_id: Id, wanted: schemas.DropOffWish
) -> Response:
    """Say how it is to be handed over, till it is; also the answer to a rider who waits."""
    await ensure_mine(parts, who, order_id)
    async with parts.database.write() as writer:
        seq = await dispatch.wish(
            writer, order_id=order_id, dropoff=DropOff(wanted.wish), actor=who.actor, request_id=""
        )
    await parts.refresh(order_id)
    return reply({"order_id": order_id, "wish": wanted.wish, "seq": seq})


@router.get("/orders/{order_id}/photos/{photo_id}", response_class=Response, responses=PHOTO_ANSWER)
async def get_delivery_photo(parts: Held, who: OfOrder, order_id: Id, photo_id: Id) -> Response:
    """A photo by which an order was handed over."""
    async with parts.database.read() as reader:
        ensure_theirs(who, await events.stream(reader, order_id))
        media_type, content = await dispatch.photo(reader, order_id=order_id, photo_id=photo_id)
    return Response(content, 200, PHOTO_HEADERS, media_type)


@router.post("/rider/tasks/{task_id}/calls", response_model=schemas.TaskDone)
async def log_call(parts: Held, who: Rider, task_id: Id, call: schemas.CustomerCall) -> Response:
    """A call to the customer was made: its time and outcome are kept, nothing else."""
    called = partial(dispatch.log_call, outcome=Call(call.outcome))
    return await done(parts, await act(parts, who, task_id, call, called))


@router.post("/rider/tasks/{task_id}/unreachable", response_model=schemas.TaskDone)
async def report_unreachable(
    parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken
) -> Response:
    """Nobody opens nor answers: the customer is told, and has a while to say what they want."""
    return await done(parts, await act(parts, who, task_id, tap, dispatch.unreachable))


@router.post("/rider/tasks/{task_id}/return", response_model=schemas.TaskDone)
async def return_goods(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """Back to the shop, where wish or timer allow it: the order ends, its customer bears it."""
    return await done(parts, await act(parts, who, task_id, tap, dispatch.bring_back))


@router.post(
    "/rider/tasks/{task_id}/photos",
    response_model=schemas.PhotoKept,
    status_code=201,
    openapi_extra=PHOTO_BODY,
)
async def keep_photo(
    parts: Held, who: Rider, request: Request, task_id: Id, token: Token
) -> Response:
    """Show where the goods were left: the body is a JPEG, PNG or WebP of at most 5 MB."""
    content = await request.body()
    async with parts.database.write() as writer:
        photo_id = await dispatch.keep_photo(
            writer,
            site_id=who.site_id,
            rider_id=who.subject,
            task_id=task_id,
            token=token,
            content=content,
        )
    return reply({"photo_id": photo_id}, 201)
