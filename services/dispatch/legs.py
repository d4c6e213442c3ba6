"""How long riding takes from place to place, for a whole plan at once; pure, on numpy arrays."""

import math
from collections.abc import Sequence

import numpy as np

from domain.geo import EARTH_RADIUS_METERS
from domain.matching import ZoneRules
from domain.planning.model import Place

ROUNDING = 1e-3
"""Minutes by which a leg may exceed a whole one."""


def minutes(places: Sequence[Place], rules: ZoneRules, slower: float) -> Sequence[float]:
    """From each to each, row by row, on a plane that fits a city; `slower`: times as usual."""
    if not places:
        return ()
    at = np.radians(np.array(places, dtype=np.float64))
    north = at[:, 0] * EARTH_RADIUS_METERS
    east = at[:, 1] * EARTH_RADIUS_METERS * math.cos(float(at[:, 0].mean()))
    meters = np.hypot(north[:, None] - north, east[:, None] - east)
    ridden = meters / rules.meters_per_minute * slower
    if rules.leg_minutes:
        whole = np.ceil(ridden / rules.leg_minutes - ROUNDING)
        ridden = np.maximum(whole, 0) * rules.leg_minutes
    flat: Sequence[float] = ridden.ravel()
    return flat
