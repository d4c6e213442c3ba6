"""After-sale's rules: who answers when, what goes back, and until when."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.after_sale import (
    NEXT,
    UNDECIDED,
    State,
    choose,
    ensure_follows,
    first_state,
    needs_second_person,
)
from domain.allocation import amount, left_of, paid_fen, parts_of
from domain.channels import Ability
from domain.compensation import CUSTOMER_DAY_FEN, SITE_DAY_FEN, TIERS, for_lateness
from domain.contracts.after_sales import AskedLine
from domain.errors import ActionNotAllowed, Invalid
from domain.refund_rules import (
    REASONS,
    Bearer,
    ensure_channel_takes,
    ensure_in_window,
    reason_of,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PARTS = parts_of([(3, 1_000, 30), (1, 2_000, 100)], delivery_fee_fen=500)
QUALITY = REASONS["quality"]


def line(number: int, quantity: int) -> AskedLine:
    return AskedLine(line_no=number, quantity=quantity)


def test_every_state_leads_to_an_end_and_none_back() -> None:
    ends = {state for state in State if not NEXT[state]}
    assert ends == {State.REFUNDED, State.DECLINED}
    order = list(NEXT)
    for before, after in ((one, other) for one in order for other in NEXT[one]):
        assert before in UNDECIDED or after not in UNDECIDED
        ensure_follows(before, after)
    with pytest.raises(ActionNotAllowed):
        ensure_follows(State.REFUNDED, State.APPROVED)


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_only_merchants_money_is_the_merchants_to_give(reason: object) -> None:
    known = reason_of(getattr(reason, "code", ""))
    asked = first_state(known) is State.ASKED
    assert asked == (known.bearer is Bearer.MERCHANT)
    assert known.name
    assert known.window >= timedelta(days=1)


def test_units_take_goods_and_packing_and_the_fee_only_where_the_rule_says() -> None:
    taken = choose(PARTS, [line(1, 2)], delivery_fee=True, reason=QUALITY)
    assert paid_fen(taken) == 334 + 333 + 20 + 500
    with pytest.raises(ActionNotAllowed) as refused:
        choose(PARTS, [line(1, 2)], delivery_fee=True, reason=REASONS["missing_item"])
    assert refused.value.data == {"reason": "delivery_fee_kept"}


def test_more_than_what_is_left_is_refused_with_what_is_left() -> None:
    left = left_of(PARTS, choose(PARTS, [line(1, 2)], delivery_fee=False, reason=QUALITY))
    with pytest.raises(ActionNotAllowed) as refused:
        choose(left, [line(1, 2)], delivery_fee=False, reason=QUALITY)
    assert refused.value.data == {
        "reason": "nothing_left",
        "left_fen": 343 + 2_100 + 500 - 0,
        "left_lines": [{"line_no": 1, "quantity": 1}, {"line_no": 2, "quantity": 1}],
        "left_delivery_fee_fen": 500,
    }
    nothing = left_of(PARTS, amount(PARTS, paid_fen(PARTS)))
    with pytest.raises(ActionNotAllowed):
        choose(nothing, [line(2, 1)], delivery_fee=False, reason=QUALITY)


def test_what_makes_no_sense_is_invalid() -> None:
    for lines in ([], [line(1, 1), line(1, 1)], [line(3, 1)]):
        with pytest.raises(Invalid):
            choose(PARTS, lines, delivery_fee=False, reason=QUALITY)
    with pytest.raises(Invalid):
        reason_of("because")


def test_four_eyes_above_the_limit() -> None:
    assert not needs_second_person(100, limit_fen=100, agreed_by="", actor="a")
    assert needs_second_person(101, limit_fen=100, agreed_by="", actor="a")
    assert not needs_second_person(101, limit_fen=100, agreed_by="a", actor="b")
    with pytest.raises(ActionNotAllowed):
        needs_second_person(101, limit_fen=100, agreed_by="a", actor="a")


def test_a_reason_has_its_window_and_a_faster_site_a_shorter_one() -> None:
    at = NOW - timedelta(hours=24)
    ensure_in_window(QUALITY, delivered_at=at, now=NOW, speed=1)
    ensure_in_window(REASONS["food_safety"], delivered_at=at, now=NOW, speed=7)
    for delivered_at, speed in ((at, 1.01), (None, 1)):
        with pytest.raises(ActionNotAllowed):
            ensure_in_window(QUALITY, delivered_at=delivered_at, now=NOW, speed=speed)


@pytest.mark.parametrize(
    ("paid_days", "refunds", "refunded_seconds", "reason"),
    [
        (365, 49, 60, ""),
        (366, 0, None, "payment_too_old"),
        (1, 50, None, "too_many_refunds"),
        (1, 1, 59, "too_soon"),
        (None, 0, None, "not_paid"),
    ],
)
def test_a_channel_has_its_bounds(
    paid_days: int | None, refunds: int, refunded_seconds: int | None, reason: str
) -> None:
    def ask() -> None:
        ensure_channel_takes(
            Ability(methods=frozenset(), refund_gap=timedelta(minutes=1)),
            paid_at=None if paid_days is None else NOW - timedelta(days=paid_days),
            refunds=refunds,
            refunded_at=refunded_seconds and NOW - timedelta(seconds=refunded_seconds),
            now=NOW,
        )

    if not reason:
        ask()
        return
    with pytest.raises(ActionNotAllowed) as refused:
        ask()
    assert refused.value.data["reason"] == reason


def test_compensation_grows_with_lateness_and_stays_under_its_caps() -> None:
    def fen(seconds: float, goods_fen: int = 4_000) -> int:
        return for_lateness(seconds, delivery_fee_fen=500, goods_fen=goods_fen)

    assert [fen(seconds) for seconds in (0, 599, 600, 1_800, 3_600)] == [0, 0, 500, 1_200, 2_000]
    assert [fen(seconds, 100) for seconds in (600, 1_800, 3_600)] == [500, 500, 500]
    assert fen(3_600, 10**6) == max(tier.cap_fen for tier in TIERS) <= CUSTOMER_DAY_FEN
    assert CUSTOMER_DAY_FEN < SITE_DAY_FEN
