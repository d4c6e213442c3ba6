"""Discounts and refunds are exact: whatever is given back in whatever order, it ends at zero."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.allocation import (
    Discount,
    DiscountBearer,
    Part,
    amount,
    goods,
    left_of,
    packing,
    paid_fen,
    parts_of,
    units,
)

LINES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 20_000), st.integers(0, 500)),
    min_size=1,
    max_size=6,
)


@st.composite
def orders(draw: st.DrawFn) -> tuple[tuple[Part, ...], list[Discount], int]:
    """Parts of a random order, its discounts, and its full price."""
    lines, delivery, fee = draw(LINES), draw(st.integers(0, 2_000)), draw(st.integers(0, 99))
    full = sum(line[1] + line[2] for line in lines) + delivery
    discounts: list[Discount] = []
    for bearer in draw(st.lists(st.sampled_from(DiscountBearer), max_size=3)):
        rest = full - sum(one.amount_fen for one in discounts)
        off = draw(st.integers(0, rest))
        discounts.append(Discount(code="c", name="n", bearer=bearer, amount_fen=off))
    tip = draw(st.integers(0, 500))
    parts = parts_of(
        lines,
        delivery_fee_fen=delivery,
        discounts=discounts,
        channel_fee_fen=fee,
        tip_fen=tip,
    )
    return parts, discounts, full + fee + tip


def totals(parts: Sequence[Part]) -> tuple[int, int, int]:
    return (
        paid_fen(parts),
        sum(part.platform_fen for part in parts),
        sum(part.merchant_fen for part in parts),
    )


@given(order=orders())
def test_parts_add_up_to_the_price_and_shares_to_their_bearers(
    order: tuple[tuple[Part, ...], list[Discount], int],
) -> None:
    parts, discounts, full = order
    by = {
        bearer: sum(one.amount_fen for one in discounts if one.bearer is bearer)
        for bearer in DiscountBearer
    }
    platform, merchant = by[DiscountBearer.PLATFORM], by[DiscountBearer.MERCHANT]
    assert totals(parts) == (full - platform - merchant, platform, merchant)
    assert all(min(totals([part])) >= 0 for part in parts)


@given(order=orders(), data=st.data())
def test_any_sequence_of_refunds_adds_up_and_none_exceeds_what_is_left(
    order: tuple[tuple[Part, ...], list[Discount], int], data: st.DataObject
) -> None:
    parts, _, _ = order
    taken: list[Part] = []
    for _ in range(data.draw(st.integers(0, 8))):
        left = left_of(parts, taken)
        if data.draw(st.booleans()):
            taken += amount(left, data.draw(st.integers(0, paid_fen(left))))
        elif some := [part for part in left if part.quantity]:
            part = data.draw(st.sampled_from(some))
            taken.append(units(part, data.draw(st.integers(1, part.quantity))))
        left = left_of(parts, taken)
        assert all(min(totals([part])) >= 0 and part.quantity >= 0 for part in left)
        assert totals(taken)[0] + paid_fen(left) == paid_fen(parts)
    taken += [units(part, part.quantity) for part in left_of(parts, taken) if part.quantity]
    assert totals(left_of(parts, taken)) == (0, 0, 0)
    assert totals(taken) == totals(parts)


@given(order=orders(), cuts=st.lists(st.integers(0, 3_000), max_size=8))
def test_amounts_alone_add_up_for_the_bearers_too(
    order: tuple[tuple[Part, ...], list[Discount], int], cuts: list[int]
) -> None:
    parts, _, _ = order
    taken: list[Part] = []
    for cut in [*cuts, paid_fen(parts)]:
        left = left_of(parts, taken)
        taken += amount(left, min(cut, paid_fen(left)))
    assert totals(taken) == totals(parts)


def test_odd_fen_go_with_the_first_units_and_with_the_largest_remainders() -> None:
    off = Discount(code="c", name="n", bearer=DiscountBearer.MERCHANT, amount_fen=100)
    parts = parts_of([(3, 1_000, 0), (1, 500, 1)], delivery_fee_fen=500, discounts=[off])
    by_key = {part.key: part for part in parts}
    assert [part.merchant_fen for part in parts] == [50, 0, 25, 0, 25, 0, 0]
    first = units(by_key[goods(1)], 1)
    assert (first.paid_fen, first.merchant_fen) == (317, 17)
    rest = units(by_key[goods(1)].less(first), 2)
    assert (rest.paid_fen, rest.merchant_fen) == (633, 33)
    assert units(by_key[packing(2)], 1).paid_fen == 1


def test_what_does_not_fit_is_refused() -> None:
    parts = parts_of([(2, 100, 0)], delivery_fee_fen=0)
    with pytest.raises(ValueError, match="left"):
        units(parts[0], 3)
    with pytest.raises(ValueError, match="left"):
        amount(parts, 101)
    off = Discount(code="c", name="n", bearer=DiscountBearer.PLATFORM, amount_fen=101)
    with pytest.raises(ValueError, match="discount"):
        parts_of([(2, 100, 0)], delivery_fee_fen=0, discounts=[off])
