"""What payment channels can do and what they say, in one language for all; no channel's wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMethod:
    """A card kept for one-tap paying: what may be shown of it."""

    token: str
    brand: str
    last4: str
    expires: str
    """`2034-12`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankCard:
    """A customer's bank card, for a refund that could not go back where it came from."""

    bank_type: str
    """`CMB_DEBIT`, `ICBC_DEBIT`…"""
    number: str = field(repr=False)
    name: str = field(repr=False)


class TradeState(StrEnum):
    """Where a payment is at its channel."""

    OPEN = "open"
    """待支付: the customer may still pay."""
    CHECKING = "checking"
    """支付中: the customer is paying or proves who they are; ask again."""
    AUTHORIZED = "authorized"
    """已授权: held for us, to be captured or voided."""
    PAID = "paid"
    """已支付: ours, even if some of it went back since."""
    CLOSED = "closed"
    """已关闭: can't be paid any more."""


class BillKind(StrEnum):
    """Which of a day's bills."""

    TRADE = "trade"
    """交易账单: payments and refunds."""
    FUNDS = "funds"
    """资金账单: what moved on the payee's account, fees and payouts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What a channel can do; an order's life follows this and never a channel's name."""

    methods: tuple[str, ...]
    """How the customer's device is spoken to, best first: `jsapi`, `native`, `wap`, `card`…"""
    payer_methods: frozenset[str] = frozenset()
    """Those of them for which the channel must know the payer."""
    address_methods: frozenset[str] = frozenset()
    """Those for which the channel wants the network address of the payer's device."""
    handle_lives: Mapping[str, timedelta] = field(default_factory=dict)
    """How long what a method's customer pays with lives, where that is short of the payment."""
    not_found_is_final: bool = True
    """`not_found` means that nobody can pay it; else somebody may, until the payment expires."""
    holds: bool = False
    """Authorise at the order, capture at acceptance, void on cancel; else taken at once."""
    splits: bool = False
    """分账: an order's money can be shared out by the channel."""
    split_cap_bp: int = 10_000
    """How much of a payment may be shared out in all, in hundredths of a per cent."""
    returns_shares: bool = False
    """分账回退: a share can be taken back before a refund."""
    ships: bool = False
    """发货信息管理: the money is frozen until the channel was told of the delivery."""
    bills: bool = True
    saves: bool = False
    """A method can be kept for one-tap paying, with the customer's consent."""
    instalments: tuple[int, ...] = ()
    """分期: the periods on offer."""
    refund_age: timedelta = timedelta(days=365)
    refund_count: int = 50
    """Partial refunds of one payment."""
    refund_gap: timedelta = timedelta(0)
    """Between two refunds of one payment."""
    answers_disputes: int = 0
    """Characters of an answer to a complaint, or of a dispute's evidence; 0: it takes none."""
    retries_refunds: bool = False
    """An abnormal refund can be sent on its way again, to another card of the customer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A payment to be opened; the same number always comes with the same parameters."""

    method: str
    out_trade_no: str
    amount_fen: int
    description: str
    """At most 127 characters; goods and shop, never a person."""
    notify_url: str
    expires_at: datetime
    payer: str = ""
    """Who pays, as the channel knows them: openid, buyer id, customer id of saved cards."""
    return_url: str = ""
    """Where a browser goes after paying."""
    client_ip: str = ""
    split: bool = False
    """The money waits at the channel to be shared out."""
    instalments: int = 0
    fee_by_seller: bool = False
    """The instalments' fee is the payee's; else the customer's."""
    saved_method: str = ""
    """Pay at once with this saved method's token."""
    save: bool = False
    """Keep the method for next time: the customer has consented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open payment; `handles` (prepay_id, code_url, …) are stored with the attempt."""

    handles: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A payment as its channel sees it; who paid is left out on purpose."""

    mchid: str
    """The payee's number at the channel: mchid, seller id, account."""
    appid: str
    """Our application's there; empty where the channel has none."""
    out_trade_no: str
    transaction_id: str | None
    state: TradeState
    amount_fen: int
    """The order's total; 0 where an answer about an unpaid order leaves it out."""
    currency: str = "CNY"
    success_time: datetime | None = None
    failure_code: str = ""
    """Why the last try to pay failed, where the channel tells."""

    def fact(self) -> dict[str, Any]:
        """What is kept of it in the inbox."""
        return {
            "out_trade_no": self.out_trade_no,
            "transaction_id": self.transaction_id,
            "amount_fen": self.amount_fen,
            "currency": self.currency,
            "mchid": self.mchid,
            "appid": self.appid,
            "state": self.state.value,
            "succeeded_at": self.success_time.isoformat() if self.success_time else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSaid:
    """A refund as its channel sees it: only `success` means that the money went back."""

    out_refund_no: str
    refund_id: str
    state: str
    """One of `domain.contracts.refunds.RefundState` from `processing` on."""
    refund_fen: int
    total_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A receiver's share of a payment that is split."""

    receiver: str
    """Their number at the channel."""
    amount_fen: int
    description: str


class ShareState(StrEnum):
    """What became of one receiver's share; a finished split says nothing about it."""

    PENDING = "pending"
    SUCCESS = "success"
    CLOSED = "closed"
    """Not paid: `reason` says why; retried, or the share unfrozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareResult:
    """One receiver's result."""

    receiver: str
    amount_fen: int
    state: ShareState
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSaid:
    """A split, or the return of one, as its channel sees it."""

    out_order_no: str
    finished: bool
    results: tuple[ShareResult, ...]
    name: str = ""
    """The channel's number of it, where it tells one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """One line of a trade bill, read by header name; amounts in fen."""

    out_trade_no: str
    transaction_id: str
    kind: str
    """`payment` or `refund`."""
    amount_fen: int
    """Positive for both kinds."""
    fee_fen: int
    """The channel's; negative where a refund gives it back."""
    state: str
    """`success`, or for refunds also `processing` and `failed`."""
    out_refund_no: str = ""
    refund_id: str = ""
    """The channel's number of the refund, where the bill tells."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundRow:
    """One line of a funds bill."""

    flow_id: str
    business_no: str
    """The channel's number of what moved: a transaction's, a refund's, a split's."""
    kind: str
    """The channel's own word for the business."""
    amount_fen: int
    """Positive: came in; negative: went out."""
    balance_fen: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A day's bill, whole: its hash, its summary and its rows agree."""

    kind: BillKind
    sha256: str
    """Of all that it says: an import is recognised by it, however often its file is made anew."""
    trades: tuple[BillRow, ...] = ()
    funds: tuple[FundRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNotice:
    """A payment has moved. `event_id` is the same in every repetition."""

    event_id: str
    transaction: Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNotice:
    """A refund has ended, well or not."""

    event_id: str
    refund: RefundSaid


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeNotice:
    """A customer complains at the channel, or the state of the complaint has changed."""

    event_id: str
    dispute_id: str
    kind: str
    """`complaint` (投诉) or `chargeback` (拒付)."""
    state: str
    """`open`, `under_review`, `won`, `lost` or `closed`."""
    out_trade_no: str = ""
    transaction_id: str = ""
    amount_fen: int = 0
    taken_fen: int = 0
    """What the customer's bank took back for it, even if it gave it back since."""
    due_at: datetime | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    """Codes only, nothing personal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoNotice:
    """The channel tries whether its notices arrive: answered well, and nothing else."""

    event_id: str


Notice = PaymentNotice | RefundNotice | DisputeNotice | EchoNotice


class NoticeRefused(Exception):
    """A notice that must not be believed; `reason` is a code and holds nothing it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
