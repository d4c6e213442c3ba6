"""How evenly work is shared out."""

import pytest

from domain.earnings import Share, fairness, gini


def share(earned_fen: int, hours: float = 1) -> Share:
    return Share(rider_id="r", orders=1, earned_fen=earned_fen, shift_seconds=hours * 3_600)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [([5, 5, 5], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([0, 0], 0), ([7], 0)],
)
def test_gini(amounts: list[float], expected: float) -> None:
    assert gini(amounts) == pytest.approx(expected)


def test_it_is_about_hours_and_counts_who_got_nothing() -> None:
    even = fairness([share(2_000, hours=1), share(4_000, hours=2)])
    assert (even.gini, even.max_over_median) == (0, 1)
    uneven = fairness([share(0), share(1_000), share(3_000)])
    assert (uneven.gini, uneven.max_over_median) == (0.5, 3)
    nobody = fairness([])
    assert (nobody.gini, nobody.max_over_median) == (None, None)
