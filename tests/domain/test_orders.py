"""The order's state machine: what each status allows, and that nothing goes back (law 7)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.errors import ActionNotAllowed, Kind
from domain.orders import (
    ACCEPTED,
    ALLOWED,
    BEFORE_PICKUP,
    CARRYING,
    COOKING,
    FINAL,
    MERCHANT_FAULT,
    MONEY_INTERVENTIONS,
    OPEN,
    STATUS_ORDER,
    Action,
    CloseReason,
    Delivery,
    Intervention,
    Status,
    ensure_allowed,
    may_follow,
    needs_merchant_consent,
)

STATUSES = st.sampled_from(Status)
PUBLIC_ORDER = (
    "awaiting_payment",
    "under_review",
    "awaiting_acceptance",
    "preparing",
    "awaiting_pickup",
    "delivering",
    "delivered",
    "completed",
    "cancelled",
)


def test_the_statuses_are_those_that_clients_rely_on_in_their_order() -> None:
    assert STATUS_ORDER == PUBLIC_ORDER


BECOMES = {
    Action.ACCEPT: Status.PREPARING,
    Action.REJECT: Status.CANCELLED,
    Action.READY: Status.AWAITING_PICKUP,
    Action.PICKUP: Status.DELIVERING,
    Action.DELIVER: Status.DELIVERED,
}
"""Where a tap that is always granted leads."""


@given(walk=st.lists(STATUSES, min_size=1, max_size=30))
def test_a_status_only_moves_down_the_list(walk: list[Status]) -> None:
    now = walk[0]
    seen = [now]
    for wanted in walk[1:]:
        if may_follow(now, wanted):
            now = wanted
            seen.append(now)
    ranks = [STATUS_ORDER.index(one) for one in seen]
    assert ranks == sorted(set(ranks))
    assert all(one in OPEN for one in seen[:-1])


@given(before=STATUSES, after=STATUSES)
def test_nothing_follows_itself_and_no_move_can_be_undone(before: Status, after: Status) -> None:
    assert not may_follow(before, before)
    assert not (may_follow(before, after) and may_follow(after, before))


@pytest.mark.parametrize("end", sorted(FINAL))
def test_an_end_is_an_end(end: Status) -> None:
    assert not any(may_follow(end, after) for after in Status)
    assert not any(end in statuses for statuses in ALLOWED.values())


@pytest.mark.parametrize("status", sorted(OPEN))
def test_whatever_is_open_can_be_cancelled_and_completed(status: Status) -> None:
    assert may_follow(status, Status.CANCELLED)
    assert may_follow(status, Status.COMPLETED)


@given(action=st.sampled_from(Action), status=STATUSES)
def test_an_action_is_allowed_where_the_table_says_and_nowhere_else(
    action: Action, status: Status
) -> None:
    if status in ALLOWED[action]:
        ensure_allowed(action, status)
        return
    with pytest.raises(ActionNotAllowed) as refused:
        ensure_allowed(action, status)
    assert refused.value.kind is Kind.CONFLICT
    assert refused.value.data == {"status": status.value}


@pytest.mark.parametrize("action", BECOMES)
def test_an_allowed_tap_leads_forward(action: Action) -> None:
    assert all(may_follow(status, BECOMES[action]) for status in ALLOWED[action])


def test_every_action_is_allowed_somewhere() -> None:
    assert set(ALLOWED) == set(Action)
    assert all(ALLOWED.values())


@given(status=STATUSES)
def test_a_cancel_is_free_before_acceptance_asked_while_cooking_and_refused_later(
    status: Status,
) -> None:
    free = {Status.AWAITING_PAYMENT, Status.AWAITING_ACCEPTANCE}
    assert (status in ALLOWED[Action.CANCEL]) == (status in free | COOKING)
    assert needs_merchant_consent(status) == (status in ALLOWED[Action.DECIDE_CANCEL])


def test_groups_of_states_are_what_their_names_say() -> None:
    assert frozenset(Status) == OPEN | FINAL
    assert not OPEN & FINAL
    assert {Status.DELIVERING} == ACCEPTED - COOKING
    assert not BEFORE_PICKUP & CARRYING
    left = frozenset(Delivery) - BEFORE_PICKUP - CARRYING
    assert left == {Delivery.NONE, Delivery.DELIVERED, Delivery.FAILED}
    assert frozenset(CloseReason) > MERCHANT_FAULT
    assert frozenset(Intervention) > MONEY_INTERVENTIONS


class Life(RuleBasedStateMachine):
    """One order under commands in any sequence: who taps when it is not allowed changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.history = [Status.AWAITING_PAYMENT]
        self.cancel_asked = False

    @property
    def status(self) -> Status:
        return self.history[-1]

    def tap(self, action: Action, becomes: Status | None) -> bool:
        try:
            ensure_allowed(action, self.status)
        except ActionNotAllowed:
            return False
        if becomes is not None:
            self.move(becomes)
        return True

    def move(self, becomes: Status) -> None:
        assert may_follow(self.status, becomes), f"{self.status} became {becomes}"
        self.history.append(becomes)

    @precondition(lambda self: self.status is Status.AWAITING_PAYMENT)
    @rule()
    def money_comes(self) -> None:
        self.move(Status.AWAITING_ACCEPTANCE)

    @rule(action=st.sampled_from([Action.OPEN_PAYMENT, *BECOMES]))
    def somebody_taps(self, action: Action) -> None:
        if self.tap(action, BECOMES.get(action)) and action is Action.PICKUP:
            self.cancel_asked = False

    @rule()
    def customer_cancels(self) -> None:
        if needs_merchant_consent(self.status):
            self.cancel_asked = self.tap(Action.CANCEL, None)
        else:
            self.tap(Action.CANCEL, Status.CANCELLED)

    @precondition(lambda self: self.cancel_asked)
    @rule(agree=st.booleans())
    def merchant_answers(self, *, agree: bool) -> None:
        assert self.tap(Action.DECIDE_CANCEL, Status.CANCELLED if agree else None)
        self.cancel_asked = False

    @precondition(lambda self: self.status in OPEN)
    @rule()
    def a_timer_or_support_ends_it(self) -> None:
        self.move(Status.CANCELLED)
        self.cancel_asked = False

    @precondition(lambda self: self.status is Status.DELIVERED)
    @rule()
    def after_sale_is_over(self) -> None:
        self.move(Status.COMPLETED)

    @invariant()
    def never_backwards(self) -> None:
        ranks = [STATUS_ORDER.index(one) for one in self.history]
        assert ranks == sorted(set(ranks))

    @invariant()
    def what_is_asked_can_be_answered(self) -> None:
        assert not self.cancel_asked or self.status in COOKING

    @invariant()
    def an_end_allows_nothing(self) -> None:
        allowed = [action for action in Action if self.status in ALLOWED[action]]
        assert not (allowed and self.status in FINAL)


test_life: Any = Life.TestCase
