"""One published day, lived by the planner and the plain rules, before the strict checker."""

import os
from pathlib import Path

import pytest

from benchmarks.mdrp import run
from benchmarks.mdrp_days import days_in
from benchmarks.mdrp_policies import POLICIES

SHARED = Path("../shared")
DAYS = Path(os.environ.get("PAOTUI_MDRP_DAYS", SHARED / "data/mdrp"))
CHECKER = Path(os.environ.get("PAOTUI_MDRP_CHECKER", SHARED / "tools/mdrp_check.py"))


# The checker is somebody else's and leaves its files to the collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.skipif(
    not (DAYS.is_dir() and CHECKER.is_file()), reason="the published days are not here"
)
def test_a_published_day_is_accepted_and_the_planner_is_best(tmp_path: Path) -> None:
    with days_in(DAYS) as folders:
        day = min(folders, key=lambda one: (one / "orders.txt").stat().st_size)
        results = {name: run(day, name, tmp_path, CHECKER).figures for name in POLICIES}
    assert [one["errors"] for one in results.values()] == [0, 0, 0]
    planner = results.pop("planner")
    for other in results.values():
        assert planner["undelivered_pct"] <= other["undelivered_pct"]
        assert planner["ctd"] < other["ctd"]
