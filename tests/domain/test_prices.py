"""What an order costs: options, packing, the fee by distance, and what can't be sold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.allocation import Discount, DiscountBearer
from domain.errors import Invalid, SoldOut
from domain.prices import (
    MAX_LINES,
    MAX_QUANTITY,
    TIP_MAX_FEN,
    Choice,
    FeeRule,
    Item,
    Option,
    Wish,
    delivery_fee,
    price,
)

SIZE = Option(
    option_id="size",
    name="Size",
    required=True,
    choices=(
        Choice(choice_id="small", name="Small"),
        Choice(choice_id="large", name="Large", add_fen=400),
    ),
)
EXTRA = Option(
    option_id="extra",
    name="Extra",
    required=False,
    choices=(
        Choice(choice_id="egg", name="Egg", add_fen=200),
        Choice(choice_id="no_meat", name="No meat", add_fen=-300),
    ),
)
MENU = {
    item.item_id: item
    for item in (
        Item(
            item_id="noodles",
            name="Noodles",
            price_fen=1_800,
            packing_fen=100,
            options=(SIZE, EXTRA),
        ),
        Item(item_id="tea", name="Tea", price_fen=600, stock=5),
        Item(item_id="soup", name="Soup", price_fen=900, available=False),
    )
}


def wish(item_id: str, quantity: int = 1, **choices: str) -> Wish:
    return Wish(item_id=item_id, quantity=quantity, choices=choices)


def test_a_basket_is_goods_with_their_choices_packing_and_the_fee() -> None:
    priced = price(MENU, [wish("noodles", 2, size="large", extra="egg"), wish("tea")], 500)

    noodles, tea = priced.lines
    assert (noodles.unit_fen, noodles.packing_fen, noodles.total_fen) == (2_400, 200, 4_800)
    assert (tea.unit_fen, tea.packing_fen, tea.total_fen) == (600, 0, 600)
    assert noodles.choices == {"size": "large", "extra": "egg"}
    assert (priced.goods_fen, priced.packing_fen, priced.delivery_fee_fen) == (5_400, 200, 500)
    assert priced.total_fen == 6_100


def test_a_tip_is_added_and_bounded() -> None:
    plain, tipped = (price(MENU, [wish("tea")], 500, tip_fen=fen) for fen in (0, 300))
    assert (tipped.tip_fen, tipped.total_fen - plain.total_fen) == (300, 300)
    assert tipped.lines == plain.lines
    for fen in (-1, TIP_MAX_FEN + 1):
        with pytest.raises(Invalid):
            price(MENU, [wish("tea")], 500, tip_fen=fen)


def test_an_optional_choice_may_be_left_out_and_may_take_something_off() -> None:
    assert price(MENU, [wish("noodles", size="small")], 0).goods_fen == 1_800
    assert price(MENU, [wish("noodles", size="small", extra="no_meat")], 0).goods_fen == 1_500


@pytest.mark.parametrize(
    ("meters", "fee_fen"),
    [(0, 300), (1_000, 300), (1_001, 400), (2_000, 400), (2_001, 500), (5_500, 800)],
)
def test_the_fee_grows_by_started_kilometres(meters: int, fee_fen: int) -> None:
    assert delivery_fee(FeeRule(), meters) == fee_fen


@given(near=st.integers(0, 50_000), further=st.integers(0, 50_000), step=st.integers(0, 1_000))
def test_further_is_never_cheaper(near: int, further: int, step: int) -> None:
    rule = FeeRule(base_fen=250, base_meters=800, per_km_fen=step)
    assert rule.base_fen <= delivery_fee(rule, near) <= delivery_fee(rule, near + further)


@pytest.mark.parametrize(
    ("wished", "says"),
    [
        (wish("pizza"), {"item_id": "pizza"}),
        (wish("tea", 0), {"item_id": "tea"}),
        (wish("tea", -1), {"item_id": "tea"}),
        (wish("tea", MAX_QUANTITY + 1), {"item_id": "tea"}),
        (wish("noodles"), {"item_id": "noodles", "option_id": "size"}),
        (wish("noodles", size="huge"), {"item_id": "noodles", "choice_id": "huge"}),
        (wish("tea", size="large"), {"item_id": "tea", "option_id": "size"}),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wished: Wish, says: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        price(MENU, [wished], 0)
    assert refused.value.data == says


@pytest.mark.parametrize("lines", [0, MAX_LINES + 1])
def test_a_basket_has_a_bound(lines: int) -> None:
    with pytest.raises(Invalid) as refused:
        price(MENU, [wish("tea")] * lines, 0)
    assert refused.value.data == {"lines": lines}


@pytest.mark.parametrize(
    ("wishes", "left"),
    [([wish("soup")], 0), ([wish("tea", 6)], 5), ([wish("tea", 3), wish("tea", 3)], 5)],
)
def test_what_is_sold_out_says_how_much_is_left(wishes: list[Wish], left: int) -> None:
    with pytest.raises(SoldOut) as refused:
        price(MENU, wishes, 0)
    assert refused.value.data["left"] == left


def test_the_last_one_is_sold() -> None:
    assert price(MENU, [wish("tea", 3), wish("tea", 2)], 0).goods_fen == 3_000


def test_choices_never_make_an_item_cost_less_than_nothing() -> None:
    cheap = Item(item_id="bread", name="Bread", price_fen=200, options=(EXTRA,))
    with pytest.raises(Invalid):
        price({"bread": cheap}, [wish("bread", extra="no_meat")], 0)


amounts = st.integers(0, 100_000)
options = st.builds(
    Option,
    option_id=st.sampled_from("ab"),
    name=st.just("Option"),
    required=st.booleans(),
    choices=st.builds(
        lambda *added: tuple(
            Choice(choice_id=str(at), name="Choice", add_fen=fen) for at, fen in enumerate(added)
        ),
        st.integers(-2_000, 2_000),
        st.integers(-2_000, 2_000),
    ),
)
items = st.builds(
    Item,
    item_id=st.sampled_from("123"),
    name=st.just("Item"),
    price_fen=amounts,
    packing_fen=amounts,
    available=st.sampled_from([True, True, True, False]),
    stock=st.none() | st.integers(0, 40),
    options=st.lists(options, max_size=2, unique_by=lambda one: one.option_id).map(tuple),
)
menus = st.lists(items, min_size=1, max_size=3, unique_by=lambda one: one.item_id)


@st.composite
def wishes_of(draw: st.DrawFn, menu: list[Item]) -> Wish:
    """A line that mostly makes sense: right choices, but perhaps a required one is missing."""
    item = draw(st.sampled_from(menu))
    chosen = {
        option.option_id: draw(st.sampled_from([*option.choices, option.choices[0], None]))
        for option in item.options
    }
    return Wish(
        item_id=item.item_id,
        quantity=draw(st.integers(1, 12)),
        choices={name: choice.choice_id for name, choice in chosen.items() if choice},
    )


@given(
    prices=st.lists(st.tuples(amounts, amounts, st.integers(1, 9)), min_size=1, max_size=4),
    fees=st.tuples(amounts, amounts),
    share=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_discounts_lower_the_total_and_every_line_says_its_share(
    prices: list[tuple[int, int, int]], fees: tuple[int, int], share: tuple[int, int]
) -> None:
    menu = {
        str(number): Item(item_id=str(number), name="x", price_fen=one[0], packing_fen=one[1])
        for number, one in enumerate(prices)
    }
    wishes = [Wish(item_id=str(number), quantity=one[2]) for number, one in enumerate(prices)]
    full = price(menu, wishes, fees[0]).total_fen
    first = full * share[0] // 100
    off = (first, (full - first) * share[1] // 100)
    discounts = [
        Discount(code=bearer, name="off", bearer=bearer, amount_fen=fen)
        for bearer, fen in zip(DiscountBearer, off, strict=True)
    ]
    priced = price(menu, wishes, fees[0], discounts=discounts, channel_fee_fen=fees[1])
    assert priced.total_fen == full + fees[1] - sum(off)
    assert all(
        line.total_fen + line.packing_fen == line.discount_fen + line.paid_fen
        and min(line.discount_fen, line.paid_fen) >= 0
        for line in priced.lines
    )
    delivery_off = sum(off) - sum(line.discount_fen for line in priced.lines)
    assert 0 <= delivery_off <= fees[0]


@given(data=st.data(), menu=menus, fee_fen=amounts)
def test_a_price_adds_up_is_never_negative_and_within_stock_or_it_is_refused(
    data: st.DataObject, menu: list[Item], fee_fen: int
) -> None:
    wishes = data.draw(st.lists(wishes_of(menu), min_size=1, max_size=4))
    try:
        priced = price({item.item_id: item for item in menu}, wishes, fee_fen)
    except (Invalid, SoldOut):
        return
    assert priced.total_fen == priced.goods_fen + priced.packing_fen + priced.delivery_fee_fen
    assert priced.delivery_fee_fen == fee_fen
    assert priced.goods_fen == sum(line.unit_fen * line.quantity for line in priced.lines)
    assert min(priced.goods_fen, priced.packing_fen, *(one.unit_fen for one in priced.lines)) >= 0
    for item in menu:
        sold = sum(line.quantity for line in priced.lines if line.item_id == item.item_id)
        assert sold == 0 or (item.available and (item.stock is None or sold <= item.stock))
