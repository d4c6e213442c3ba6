"""Riders' places in Redis, and nowhere else: how they come in, and how they are read.

One hash per site, `paotui:positions:<site>`, a field per rider that expires by itself; and the
stream `paotui:positions` for live viewers. PostgreSQL knows when a rider was seen, never where.
"""

from services.positions.batch import Position, Positions
from services.positions.ingest import Ingest, Taken
from services.positions.places import Places
from services.positions.store import STREAM, connect, end, of_riders

__all__ = [
    "STREAM",
    "Ingest",
    "Places",
    "Position",
    "Positions",
    "Taken",
    "connect",
    "end",
    "of_riders",
]
