"""A day that agrees has no differences; what is planted is found, and nothing beside it."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import BillRow, FundRow
from domain.reconciliation import (
    GRACE,
    Day,
    Flaw,
    Record,
    Verdict,
    compare,
    day_of,
    span,
)
from tests.bills import DAY, PLANTS, plant, town

ORDERS = 40
SEEDS = st.integers(0, 2**32)
BEGIN, END = span(DAY)
MINUTE = timedelta(minutes=1)


def found(day: Day) -> set[tuple[Verdict, Flaw, str, str]]:
    results = compare(day)
    flawed = [(one.verdict, one.flaw, one.kind, one.number) for one in results if one.flaw]
    assert len(flawed) == len(set(flawed))
    return set(flawed)


def payment(number: str, **more: object) -> BillRow:
    row = BillRow(
        out_trade_no=number,
        transaction_id=f"t{number}",
        kind="payment",
        amount_fen=100,
        fee_fen=1,
        state="success",
        at=BEGIN + timedelta(hours=12),
    )
    return replace(row, **more)  # type: ignore[arg-type]


def record(number: str, **more: object) -> Record:
    one = Record(
        kind="payment",
        number=number,
        name=f"t{number}",
        order_id="o",
        state="success",
        amount_fen=100,
        at=BEGIN + timedelta(hours=12),
    )
    return replace(one, **more)  # type: ignore[arg-type]


@given(seed=SEEDS, orders=st.integers(0, ORDERS))
def test_a_day_that_agrees_has_no_differences_not_even_around_midnight(
    seed: int, orders: int
) -> None:
    made = town(seed, orders)
    assert found(made.known()) == set()
    matches = {one.number for one in compare(made.known())}
    assert matches == {row.out_refund_no or row.out_trade_no for row in made.bill}


@pytest.mark.parametrize("name", PLANTS)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_one_planted_difference_is_exactly_what_is_found(name: str, seed: int) -> None:
    made = town(seed, ORDERS)
    expected = plant(made, [name])
    assert found(made.known()) == expected


@given(seed=SEEDS, names=st.lists(st.sampled_from(sorted(PLANTS)), max_size=12))
def test_any_mixture_is_found_whatever_the_order_of_rows(seed: int, names: list[str]) -> None:
    made = town(seed, ORDERS)
    expected = plant(made, names)
    known = made.known()
    assert found(known) == expected
    dice = random.Random(seed)  # noqa: S311 - dice of tests
    mixed = replace(
        known,
        bill=tuple(dice.sample(known.bill, len(known.bill))),
        earlier=tuple(dice.sample(known.earlier, len(known.earlier))),
        funds=tuple(dice.sample(known.funds or (), len(known.funds or ()))),
        records=tuple(dice.sample(known.records, len(known.records))),
    )
    assert compare(mixed) == compare(known)


def test_without_a_funds_bill_funds_are_not_judged() -> None:
    made = town(1, ORDERS)
    plant(made, ["funds_missing", "fee", "funds_extra"])
    assert found(replace(made.known(), funds=None, near_funds=())) == set()


def test_a_record_near_the_end_of_the_day_is_judged_with_the_next_day_and_once() -> None:
    late = record("a", at=END - MINUTE)
    assert found(Day(day=DAY, bill=(), records=(late,))) == set()
    tomorrow = Day(day=DAY + timedelta(days=1), bill=(), records=(late,))
    missing = {(Verdict.ONLY_OURS, Flaw.MISSING_PAYMENT, "payment", "a")}
    assert found(tomorrow) == missing
    there = payment("a", at=END + MINUTE)
    booked = {("payment", "a"): (100,)}
    assert found(replace(tomorrow, bill=(there,), booked=booked)) == set()
    assert found(replace(tomorrow, earlier=(payment("a", at=END - MINUTE),))) == set()
    early = record("a", at=END - GRACE - MINUTE)
    assert found(Day(day=DAY, bill=(), records=(early,))) == missing
    assert found(replace(tomorrow, records=(early,))) == set()


def test_on_the_first_day_the_bill_before_is_not_held_against_us() -> None:
    known = Day(day=DAY, bill=(), records=(record("a", at=BEGIN + MINUTE),))
    assert len(found(known)) == 1
    assert found(replace(known, first=True)) == set()


def test_funds_of_a_trade_just_before_midnight_may_move_just_after() -> None:
    row, tomorrow = payment("a", at=END - MINUTE), DAY + timedelta(days=1)
    ours = {"records": (record("a"),), "booked": {("payment", "a"): (100,)}}
    flow = FundRow(flow_id="f", business_no="ta", kind="交易", amount_fen=99, at=END + MINUTE)
    assert found(Day(day=DAY, bill=(row,), funds=(), **ours)) == set()
    assert found(Day(day=tomorrow, bill=(), earlier=(row,), funds=(flow,), **ours)) == set()
    assert found(Day(day=tomorrow, bill=(), earlier=(row,), funds=(), **ours)) == {
        (Verdict.DIFFERS, Flaw.FUNDS_MISSING, "payment", "a")
    }


def test_funds_of_a_slow_refund_are_looked_for_on_the_day_it_ended() -> None:
    row, later = payment("a", kind="refund", out_refund_no="r"), DAY + timedelta(days=3)
    ended = span(later)[0] + timedelta(hours=1)
    ours = {
        "records": (record("r", kind="refund", name="tr", at=ended),),
        "booked": {("refund", "r"): (-100,)},
    }
    flow = FundRow(flow_id="f", business_no="tr", kind="退款", amount_fen=-101, at=ended)
    assert found(Day(day=DAY, bill=(row,), funds=(), **ours)) == set()
    assert found(Day(day=later, bill=(), earlier=(row,), funds=(flow,), **ours)) == set()
    assert found(Day(day=later, bill=(), earlier=(row,), funds=(), **ours)) == {
        (Verdict.DIFFERS, Flaw.FUNDS_MISSING, "refund", "r")
    }


def test_a_share_that_left_under_the_payments_number_is_no_difference() -> None:
    at = BEGIN + 2 * GRACE
    flow = FundRow(flow_id="f", business_no="ta", kind="在线支付", amount_fen=99, at=at)
    shared = replace(flow, flow_id="g", kind="交易分账", amount_fen=-30)
    known = Day(
        day=DAY,
        bill=(payment("a"),),
        funds=(flow, shared),
        records=(record("a"),),
        booked={("payment", "a"): (100,)},
    )
    assert found(known) == set()


def test_a_refund_told_as_it_moves_on_is_no_duplicate_and_one_told_again_is() -> None:
    def refund(state: str) -> BillRow:
        return payment("a", kind="refund", out_refund_no="r", state=state)

    known = Day(
        day=DAY,
        bill=(refund("success"),),
        earlier=(refund("processing"),),
        records=(record("r", kind="refund"),),
        booked={("refund", "r"): (-100,)},
    )
    assert found(known) == set()
    again = replace(known, earlier=(refund("success"),))
    assert found(again) == {(Verdict.DIFFERS, Flaw.DUPLICATE_ROW, "refund", "r")}
    assert found(replace(known, earlier=(), later=(refund("success"),))) == set()


@pytest.mark.parametrize(
    ("theirs", "ours", "agree"),
    [
        ("success", "success", True),
        ("success", "processing", False),
        ("success", "failed", False),
        ("processing", "processing", True),
        ("processing", "success", True),
        ("processing", "failed", True),
        ("failed", "failed", True),
        ("failed", "success", False),
        ("failed", "processing", False),
    ],
)
def test_a_refunds_states(theirs: str, ours: str, agree: bool) -> None:  # noqa: FBT001
    known = Day(
        day=DAY,
        bill=(payment("a", kind="refund", out_refund_no="r", state=theirs),),
        records=(record("r", kind="refund", state=ours),),
        booked={("refund", "r"): (-100,)} if ours == "success" else {},
    )
    flaws = set() if agree else {(Verdict.DIFFERS, Flaw.STATE, "refund", "r")}
    assert found(known) == flaws


def test_a_fee_kept_from_the_amount_and_one_name_for_payment_and_refund_are_read() -> None:
    rows = (payment("a"), payment("a", kind="refund", out_refund_no="r", fee_fen=-1))
    flow = FundRow(flow_id="f", business_no="ta", kind="收入", amount_fen=99, at=BEGIN + 2 * GRACE)
    flows = (flow, replace(flow, flow_id="g", amount_fen=-99))
    known = Day(
        day=DAY,
        bill=rows,
        funds=flows,
        records=(record("a"), record("r", kind="refund", name="")),
        booked={("payment", "a"): (100,), ("refund", "r"): (-100,)},
    )
    assert found(known) == set()


def test_a_business_day_is_chinas() -> None:
    assert day_of(BEGIN) == day_of(END - MINUTE) == DAY
    assert BEGIN.hour == 16
