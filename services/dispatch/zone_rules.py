"""Zones' rules as operations read and set them; the matchers follow them at their next tick."""

from typing import Any

from sqlalchemy import text

from domain.errors import Invalid, NotFound
from domain.matching import ZoneRules
from services.db import Reader, Writer
from services.events import dumps

_RULES = text("SELECT rules FROM zones WHERE site_id = :site_id AND zone_id = :zone_id")
_STRANGERS = text("""
SELECT neighbour FROM unnest(CAST(:neighbours AS text[])) AS neighbour
WHERE NOT EXISTS (SELECT FROM zones WHERE site_id = :site_id AND zone_id = neighbour)
""")
_SET = text("""
UPDATE zones SET rules = CAST(:rules AS jsonb) WHERE site_id = :site_id AND zone_id = :zone_id
""")


async def rules(reader: Reader, *, site_id: str, zone_id: str) -> ZoneRules:
    """What the zone has settled, defaults filled in; raises NotFound."""
    row = await reader.first(_RULES, {"site_id": site_id, "zone_id": zone_id})
    if row is None:
        raise NotFound("there is no such zone")
    return ZoneRules.of(row.rules)


async def set_rules(
    writer: Writer, told: dict[str, Any], *, site_id: str, zone_id: str
) -> ZoneRules:
    """Settle a zone anew, whole: what is not told gets its default.

    Raises:
        Invalid: no such rule, or a value that it can't have, or a neighbour that is no zone.
        NotFound: the site has no such zone.
    """
    try:
        settled = ZoneRules.of(told)
    except (TypeError, ValueError) as error:
        raise Invalid(str(error)) from error
    named = {"site_id": site_id, "zone_id": zone_id, "rules": dumps(told)}
    if not await writer.run(_SET, named):
        raise NotFound("there is no such zone")
    asked = {"site_id": site_id, "neighbours": [*settled.neighbours]}
    if strangers := await writer.all(_STRANGERS, asked):
        unknown = [row.neighbour for row in strangers]
        raise Invalid("there are no such zones", field="neighbours", unknown=unknown)
    return settled
