"""A trained model of minutes: boosted trees, a card beside them, and their folder.

The middle is the mean; the window is between two quantiles, widened or narrowed by what rows say
that those trees never saw (conformalized quantile regression: Romano, Patterson, Candès, arXiv
1905.03222). What a feature adds is its Shapley value in the middle's trees: with the usual
minutes they add up to the middle exactly.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import orjson
from lightgbm.basic import LightGBMError

from services.eta.stored import CARD

COVERAGE = 0.8
"""How many orders in a hundred shall end inside their window."""
LEVELS_MAX = 1_000
"""Values of one category that are kept: the most frequent; the others count as unknown."""
ROUNDS = 140
PARAMETERS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 63,
    "min_data_in_leaf": 5,
    "path_smooth": 5,
    "lambda_l2": 10,
    "cat_smooth": 0.1,
    "cat_l2": 0.1,
    "min_data_per_group": 5,
    "num_threads": 1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
"""LightGBM's; chosen by cross-validation (`docs/eta.md`): categories are believed sooner."""

Numbers = npt.NDArray[np.float64]
Record = Mapping[str, Any]


OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "low": {"objective": "quantile", "alpha": (1 - COVERAGE) / 2},
    "middle": {"objective": "l2"},
    "high": {"objective": "quantile", "alpha": (1 + COVERAGE) / 2},
}
"""What each of a model's three sets of trees is to foretell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What must be known of a model beside its trees."""

    version: str
    names: Sequence[str]
    """Features, in the trees' order."""
    levels: Mapping[str, Sequence[str]]
    """Of each category: its values, in the order of their codes."""
    widen_minutes: float
    """What the window's ends are moved outwards by."""
    rows: int
    since: str
    until: str
    """The training window: when its first and last order were promised."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """Minutes, one of each for every record asked about."""

    low: Numbers
    middle: Numbers
    high: Numbers


@dataclass(frozen=True, slots=True)
class Model:
    """Boosters by the names of `OBJECTIVES`, and their card."""

    card: Card
    boosters: Mapping[str, lgb.Booster]

    def answer(self, records: Sequence[Record]) -> Answer:
        """The window of each; its ends never cross its middle."""
        table = matrix(records, self.card.names, self.card.levels)
        said = {name: _predict(one, table) for name, one in self.boosters.items()}
        return Answer(
            low=np.minimum(said["low"] - self.card.widen_minutes, said["middle"]),
            middle=said["middle"],
            high=np.maximum(said["high"] + self.card.widen_minutes, said["middle"]),
        )

    def reasons(self, record: Record) -> dict[str, float]:
        """What each feature adds to the usual minutes, which are under the empty name."""
        table = matrix([record], self.card.names, self.card.levels)
        (shares,) = _predict(self.boosters["middle"], table, pred_contrib=True)
        return dict(zip((*self.card.names, ""), map(float, shares), strict=True))

    def save(self, folder: Path) -> Path:
        """Write it into a folder of its version's name, which appears whole or not at all."""
        partial = folder / f".{self.card.version}.{os.getpid()}"
        partial.mkdir(parents=True, mode=0o700)
        for name, booster in self.boosters.items():
            (partial / f"{name}.txt").write_text(booster.model_to_string())
        (partial / CARD).write_bytes(orjson.dumps(asdict(self.card), option=orjson.OPT_INDENT_2))
        return partial.rename(folder / self.card.version)


def load(folder: Path) -> Model:
    """A model as it was saved; raises OSError, ValueError or TypeError for what is none."""
    card = Card(**orjson.loads((folder / CARD).read_bytes()))
    texts = {name: (folder / f"{name}.txt").read_text() for name in OBJECTIVES}
    try:
        boosters = {name: lgb.Booster(model_str=one) for name, one in texts.items()}
    except LightGBMError as error:
        raise ValueError("these are no trees") from error
    return Model(card=card, boosters=boosters)


def matrix(
    records: Sequence[Record], names: Sequence[str], levels: Mapping[str, Sequence[str]]
) -> Numbers:
    """Records as the trees want them; what is missing or was never seen is not a number."""
    codes = {name: {value: code for code, value in enumerate(of)} for name, of in levels.items()}

    def number(record: Record, name: str) -> float:
        value = record.get(name)
        if name in codes:
            return codes[name].get(str(value), math.nan)
        return math.nan if value is None else float(value)

    return np.array([[number(one, name) for name in names] for one in records], dtype=np.float64)


def train(
    records: Sequence[Record],
    minutes: Sequence[float],
    *,
    calibrate: Sequence[int],
    categories: Sequence[str],
    version: str,
    since: str = "",
    until: str = "",
) -> Model:
    """A model of all records; `calibrate` are the rows that the window's ends must not learn from.

    The middle needs no calibration and learns from every row.
    """
    names = tuple(records[0])
    levels = {name: _levels(records, name) for name in categories}
    table, target = matrix(records, names, levels), np.asarray(minutes, dtype=np.float64)
    kept = np.zeros(len(target), dtype=bool)
    kept[np.asarray(calibrate, dtype=np.intp)] = True
    codes = [number for number, name in enumerate(names) if name in levels]
    boosters = {}
    for name, objective in OBJECTIVES.items():
        rows = slice(None) if name == "middle" else ~kept
        data = lgb.Dataset(
            table[rows], target[rows], categorical_feature=codes, params={"verbose": -1}
        )
        boosters[name] = lgb.train({**PARAMETERS, **objective}, data, ROUNDS)
    missed = np.maximum(
        _predict(boosters["low"], table[kept]) - target[kept],
        target[kept] - _predict(boosters["high"], table[kept]),
    )
    card = Card(
        version=version,
        names=names,
        levels=levels,
        widen_minutes=_conformal(missed),
        rows=len(target),
        since=since,
        until=until,
        metrics={},
    )
    return Model(card=card, boosters=boosters)


def metrics(answer: Answer, minutes: Sequence[float]) -> dict[str, float]:
    """How good answers were: squared and absolute error of the middle, and the window's share."""
    true = np.asarray(minutes, dtype=np.float64)
    error = answer.middle - true
    inside = (answer.low <= true) & (true <= answer.high)
    return {
        "rows": float(len(true)),
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "within_5": float(np.mean(np.abs(error) <= 5)),
        "coverage": float(np.mean(inside)),
        "width": float(np.mean(answer.high - answer.low)),
    }


def _conformal(missed: Numbers) -> float:
    """The score that `COVERAGE` of new rows stay below, from rows the model never saw."""
    rank = math.ceil(COVERAGE * (len(missed) + 1))
    return float(np.sort(missed)[min(rank, len(missed)) - 1])


def _levels(records: Sequence[Record], name: str) -> tuple[str, ...]:
    seen = Counter(str(one[name]) for one in records if one[name] is not None)
    return tuple(value for value, _ in seen.most_common(LEVELS_MAX))


def _predict(booster: lgb.Booster, table: Numbers, *, pred_contrib: bool = False) -> Numbers:
    return np.asarray(
        booster.predict(table, pred_contrib=pred_contrib, num_threads=1), dtype=np.float64
    )
