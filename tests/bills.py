"""Days of payments and refunds on which everything agrees, and ways to spoil one number each."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from domain import ids
from domain.channels import BillRow, FundRow
from domain.reconciliation import Day, Flaw, Key, Record, Verdict, key_of, span

DAY = date(2026, 11, 22)
FEE_BASIS_POINTS = 60
REFUNDED_SHARE = 0.3
EDGE_SHARE = 0.2
EDGE = timedelta(minutes=10)
"""How far a channel's clock and ours may lie apart, around midnight."""

Expected = tuple[Verdict, Flaw, str, str]


@dataclass
class Town:
    """What every side holds of one account's day."""

    rng: random.Random
    day: date = DAY
    bill: list[BillRow] = field(default_factory=list)
    earlier: list[BillRow] = field(default_factory=list)
    funds: list[FundRow] = field(default_factory=list)
    near_funds: list[FundRow] = field(default_factory=list)
    records: dict[Key, Record] = field(default_factory=dict)
    booked: dict[Key, list[int]] = field(default_factory=dict)
    plain: list[Key] = field(default_factory=list)
    """Numbers of the middle of the day, to be spoilt."""

    def known(self) -> Day:
        """As the comparison gets it."""
        return Day(
            day=self.day,
            bill=tuple(self.bill),
            earlier=tuple(self.earlier),
            funds=tuple(self.funds),
            near_funds=tuple(self.near_funds),
            records=tuple(self.records.values()),
            booked={key: tuple(fen) for key, fen in self.booked.items()},
        )

    def row(self, key: Key) -> BillRow:
        """The bill's row of a number."""
        return next(row for row in self.bill if key_of(row) == key)

    def put_row(self, key: Key, *rows: BillRow) -> None:
        """Put other rows, or none, in its place."""
        self.bill = [row for row in self.bill if key_of(row) != key] + list(rows)

    def put_funds(self, key: Key, change: Callable[[FundRow], FundRow | None]) -> None:
        """Change the funds of a number."""
        name = self.records[key].name
        changed = [change(row) if row.business_no == name else row for row in self.funds]
        self.funds = [row for row in changed if row is not None]


def town(seed: int, orders: int, *, prefix: str = "o", day: date = DAY) -> Town:
    """Orders paid at any time of the day, many of them around midnight; a third refunded."""
    made = Town(rng=random.Random(seed), day=day)  # noqa: S311 - dice of tests
    begin, end = span(day)
    for number in range(orders):
        order_id = ids.derive(prefix, str(seed), str(number))
        edge = made.rng.random() < EDGE_SHARE
        shift = made.rng.choice((begin, end)) if edge else begin + timedelta(hours=1)
        width = 2 * EDGE if edge else timedelta(hours=22)
        at = shift - (EDGE if edge else timedelta()) + width * made.rng.random()
        heard = at + (EDGE * made.rng.uniform(-0.9, 0.9) if edge else EDGE * made.rng.random())
        fen = made.rng.randint(100, 50_000)
        _trade(made, "payment", order_id, fen, at=at, heard=heard, plain=not edge)
        if made.rng.random() < REFUNDED_SHARE:
            back = made.rng.randint(1, fen)
            _trade(made, "refund", order_id, back, at=at, heard=heard, plain=not edge)
    return made


def _trade(
    made: Town, kind: str, order_id: str, fen: int, *, at: datetime, heard: datetime, plain: bool
) -> None:
    begin, end = span(made.day)
    refund = kind == "refund"
    trade_no, refund_no = ids.out_trade_no(order_id, 1), ids.out_refund_no(order_id, 1)
    key = kind, refund_no if refund else trade_no
    fee = (fen * FEE_BASIS_POINTS + 5_000) // 10_000 * (-1 if refund else 1)
    gross = -fen if refund else fen
    name = f"50{order_id}" if refund else f"42{order_id}"
    row = BillRow(
        out_trade_no=trade_no,
        transaction_id=f"42{order_id}",
        kind=kind,
        amount_fen=fen,
        fee_fen=fee,
        state="success",
        out_refund_no=refund_no if refund else "",
        at=at,
    )
    flows = [
        FundRow(flow_id=f"{name}g", business_no=name, kind="交易", amount_fen=gross, at=at),
        FundRow(flow_id=f"{name}f", business_no=name, kind="手续费", amount_fen=-fee, at=at),
    ]
    record = Record(
        kind=kind,
        number=key[1],
        name=name,
        order_id=order_id,
        state="success",
        amount_fen=fen,
        at=heard,
    )
    if at >= end:
        if heard < end:
            made.records[key] = record
        return
    if at < begin:
        made.earlier.append(row)
        made.near_funds += flows
    else:
        made.bill.append(row)
        made.funds += flows
    made.records[key] = record
    made.booked[key] = [gross]
    if plain:
        made.plain.append(key)


def _only_theirs(made: Town, key: Key) -> Expected:
    del made.records[key], made.booked[key]
    flaw = Flaw.MISSING_REFUND if key[0] == "refund" else Flaw.MISSING_PAYMENT
    made.put_row(key, replace(made.row(key), refund_id=_name(key)))
    return Verdict.ONLY_THEIRS, flaw, *key


def _name(key: Key) -> str:
    return ("50" if key[0] == "refund" else "42") + ids.order_of(key[1])


def _only_ours(made: Town, key: Key) -> Expected:
    made.put_row(key)
    if made.rng.random() < 0.5:
        made.put_funds(key, lambda _: None)
    flaw = Flaw.MISSING_REFUND if key[0] == "refund" else Flaw.MISSING_PAYMENT
    return Verdict.ONLY_OURS, flaw, *key


def _duplicate(made: Town, key: Key) -> Expected:
    made.bill.append(made.row(key))
    return Verdict.DIFFERS, Flaw.DUPLICATE_ROW, *key


def _state(made: Town, key: Key) -> Expected:
    state = "failed" if key[0] == "refund" else "unpaid"
    made.records[key] = replace(made.records[key], state=state)
    del made.booked[key]
    return Verdict.DIFFERS, Flaw.STATE, *key


def _amount(made: Town, key: Key) -> Expected:
    row = made.row(key)
    made.put_row(key, replace(row, amount_fen=row.amount_fen + 7))
    sign = -1 if key[0] == "refund" else 1
    made.put_funds(
        key,
        lambda flow: (
            replace(flow, amount_fen=flow.amount_fen + 7 * sign)
            if flow.flow_id.endswith("g")
            else flow
        ),
    )
    return Verdict.DIFFERS, Flaw.AMOUNT, *key


def _unbooked(made: Town, key: Key) -> Expected:
    del made.booked[key]
    return Verdict.DIFFERS, Flaw.UNBOOKED, *key


def _booked_twice(made: Town, key: Key) -> Expected:
    made.booked[key] *= 2
    return Verdict.DIFFERS, Flaw.BOOKED_TWICE, *key


def _booked_amount(made: Town, key: Key) -> Expected:
    made.booked[key] = [made.booked[key][0] * 2]
    return Verdict.DIFFERS, Flaw.BOOKED_AMOUNT, *key


def _fee(made: Town, key: Key) -> Expected:
    made.put_funds(
        key,
        lambda flow: (
            replace(flow, amount_fen=flow.amount_fen + 3) if flow.flow_id.endswith("f") else flow
        ),
    )
    return Verdict.DIFFERS, Flaw.FEE, *key


def _funds_missing(made: Town, key: Key) -> Expected:
    made.put_funds(key, lambda _: None)
    return Verdict.DIFFERS, Flaw.FUNDS_MISSING, *key


def _funds_extra(made: Town, key: Key) -> Expected:
    number = f"extra{key[1]}"
    made.funds += [
        FundRow(flow_id=number, business_no=number, kind="交易", amount_fen=9),
        FundRow(flow_id=f"{number}p", business_no=f"{number}p", kind="提现", amount_fen=-9),
    ]
    return Verdict.ONLY_THEIRS, Flaw.FUNDS_EXTRA, "funds", number


def _funds_amount(made: Town, key: Key) -> Expected:
    made.put_funds(key, lambda flow: replace(flow, amount_fen=flow.amount_fen * 2 + 1))
    return Verdict.DIFFERS, Flaw.FUNDS_AMOUNT, *key


PLANTS: dict[str, Callable[[Town, Key], Expected]] = {
    plant.__name__.strip("_"): plant
    for plant in (
        _only_theirs,
        _only_ours,
        _duplicate,
        _state,
        _amount,
        _unbooked,
        _booked_twice,
        _booked_amount,
        _fee,
        _funds_missing,
        _funds_extra,
        _funds_amount,
    )
}
"""Each spoils one number of a day and says what must be found of it."""


def plant(made: Town, names: list[str]) -> set[Expected]:
    """Spoil as many plain numbers as there are names, each its own way."""
    victims = made.rng.sample(made.plain, len(names))
    return {PLANTS[name](made, key) for name, key in zip(names, victims, strict=True)}
