"""Finance's desk: days compared with channels' bills, and the differences people close."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy import Row
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Finance
from api.orders import Cursor, Limit
from api.parts import Held
from api.replies import reply
from services import reconciliation

router = APIRouter(prefix="/v1/finance", tags=["finance"])
DifferenceId = Annotated[int, Path(ge=1, le=2**63 - 1)]
State = Annotated[Literal["open", "closed"] | None, Query()]


@router.get("/reconciliations", response_model=schemas.Reconciliations)
async def list_reconciliations(
    parts: Held, who: Finance, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Compared days of the site's accounts, newest first."""
    after = ("", "")
    if cursor:
        day, account_id = cursors.decode(cursor, str, str)
        after = (str(day), str(account_id))
    async with parts.database.read() as reader:
        rows = await reconciliation.reconciled(reader, who.site_id, after=after, limit=limit + 1)
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode(last.day, last.account_id) if last else None
    return replies.page([dict(row._mapping) for row in shown], more)  # noqa: SLF001


@router.get("/differences", response_model=schemas.Differences)
async def list_differences(
    parts: Held, who: Finance, *, state: State = None, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Differences of the site, newest first."""
    after = int(cursors.decode(cursor, int)[0]) if cursor else 0
    async with parts.database.read() as reader:
        rows = await reconciliation.differences(
            reader, who.site_id, state=state or "", after=after, limit=limit + 1
        )
    shown = rows[:limit]
    more = cursors.encode(shown[-1].id) if len(rows) > limit else None
    return replies.page([_told(row) for row in shown], more)


@router.post("/differences/{difference_id}/close", response_model=schemas.Difference)
async def close_difference(
    parts: Held, who: Finance, difference_id: DifferenceId, wanted: schemas.CloseDifference
) -> Response:
    """End a difference and its ticket for a reason; again for the same reason changes nothing."""
    async with parts.database.write() as writer:
        closed = await reconciliation.close(
            writer,
            who.site_id,
            difference_id,
            reason_code=wanted.reason_code,
            actor=who.actor,
        )
    return reply(_told(closed))


def _told(row: Row[Any]) -> dict[str, Any]:
    shown = dict(row._mapping)  # noqa: SLF001
    del shown["site_id"]
    return {"difference_id": shown.pop("id"), **shown}
