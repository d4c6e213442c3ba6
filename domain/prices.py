"""What an order costs: lines with options, packing, delivery by distance, discounts; all fen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain import allocation
from domain.allocation import Discount, Part
from domain.errors import Invalid, SoldOut

FEES_VERSION = "1"
"""Of how fees are made up, as quotes name it; raised with every change."""
MAX_LINES = 50
MAX_QUANTITY = 99
TIP_MAX_FEN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice of an option group, e.g. «large», with what it adds."""

    choice_id: str
    name: str
    add_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A group of choices; exactly one must be made where it is required."""

    option_id: str
    name: str
    required: bool
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a menu offers. `stock` None: as many as one likes."""

    item_id: str
    name: str
    price_fen: int
    packing_fen: int = 0
    available: bool = True
    stock: int | None = None
    options: tuple[Option, ...] = ()
    load: int = 0
    """Room it takes in a rider's box."""
    needs: tuple[str, ...] = ()
    """What its rider must have: a vehicle, a kind of box, a licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A line as the customer asks for it: ids and a count, never prices."""

    item_id: str
    quantity: int
    choices: Mapping[str, str] = field(default_factory=dict)
    """option_id → choice_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A priced line."""

    item_id: str
    name: str
    quantity: int
    choices: dict[str, str]
    unit_fen: int
    packing_fen: int
    total_fen: int
    """Goods only: unit × quantity; packing is apart."""
    discount_fen: int
    """The line's share of all discounts."""
    paid_fen: int
    """Goods and packing less the discount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeRule:
    """A site's delivery fee: a base up to a distance, then a step per started kilometre."""

    base_fen: int = 300
    base_meters: int = 1_000
    per_km_fen: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the customer pays, and for what."""

    lines: tuple[Line, ...]
    goods_fen: int
    packing_fen: int
    delivery_fee_fen: int
    tip_fen: int
    """For the rider who delivers, all of it."""
    discounts: tuple[Discount, ...]
    channel_fee_fen: int
    """The payment channel's fee, where the customer bears it."""
    total_fen: int


def delivery_fee(rule: FeeRule, meters: int) -> int:
    """The fee for a distance, fen."""
    beyond = max(0, meters - rule.base_meters)
    return rule.base_fen + -(-beyond // 1_000) * rule.per_km_fen


def price(
    menu: Mapping[str, Item],
    wishes: Sequence[Wish],
    fee_fen: int,
    *,
    discounts: Sequence[Discount] = (),
    channel_fee_fen: int = 0,
    tip_fen: int = 0,
) -> Price:
    """Price a basket against the menu as it is now; what can't be sold is refused by name.

    The total is the sum of goods, packing, delivery, tip and channel fee less the discounts, which
    the caller's rules have kept within the price (ValueError otherwise).
    """
    if not 0 <= tip_fen <= TIP_MAX_FEN:
        raise Invalid(f"a tip is at most {TIP_MAX_FEN} fen", most_fen=TIP_MAX_FEN)
    if not 0 < len(wishes) <= MAX_LINES:
        raise Invalid(f"an order has 1 to {MAX_LINES} lines", lines=len(wishes))
    full = tuple(_line(menu, wish) for wish in wishes)
    _ensure_stock(menu, full)
    parts = allocation.parts_of(
        [(line.quantity, line.total_fen, line.packing_fen) for line in full],
        delivery_fee_fen=fee_fen,
        discounts=discounts,
        channel_fee_fen=channel_fee_fen,
        tip_fen=tip_fen,
    )
    by_key = {part.key: part for part in parts}
    return Price(
        lines=tuple(_discounted(line, number, by_key) for number, line in enumerate(full, 1)),
        goods_fen=sum(line.total_fen for line in full),
        packing_fen=sum(line.packing_fen for line in full),
        delivery_fee_fen=fee_fen,
        tip_fen=tip_fen,
        discounts=tuple(discounts),
        channel_fee_fen=channel_fee_fen,
        total_fen=allocation.paid_fen(parts),
    )


def _discounted(line: Line, number: int, parts: Mapping[str, Part]) -> Line:
    both = (parts[allocation.goods(number)], parts[allocation.packing(number)])
    return replace(
        line,
        discount_fen=sum(part.discount_fen for part in both),
        paid_fen=allocation.paid_fen(both),
    )


def _line(menu: Mapping[str, Item], wish: Wish) -> Line:
    item = menu.get(wish.item_id)
    if item is None:
        raise Invalid("there is no such item on the menu", item_id=wish.item_id)
    if not 0 < wish.quantity <= MAX_QUANTITY:
        raise Invalid(f"a quantity is 1 to {MAX_QUANTITY}", item_id=item.item_id)
    if not item.available:
        raise SoldOut(f"{item.name} is sold out", item_id=item.item_id, left=0)
    added = _choices_fen(item, wish)
    unit = item.price_fen + added
    if unit < 0:
        raise Invalid("these choices take off more than the item costs", item_id=item.item_id)
    return Line(
        item_id=item.item_id,
        name=item.name,
        quantity=wish.quantity,
        choices=dict(wish.choices),
        unit_fen=unit,
        packing_fen=item.packing_fen * wish.quantity,
        total_fen=unit * wish.quantity,
        discount_fen=0,
        paid_fen=(unit + item.packing_fen) * wish.quantity,
    )


def _choices_fen(item: Item, wish: Wish) -> int:
    groups = {option.option_id: option for option in item.options}
    unknown = set(wish.choices) - set(groups)
    if unknown:
        raise Invalid("no such option", item_id=item.item_id, option_id=min(unknown))
    added = 0
    for option in item.options:
        chosen = wish.choices.get(option.option_id)
        if chosen is None:
            if option.required:
                raise Invalid(
                    f"choose one of {option.name}",
                    item_id=item.item_id,
                    option_id=option.option_id,
                )
            continue
        fens = {choice.choice_id: choice.add_fen for choice in option.choices}
        if chosen not in fens:
            raise Invalid("no such choice", item_id=item.item_id, choice_id=chosen)
        added += fens[chosen]
    return added


def _ensure_stock(menu: Mapping[str, Item], lines: Sequence[Line]) -> None:
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.item_id] = wanted.get(line.item_id, 0) + line.quantity
    for item_id, quantity in wanted.items():
        stock = menu[item_id].stock
        if stock is not None and stock < quantity:
            raise SoldOut(f"{menu[item_id].name} is sold out", item_id=item_id, left=stock)
