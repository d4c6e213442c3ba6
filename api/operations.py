"""Operations at the edge: how a zone hands out its work."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Operations
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from services.dispatch import zone_rules

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
