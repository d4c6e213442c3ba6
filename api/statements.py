"""Statements (对账单): any party's for finance, their own for merchants and riders; JSON or CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query
from pydantic import AwareDatetime
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Finance, Merchant, Rider
from api.orders import Cursor, Limit
from api.parts import Held, Parts
from api.replies import reply
from domain.errors import Invalid
from domain.reconciliation import span
from services import statements
from services.identity import Identity
from services.statements import Party, Place, Statement

router = APIRouter(prefix="/v1", tags=["statements"])
CSV = "text/csv"
CSV_LINES = 10_000
"""Of one answer; `Link` says where it goes on."""
COLUMNS = ("at", "event", "journal", "order_id", "gateway_number", "in_fen", "out_fen")
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {}}}}

Moment = AwareDatetime | date
From = Annotated[Moment, Query(alias="from", description="A day means its beginning in China.")]
Until = Annotated[Moment, Query(description="Where it ends, and the next one begins.")]
PartyId = Annotated[str, Query(alias="id", pattern=r"^[\w.:@~-]{1,200}$")]
Format = Annotated[Literal["json", "csv"] | None, Query(alias="format")]
Accept = Annotated[str, Header(include_in_schema=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which time, which page of it, in what shape."""

    since: datetime
    until: datetime
    after: Place | None
    limit: int
    as_csv: bool


async def _wish(
    *,
    since: From,
    until: Until,
    cursor: Cursor = None,
    limit: Limit = 20,
    shape: Format = None,
    accept: Accept = "",
) -> Wish:
    """As each of the three doors is asked; raises Invalid."""
    begin, end = _moment(since), _moment(until)
    if begin >= end:
        raise Invalid("the time ends before it begins")
    after = None
    if cursor:
        at, journal_id, line = cursors.decode(cursor, str, int, int)
        after = (cursors.moment(at), int(journal_id), int(line))
    as_csv = shape == "csv" or (shape is None and CSV in accept)
    return Wish(
        since=begin, until=end, after=after, limit=CSV_LINES if as_csv else limit, as_csv=as_csv
    )


Wished = Annotated[Wish, Depends(_wish)]


@router.get("/finance/statements", response_model=schemas.Statement, responses=AS_CSV)
async def read_statement(
    request: Request, parts: Held, who: Finance, *, party: Party, party_id: PartyId, wish: Wished
) -> Response:
    """Any party's or account's statement; CSV by `Accept` or `format`, its pages by `Link`."""
    return await _statement(request, parts, who, wish, party=party, party_id=party_id)


@router.get("/merchant/statements", response_model=schemas.Statement, responses=AS_CSV)
async def read_merchant_statement(
    request: Request, parts: Held, who: Merchant, wish: Wished
) -> Response:
    """The merchant's own statement; CSV as finance's."""
    return await _statement(request, parts, who, wish, party=Party.MERCHANT, party_id=who.subject)


@router.get("/rider/statements", response_model=schemas.Statement, responses=AS_CSV)
async def read_rider_statement(request: Request, parts: Held, who: Rider, wish: Wished) -> Response:
    """The rider's own statement; CSV as finance's."""
    return await _statement(request, parts, who, wish, party=Party.RIDER, party_id=who.subject)


@router.get("/finance/statements/days", response_model=schemas.StatementDays)
async def list_statement_days(
    parts: Held,
    who: Finance,
    *,
    party: Literal["merchant", "rider"],
    party_id: PartyId,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """A merchant's or rider's days as they were kept, newest first."""
    return await _days(parts, who.site_id, (Party(party), party_id), cursor, limit)


@router.get("/merchant/statements/days", response_model=schemas.StatementDays)
async def list_merchant_days(
    parts: Held, who: Merchant, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """The merchant's own days."""
    return await _days(parts, who.site_id, (Party.MERCHANT, who.subject), cursor, limit)


@router.get("/rider/statements/days", response_model=schemas.StatementDays)
async def list_rider_days(
    parts: Held, who: Rider, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """The rider's own days."""
    return await _days(parts, who.site_id, (Party.RIDER, who.subject), cursor, limit)


async def _statement(
    request: Request, parts: Parts, who: Identity, wish: Wish, *, party: Party, party_id: str
) -> Response:
    time = (wish.since, wish.until)
    async with parts.database.snapshot() as reader:
        whose = await statements.whose(reader, who.site_id, party, party_id)
        found = await statements.statement(reader, whose, *time)
        rows = await statements.lines(reader, whose, *time, after=wish.after, limit=wish.limit + 1)
    shown = rows[: wish.limit]
    more = None
    if len(rows) > wish.limit:
        more = cursors.encode(shown[-1].at, shown[-1].journal_id, shown[-1].line)
    if wish.as_csv:
        return _csv(request, wish, found, shown, more)
    return reply(
        {
            "party": whose.party,
            "party_id": whose.party_id,
            "account": whose.account,
            "since": wish.since,
            "until": wish.until,
            **asdict(found),
            "items": [_told(row) for row in shown],
            "next_cursor": more,
        }
    )


async def _days(
    parts: Parts, site_id: str, whose: tuple[Party, str], cursor: str | None, limit: int
) -> Response:
    before = str(cursors.decode(cursor, str)[0]) if cursor else ""
    async with parts.database.read() as reader:
        party = await statements.whose(reader, site_id, *whose)
        rows = await statements.kept(reader, party, before=before, limit=limit + 1)
    shown = rows[:limit]
    more = cursors.encode(shown[-1].day) if len(rows) > limit else None
    return replies.page([dict(row._mapping) for row in shown], more)  # noqa: SLF001


def _csv(
    request: Request, wish: Wish, found: Statement, rows: Sequence[Row[Any]], more: str | None
) -> Response:
    """The lines between what was there at the beginning and what is there at the end."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow([*COLUMNS, "balance_fen"])
    if wish.after is None:
        out.writerow([wish.since.isoformat(), "opening", *[""] * 5, found.opening_fen])
    for row in rows:
        told = _told(row) | {"at": row.at.isoformat()}
        out.writerow([*(told[name] for name in COLUMNS), ""])
    headers = {}
    if more is None:
        out.writerow([wish.until.isoformat(), "closing", *[""] * 5, found.closing_fen])
    else:
        onwards = request.url.include_query_params(cursor=more, format="csv")
        headers["Link"] = f'<{onwards.path}?{onwards.query}>; rel="next"'
    return Response(text.getvalue(), headers=headers, media_type=f"{CSV}; charset=utf-8")


def _told(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, "key" if name == "journal" else name) for name in COLUMNS}


def _moment(given: Moment) -> datetime:
    return given if isinstance(given, datetime) else span(given)[0]
