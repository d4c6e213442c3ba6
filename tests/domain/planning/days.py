"""Generated moments of a zone, in plane metres at 320 a minute."""

import math
import random
from collections.abc import Sequence

from domain.planning.model import Job, Place, Rider

NOW = 600.0


def drives(places: Sequence[Place]) -> list[float]:
    return [math.ceil(math.dist(a, b) / 320) + 0.0 for a in places for b in places]


def moment(
    seed: int, *, jobs: int, riders: int, shops: int
) -> tuple[list[Rider], list[Job], dict[str, Place]]:
    dice = random.Random(seed)  # noqa: S311 - a generated case

    def place() -> Place:
        return dice.uniform(0, 9_000), dice.uniform(0, 9_000)

    where = {f"s{n}": place() for n in range(shops)}
    waiting = [
        Job(
            order_id=f"o{n}",
            shop_id=f"s{dice.randrange(shops)}",
            place=place(),
            placed_at=NOW - dice.randrange(30),
            ready_at=NOW + dice.randrange(-5, 30),
            load=dice.choice((1, 1, 2, 4)),
            not_by=frozenset({f"r{dice.randrange(riders)}"} if riders and n % 3 == 0 else ()),
        )
        for n in range(jobs)
    ]
    crew = [
        Rider(
            rider_id=f"r{n}",
            place=place(),
            free_at=NOW + dice.randrange(-10, 20),
            off_at=NOW + dice.randrange(10, 180),
            owed=dice.choice((0.0, 2.0)),
            room=dice.choice((2, 5)),
            pace=dice.choice((0.7, 1.0, 3.8)),
        )
        for n in range(riders)
    ]
    return crew, waiting, where
