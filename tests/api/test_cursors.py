"""Cursors come back as they went, and anything else is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import cursors
from domain.errors import Invalid

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)


@given(TEXT, st.integers(-(2**53), 2**53))
def test_they_come_back(text: str, number: int) -> None:
    assert cursors.decode(cursors.encode(text, number), str, int) == [text, number]


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_come_back(moment: datetime) -> None:
    [text] = cursors.decode(cursors.encode(moment), str)
    assert cursors.moment(text) == moment


@given(st.text(max_size=60))
def test_nothing_else_is_one(text: str) -> None:
    with pytest.raises(Invalid):
        cursors.decode(text, str, str, str)


@pytest.mark.parametrize("text", ["yesterday", "2020-01-01T00:00:00", "", "1"])
def test_nothing_else_is_a_moment(text: str) -> None:
    with pytest.raises(Invalid):
        cursors.moment(text)
