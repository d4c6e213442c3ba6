"""The one act of dispatch: hold a zone and match, tick by tick, until stopped or superseded."""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import activity

from activities.act import act
from domain.contracts import dispatch as contracts
from domain.contracts.dispatch import Stopped, Zone
from domain.planning.tick import PLAIN, Engine
from domain.positions import PlacesOf
from services import dispatch
from services.db import Database
from services.eta.outside import NOWHERE, Outside

TICK_SECONDS = 0.2
"""Between rounds while there is something to do, in a site of speed 1."""
TICK_MIN_SECONDS = 0.02
IDLE_SECONDS = 1.0
"""Between rounds after a quiet while, in a site of speed 1."""
IDLE_MAX_SECONDS = 0.5
"""A round is also a heartbeat: several of them fit into its timeout of 2 s."""


class DispatchActs:
    """Matchers of any number of zones, over one database and what is known of places."""

    def __init__(
        self,
        database: Database,
        places: PlacesOf,
        engine: Engine = PLAIN,
        around: Outside = NOWHERE,
    ) -> None:
        self.database = database
        self.places = places
        self.engine = engine
        self.around = around

    @act(contracts.MATCH)
    async def match(self, zone: Zone) -> Stopped:
        """Take the zone and serve it; returns only when the zone is no more."""
        matcher = await dispatch.Matcher.take(
            self.database, zone, self.places, self.engine, self.around
        )
        if matcher is None:
            return Stopped(ticks=0)
        shortest = max(TICK_MIN_SECONDS, TICK_SECONDS / matcher.speed)
        longest = max(shortest, min(IDLE_MAX_SECONDS, IDLE_SECONDS / matcher.speed))
        pause = shortest
        while True:
            acts = await matcher.tick(activity.heartbeat)
            pause = shortest if acts else min(pause * 2, longest)
            await asyncio.sleep(pause)


def build(
    database: Database, places: PlacesOf, engine: Engine = PLAIN, around: Outside = NOWHERE
) -> list[Callable[..., Any]]:
    """Every act of this room's file, ready to be registered."""
    return [DispatchActs(database, places, engine, around).match]
