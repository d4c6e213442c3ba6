"""`python -m benchmarks.mdrp`: published days under the planner and two plain rules, checked.

Every figure but the decision time is the checker's, from the solution that was written.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mdrp_days import days_in, live, read_day, write
from benchmarks.mdrp_policies import POLICIES
from benchmarks.pace import percentile

FIGURES: Mapping[str, tuple[str, int]] = {
    "undelivered_pct": ("undelivered %", 3),
    "ctd": ("click-to-door", 2),
    "ctd90": ("p90", 2),
    "overage": ("overage", 2),
    "rtp": ("ready-to-pickup", 2),
    "cost_per_order": ("cost/order", 2),
    "orders_per_bundle": ("orders/bundle", 3),
}
"""The checker's figures that are shown: name and digits."""
TIMES = ("decision p50 ms", "p99", "max", "wall p99")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One day under one policy."""

    day: str
    policy: str
    figures: Mapping[str, Any]
    """As the checker gives them."""
    decided: Sequence[tuple[float, float]]
    """Processor and wall seconds of each decision."""


def run(folder: Path, policy: str, solutions: Path, checker: Path) -> Result:
    """Live one day, write its solution, have it checked."""
    day = read_day(folder)
    lived = live(day, POLICIES[policy](day))
    solution = solutions / policy / day.name
    write(lived, solution)
    check = _checker(checker)
    figures = check(str(folder), str(solution), prepos=True)
    return Result(day=day.name, policy=policy, figures=figures, decided=lived.decided)


def _checker(path: Path) -> Callable[..., dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("mdrp_check", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check: Callable[..., dict[str, Any]] = module.check
    return check


def row(name: str, results: Sequence[Result]) -> str:
    """One line of the table: means over the days, times over all their decisions."""
    cells = [name]
    for figure, (_, digits) in FIGURES.items():
        mean = sum(result.figures[figure] for result in results) / len(results)
        cells.append(f"{mean:.{digits}f}")
    processor, wall = zip(*(pair for result in results for pair in result.decided), strict=True)
    cells += [f"{percentile([*processor], share) * 1_000:.1f}" for share in (0.5, 0.99, 1.0)]
    cells.append(f"{percentile([*wall], 0.99) * 1_000:.1f}")
    return "| " + " | ".join(cells) + " |"


def head() -> str:
    """The table's first two lines."""
    cells = ["day, policy", *(title for title, _ in FIGURES.values()), *TIMES]
    return "| " + " | ".join(cells) + " |\n" + "|---" * len(cells) + "|"


def main() -> int:
    """Print the table; 0 if the checker accepts every solution."""
    wish = _arguments()
    if not wish.days.is_dir() or not wish.checker.is_file():
        print(f"skipped: needs days in {wish.days} and the checker {wish.checker}")
        return 0
    began = time.perf_counter()
    with (
        days_in(wish.days) as folders,
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(wish.jobs) as pool,
    ):
        solutions = wish.solutions or Path(scratch)
        chosen = [one for one in folders if not wish.only or one.name.startswith(tuple(wish.only))]
        futures = [
            pool.submit(run, folder, policy, solutions, wish.checker)
            for folder in chosen
            for policy in wish.policy
        ]
        print(head(), flush=True)
        results = []
        for future in futures:
            results.append(future.result())
            print(row(f"{results[-1].day}, {results[-1].policy}", results[-1:]), flush=True)
    for policy in wish.policy:
        of_policy = [result for result in results if result.policy == policy]
        if of_policy:
            print(row(f"**all {len(of_policy)}, {policy}**", of_policy))
    wrong = [result for result in results if result.figures["errors"]]
    for result in wrong:
        print(f"refused: {result.day}, {result.policy}: {result.figures['first']}")
    print(f"{len(results)} solutions, {len(wrong)} refused; {time.perf_counter() - began:.0f} s")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path("../shared")
    days = Path(os.environ.get("PAOTUI_MDRP_DAYS", shared / "data/mdrp"))
    checker = Path(os.environ.get("PAOTUI_MDRP_CHECKER", shared / "tools/mdrp_check.py"))
    parser.add_argument("--days", type=Path, default=days, help="folder of days or archives")
    parser.add_argument("--checker", type=Path, default=checker)
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of days' names")
    parser.add_argument("--policy", nargs="*", choices=POLICIES, default=[*POLICIES])
    parser.add_argument("--solutions", type=Path, help="keep the solutions here")
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
