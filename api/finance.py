"""Finance's desk: days compared with channels' bills, differences people close, closed books."""

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy import Row
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Finance
from api.orders import Cursor, Limit
from api.parts import Held
from api.replies import reply
from domain.reconciliation import day_of
from services import periods, reconciliation

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


@router.get("/periods", response_model=schemas.Periods)
async def list_periods(
    parts: Held, who: Finance, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """The site's closed periods, newest first."""
    before = cursors.moment(cursors.decode(cursor, str)[0]) if cursor else None
    async with parts.database.read() as reader:
        rows = await periods.page(reader, who.site_id, before=before, limit=limit + 1)
    shown = rows[:limit]
    more = cursors.encode(shown[-1].until) if len(rows) > limit else None
    return replies.page([_period(row) for row in shown], more)


@router.post("/periods", response_model=schemas.Period)
async def close_period(parts: Held, who: Finance, wanted: schemas.ClosePeriod) -> Response:
    """Close the books up to the end of a day, for good; again changes nothing.

    Refused while a day with money is not reconciled or a difference is open: the answer says which.
    """
    async with parts.database.write() as writer:
        closed = await periods.close(writer, who.site_id, wanted.day, actor=who.actor)
    return reply(_period(closed))


@router.get("/periods/{day}", response_model=schemas.PeriodTotals)
async def read_period(
    parts: Held, who: Finance, day: date, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """What each account moved in the period that ends with a day, and its balance then."""
    after = str(cursors.decode(cursor, str)[0]) if cursor else ""
    async with parts.database.read() as reader:
        rows = await periods.totals(reader, who.site_id, day, after=after, limit=limit + 1)
    shown = rows[:limit]
    more = cursors.encode(shown[-1].account) if len(rows) > limit else None
    return replies.page([dict(row._mapping) for row in shown], more)  # noqa: SLF001


def _period(row: Row[Any]) -> dict[str, Any]:
    day = day_of(row.until - timedelta(microseconds=1))
    return {"day": day, **row._mapping}  # noqa: SLF001


def _told(row: Row[Any]) -> dict[str, Any]:
    shown = dict(row._mapping)  # noqa: SLF001
    del shown["site_id"]
    return {"difference_id": shown.pop("id"), **shown}
