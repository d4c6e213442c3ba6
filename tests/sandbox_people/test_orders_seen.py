"""What a customer sees: events fold once each, gaps are noticed, looks catch up, ends are ends."""

from datetime import UTC, datetime

import pytest

from sandbox.people.customers import OrderSeen


def fresh() -> OrderSeen:
    return OrderSeen("key", "customer-1", datetime(2026, 1, 1, tzinfo=UTC))


def test_events_are_folded_once_and_in_order() -> None:
    seen = fresh()
    assert seen.status == "placing"
    assert seen.hear(1, {"status": "awaiting_payment", "payment": "unpaid"})
    assert seen.hear(2, {"payment": "paid"})
    assert seen.hear(1, {"status": "awaiting_payment", "payment": "unpaid"})
    assert (seen.seq, seen.view["payment"]) == (2, "paid")


def test_a_missing_event_is_noticed_and_a_look_catches_up() -> None:
    seen = fresh()
    assert seen.hear(1, {"status": "awaiting_payment"})
    assert not seen.hear(3, {"status": "preparing"})
    assert seen.status == "awaiting_payment"
    seen.look(3, {"status": "preparing", "kitchen": "preparing"})
    assert (seen.seq, seen.status) == (3, "preparing")
    seen.look(2, {"status": "awaiting_acceptance"})
    assert seen.status == "preparing"


@pytest.mark.parametrize(
    ("status", "payment", "over"),
    [
        ("delivered", "paid", True),
        ("completed", "paid", True),
        ("cancelled", "unpaid", True),
        ("cancelled", "refunded", True),
        ("cancelled", "refunding", False),
        ("cancelled", "paid", False),
        ("delivering", "paid", False),
    ],
)
def test_an_order_is_over_when_nobody_waits_for_food_or_money(
    status: str, payment: str, *, over: bool
) -> None:
    seen = fresh()
    seen.look(5, {"status": status, "payment": payment})
    assert seen.over is over


async def test_a_change_wakes_who_waits() -> None:
    seen = fresh()
    waiting = seen.changed
    seen.hear(1, {"status": "awaiting_payment"})
    assert waiting.is_set()
    assert not seen.changed.is_set()
