"""Divided by contract: the parts add up to what is held, whatever went back before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain.settlement import Contract, Deliverer, Sale, divide, to_split, waived

FEN = st.integers(0, 100_000)
BP = st.integers(0, 10_000)
TEN_PERCENT = Contract(commission_bp=1_000)
SALE = Sale(goods_fen=1_800, packing_fen=100, delivery_fee_fen=400, held_fen=2_300)


@given(
    contract=st.builds(Contract, commission_bp=BP, delivered_by=st.sampled_from(Deliverer)),
    sale=st.builds(
        Sale,
        goods_fen=FEN,
        packing_fen=FEN,
        delivery_fee_fen=FEN,
        channel_fee_fen=FEN,
        merchant_discount_fen=FEN,
        borne_fen=FEN,
        held_fen=FEN,
    ),
)
def test_the_parts_add_up_to_what_is_held(contract: Contract, sale: Sale) -> None:
    shares = divide(contract, sale)
    parts = (shares.merchant_fen, shares.commission_fen, shares.delivery_fen)
    assert sum(parts) == sale.held_fen
    assert min(*parts, shares.subsidy_fen) >= 0
    assert not (shares.subsidy_fen and shares.platform_fen)


@pytest.mark.parametrize(
    ("contract", "sale", "parts"),
    [
        (Contract(), SALE, (1_900, 0, 400, 0)),
        (TEN_PERCENT, SALE, (1_710, 190, 400, 0)),
        (replace(TEN_PERCENT, delivered_by=Deliverer.MERCHANT), SALE, (2_110, 190, 0, 0)),
        # The merchant's own discount of 300 is theirs, on delivery too.
        (
            TEN_PERCENT,
            replace(SALE, merchant_discount_fen=300, held_fen=2_000),
            (1_440, 160, 400, 0),
        ),
        # The platform's of 300 takes from its delivery, of 800 from all it has and more.
        (TEN_PERCENT, replace(SALE, held_fen=2_000), (1_710, 190, 100, 0)),
        (TEN_PERCENT, replace(SALE, held_fen=1_500), (1_500, 0, 0, 210)),
        # A refund of 600 that the merchant bears, and one that the platform bears.
        (TEN_PERCENT, replace(SALE, borne_fen=600, held_fen=1_700), (1_170, 130, 400, 0)),
        (TEN_PERCENT, replace(SALE, held_fen=1_700), (1_700, 0, 0, 10)),
        # The channel takes its fee from the payee, whom the customer's part of it reaches.
        (TEN_PERCENT, replace(SALE, channel_fee_fen=20, held_fen=2_320), (1_730, 190, 400, 0)),
    ],
)
def test_who_gets_what(contract: Contract, sale: Sale, parts: tuple[int, int, int, int]) -> None:
    """The merchant, commission, delivery, and what the platform adds."""
    shares = divide(contract, sale)
    said = (shares.merchant_fen, shares.commission_fen, shares.delivery_fen, shares.subsidy_fen)
    assert said == parts


@pytest.mark.parametrize(
    ("left_fen", "merchant_fen", "share_fen"),
    [(2_300, 1_710, 590), (2_300, 1_500, 690), (1_300, 1_710, 0), (2_000, 1_710, 290)],
)
def test_the_split_leaves_the_merchants_part_and_keeps_to_the_cap(
    left_fen: int, merchant_fen: int, share_fen: int
) -> None:
    there = {"paid_fen": 2_300, "left_fen": left_fen, "merchant_fen": merchant_fen}
    assert to_split(2_300 - merchant_fen, **there, cap_bp=3_000) == share_fen


@given(commission=FEN, base=st.integers(1, 100_000), parts=st.lists(st.integers(1, 9_999)))
def test_waived_commission_grows_up_to_all_of_it(
    commission: int, base: int, parts: list[int]
) -> None:
    seen = [waived(commission, base_fen=base, borne_fen=sum(parts[:n])) for n in range(len(parts))]
    assert seen == sorted(seen)
    assert waived(commission, base_fen=base, borne_fen=base) == commission


def test_a_rider_earns_their_part_of_the_fee_where_the_platform_delivers() -> None:
    assert Contract().rider_fee(400) == 400
    assert Contract(rider_fee_bp=8_500).rider_fee(401) == 340
    assert Contract(delivered_by=Deliverer.MERCHANT).rider_fee(400) == 0


def test_numbers_fit_the_channels_and_name_their_order() -> None:
    order = ids.order_id("site", "ann", "key")
    for number in (ids.out_order_no(order, 12), ids.out_return_no(order, 12)):
        assert len(number) <= 32
        assert ids.order_of(number) == order
