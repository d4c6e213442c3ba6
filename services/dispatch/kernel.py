"""`domain.planning`'s searches, compiled: the very same text, on numpy arrays instead of lists."""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, get_type_hints

import numba
import numpy as np

from domain.planning import arrays, search, standby
from domain.planning.arrays import Plan, Scratch, World
from domain.planning.standby import Cover, Ground
from domain.planning.tick import Engine


def _cache() -> str:
    """Compiled code is kept outside the tree; another text has another folder."""
    texts = b"".join(Path(str(one.__file__)).read_bytes() for one in (arrays, search, standby))
    digest = hashlib.sha256(texts).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / "paotui-kernel" / digest)


def _compiled(module: ModuleType, entry: str) -> Callable[..., None]:
    """The module's function `entry`, with all it calls there."""
    numba.config.CACHE_DIR = _cache()
    names = dict(vars(module)) | {"__name__": __name__}
    for name, member in vars(module).items():
        if isinstance(member, FunctionType):
            same = FunctionType(member.__code__, names, name, member.__defaults__)
            names[name] = numba.njit(cache=name == entry)(same)
    compiled: Callable[..., None] = names[entry]
    return compiled


_IMPROVE = _compiled(search, "improve")
_SEND = _compiled(standby, "send")


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


def _as_arrays(fields: Any) -> Any:
    """The same named tuple with an array for each list, of the type that its annotation says."""
    kind = type(fields)
    hints = get_type_hints(kind)
    return kind(
        *(
            _as_array(value, hints[name])
            for name, value in zip(kind._fields, fields, strict=True)
        )
    )


def _as_array(value: Any, hint: Any) -> Any:
    if isinstance(value, int | float | tuple):
        return value
    return np.asarray(value, dtype=np.float64 if float in hint.__args__ else np.int64)


def _write_back(mine: Any, theirs: Any) -> None:
    for array, values in zip(mine, theirs, strict=True):
        values[:] = array.tolist()
