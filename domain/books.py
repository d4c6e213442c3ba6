"""The chart of accounts and the one table of posting rules: which event books what, as data.

An accountant reads this file alone. A rule's leg moves an amount from its credit account to its
debit account; a leg whose amount is zero is left out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from domain.ledger import Account, Journal, Keeping, Posting, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A row of the chart: `code` names what tells one account of the kind from another."""

    code: str
    name: str
    """会计科目."""
    meaning: str
    normal: Side
    keeping: Keeping = Keeping.DERIVED
    may_go_negative: bool = False


CHART: Mapping[str, Chart] = {
    "clearing": Chart(
        code="psp:{channel}:{mchid}:clearing",
        name="支付渠道清算",
        meaning="what a channel holds for a payee",
        normal=Side.DEBIT,
        # The payee may have withdrawn before the channel pays a refund.
        may_go_negative=True,
    ),
    "fees": Chart(
        code="psp:{channel}:{mchid}:fees",
        name="渠道已扣手续费",
        meaning="what a channel has kept as its fees: it holds its clearing less this for a payee",
        normal=Side.CREDIT,
        # A refund's bill may be read before its payment's.
        may_go_negative=True,
    ),
    "held": Chart(
        code="order:{site_id}:held",
        name="订单待结算",
        meaning="paid for orders that are not settled yet",
        normal=Side.CREDIT,
    ),
    "merchant": Chart(
        code="merchant:{merchant_id}:payable",
        name="应付商家",
        meaning="what a merchant has earned and not received",
        normal=Side.CREDIT,
        keeping=Keeping.LOCKED,
    ),
    "channel_fees": Chart(
        code="merchant:{merchant_id}:channel_fees",
        name="商家承担的渠道手续费",
        meaning="what channels have kept of a merchant's payments, out of their account there",
        normal=Side.DEBIT,
        may_go_negative=True,
    ),
    "rider": Chart(
        code="rider:{rider_id}:payable",
        name="应付骑手",
        meaning="what a rider has earned and not received",
        normal=Side.CREDIT,
        keeping=Keeping.LOCKED,
    ),
    "commission": Chart(
        code="platform:{site_id}:commission",
        name="平台佣金收入",
        meaning="the platform's commission",
        normal=Side.CREDIT,
    ),
    "delivery": Chart(
        code="platform:{site_id}:delivery",
        name="平台配送收入",
        meaning="delivery fees earned",
        normal=Side.CREDIT,
    ),
    "expense": Chart(
        code="platform:{site_id}:expense",
        name="平台赔付",
        meaning="what the platform bears: compensation, goodwill, subsidies",
        normal=Side.DEBIT,
        may_go_negative=True,
    ),
    "rider_cost": Chart(
        code="platform:{site_id}:rider_cost",
        name="平台配送成本",
        meaning="what the platform pays riders for deliveries",
        normal=Side.DEBIT,
    ),
    "receivable": Chart(
        code="platform:{site_id}:receivable",
        name="应收分账",
        meaning="commission and fees that a channel's split brings to the platform",
        normal=Side.DEBIT,
        may_go_negative=True,
    ),
    "owed": Chart(
        code="merchant:{merchant_id}:owes",
        name="应收商家",
        meaning="the platform's share that no split has brought: the merchant has it and owes it",
        normal=Side.DEBIT,
        keeping=Keeping.LOCKED,
    ),
    "bank": Chart(
        code="platform:{site_id}:bank",
        name="平台银行存款",
        meaning="the platform's own revenue at its bank",
        normal=Side.DEBIT,
        may_go_negative=True,
    ),
    "payout": Chart(
        code="payout:{site_id}:in_flight",
        name="代付在途",
        meaning="ordered from the bank, not yet confirmed",
        normal=Side.CREDIT,
    ),
    "credit": Chart(
        code="customer:{customer_id}:credit",
        name="平台余额",
        meaning="credit that a customer has and may spend, never cash; held parts included",
        normal=Side.CREDIT,
        keeping=Keeping.LOCKED,
    ),
    "in_flight": Chart(
        code="refund:{channel}:in_flight",
        name="退款在途",
        meaning="promised to customers, not yet paid by the channel",
        normal=Side.CREDIT,
    ),
    "disputed": Chart(
        code="order:{site_id}:disputed",
        name="拒付争议中",
        meaning="taken back by customers' banks until they have decided",
        normal=Side.DEBIT,
    ),
    "suspense": Chart(
        code="suspense:late",
        name="暂记",
        meaning="money that belongs to no order any more and goes home",
        normal=Side.CREDIT,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An event's journal: its `key` is booked once, whatever repeats.

    `legs` are (debit, credit, amount). `payer` stands for the account kind the caller names.
    """

    key: str
    meaning: str
    legs: tuple[tuple[str, str, str], ...]


RULES: Mapping[str, Rule] = {
    "payment_captured": Rule(
        key="payment/{out_trade_no}/arrived",
        meaning="the customer's payment arrived for an order that wants it",
        legs=(("clearing", "held", "amount_fen"),),
    ),
    "late_payment": Rule(
        # The same key as a capture: a payment is booked once.
        key="payment/{out_trade_no}/arrived",
        meaning="a payment arrived after cancel, or a second one",
        legs=(("clearing", "suspense", "amount_fen"),),
    ),
    "refund_opened": Rule(
        key="refund/{out_refund_no}/opened",
        meaning="a refund was decided; `payer` bears it",
        legs=(("payer", "in_flight", "amount_fen"),),
    ),
    "refund_settled": Rule(
        # CLOSED and ABNORMAL book nothing: that money stays in flight until a person ends it.
        key="refund/{out_refund_no}/ended",
        meaning="the channel says the customer has the money",
        legs=(("in_flight", "clearing", "amount_fen"),),
    ),
    "channel_fee": Rule(
        # A later version of the bill may have another fee: one more journal, of the difference.
        key="{about}/{number}/fee/{times}",
        meaning="the channel's bill has a fee, which the payee bears",
        legs=(("channel_fees", "fees", "amount_fen"),),
    ),
    "channel_fee_returned": Rule(
        key="{about}/{number}/fee/{times}",
        meaning="the channel's bill gives a fee back, with a refund or corrected",
        legs=(("fees", "channel_fees", "amount_fen"),),
    ),
    "merchant_paid_by_platform": Rule(
        key="order/{order_id}/merchant_paid",
        meaning="a refund after acceptance that is not the merchant's fault leaves them paid",
        legs=(("expense", "merchant", "amount_fen"),),
    ),
    "order_settled": Rule(
        key="order/{order_id}/settled",
        meaning="the after-sale window closed: what is held goes to those who earned it",
        legs=(
            ("held", "merchant", "merchant_fen"),
            ("held", "commission", "commission_fen"),
            ("held", "delivery", "delivery_fen"),
        ),
    ),
    "credit_granted": Rule(
        key="credit/{grant_id}/granted",
        meaning="the platform gives credit: compensation for an order, or a gift",
        legs=(("expense", "credit", "amount_fen"),),
    ),
    "credit_spent": Rule(
        key="credit/{hold_id}/spent",
        meaning="held credit pays its order",
        legs=(("credit", "held", "amount_fen"),),
    ),
    "credit_refunded": Rule(
        key="credit/{refund_id}/refunded",
        meaning="spent credit goes back to its customer as credit; `payer` bears it",
        legs=(("payer", "credit", "amount_fen"),),
    ),
    "credit_expired": Rule(
        # A grant expires again when a hold on it is released later.
        key="credit/{grant_id}/expired/{times}",
        meaning="what was left of a grant expired: undoes that much of the gift",
        legs=(("credit", "expense", "amount_fen"),),
    ),
    "dispute_opened": Rule(
        key="dispute/{dispute_id}/opened",
        meaning="the customer's bank took a payment back until the dispute is decided (拒付)",
        legs=(("disputed", "clearing", "amount_fen"),),
    ),
    "dispute_won": Rule(
        key="dispute/{dispute_id}/decided",
        meaning="the dispute was decided for us: the money is back",
        legs=(("clearing", "disputed", "amount_fen"),),
    ),
    "dispute_received": Rule(
        key="dispute/{dispute_id}/received",
        meaning="what a won dispute brought back after settling is the merchant's to withdraw",
        legs=(("merchant", "clearing", "amount_fen"),),
    ),
    "dispute_owed": Rule(
        key="dispute/{dispute_id}/owed",
        meaning="it came back to a merchant whom the platform had paid meanwhile",
        legs=(("owed", "clearing", "amount_fen"),),
    ),
    "dispute_lost": Rule(
        key="dispute/{dispute_id}/decided",
        meaning="the dispute was decided against us: the platform bears it",
        legs=(("expense", "disputed", "amount_fen"),),
    ),
    "rider_earned": Rule(
        key="order/{order_id}/rider_earned",
        meaning="a delivery was done",
        legs=(("rider_cost", "rider", "amount_fen"),),
    ),
    "rider_tipped": Rule(
        # The customer's tip is part of what the delivery brings the platform.
        key="order/{order_id}/rider_tipped",
        meaning="the tip of an order is its rider's, all of it",
        legs=(("rider_cost", "rider", "amount_fen"),),
    ),
    "tip_captured": Rule(
        # The same key as a capture: a payment is booked once.
        key="payment/{out_trade_no}/arrived",
        meaning="a tip after delivery came to the platform's own account: its rider's, all of it",
        legs=(("clearing", "rider", "amount_fen"),),
    ),
    "rider_bonus": Rule(
        key="order/{order_id}/rider_bonus",
        meaning="a search that took long found its rider for more",
        legs=(("rider_cost", "rider", "amount_fen"),),
    ),
    "platform_share_split": Rule(
        key="split/{out_order_no}/platform",
        meaning="the channel paid the platform its share of an order (分账)",
        legs=(("receivable", "clearing", "amount_fen"),),
    ),
    "platform_share_returned": Rule(
        key="split/{out_return_no}/returned",
        meaning="a share came back to the payee, before a refund (分账回退)",
        legs=(("clearing", "receivable", "amount_fen"),),
    ),
    "merchant_received": Rule(
        key="order/{order_id}/merchant_received",
        meaning="what is left at the channel is the merchant's to withdraw",
        legs=(("merchant", "clearing", "amount_fen"),),
    ),
    "share_owed": Rule(
        key="order/{order_id}/share_owed",
        meaning="what no split has brought of the platform's share is left with the merchant",
        legs=(("owed", "clearing", "amount_fen"),),
    ),
    "merchant_returned": Rule(
        key="merchant/{reference}/returned",
        meaning="a refund after settling takes what the merchant had received: owed to them again",
        legs=(("clearing", "merchant", "amount_fen"),),
    ),
    "commission_waived": Rule(
        key="refund/{out_refund_no}/commission",
        meaning="no commission on what a merchant gives back after settling",
        legs=(("commission", "merchant", "amount_fen"),),
    ),
    "rider_payout_sent": Rule(
        key="payout/{line_id}/sent",
        meaning="the bank was told to pay a rider",
        legs=(("rider", "payout", "amount_fen"),),
    ),
    "merchant_payout_sent": Rule(
        key="payout/{line_id}/sent",
        meaning="the bank was told to pay a merchant; what they owe was set off first (抵扣)",
        legs=(("merchant", "payout", "amount_fen"), ("merchant", "owed", "set_off_fen")),
    ),
    "payout_settled": Rule(
        key="payout/{line_id}/ended",
        meaning="the bank says the payee has the money",
        legs=(("payout", "bank", "amount_fen"),),
    ),
    "rider_payout_failed": Rule(
        key="payout/{line_id}/ended",
        meaning="the bank could not pay: the rider is owed again",
        legs=(("payout", "rider", "amount_fen"),),
    ),
    "merchant_payout_failed": Rule(
        key="payout/{line_id}/ended",
        meaning="the bank could not pay: the merchant is owed again",
        legs=(("payout", "merchant", "amount_fen"),),
    ),
}


def account(kind: str, **names: str) -> Account:
    """One account of the chart, by what its code names."""
    row = CHART[kind]
    return Account(
        code=row.code.format(**names),
        normal=row.normal,
        keeping=row.keeping,
        may_go_negative=row.may_go_negative,
    )


def journal(
    event: str, *, site_id: str, order_id: str = "", payer: str = "", **given: str | int
) -> Journal:
    """The journal of an event: the texts in `given` name accounts and key, the numbers are fen.

    Raises ValueError when an amount is negative or nothing moves.
    """
    rule = RULES[event]
    names = {name: value for name, value in given.items() if isinstance(value, str)}
    names |= {"site_id": site_id, "order_id": order_id}
    sums: Counter[tuple[Side, str]] = Counter()
    for debit, credit, amount in rule.legs:
        fen = given[amount]
        if not isinstance(fen, int) or fen < 0:
            raise ValueError(f"{event}: {amount} is no amount")
        sums[Side.DEBIT, payer if debit == "payer" else debit] += fen
        sums[Side.CREDIT, credit] += fen
    return Journal(
        key=rule.key.format(**names),
        event=event,
        site_id=site_id,
        order_id=order_id,
        postings=tuple(
            Posting(account=account(kind, **names), side=side, amount_fen=fen)
            for (side, kind), fen in sums.items()
            if fen
        ),
    )
