"""Fen are split exactly, whatever the order of the splits."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.money import allocate, yuan

PARTS = st.lists(st.integers(0, 1_000_000), min_size=1, max_size=12)


@given(total_fen=st.integers(0, 10**9), weights=PARTS)
def test_shares_add_up_and_stay_within_one_fen_of_their_quota(
    total_fen: int, weights: list[int]
) -> None:
    assume(sum(weights) > 0)
    shares = allocate(total_fen, weights)
    assert sum(shares) == total_fen
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total_fen * weight) < sum(weights)


@given(parts=PARTS, cuts=st.lists(st.integers(1, 500_000), max_size=20))
def test_any_sequence_of_refunds_adds_up_to_the_parts(parts: list[int], cuts: list[int]) -> None:
    left = list(parts)
    refunded = [0] * len(parts)
    for cut in [*cuts, sum(parts)]:
        shares = allocate(min(cut, sum(left)), left)
        assert all(0 <= share <= rest for share, rest in zip(shares, left, strict=True))
        left = [rest - share for rest, share in zip(left, shares, strict=True)]
        refunded = [sum(pair) for pair in zip(refunded, shares, strict=True)]
    assert refunded == parts


def test_ties_go_to_the_first() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(0, [0, 0]) == [0, 0]


@pytest.mark.parametrize(("total_fen", "weights"), [(1, []), (1, [0, 0]), (-1, [1]), (1, [2, -1])])
def test_money_that_cannot_be_split_is_refused(total_fen: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        allocate(total_fen, weights)


@pytest.mark.parametrize(
    ("fen", "shown"), [(0, "0.00"), (5, "0.05"), (1234, "12.34"), (-5, "-0.05"), (-1200, "-12.00")]
)
def test_yuan_shows_two_places(fen: int, shown: str) -> None:
    assert yuan(fen) == shown
