"""Every rule balances, and an order's whole life leaves nobody's money behind."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books import CHART, RULES, account, journal
from domain.ledger import Journal, Keeping, Posting, Side

FEN = st.integers(1, 10**9)
SITE, ORDER, MERCHANT, CHANNEL, MCHID = "hz", "order", "shop", "wechat", "1900000001"
SOURCES = ("held", "suspense", "merchant", "expense")


def captured(fen: int) -> Journal:
    return book("payment_captured", amount_fen=fen)


def late(fen: int) -> Journal:
    return book("late_payment", amount_fen=fen)


def opened(fen: int, payer: str, number: str = "r01") -> Journal:
    return book("refund_opened", payer=payer, out_refund_no=number, amount_fen=fen)


def refunded(fen: int, number: str = "r01") -> Journal:
    return book("refund_settled", out_refund_no=number, amount_fen=fen)


def settled(merchant_fen: int, delivery_fen: int, commission_fen: int = 0) -> Journal:
    return book(
        "order_settled",
        merchant_fen=merchant_fen,
        commission_fen=commission_fen,
        delivery_fen=delivery_fen,
    )


def book(event: str, **given: str | int) -> Journal:
    """A journal of one order at one shop."""
    known: dict[str, str | int] = {
        "channel": CHANNEL,
        "mchid": MCHID,
        "merchant_id": MERCHANT,
        "out_trade_no": "p01",
        "rider_id": "r",
        "out_order_no": "s01",
        "out_return_no": "b01",
        "out_refund_no": "r01",
        "reference": "r01",
        "line_id": "l01",
        "about": "payment",
        "number": "p01",
        "customer_id": "c",
        "grant_id": "g01",
        "hold_id": "h01",
        "refund_id": "r01",
        "times": "0",
        "dispute_id": "d01",
    }
    return journal(event, site_id=SITE, order_id=ORDER, **known | given)


def legs(journal: Journal) -> list[tuple[str, str, int]]:
    return [(leg.account.code, leg.side.value, leg.amount_fen) for leg in journal.postings]


def balances(*journals: Journal) -> dict[str, int]:
    """What is on each account's normal side, zeros left out."""
    total: Counter[str] = Counter()
    for entry in journals:
        for leg in entry.postings:
            on_normal_side = leg.side is leg.account.normal
            total[leg.account.code] += leg.amount_fen if on_normal_side else -leg.amount_fen
    return {code: fen for code, fen in total.items() if fen}


def test_each_rule_books_what_it_says() -> None:
    clearing, held, flying = (
        "psp:wechat:1900000001:clearing",
        "order:hz:held",
        ("refund:wechat:in_flight"),
    )
    assert legs(captured(7)) == [(clearing, "D", 7), (held, "C", 7)]
    assert legs(late(7)) == [(clearing, "D", 7), ("suspense:late", "C", 7)]
    assert legs(refunded(7)) == [(flying, "D", 7), (clearing, "C", 7)]
    assert legs(settled(5, 2)) == [
        (held, "D", 7),
        ("merchant:shop:payable", "C", 5),
        ("platform:hz:delivery", "C", 2),
    ]
    assert legs(settled(5, 0)) == [(held, "D", 5), ("merchant:shop:payable", "C", 5)]
    assert legs(book("merchant_paid_by_platform", amount_fen=7)) == [
        ("platform:hz:expense", "D", 7),
        ("merchant:shop:payable", "C", 7),
    ]
    payers = [legs(opened(7, source))[0] for source in SOURCES]
    assert payers == [
        (held, "D", 7),
        ("suspense:late", "D", 7),
        ("merchant:shop:payable", "D", 7),
        ("platform:hz:expense", "D", 7),
    ]
    assert {legs(opened(7, source))[1] for source in SOURCES} == {(flying, "C", 7)}


@given(event=st.sampled_from(sorted(RULES)), fens=st.lists(FEN, min_size=3, max_size=3))
def test_every_rule_balances_and_is_booked_once(event: str, fens: list[int]) -> None:
    amounts = dict(zip(sorted({leg[2] for leg in RULES[event].legs}), fens, strict=False))
    booked = book(event, payer="held", **amounts)
    assert booked.total_fen(Side.DEBIT) == booked.total_fen(Side.CREDIT) == sum(amounts.values())
    assert booked.currency == "CNY"
    assert "{" not in booked.key


def test_the_rules_name_accounts_of_the_chart() -> None:
    named = {kind for rule in RULES.values() for leg in rule.legs for kind in leg[:2]}
    assert named - {"payer"} <= set(CHART)
    assert set(CHART) <= named | {"merchant"}


@given(
    paid_fen=FEN,
    cuts=st.lists(st.integers(1, 10**9), max_size=8),
    delivery_share=st.integers(0, 100),
)
def test_refunds_then_settlement_leave_the_order_empty(
    paid_fen: int, cuts: list[int], delivery_share: int
) -> None:
    journals, left_fen = [captured(paid_fen)], paid_fen
    for number, cut in enumerate(cuts):
        fen = min(cut, left_fen)
        if fen:
            journals += [opened(fen, "held", f"r{number:02d}"), refunded(fen, f"r{number:02d}")]
            left_fen -= fen
    if left_fen:
        delivery_fen = left_fen * delivery_share // 100
        journals.append(settled(left_fen - delivery_fen, delivery_fen))
    end = balances(*journals)
    assert "order:hz:held" not in end
    assert "refund:wechat:in_flight" not in end
    assert end.get("psp:wechat:1900000001:clearing", 0) == left_fen
    earned_fen = end.get("merchant:shop:payable", 0) + end.get("platform:hz:delivery", 0)
    assert earned_fen == left_fen
    assert len({journal.key for journal in journals}) == len(journals)


def test_what_can_happen_once_shares_a_key() -> None:
    assert captured(7).key == late(7).key
    assert book("payout_settled", amount_fen=7).key == book("rider_payout_failed", amount_fen=7).key


def test_late_money_that_went_home_leaves_nothing() -> None:
    assert balances(late(7), opened(7, "suspense"), refunded(7)) == {}


def test_people_and_merchants_keep_a_locked_balance() -> None:
    locked = {kind for kind, row in CHART.items() if row.keeping is Keeping.LOCKED}
    assert locked == {"credit", "merchant", "owed", "rider"}
    assert not any(CHART[kind].may_go_negative for kind in locked)


def test_journals_that_are_none_cannot_be_made() -> None:
    held, payable = (
        account("held", site_id=SITE),
        account("merchant", merchant_id=MERCHANT),
    )
    debit = Posting(account=held, side=Side.DEBIT, amount_fen=2)
    credit = Posting(account=payable, side=Side.CREDIT, amount_fen=1)
    for postings in ((), (debit,), (debit, credit)):
        with pytest.raises(ValueError, match="does not balance"):
            Journal(key="k", event="e", site_id=SITE, order_id=ORDER, postings=postings)
    for fen in (0, -1):
        with pytest.raises(ValueError, match="moves money"):
            Posting(account=held, side=Side.DEBIT, amount_fen=fen)
    with pytest.raises(ValueError, match="does not balance"):
        settled(0, 0)
    with pytest.raises(ValueError, match="no amount"):
        settled(5, -1)
