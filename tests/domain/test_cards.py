"""Card numbers are recognised however they are written; ids and amounts are not."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.cards import MAX_DIGITS, MIN_DIGITS, looks_like_card_number, passes_luhn

BODIES = st.text(alphabet="0123456789", min_size=MIN_DIGITS - 1, max_size=MAX_DIGITS - 1)
AROUND = st.text(max_size=20).filter(lambda text: not any(c.isdigit() for c in text))


def _numbered(body: str) -> str:
    return next(f"{body}{check}" for check in range(10) if passes_luhn(f"{body}{check}"))


@given(body=BODIES, before=AROUND, after=AROUND, data=st.data())
def test_every_card_number_is_seen(body: str, before: str, after: str, data: st.DataObject) -> None:
    number = _numbered(body)
    written = number[0] + "".join(
        data.draw(st.sampled_from(["", " ", "-"])) + d for d in number[1:]
    )
    assert looks_like_card_number(f"{before} x{written}x {after}")


@given(body=BODIES, place=st.integers(0, MAX_DIGITS - 1), by=st.integers(1, 9))
def test_one_wrong_digit_makes_it_none(body: str, place: int, by: int) -> None:
    number = _numbered(body)
    place %= len(number)
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert not looks_like_card_number(wrong)


@given(text=st.text())
def test_without_thirteen_digits_nothing_is_a_card(text: str) -> None:
    assume(sum(c in "0123456789" for c in text) < MIN_DIGITS)
    assert not looks_like_card_number(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("4242 4242 4242 4242", True),
        ("3782-822463-10005", True),
        ('{"remark":"4242424242424242"}', True),
        ("4242424242424241", False),
        ("4242  4242  4242  4242", False),
        ("42424242424242424242", False),
        ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", False),
        ("pi_3MtwBwLkdIwHu7ix28a3tqPa", False),
    ],
)
def test_how_numbers_are_written(text: str, *, seen: bool) -> None:
    assert looks_like_card_number(text) is seen
