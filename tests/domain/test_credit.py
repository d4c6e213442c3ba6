"""Taking an amount out of what is left, and the journals of platform credit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books import journal
from domain.credit import Part, take
from domain.errors import CreditTooLow
from domain.ledger import Journal, Side


@given(left=st.lists(st.integers(0, 100), max_size=6), wanted_fen=st.integers(1, 400))
def test_what_is_taken_is_there_in_order_and_exact(left: list[int], wanted_fen: int) -> None:
    parts = [Part(source=str(place), amount_fen=fen) for place, fen in enumerate(left)]
    if sum(left) < wanted_fen:
        with pytest.raises(CreditTooLow) as refused:
            take(parts, wanted_fen)
        assert refused.value.data == {"missing_fen": wanted_fen - sum(left)}
        return
    taken = take(parts, wanted_fen)
    assert sum(part.amount_fen for part in taken) == wanted_fen
    full = [part for part in parts if part.amount_fen][: len(taken)]
    assert [part.source for part in taken] == [part.source for part in full]
    assert taken[:-1] == full[:-1]
    assert 0 < taken[-1].amount_fen <= full[-1].amount_fen


def test_the_life_of_credit_leaves_only_what_the_platform_bore() -> None:
    whose = {"site_id": "s", "customer_id": "c"}
    journals: list[Journal] = [
        journal("credit_granted", **whose, order_id="o1", grant_id="g", amount_fen=100),
        journal("credit_spent", **whose, order_id="o2", hold_id="h", amount_fen=70),
        journal(
            "credit_refunded", **whose, order_id="o2", refund_id="r", payer="held", amount_fen=20
        ),
        journal("credit_expired", **whose, order_id="o1", grant_id="g", times="0", amount_fen=50),
    ]
    balances: dict[str, int] = {}
    for posting in (posting for one in journals for posting in one.postings):
        sign = 1 if posting.side is Side.DEBIT else -1
        code = posting.account.code
        balances[code] = balances.get(code, 0) + sign * posting.amount_fen
    assert balances == {"platform:s:expense": 50, "customer:c:credit": 0, "order:s:held": -50}
    assert len({one.key for one in journals}) == len(journals)
