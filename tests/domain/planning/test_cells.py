"""Who belongs to which cell, and that a zone in cells is decided as a whole one would be."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.planning import cells, tick
from domain.planning.model import Job, Place, Rider, Routes
from domain.planning.tick import Zone
from tests.domain.planning.days import NOW, drives, moment

SIZE = 4
SPOTS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda at: (at[0] + 0.0, at[1] + 0.0))


def job(order_id: str, shop_id: str, held_by: str = "") -> Job:
    return Job(
        order_id=order_id,
        shop_id=shop_id,
        place=(0.0, 0.0),
        placed_at=0,
        ready_at=NOW,
        held_by=held_by,
    )


def rider(rider_id: str, place: Place, bound_for: str = "") -> Rider:
    return Rider(rider_id=rider_id, place=place, free_at=NOW, off_at=900, bound_for=bound_for)


Crowd = tuple[list[Rider], list[Job], Routes, dict[str, Place]]


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    """A zone of any shape: orders that riders have, that are planned, that are nobody's."""
    shops = {f"s{n}": spot for n, spot in enumerate(draw(st.lists(SPOTS, min_size=1, max_size=8)))}
    some_shop = st.sampled_from(sorted(shops))
    crew, work = [], []
    for n, (spot, held) in enumerate(
        draw(st.lists(st.tuples(SPOTS, st.lists(some_shop, max_size=2)), max_size=25))
    ):
        work += [job(f"r{n}-{k}", shop, f"r{n}") for k, shop in enumerate(held)]
        crew.append(rider(f"r{n}", spot, bound_for=f"r{n}-0" if held else ""))
    work += [job(f"o{n}", shop) for n, shop in enumerate(draw(st.lists(some_shop, max_size=25)))]
    routes = {
        one.rider_id: ((f"o{2 * n}",), (f"o{2 * n + 1}",))
        for n, one in enumerate(crew)
        if draw(st.booleans())
    }
    return crew, draw(st.permutations(work)), routes, shops


@given(crowds())
def test_every_rider_and_job_is_in_one_cell_of_bounded_size(
    crowd: Crowd,
) -> None:
    crew, work, routes, shops = crowd
    found = cells.split(crew, work, routes, shops, SIZE)
    in_cells = sorted(one.rider_id for cell in found for one in cell.riders)
    assert in_cells == sorted(one.rider_id for one in crew)
    in_cells = sorted(one.order_id for cell in found for one in cell.jobs)
    assert in_cells == sorted(one.order_id for one in work)
    assert {*shops} == {shop_id for cell in found for shop_id in cell.shops}
    for cell in found:
        assert len(cell.riders) <= SIZE
        assert len(cell.jobs) <= SIZE
        assert {one.shop_id for one in cell.jobs} <= {*cell.shops}
        here = {one.rider_id for one in cell.riders}
        assert {one.held_by for one in cell.jobs if one.held_by} <= here
        planned = {
            one for name in here & routes.keys() for bundle in routes[name] for one in bundle
        }
        known = {one.order_id for one in work}
        assert planned & known <= {one.order_id for one in cell.jobs}


def test_a_zone_that_fits_is_decided_as_one() -> None:
    crew, work, shops = moment(7, jobs=20, riders=12, shops=8)
    zone, demand = Zone(shops, drives, rounds=25), dict.fromkeys(shops, 1.0)
    whole = tick.decide(NOW, crew, work, {}, zone=zone, seed=3, demand=demand)
    assert cells.decide(NOW, crew, work, {}, zone=zone, seed=3, demand=demand) == whole


def test_cells_share_riders_where_they_are_few_and_stay_near_where_there_are_many() -> None:
    shops = {"west": (0.0, 0.0), "east": (900.0, 0.0)}
    work = [job(f"{name}{n}", name) for name in shops for n in range(4)]
    few = [rider(f"r{n}", (10.0 * n, 0.0)) for n in range(8)]
    assert sorted(len(cell.riders) for cell in cells.split(few, work, {}, shops, SIZE)) == [4, 4]
    many = [rider(f"r{n}", (100.0 * n, 0.0)) for n in range(10)]
    for cell in cells.split(many, [work[0], work[-1]], {}, shops, SIZE):
        for one in cell.jobs:
            near = min(math.dist(shops[one.shop_id], each.place) for each in cell.riders)
            assert near <= 100


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000))
def test_decisions_of_cells_never_clash_and_what_one_cannot_do_another_may(seed: int) -> None:
    crew, work, shops = moment(seed, jobs=30, riders=20, shops=6)
    crew = [replace(one, off_at=NOW + 500, pace=1.0) for one in crew]
    hard = replace(work[0], not_by=frozenset(one.rider_id for one in crew[1:]))
    work = [hard, *(replace(one, not_by=frozenset({crew[0].rider_id})) for one in work[1:])]
    zone = Zone(shops, drives, rounds=10)
    decision = cells.decide(NOW, crew, work, {}, zone=zone, seed=seed, size=SIZE)
    planned = [one for plan in decision.routes.values() for bundle in plan for one in bundle]
    assert sorted(planned) == sorted(one.order_id for one in work)
    assert decision.routes[crew[0].rider_id] == ((hard.order_id,),)
    assert {*decision.leave} <= {*decision.routes}
