"""Ids that cross systems: short enough for the gateway, and different for different things."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain import ids

WECHAT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
"""WeChat Pay v3's out_trade_no; its out_refund_no allows 64 characters, we keep to 32."""
MAX_ATTEMPT = 99

parts = st.text(max_size=20, alphabet=st.characters(exclude_categories=["Cs"]))


@given(site=parts, customer=parts, key=parts)
def test_an_order_id_is_26_characters_and_the_same_at_every_retry(
    site: str, customer: str, key: str
) -> None:
    order = ids.order_id(site, customer, key)
    assert re.fullmatch(r"[a-z2-7]{26}", order)
    assert order == ids.order_id(site, customer, key)


@given(site=parts, attempt=st.integers(1, MAX_ATTEMPT))
def test_numbers_at_the_gateway_fit_its_rules_and_lead_back_to_the_order(
    site: str, attempt: int
) -> None:
    order = ids.order_id(site, "customer", "key")
    for number in (ids.out_trade_no(order, attempt), ids.out_refund_no(order, attempt)):
        assert WECHAT_TRADE_NO.fullmatch(number)
        assert ids.order_of(number) == order


def test_attempts_and_refunds_have_numbers_of_their_own() -> None:
    order = ids.order_id("site", "customer", "key")
    numbers = [ids.out_trade_no(order, one) for one in range(1, MAX_ATTEMPT + 1)]
    numbers += [ids.out_refund_no(order, one) for one in range(1, MAX_ATTEMPT + 1)]
    assert len(set(numbers)) == len(numbers)


@given(first=st.lists(parts, max_size=4), second=st.lists(parts, max_size=4))
def test_different_parts_make_different_ids(first: list[str], second: list[str]) -> None:
    assume(first != second)
    assert ids.derive(*first) != ids.derive(*second)


@given(text=st.text("0123456789:ab", min_size=2, max_size=12), data=st.data())
def test_where_a_part_begins_matters(text: str, data: st.DataObject) -> None:
    one = data.draw(st.integers(0, len(text)))
    other = data.draw(st.integers(0, len(text)))
    assume(one != other)
    assert ids.derive(text[:one], text[one:]) != ids.derive(text[:other], text[other:])


@pytest.mark.parametrize(
    ("workflow_id", "expected"),
    [
        (ids.order_workflow("o"), "order/o"),
        (ids.refund_workflow("or01"), "refund/or01"),
        (ids.dispatch_workflow("s", "z"), "dispatch/s/z"),
        (ids.recover_workflow("o"), "recover/o"),
        (ids.ticket_workflow(7), "ticket/7"),
    ],
)
def test_workflow_ids_are_pinned(workflow_id: str, expected: str) -> None:
    assert workflow_id == expected
