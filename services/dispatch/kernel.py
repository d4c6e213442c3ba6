"""`domain.planning`'s searches, compiled: the very same text, on numpy arrays instead of lists."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args, get_type_hints

import numba
import numpy as np

from domain.planning import arrays, routes, search, standby
from domain.planning.arrays import Plan, Prices, Scratch, World
from domain.planning.layout import make_cover, make_ground, make_plan, make_scratch, make_world
from domain.planning.model import Place, Rules
from domain.planning.standby import Cover, Ground
from domain.planning.tick import Engine

OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}
"""A search runs beside the event loop's thread. Nothing in it allocates, so arrays need no counting
of references (`_nrt`), which took twenty times as long as the search itself."""


def _cache() -> str:
    """Compiled code is kept outside the tree, where only its user writes; by the text's digest."""
    modules = (arrays, routes, search, standby)
    files = (__file__, *(one.__file__ for one in modules))
    digest = hashlib.sha256(b"".join(Path(str(one)).read_bytes() for one in files)).hexdigest()[:16]
    return str(Path.home() / ".cache" / "paotui" / f"kernel-{digest}")


def _compiled(entry: str, *modules: ModuleType) -> Callable[..., None]:
    """The function `entry` with all it calls in these modules, whose names don't clash."""
    numba.config.CACHE_DIR = _cache()  # type: ignore[attr-defined]
    names = {name: member for module in modules for name, member in vars(module).items()}
    names["__name__"] = __name__
    for name, member in list(names.items()):
        if isinstance(member, FunctionType):
            same = FunctionType(member.__code__, names, name, member.__defaults__)
            names[name] = numba.njit(cache=name == entry, **OPTIONS)(same)
    compiled: Callable[..., None] = names[entry]
    return compiled


_IMPROVE = _compiled("improve", routes, search)
_SEND = _compiled("send", standby)


def improve(world: World, plan: Plan, scratch: Scratch, rounds: int) -> None:
    """As `search.improve`."""
    plan_arrays = _as_arrays(plan)
    _IMPROVE(_as_arrays(world), plan_arrays, _as_arrays(scratch), rounds)
    _write_back(plan_arrays, plan)


def send(ground: Ground, cover: Cover) -> None:
    """As `standby.send`."""
    cover_arrays = _as_arrays(cover)
    _SEND(_as_arrays(ground), cover_arrays)
    _write_back(cover_arrays, cover)


ENGINE = Engine(improve, send)


def warm_up() -> None:
    """Compile, or load what was compiled before: up to half a minute that no tick should pay."""
    world = make_world(0.0, (), (), {}, drives=_nowhere, rules=Rules(), prices=Prices())
    improve(world, make_plan((), (), {}), make_scratch(world, 0), 0)
    ground = make_ground(
        0.0, (), (), routes={}, shops={}, demand={}, drives=_nowhere, rules=Rules()
    )
    send(ground, make_cover(ground))


def _nowhere(_: Sequence[Place]) -> Sequence[float]:
    return ()


def _as_arrays(fields: Any) -> Any:  # noqa: ANN401 - any of the named tuples
    """The same named tuple with an array for each list, of the type that its annotation says."""
    kind: Any = type(fields)
    hints = _hints(kind)
    return kind(
        *(_as_array(value, hints[name]) for name, value in zip(kind._fields, fields, strict=True))
    )


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _as_array(value: object, hint: object) -> object:
    if not get_args(hint):
        return value
    return np.asarray(value, dtype=np.float64 if float in get_args(hint) else np.int64)


def _write_back(mine: Any, theirs: Any) -> None:  # noqa: ANN401 - same
    for array, values in zip(mine, theirs, strict=True):
        values[:] = array.tolist()
