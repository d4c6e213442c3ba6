"""Every rule balances, and an order's whole life leaves nobody's money behind."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ledger
from domain.ledger import Journal, Keeping, Posting, RefundSource, Side

FEN = st.integers(1, 10**9)
SITE, ORDER, MERCHANT, CHANNEL, MCHID = "hz", "order", "shop", "wechat", "1900000001"
SOURCES: tuple[RefundSource, ...] = ("held", "suspense", "merchant", "platform")


def captured(fen: int) -> Journal:
    return ledger.payment_captured(
        site_id=SITE,
        order_id=ORDER,
        channel=CHANNEL,
        mchid=MCHID,
        out_trade_no="p01",
        amount_fen=fen,
    )


def late(fen: int) -> Journal:
    return ledger.late_payment(
        site_id=SITE,
        order_id=ORDER,
        channel=CHANNEL,
        mchid=MCHID,
        out_trade_no="p01",
        amount_fen=fen,
    )


def opened(fen: int, source: RefundSource, number: str = "r01") -> Journal:
    return ledger.refund_opened(
        site_id=SITE,
        order_id=ORDER,
        channel=CHANNEL,
        merchant_id=MERCHANT,
        out_refund_no=number,
        source=source,
        amount_fen=fen,
    )


def failed(fen: int, source: RefundSource) -> Journal:
    return ledger.refund_failed(
        site_id=SITE,
        order_id=ORDER,
        channel=CHANNEL,
        merchant_id=MERCHANT,
        out_refund_no="r01",
        source=source,
        amount_fen=fen,
    )


def refunded(fen: int, number: str = "r01") -> Journal:
    return ledger.refund_settled(
        site_id=SITE,
        order_id=ORDER,
        channel=CHANNEL,
        mchid=MCHID,
        out_refund_no=number,
        amount_fen=fen,
    )


def settled(merchant_fen: int, delivery_fen: int) -> Journal:
    return ledger.order_settled(
        site_id=SITE,
        order_id=ORDER,
        merchant_id=MERCHANT,
        merchant_fen=merchant_fen,
        delivery_fen=delivery_fen,
    )


def merchant_paid(fen: int) -> Journal:
    return ledger.merchant_paid_by_platform(
        site_id=SITE,
        order_id=ORDER,
        merchant_id=MERCHANT,
        amount_fen=fen,
    )


def legs(journal: Journal) -> list[tuple[str, str, int]]:
    return [(leg.account.code, leg.side.value, leg.amount_fen) for leg in journal.postings]


def balances(*journals: Journal) -> dict[str, int]:
    """What is on each account's normal side, zeros left out."""
    total: Counter[str] = Counter()
    for journal in journals:
        for leg in journal.postings:
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
    assert legs(merchant_paid(7)) == [
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


@given(fen=FEN, delivery_fen=FEN, source=st.sampled_from(SOURCES))
def test_every_rule_balances_and_failure_undoes_opening(
    fen: int, delivery_fen: int, source: RefundSource
) -> None:
    journals = (
        captured(fen),
        late(fen),
        opened(fen, source),
        failed(fen, source),
        refunded(fen),
        settled(fen, delivery_fen),
        merchant_paid(fen),
    )
    for journal in journals:
        assert journal.total_fen(Side.DEBIT) == journal.total_fen(Side.CREDIT) > 0
        assert journal.currency == "CNY"
    assert balances(opened(fen, source), failed(fen, source)) == {}


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
    assert refunded(7).key == failed(7, "held").key != opened(7, "held").key


def test_late_money_that_went_home_leaves_nothing() -> None:
    assert balances(late(7), opened(7, "suspense"), refunded(7)) == {}


def test_only_merchants_keep_a_locked_balance() -> None:
    accounts = [
        ledger.clearing(CHANNEL, MCHID),
        ledger.order_held(SITE),
        ledger.platform_expense(SITE),
        ledger.platform_delivery(SITE),
        ledger.refund_in_flight(CHANNEL),
        ledger.suspense("late"),
    ]
    assert {account.keeping for account in accounts} == {Keeping.DERIVED}
    payable = ledger.merchant_payable(MERCHANT)
    assert payable.keeping is Keeping.LOCKED
    assert not payable.may_go_negative


def test_journals_that_are_none_cannot_be_made() -> None:
    held, payable = ledger.order_held(SITE), ledger.merchant_payable(MERCHANT)
    debit = Posting(account=held, side=Side.DEBIT, amount_fen=2)
    credit = Posting(account=payable, side=Side.CREDIT, amount_fen=1)
    for postings in ((), (debit,), (debit, credit)):
        with pytest.raises(ValueError, match="does not balance"):
            Journal(key="k", event="e", site_id=SITE, order_id=ORDER, postings=postings)
    for fen in (0, -1):
        with pytest.raises(ValueError, match="moves money"):
            Posting(account=held, side=Side.DEBIT, amount_fen=fen)
    with pytest.raises(ValueError, match="moves money"):
        settled(0, 0)
    with pytest.raises(ValueError, match="moves money"):
        settled(5, -1)
