"""Places and distances, as far as shops and riders need them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

EARTH_RADIUS_METERS = 6_371_000
MIN_CORNERS = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A place, WGS-84 degrees."""

    lat: float
    lng: float


def distance_meters(a: Point, b: Point) -> int:
    """Great-circle distance by the haversine formula, whole meters."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat = (lat_b - lat_a) / 2
    half_lng = math.radians(b.lng - a.lng) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lng) ** 2
    return round(2 * EARTH_RADIUS_METERS * math.asin(min(1.0, math.sqrt(chord))))


def contains(area: Sequence[Point], place: Point) -> bool:
    """Whether a polygon holds a place (even-odd rule); fewer than three corners hold nothing."""
    if len(area) < MIN_CORNERS:
        return False
    inside = False
    for a, b in zip(area, (*area[1:], *area[:1]), strict=True):
        if (a.lat > place.lat) != (b.lat > place.lat):
            crossing = a.lng + (place.lat - a.lat) / (b.lat - a.lat) * (b.lng - a.lng)
            inside ^= place.lng < crossing
    return inside
