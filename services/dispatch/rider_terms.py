"""What operations have settled about a rider; the matchers follow at their next tick."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text

from domain.errors import Invalid, NotFound
from domain.eta import Vehicle
from services.db import Reader, Writer
from services.events import dumps

_TERMS = text("""
SELECT r.zone_id, r.vehicle, r.skills, r.room, r.area, r.probation, ARRAY(
  SELECT b.other FROM blocked_pairs b
  WHERE b.site_id = r.site_id AND b.rider_id = r.rider_id ORDER BY 1) AS not_with
FROM riders r WHERE r.site_id = :site_id AND r.rider_id = :rider_id
""")
_ZONE = text("SELECT FROM zones WHERE site_id = :site_id AND zone_id = :zone_id")
_SET = text("""
INSERT INTO riders (site_id, rider_id, zone_id, vehicle, skills, room, area, probation)
VALUES (:site_id, :rider_id, :zone_id, :vehicle, CAST(:skills AS jsonb), :room,
  CAST(:area AS jsonb), :probation)
ON CONFLICT (site_id, rider_id) DO UPDATE SET zone_id = :zone_id, vehicle = :vehicle,
  skills = CAST(:skills AS jsonb), room = :room, area = CAST(:area AS jsonb),
  probation = :probation
""")
_UNBLOCK = text("DELETE FROM blocked_pairs WHERE site_id = :site_id AND rider_id = :rider_id")
_BLOCK = text("""
INSERT INTO blocked_pairs (site_id, rider_id, other)
SELECT DISTINCT :site_id, :rider_id, other FROM unnest(CAST(:not_with AS text[])) other
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderTerms:
    """Where a rider works, with what, and what they are never asked for."""

    zone_id: str
    vehicle: Vehicle = Vehicle.E_BIKE
    """Also a thing that tasks may need, beside `skills`."""
    skills: Sequence[str] = ()
    """Boxes and licences."""
    room: int = 5
    """Of the box, in what items take of it."""
    area: Sequence[Sequence[float]] = ()
    """Corners, each latitude and longitude; empty: anywhere."""
    probation: bool = False
    not_with: Sequence[str] = ()
    """`shop:<id>` and `customer:<id>`, in order."""


async def terms(reader: Reader, *, site_id: str, rider_id: str) -> RiderTerms:
    """What is settled; raises NotFound."""
    row = await reader.first(_TERMS, {"site_id": site_id, "rider_id": rider_id})
    if row is None:
        raise NotFound("there is no such rider")
    told: dict[str, Any] = row._asdict()
    return RiderTerms(**told | {"vehicle": Vehicle(row.vehicle)})


async def set_terms(
    writer: Writer, wanted: RiderTerms, *, site_id: str, rider_id: str
) -> RiderTerms:
    """Settle a rider anew, whole; who is new to the site is one of its riders then.

    Raises:
        Invalid: the site has no such zone.
    """
    named = {"site_id": site_id, "rider_id": rider_id}
    told = asdict(wanted)
    if await writer.first(_ZONE, named | {"zone_id": wanted.zone_id}) is None:
        raise Invalid("there is no such zone", field="zone_id")
    told |= {"skills": dumps(wanted.skills), "area": dumps(wanted.area)}
    await writer.run(_SET, named | told)
    await writer.run(_UNBLOCK, named)
    await writer.run(_BLOCK, named | {"not_with": [*wanted.not_with]})
    return await terms(writer, site_id=site_id, rider_id=rider_id)
