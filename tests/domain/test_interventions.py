"""Support's envelopes: nonsense is refused by name, and large sums need a second person."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.contracts.life import Intervene
from domain.errors import ActionNotAllowed, DomainError, Invalid
from domain.interventions import (
    ALLOWED,
    MAX_CODE_CHARS,
    MAX_EXTEND_SECONDS,
    MAY_HAVE,
    NEEDS,
    check,
    from_json,
    needs_approval,
)
from domain.orders import FINAL, MONEY_INTERVENTIONS, Intervention, Status

ORDER = "a" * 26
ACTOR = "support:temporal"
RIGHT: dict[Intervention, dict[str, Any]] = {
    Intervention.CANCEL_REFUND: {},
    Intervention.REFUND: {"amount_fen": 500},
    Intervention.REASSIGN: {"rider_id": "rider-7"},
    Intervention.EXTEND: {"extend_seconds": 600},
    Intervention.HOLD: {},
    Intervention.RELEASE: {},
    Intervention.NOTE: {"note_id": "n1"},
    Intervention.APPROVE: {"request_id": "r0"},
}


def envelope(action: str, args: dict[str, Any] | None = None, **more: Any) -> Intervene:
    known = {"order": ORDER, "reason_code": "late", "request_id": "r1", "actor": ACTOR}
    return Intervene(action=action, args=args or {}, **known | more)


def checked(wanted: Intervene, status: Status = Status.PREPARING) -> Intervention:
    held = wanted.action == Intervention.RELEASE
    return check(wanted, order_id=ORDER, status=status, held=held)


@pytest.mark.parametrize("action", Intervention)
def test_a_right_envelope_is_its_action(action: Intervention) -> None:
    assert checked(envelope(action, RIGHT[action])) is action
    assert checked(envelope(action, RIGHT[action] | {"note_id": "n1"})) is action


@pytest.mark.parametrize("action", Intervention)
@pytest.mark.parametrize("status", Status)
def test_an_action_is_allowed_where_the_table_says(action: Intervention, status: Status) -> None:
    if status in ALLOWED[action]:
        assert checked(envelope(action, RIGHT[action]), status) is action
        return
    with pytest.raises(ActionNotAllowed) as refused:
        checked(envelope(action, RIGHT[action]), status)
    assert refused.value.data == {"status": status.value}


def test_nothing_is_done_to_an_order_that_has_ended() -> None:
    assert set(ALLOWED) == set(Intervention)
    assert not any(statuses & FINAL for statuses in ALLOWED.values())


@pytest.mark.parametrize("held", [True, False])
def test_what_is_held_is_not_held_again_and_only_that_is_released(held: bool) -> None:  # noqa: FBT001
    wrong = Intervention.HOLD if held else Intervention.RELEASE
    with pytest.raises(ActionNotAllowed):
        check(envelope(wrong), order_id=ORDER, status=Status.PREPARING, held=held)


@pytest.mark.parametrize(
    "wrong",
    [
        envelope("explode"),
        envelope("HOLD"),
        envelope("hold", order="b" * 26),
        envelope("hold", reason_code=""),
        envelope("hold", reason_code="x" * (MAX_CODE_CHARS + 1)),
        envelope("hold", reason_code="late\0"),
        envelope("hold", request_id=""),
        envelope("hold", request_id="\ud800"),
        envelope("hold", request_id="x" * (MAX_CODE_CHARS + 1)),
        envelope("hold", {"amount_fen": 1}),
        envelope("hold", {"actor": "support:boss"}),
        envelope("cancel_refund", {"amount_fen": 1}),
        envelope("note", {"note_id": "\n"}),
        envelope("reassign", {"rider_id": 7}),
        envelope("reassign", {"rider_id": ""}),
        envelope("reassign", {"rider_id": "r" * (MAX_CODE_CHARS + 1)}),
        *(envelope(action) for action in NEEDS),
        *(envelope(action, {name: None}) for action, name in NEEDS.items()),
        *(envelope(action, {name: [1]}) for action, name in NEEDS.items()),
        *(
            envelope("refund", {"amount_fen": amount})
            for amount in (0, -1, True, 1.0, "500", float("nan"), 2**53 + 1)
        ),
        *(
            envelope("extend", {"extend_seconds": seconds})
            for seconds in (0, -60, MAX_EXTEND_SECONDS + 1, "60", True)
        ),
        envelope("note", {"note_id": 5}),
        envelope("approve", {"request_id": 5}),
    ],
    ids=repr,
)
def test_nonsense_is_refused(wrong: Intervene) -> None:
    with pytest.raises(Invalid):
        checked(wrong)


LIMIT_FEN = 20_000


@pytest.mark.parametrize(
    ("action", "args", "total_fen", "asks"),
    [
        (Intervention.REFUND, {"amount_fen": LIMIT_FEN}, 90_000, False),
        (Intervention.REFUND, {"amount_fen": LIMIT_FEN + 1}, 90_000, True),
        (Intervention.CANCEL_REFUND, {}, LIMIT_FEN, False),
        (Intervention.CANCEL_REFUND, {}, LIMIT_FEN + 1, True),
        (Intervention.CANCEL_REFUND, {"amount_fen": 1}, LIMIT_FEN + 1, True),
    ],
)
def test_money_above_the_limit_needs_a_second_person(
    action: Intervention,
    args: dict[str, Any],
    total_fen: int,
    asks: bool,  # noqa: FBT001
) -> None:
    assert needs_approval(action, args, total_fen=total_fen, limit_fen=LIMIT_FEN) is asks


@given(action=st.sampled_from(sorted(set(Intervention) - MONEY_INTERVENTIONS)))
def test_what_moves_no_money_needs_nobody_else(action: Intervention) -> None:
    assert not needs_approval(action, RIGHT[action], total_fen=10**9, limit_fen=0)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ARGUMENTS = sorted({name for names in MAY_HAVE.values() for name in names})
nearly_right = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(Intervention).map(str) | anything,
        "order": st.just(ORDER) | anything,
        "reason_code": st.just("late") | anything,
        "request_id": st.just("r1") | anything,
        "args": st.dictionaries(st.sampled_from(ARGUMENTS) | st.text(), anything, max_size=3)
        | anything,
    },
)


@given(data=anything | nearly_right, status=st.sampled_from(Status), held=st.booleans())
@example(data={"action": "hold"}, status=Status.PREPARING, held=False)
@example(
    data={"action": "hold", "order": ORDER, "reason_code": "x", "request_id": "y", "args": []},
    status=Status.PREPARING,
    held=False,
)
def test_any_json_is_an_envelope_or_refused_by_name(
    data: object,
    status: Status,
    held: bool,  # noqa: FBT001
) -> None:
    try:
        read = from_json(data, actor=ACTOR)
    except Invalid:
        return
    assert read.actor == ACTOR
    assert all(isinstance(one, str) for one in (read.action, read.order, read.request_id))
    try:
        action = check(read, order_id=ORDER, status=status, held=held)
    except DomainError:
        return
    assert status in ALLOWED[action]
    assert NEEDS.get(action, "note_id") in {"note_id", *read.args}
    assert needs_approval(action, read.args, total_fen=1, limit_fen=2**53) is False
