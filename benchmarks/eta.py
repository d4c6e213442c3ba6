"""`python -m benchmarks.eta`: how well delivery times are foretold on the published food orders.

The model is the platform's own (`services/eta/model.py`), learning from these columns instead of
its own. What the rows are, how they are split and what the published score did otherwise is in
`docs/eta.md`.
"""

import argparse
import csv
import gzip
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from benchmarks.report import Figure, table
from domain.eta import Hint, telling
from services.eta import model
from services.eta.model import Answer, Model, Record

DATA = "PAOTUI_ETA_DATA"
FILE = "kbest_features.csv.gz"
MINUTES = "Time_taken(min)"
CATEGORIES = (
    "Road_traffic_density",
    "Festival",
    "City",
    "Weatherconditions",
    "Type_of_vehicle",
)
SEED, TEST_SHARE = 42, 0.2
"""The published split: scikit-learn's `train_test_split(test_size=0.2, random_state=42)`."""
CALIBRATION_SHARE = 0.25
"""Of the training rows: what the window's ends don't learn from."""
MSE_MOST, MAE_MOST = 23.7, 3.85
COVERAGE_LEAST, COVERAGE_MOST = 0.78, 0.82
PUBLISHED_ROUNDS = 500
EXPLAINED = 3

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The published rows and their split."""

    records: Sequence[Record]
    minutes: npt.NDArray[np.float64]
    train: Rows
    test: Rows

    def of(self, rows: Rows) -> list[Record]:
        """These rows' features."""
        return [self.records[row] for row in rows]


def read(path: Path) -> Orders:
    """The file, split as published: the same generator, so the same rows."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    minutes = np.array([float(row.pop(MINUTES)) for row in rows])
    mixed = np.random.RandomState(SEED).permutation(len(rows))
    tests = math.ceil(TEST_SHARE * len(rows))
    return Orders(records=rows, minutes=minutes, train=mixed[tests:], test=mixed[:tests])


def learn(orders: Orders) -> Model:
    """From the training rows and nothing else; the permutation's last are for calibration."""
    rows = len(orders.train)
    return model.train(
        orders.of(orders.train),
        orders.minutes[orders.train].tolist(),
        calibrate=range(rows - round(CALIBRATION_SHARE * rows), rows),
        categories=CATEGORIES,
        version="benchmark",
    )


def of_defaults(orders: Orders, train: Rows, rounds: int) -> Answer:
    """LightGBM as it comes, on label-encoded columns; what it says of the test rows."""
    names = tuple(orders.records[0])
    levels = {name: sorted({str(one[name]) for one in orders.records}) for name in CATEGORIES}
    table_ = model.matrix(orders.records, names, levels)
    data = lgb.Dataset(table_[train], orders.minutes[train])
    booster = lgb.train({"num_threads": 1, "verbose": -1}, data, rounds)
    said = np.asarray(booster.predict(table_[orders.test]), dtype=np.float64)
    return Answer(low=said, middle=said, high=said)


def run(orders: Orders) -> list[Figure]:
    """The platform's model with its targets, and LightGBM's defaults, honest and not."""
    began = time.perf_counter()
    learnt = learn(orders)
    seconds = time.perf_counter() - began
    true = orders.minutes[orders.test].tolist()
    answer = learnt.answer(orders.of(orders.test))
    found = model.metrics(answer, true)
    known = {tuple(one.values()) for one in orders.of(orders.train)}
    new = [
        number
        for number, one in enumerate(orders.of(orders.test))
        if tuple(one.values()) not in known
    ]
    unseen = model.metrics(
        Answer(low=answer.low[new], middle=answer.middle[new], high=answer.high[new]),
        [true[number] for number in new],
    )
    figures = [
        Figure(name="squared error", value=found["mse"], unit="min²", at_most=MSE_MOST),
        Figure(name="absolute error", value=found["mae"], unit="min", at_most=MAE_MOST),
        Figure(name="within 5 min", value=found["within_5"], unit=""),
        Figure(
            name="inside the 80 % window",
            value=found["coverage"],
            unit="",
            at_least=COVERAGE_LEAST,
            note=f"{found['width']:.1f} min wide",
        ),
        Figure(
            name="inside the 80 % window",
            value=found["coverage"],
            unit="",
            at_most=COVERAGE_MOST,
        ),
        Figure(
            name="squared error, new combinations",
            value=unseen["mse"],
            unit="min²",
            note=f"{len(new)} test rows whose features no training row has",
        ),
        Figure(name="training", value=seconds, unit="s", note="one thread"),
    ]
    all_rows = np.arange(len(orders.records))
    for name, train, rounds in (
        ("LightGBM's defaults", orders.train, 100),
        ("defaults, 500 rounds", orders.train, PUBLISHED_ROUNDS),
        ("the same, leaking", all_rows, PUBLISHED_ROUNDS),
    ):
        of = model.metrics(of_defaults(orders, train, rounds), true)
        note = "the test rows are among those it learnt from" if train is all_rows else ""
        figures += [
            Figure(name=f"{name}: squared error", value=of["mse"], unit="min²", note=note),
            Figure(name=f"{name}: absolute error", value=of["mae"], unit="min"),
        ]
    _explain(learnt, orders)
    return figures


def _explain(learnt: Model, orders: Orders) -> None:
    for record in orders.of(orders.test[:EXPLAINED]):
        reasons = learnt.reasons(record)
        (middle,) = learnt.answer([record]).middle
        assert math.isclose(sum(reasons.values()), middle, rel_tol=1e-6)
        usual = reasons.pop("")
        hints = telling(
            tuple(
                Hint(f"{name.replace('_', ' ')} {record[name]}", minutes)
                for name, minutes in reasons.items()
            )
        )
        told = ", ".join(hint.words() for hint in hints)
        print(f"{middle:.1f} min = usual {usual:.1f}; {told}", file=sys.stderr)


def main() -> None:
    """Measure and print; exit code 1 where a target was missed, 0 with a reason without data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eta", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(DATA),
        help=f"the folder of {FILE}; else {DATA} names it",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    if options.data is None or not (options.data / FILE).is_file():
        print(f"skipped: there is no {FILE}; name its folder by --data or {DATA}")
        return
    figures = run(read(options.data / FILE))
    if options.json:
        sys.stdout.write(json.dumps([one.as_json() for one in figures], indent=2) + "\n")
    else:
        print("\n".join(table(figures)))
    sys.exit(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    main()
