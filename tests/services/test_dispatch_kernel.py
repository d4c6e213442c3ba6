"""The compiled searches decide exactly as the plain ones."""

from domain.planning.arrays import Prices
from domain.planning.layout import make_plan, make_scratch, make_world
from domain.planning.model import Rules
from domain.planning.tick import PLAIN, Zone, decide
from services.dispatch.kernel import ENGINE
from tests.domain.planning.days import NOW, drives, moment

MOMENTS = ((0, 3, 2), (5, 0, 2), (12, 4, 3), (20, 5, 6), (30, 9, 6), (30, 9, 6))
"""Jobs, riders, shops; every other one with bundles of near shops."""


def test_plans_are_equal_to_the_last_bit() -> None:
    for seed, (jobs, riders, shops) in enumerate(MOMENTS):
        crew, waiting, where = moment(seed, jobs=jobs, riders=riders, shops=max(1, shops))
        rules = Rules(near=9.0 * (seed % 2))
        world = make_world(NOW, crew, waiting, where, drives=drives, rules=rules, prices=Prices())
        plain, compiled = (make_plan(crew, waiting, {}) for _ in range(2))
        PLAIN.improve(world, plain, make_scratch(world, seed), 40)
        ENGINE.improve(world, compiled, make_scratch(world, seed), 40)
        assert compiled == plain


def test_decisions_are_equal_tick_after_tick() -> None:
    crew, waiting, where = moment(7, jobs=20, riders=12, shops=8)
    demand = {shop_id: float(n) for n, shop_id in enumerate(where)}
    plain = compiled = None
    for minute in range(3):
        plain, compiled = (
            decide(
                NOW + minute,
                crew,
                waiting,
                before.routes if before else {},
                zone=Zone(where, drives, rounds=25, engine=engine),
                seed=minute,
                demand=demand,
            )
            for before, engine in ((plain, PLAIN), (compiled, ENGINE))
        )
        assert compiled == plain
        assert plain.leave
        assert plain.routes
