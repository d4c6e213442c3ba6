"""Operations at the edge: how a zone hands out its work, and to whom."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Operations
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from services.dispatch import rider_terms, zone_rules
from services.dispatch.rider_terms import RiderTerms

router = APIRouter(prefix="/v1/operations", tags=["operations"])


@router.get("/zones/{zone_id}/rules", response_model=schemas.ZoneRules)
async def get_zone_rules(parts: Held, who: Operations, zone_id: Id) -> Response:
    """What the zone has settled."""
    async with parts.database.read() as reader:
        found = await zone_rules.rules(reader, site_id=who.site_id, zone_id=zone_id)
    return reply(asdict(found))


@router.put("/zones/{zone_id}/rules", response_model=schemas.ZoneRules)
async def set_zone_rules(
    parts: Held, who: Operations, zone_id: Id, wanted: schemas.ZoneRules
) -> Response:
    """Settle the zone anew, whole; its matcher follows at once."""
    async with parts.database.write() as writer:
        settled = await zone_rules.set_rules(
            writer,
            wanted.model_dump(exclude_unset=True),
            site_id=who.site_id,
            zone_id=zone_id,
        )
    return reply(asdict(settled))


@router.get("/riders/{rider_id}/terms", response_model=schemas.RiderTerms)
async def get_rider_terms(parts: Held, who: Operations, rider_id: Id) -> Response:
    """Where the rider works, with what, and what they are never asked for."""
    async with parts.database.read() as reader:
        found = await rider_terms.terms(reader, site_id=who.site_id, rider_id=rider_id)
    return reply(asdict(found))


@router.put("/riders/{rider_id}/terms", response_model=schemas.RiderTerms)
async def set_rider_terms(
    parts: Held, who: Operations, rider_id: Id, wanted: schemas.RiderTerms
) -> Response:
    """Settle a rider anew, or take a new one on; the matcher follows at its next plan."""
    async with parts.database.write() as writer:
        settled = await rider_terms.set_terms(
            writer,
            RiderTerms(**wanted.model_dump()),
            site_id=who.site_id,
            rider_id=rider_id,
        )
    return reply(asdict(settled))
