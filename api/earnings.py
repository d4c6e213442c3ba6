"""Earnings at the edge: a rider's own day, and a zone's for operations; both from the ledger."""

from collections import Counter
from dataclasses import asdict
from datetime import date

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Operations, Rider
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from domain.earnings import fairness
from domain.reconciliation import span
from services import earnings, statements
from services.statements import Party

router = APIRouter(prefix="/v1", tags=["earnings"])


@router.get("/rider/earnings", response_model=schemas.Earnings)
async def get_earnings(parts: Held, who: Rider, day: date) -> Response:
    """What the rider has earned on a business day, order by order; equal to the statement."""
    since, until = span(day)
    async with parts.database.snapshot() as reader:
        mine = await statements.whose(reader, who.site_id, Party.RIDER, who.subject)
        figures = await statements.statement(reader, mine, since, until)
        found = await earnings.of_day(
            reader, site_id=who.site_id, rider_id=who.subject, since=since, until=until
        )
    sums: Counter[str] = Counter()
    for one in found:
        sums.update(one.parts)
    return reply(
        {
            "day": day,
            "orders": [asdict(one) | {"earned_fen": one.earned_fen} for one in found],
            "parts": sums,
            "earned_fen": sums.total(),
            "statement_in_fen": figures.in_fen,
        }
    )


@router.get("/operations/fair-share", response_model=schemas.FairShare)
async def get_fair_share(parts: Held, who: Operations, zone: Id, day: date) -> Response:
    """How a zone's work of a business day was shared out among those on shift."""
    since, until = span(day)
    async with parts.database.snapshot() as reader:
        shares = await earnings.of_zone(
            reader, site_id=who.site_id, zone_id=zone, since=since, until=until
        )
    return reply(
        {
            "zone_id": zone,
            "day": day,
            "riders": [asdict(one) | {"hourly_fen": round(one.hourly_fen, 2)} for one in shares],
            **asdict(fairness(shares)),
        }
    )
