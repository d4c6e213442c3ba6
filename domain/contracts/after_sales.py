"""Contracts of after-sale: what a customer asks back, who answers, and the acts on it."""

from dataclasses import dataclass

from domain.contracts.act import act
from domain.contracts.life import Command
from domain.contracts.orders import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterSaleTimers:
    """After-sale's silences in seconds, already divided by the site's speed."""

    merchant_seconds: float = 86_400
    """The merchant does not answer."""
    escalate_seconds: float = 86_400
    """The customer leaves a refusal as it is."""
    support_seconds: float = 86_400
    """Support does not decide: reminded once, then the customer is believed."""
    refund_poll_seconds: tuple[float, ...] = (60, 300, 600, 1_200, 1_800)

    def scaled(self, speed: float) -> "AfterSaleTimers":
        """The same timers on a site that lives `speed` times faster."""
        return AfterSaleTimers(
            merchant_seconds=self.merchant_seconds / speed,
            escalate_seconds=self.escalate_seconds / speed,
            support_seconds=self.support_seconds / speed,
            refund_poll_seconds=tuple(wait / speed for wait in self.refund_poll_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLine:
    """Units of an order's line; lines count from 1."""

    line_no: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The input of `AfterSale`: what a customer wants back, and why."""

    after_sale_id: str
    order_id: str
    actor: str
    request_id: str
    lines: tuple[AskedLine, ...]
    delivery_fee: bool
    reason_code: str
    evidence: tuple[str, ...]
    """Ids of what was uploaded before."""
    timers: AfterSaleTimers
    auto_approve_fen: int
    """Up to here a merchant's silence agrees."""
    approval_limit_fen: int
    """Above it support needs a second person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterSaleCommand(Command):
    """The customer's, merchant's or support's answer."""

    reason_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide(AfterSaleCommand):
    """Support's decision: `approve` or `reject`."""

    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterSaleStep(Step):
    """One step of an after-sale."""

    after_sale_id: str
    reason_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterSaleSaid:
    """An after-sale as committed; the order's events up to `seq` tell it."""

    after_sale_id: str
    order_id: str
    state: str
    amount_fen: int
    seq: int
    outcome: str = "done"
    """`approval_requested` where a second person must agree."""
    refund_nos: tuple[str, ...] = ()
    agreed_by: str = ""
    """Who of support waits for a second person."""


ASK = act("after_sales.ask", Ask, AfterSaleSaid)
APPROVE = act("after_sales.approve", AfterSaleStep, AfterSaleSaid)
REJECT = act("after_sales.reject", AfterSaleStep, AfterSaleSaid)
ESCALATE = act("after_sales.escalate", AfterSaleStep, AfterSaleSaid)
REQUEST_APPROVAL = act("after_sales.request_approval", AfterSaleStep, AfterSaleSaid)
DECLINE = act("after_sales.decline", AfterSaleStep, AfterSaleSaid)
REMIND = act("after_sales.remind", AfterSaleStep, AfterSaleSaid)
