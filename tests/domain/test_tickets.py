"""Tickets' rules: nothing lies without a reminder, and only people decide what only people can."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import tickets
from domain.errors import ActionNotAllowed
from domain.tickets import OTHER, RULES, Outcome, Owner, Settles

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
MONEY = {
    "dispute",
    "difference",
    "late_payment",
    "payment_mismatch",
    "hold_lost",
    "split_failed",
    "suspense_old",
}


def next_reminder(now: datetime) -> datetime:
    return tickets.next_reminder(now, DUE, before_seconds=600, every_seconds=900)


def test_reminders_come_before_it_is_due_then_when_then_again() -> None:
    moments, now = list[datetime](), DUE - timedelta(hours=1)
    for _ in range(4):
        now = next_reminder(now)
        moments.append(now)
    assert [(at - DUE).total_seconds() for at in moments] == [-600, 0, 900, 1_800]


def test_a_ticket_found_late_is_not_reminded_of_in_a_burst() -> None:
    assert next_reminder(DUE - timedelta(seconds=1)) == DUE
    late = DUE + timedelta(days=3)
    assert next_reminder(late) == late + timedelta(seconds=900)


@pytest.mark.parametrize("kind", [*RULES, "never heard of"])
def test_every_kind_is_due_reminded_of_and_escalated(kind: str) -> None:
    rule = tickets.rule_of(kind)
    assert 0 < rule.remind_before_seconds < rule.due_seconds
    assert rule.remind_every_seconds > 0
    assert rule.escalate_seconds > 0
    assert rule.look_seconds > 0


def test_money_is_finances_and_ends_by_a_person_or_by_what_its_channel_did() -> None:
    channels = {"dispute": Settles.DISPUTE_DECIDED, "late_payment": Settles.REFUND_DONE}
    for kind in MONEY:
        settles = channels.get(kind, Settles.NEVER)
        assert (RULES[kind].owner, RULES[kind].settles) == (Owner.FINANCE, settles)
    assert RULES["customer"].settles is Settles.NEVER
    assert tickets.rule_of("never heard of") is OTHER


def test_a_complaint_is_the_leads_before_the_channels_day_is_over() -> None:
    rule = RULES["complaint"]
    assert rule.due_seconds + rule.escalate_seconds < tickets.DAY


def test_everybody_escalates_to_the_lead_who_has_nobody_above() -> None:
    assert {tickets.above(Owner.SUPPORT), tickets.above(Owner.FINANCE)} == {Owner.LEAD}
    with pytest.raises(ActionNotAllowed):
        tickets.above(Owner.LEAD)


def test_people_give_outcomes_of_their_own_and_won_or_lost_only_to_disputes() -> None:
    tickets.ensure_outcome("customer", Outcome.COMPENSATED)
    tickets.ensure_outcome("dispute", Outcome.LOST)
    for kind, outcome in (
        ("customer", Outcome.WON),
        ("dispute", Outcome.SETTLED_ITSELF),
        ("customer", "whatever"),
    ):
        with pytest.raises(ActionNotAllowed):
            tickets.ensure_outcome(kind, outcome)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPrest", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVErest", None),
        (b"<svg onload=", None),
        (b"", None),
    ],
)
def test_a_photo_is_known_by_its_first_bytes(content: bytes, media_type: str | None) -> None:
    assert tickets.photo_type(content) == media_type
