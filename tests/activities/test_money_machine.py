"""A machine over an order's money: acts in any order, repeated, in doubt; the laws hold throughout.

PAOTUI_MACHINE_EXAMPLES: how many stories it tells; a failing one is told again by its blob.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from temporalio.exceptions import ApplicationError

from domain.after_sale import UNDECIDED
from domain.contracts.after_sales import AfterSaleStep, AfterSaleTimers, Ask, AskedLine
from domain.contracts.life import PayWishes
from domain.contracts.orders import EndStep, ReassignStep, RefundStep, RiderStep, Step
from domain.contracts.payments import Attempt, Found, OfOrder, Poll, Settle, StoreAttempt
from domain.contracts.refunds import REFUND_ENDS, EndRefund, FollowRefund, RefundOf
from domain.contracts.settlement import FollowSplit, SettlementOf, SplitNow, Splitting
from domain.orders import COOKING, FINAL, Payment, Status
from domain.settlement import SPLITS_MAX
from services.db import Database
from services.payments import ARRIVED, OVER
from tests.bazaar import (
    DISCOUNT_FEN,
    LINES,
    METHODS,
    RIDER,
    Bazaar,
    Payees,
    accepting,
    enrol,
    once,
    outside,
)
from tests.sandbox.outside import SandboxProcess

EXAMPLES = int(os.environ.get("PAOTUI_MACHINE_EXAMPLES", "12"))
STEPS = 30
ORDERS_MAX, ATTEMPTS_MAX = 2, 4
PATIENCE_TRIES = 200
PAUSE_SECONDS = 0.02
REFUSALS = {"action_not_allowed", "credit_too_low", "payment_refused", "not_found"}
CHANNELS = st.sampled_from(sorted(METHODS))
PLACED: dict[str, st.SearchStrategy[Any]] = {
    "channel": CHANNELS,
    "credit_fen": st.sampled_from((0, 0, 700, 99_999)),
    "discount_fen": st.sampled_from((0, DISCOUNT_FEN)),
    "far": st.integers(0, 5),
}
OPERATIONS = ("*", "create", "query", "close", "capture", "refund", "refund_query", "split")
MORE_PLACED: dict[str, st.SearchStrategy[Any]] = {
    "channel": CHANNELS,
    "credit_fen": st.sampled_from((0, 0, 700, 99_999)),
    "discount_fen": st.sampled_from((0, DISCOUNT_FEN)),
    "far": st.integers(0, 5),
}
OPERATIONS = ("*", "split_query", "unfreeze", "split_return", "split_return_query", "receivers")
FAULTS = (
    {"fault": "drop_before"},
    {"fault": "drop_after_commit"},
    {"fault": "http_500"},
    {"fault": "http_500", "after_commit": True},
    {"fault": "http_202"},
    {"fault": "system_error"},
    {"fault": "bad_signature"},
)
CAN_END = frozenset(Status) - FINAL - {Status.DELIVERED}
PAID = frozenset(Status) - FINAL - {Status.AWAITING_PAYMENT}
REASONS = ("customer_cancelled", "merchant_rejected", "payment_expired", "support_cancelled")
AFTER_SALE = ("quality", "damaged", "other")
ANSWERS = ("approve", "reject", "escalate", "request_approval", "decline")
SETTLED = "1 split, received and refunded add up to what came for a settled order"
TABLES = {
    "orders": "placed_at",
    "payment_attempts": "attempt",
    "refunds": "created_at, out_refund_no",
    "after_sales": "asked_at",
    "settlements": "created_at",
    "inbox": "id",
}
T = TypeVar("T")
Act = Callable[[Any], Any]


class Refused(Exception):
    """An act said no, which changes nothing."""


@dataclass(slots=True)
class Sale:
    """An order, and what its workflows know of their stories."""

    order_id: str
    ending: EndStep | None = None
    stage: str = "split"
    asked: str = ""
    tries: int = 0
    disputes: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """What all stories share."""

    runner: asyncio.Runner
    database: Database
    sandbox: SandboxProcess
    home: Path
    payees: Payees
    told: Counter[str]


class Money(RuleBasedStateMachine):
    """One site's orders; each rule is what somebody may do now, or do again."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        # Cards are looked for among an account's latest: each story has accounts of its own.
        payees = {**stage.payees, **enrol(stage.sandbox, stage.home, ("card",))}
        self.world = self.run(Bazaar.build(stage.database, stage.sandbox, stage.home, payees))
        self.sales: list[Sale] = []
        self.rows: dict[str, list[Any]] = {}
        self.done: list[tuple[Act, Any]] = []
        self.tries: Counter[Any] = Counter()
        self.disputes: list[tuple[Any, Sale]] = []

    # How a rule acts -------------------------------------------------------------------------

    def run(self, work: Any) -> Any:
        return self.stage.runner.run(work)

    def do(self, act: Callable[[Any], Any], value: Any) -> Any:
        """One more try: the answer, or None, and it may or may not have happened."""
        name = act.__name__
        self.stage.told[name] += 1
        self.tries[name, value] += 1
        try:
            answer = self.run(once(act, value, self.tries[name, value]))
        except ApplicationError as error:
            note(f"    {name}, try {self.tries[name, value]}: {error.type}")
            if not error.non_retryable:
                self.stage.told["in doubt"] += 1
                self._keep(act, value)
                return None
            if error.type not in REFUSALS:
                raise
            del self.tries[name, value]
            raise Refused(error.type) from error
        note(f"    {name}: {answer}")
        del self.tries[name, value]
        self._keep(act, value)
        return answer

    def insist(self, act: Callable[[Any], Any], value: Any) -> Any:
        """Until it is certain."""
        for _ in range(PATIENCE_TRIES):
            answer = self.do(act, value)
            if answer is not None:
                return answer
            time.sleep(PAUSE_SECONDS)
        raise TimeoutError(act.__name__, value)

    def _keep(self, act: Act, value: Any) -> None:
        if (act, value) not in self.done:
            self.done.append((act, value))

    def look(self) -> None:
        """What is committed by now."""
        self.rows = self.run(self._look())

    async def _look(self) -> dict[str, list[Any]]:
        return {
            table: await self.world.all(
                f"SELECT * FROM {table} WHERE site_id = :site ORDER BY {by}"  # noqa: S608
            )
            for table, by in TABLES.items()
        }

    def of(self, table: str, sale: Sale) -> list[Any]:
        return [row for row in self.rows[table] if row.order_id == sale.order_id]

    def row(self, sale: Sale) -> Any:
        return self.of("orders", sale)[0]

    def among(self, *statuses: Status) -> list[Sale]:
        """Orders in one of these states that nobody is ending."""
        return [
            sale for sale in self.sales if sale.ending is None and self.row(sale).status in statuses
        ]

    @staticmethod
    def one(data: st.DataObject, things: Sequence[T]) -> T:
        return things[data.draw(st.integers(0, len(things) - 1))]

    # Paying ----------------------------------------------------------------------------------

    @initialize(**PLACED)
    def begin(self, **how: Any) -> None:
        self._place(**how)

    @precondition(lambda self: len(self.sales) < ORDERS_MAX)
    @rule(**PLACED)
    def place(self, **how: Any) -> None:
        self._place(**how)

    def _place(self, channel: str, credit_fen: int, discount_fen: int, far: int) -> None:
        """A new order, and its first so many steps as they should go."""
        order = self.run(
            self.world.order(channel, credit_fen=credit_fen, discount_fen=discount_fen)
        )
        self.do(self.world.orders.reserve, order)
        sale = Sale(order.order_id)
        self.sales.append(sale)
        self.look()
        for attempt in self.of("payment_attempts", sale):
            self._open(attempt)
        steps = {
            Status.AWAITING_PAYMENT: self._pay_first,
            Status.AWAITING_ACCEPTANCE: self._accept,
            Status.PREPARING: self._pick_up,
            Status.DELIVERING: self._deliver,
            Status.DELIVERED: self._complete,
        }
        for status in [*steps][:far]:
            self.look()
            if sale in self.among(status):
                steps[status](sale)

    def _pay_first(self, sale: Sale) -> None:
        first = self.of("payment_attempts", sale)[0]
        self.world.pay(first)
        self._hear(first.out_trade_no)

    @precondition(lambda self: self.among(Status.AWAITING_PAYMENT))
    @rule(data=st.data(), channel=CHANNELS)
    def open_another(self, data: st.DataObject, channel: str) -> None:
        sale = self.one(data, self.among(Status.AWAITING_PAYMENT))
        number = len(self.of("payment_attempts", sale)) + 1
        if number > ATTEMPTS_MAX:
            return
        wanted = StoreAttempt(
            order_id=sale.order_id,
            attempt=number,
            channel=channel,
            method=METHODS[channel],
            wishes=PayWishes(),
        )
        self._open(self.do(self.world.payments.store_attempt, wanted))

    @precondition(lambda self: self._unopened())
    @rule(data=st.data())
    def insist_on_opening(self, data: st.DataObject) -> None:
        self._open(self.one(data, self._unopened()))

    def _unopened(self) -> list[Any]:
        return [
            attempt
            for sale in self.among(Status.AWAITING_PAYMENT)
            for attempt in self.of("payment_attempts", sale)
            if attempt.state in {"created", "unknown"}
        ]

    def _open(self, attempt: Any) -> None:
        named = Attempt(order_id=attempt.order_id, out_trade_no=attempt.out_trade_no)
        with suppress(Refused):
            self.do(self.world.payments.open, named)

    @precondition(lambda self: self.rows["payment_attempts"])
    @rule(data=st.data(), how=st.sampled_from(("", "", "", "late", "wrong")), told=st.booleans())
    def pay(self, data: st.DataObject, how: str, told: bool) -> None:
        attempt = self.one(data, self.rows["payment_attempts"])
        more: dict[str, Any] = {}
        if attempt.channel != "card":
            more = {"late": {"cleared_late": True}, "wrong": {"amount_fen": 1_234}}.get(how, {})
        self.world.pay(attempt, **more)
        if told:
            self._hear(attempt.out_trade_no)

    @precondition(lambda self: self.rows["payment_attempts"])
    @rule(data=st.data())
    def notice(self, data: st.DataObject) -> None:
        self._hear(self.one(data, self.rows["payment_attempts"]).out_trade_no)

    def _hear(self, out_trade_no: str) -> None:
        """A notice, stored and applied."""
        notice_id = self.run(self.world.notice(out_trade_no))
        self._settle_all(Found(notice_ids=(notice_id,) if notice_id else ()))

    @precondition(lambda self: self.among(Status.AWAITING_PAYMENT))
    @rule(data=st.data())
    def poll(self, data: st.DataObject) -> None:
        sale = self.one(data, self.among(Status.AWAITING_PAYMENT))
        found = self.do(
            self.world.payments.poll, Poll(order_id=sale.order_id, waits_seconds=(1.0,))
        )
        self._settle_all(found)

    @precondition(lambda self: self.rows["inbox"])
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        fact = self.one(data, self.rows["inbox"])
        self.do(self.world.payments.settle, Settle(order_id=fact.order_id, notice_id=fact.id))

    @precondition(lambda self: self._paid())
    @rule(data=st.data())
    def close_others(self, data: st.DataObject) -> None:
        sale = self.one(data, self._paid())
        others = OfOrder(order_id=sale.order_id, keep_held=True)
        self._settle_all(self.do(self.world.payments.close, others))

    def _paid(self) -> list[Sale]:
        return [sale for sale in self.sales if self.row(sale).status != Status.AWAITING_PAYMENT]

    def _settle_all(self, found: Any) -> None:
        self.look()
        for notice_id in found.notice_ids if found else ():
            [order_id] = [fact.order_id for fact in self.rows["inbox"] if fact.id == notice_id]
            self.do(self.world.payments.settle, Settle(order_id=order_id, notice_id=notice_id))

    # The order's life ------------------------------------------------------------------------

    @precondition(lambda self: self._held())
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        self._capture(self.one(data, self._held()))

    def _held(self) -> list[Sale]:
        started = self.among(*PAID)
        return [sale for sale in started if self.row(sale).payment == Payment.AUTHORIZED]

    def _capture(self, sale: Sale) -> None:
        try:
            found = self.do(self.world.payments.capture, OfOrder(order_id=sale.order_id))
        except Refused:
            sale.ending = _end(sale, "payment_refused")
        else:
            self._settle_all(found)

    @precondition(lambda self: self.among(Status.AWAITING_ACCEPTANCE))
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        self._accept(self.one(data, self.among(Status.AWAITING_ACCEPTANCE)))

    def _accept(self, sale: Sale) -> None:
        if self.row(sale).payment == Payment.AUTHORIZED:
            self._capture(sale)
        if sale.ending is None:
            self.do(self.world.orders.mark_accepted, accepting(sale.order_id))

    @precondition(lambda self: self.among(*COOKING))
    @rule(data=st.data())
    def pick_up(self, data: st.DataObject) -> None:
        self._pick_up(self.one(data, self.among(*COOKING)))

    def _pick_up(self, sale: Sale) -> None:
        given = ReassignStep(order_id=sale.order_id, key="given", rider_id=RIDER)
        self.do(self.world.support.reassign, given)
        self.do(self.world.orders.mark_picked_up, _by_rider(sale, "picked_up"))

    @precondition(lambda self: self.among(Status.DELIVERING))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self._deliver(self.one(data, self.among(Status.DELIVERING)))

    def _deliver(self, sale: Sale) -> None:
        self.do(self.world.orders.mark_delivered, _by_rider(sale, "delivered"))

    @precondition(lambda self: self.among(Status.DELIVERED))
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        self._complete(self.one(data, self.among(Status.DELIVERED)))

    def _complete(self, sale: Sale, do: Act | None = None) -> None:
        """What is still held is taken first, as `Recover` does."""
        do = do or self.do
        if self.row(sale).payment == Payment.AUTHORIZED:
            found = do(self.world.payments.close, OfOrder(order_id=sale.order_id))
            if found is None:
                return
            self._settle_all(found)
        do(self.world.orders.complete, Step(order_id=sale.order_id, key="completed"))

    @precondition(lambda self: self._may_end())
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def cancel(self, data: st.DataObject, reason: str) -> None:
        sale = self.one(data, self._may_end())
        unpaid = self.row(sale).status == Status.AWAITING_PAYMENT
        if sale.ending is None and (unpaid or reason != "payment_expired"):
            sale.ending = _end(sale, reason)
        if sale.ending is not None:
            self._end(sale, self.do)

    def _may_end(self) -> list[Sale]:
        return [sale for sale in self.sales if self.row(sale).status in CAN_END]

    def _end(self, sale: Sale, do: Act) -> None:
        """Close at the gateway, query, and only then release: as the order's workflow does."""
        assert sale.ending is not None
        found: Any = None
        row = self.row(sale)
        if row.status == Status.AWAITING_PAYMENT or row.payment == Payment.AUTHORIZED:
            found = do(self.world.payments.close, OfOrder(order_id=sale.order_id))
            if found is None:
                return
        in_time = sale.ending.reason == "payment_expired" and found and found.notice_ids
        if in_time:
            self._settle_all(found)
            self.look()
        if not in_time or self.row(sale).status == Status.AWAITING_PAYMENT:
            do(self.world.orders.end, sale.ending)
        sale.ending = None
        if not in_time:
            self._settle_all(found)

    # Money back ------------------------------------------------------------------------------

    @precondition(lambda self: self.among(*PAID))
    @rule(data=st.data(), fen=st.sampled_from((1, 99, 1_000, 2_500, 3_630)))
    def refund_amount(self, data: st.DataObject, fen: int) -> None:
        sale = self.one(data, self.among(*PAID))
        key = f"support_refund:{len(self.of('refunds', sale))}:{fen}"
        step = RefundStep(order_id=sale.order_id, key=key, amount_fen=fen, reason="test")
        with suppress(Refused):
            self.do(self.world.support.refund_part, step)

    @precondition(lambda self: self._delivered())
    @rule(
        data=st.data(),
        line=st.integers(1, len(LINES)),
        quantity=st.integers(1, 3),
        fee=st.booleans(),
        reason=st.sampled_from(AFTER_SALE),
    )
    def ask(self, data: st.DataObject, line: int, quantity: int, fee: bool, reason: str) -> None:
        sale = self.one(data, self._delivered())
        wish = Ask(
            after_sale_id=f"{sale.order_id[:20]}{len(self.of('after_sales', sale))}",
            order_id=sale.order_id,
            actor="customer:ann",
            request_id="",
            lines=(AskedLine(line_no=line, quantity=quantity),),
            delivery_fee=fee,
            reason_code=reason,
            evidence=(),
            timers=AfterSaleTimers(),
            auto_approve_fen=500,
            approval_limit_fen=1_500,
        )
        with suppress(Refused):
            self.do(self.world.after_sales.ask, wish)

    def _delivered(self) -> list[Sale]:
        done = {Status.DELIVERED, Status.COMPLETED}
        return [sale for sale in self.sales if self.row(sale).status in done]

    @precondition(lambda self: self._wishes())
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def answer(self, data: st.DataObject, answer: str) -> None:
        wish = self.one(data, self._wishes())
        step = AfterSaleStep(
            order_id=wish.order_id,
            key=f"after_sale:{wish.after_sale_id}:{answer}",
            after_sale_id=wish.after_sale_id,
        )
        with suppress(Refused):
            self.do(getattr(self.world.after_sales, answer), step)

    def _wishes(self) -> list[Any]:
        return [wish for wish in self.rows["after_sales"] if wish.state in UNDECIDED]

    @precondition(lambda self: self.rows["refunds"])
    @rule(data=st.data())
    def bring_home(self, data: st.DataObject) -> None:
        self._bring_home(self.one(data, self.rows["refunds"]).out_refund_no, self.do)

    def _bring_home(self, number: str, do: Act) -> None:
        said = do(self.world.refunds.request, RefundOf(out_refund_no=number))
        if said and said.state not in REFUND_ENDS:
            follow = FollowRefund(out_refund_no=number, waits_seconds=(0.02,))
            said = do(self.world.refunds.follow, follow)
        if said:
            do(self.world.refunds.finish, EndRefund(out_refund_no=number, state=said.state))

    # After the end ---------------------------------------------------------------------------

    @precondition(lambda self: self._unsettled())
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        self._split(self.one(data, self._unsettled()), self.do)

    def _unsettled(self) -> list[Sale]:
        known = {row.order_id for row in self.rows["settlements"]}
        return [sale for sale in self.sales if sale.order_id in known and sale.stage != "done"]

    def _split(self, sale: Sale, do: Act) -> None:
        """The next act of `workflows.settlement`, or the same once more."""
        acts, of = self.world.settlement, SettlementOf(order_id=sale.order_id)
        if sale.stage in {"split", "follow"}:
            follow = FollowSplit(
                order_id=sale.order_id, out_order_no=sale.asked, waits_seconds=(0.02,)
            )
            said = do(acts.split, of) if sale.stage == "split" else do(acts.follow, follow)
            sale.stage = sale.stage if said is None else self._after(sale, said)
        elif sale.stage == "unfreeze":
            sale.stage = "unfreeze" if do(acts.unfreeze, of) is None else "finish"
        else:
            do(acts.finish, of)
            sale.stage = "done"

    @staticmethod
    def _after(sale: Sale, said: SplitNow) -> str:
        if said.state == Splitting.ASKED:
            sale.asked = said.out_order_no
            return "follow"
        if said.state == Splitting.CLOSED:
            sale.tries += 1
            return "split" if sale.tries < SPLITS_MAX else "unfreeze"
        return "finish" if said.state == Splitting.NONE else "unfreeze"

    @precondition(lambda self: self._disputable())
    @rule(data=st.data())
    def dispute(self, data: st.DataObject) -> None:
        sale, attempt = self.one(data, self._disputable())
        account = self.world.payees["shop", "card"]["mchid"]
        named = {"account": account, "out_trade_no": attempt.out_trade_no}
        answer = self.stage.sandbox.control.post("/control/card/disputes", json=named)
        if answer.status_code == 409:
            return  # all of it went back before
        sale.disputes += 1
        self.disputes.append((answer.json(), sale))
        self.run(self.world.hear(answer.json()))

    def _disputable(self) -> list[tuple[Sale, Any]]:
        return [
            (sale, attempt)
            for sale in self.sales
            if not sale.disputes
            for attempt in self.of("payment_attempts", sale)
            if attempt.channel == "card" and attempt.state in ARRIVED
        ]

    @precondition(lambda self: self.disputes)
    @rule(data=st.data(), decision=st.sampled_from(("", "win", "lose")))
    def decide(self, data: st.DataObject, decision: str) -> None:
        self._decide(data.draw(st.integers(0, len(self.disputes) - 1)), decision)

    def _decide(self, number: int, decision: str) -> None:
        """The bank's word; without one, what it said before comes once more."""
        known, sale = self.disputes[number]
        if decision and known["status"] == "needs_response":
            account = self.world.payees["shop", "card"]["mchid"]
            path = f"/card/disputes/{known['id']}/{decision}"
            known = self.stage.sandbox.call("POST", path, account=account)
            self.disputes[number] = known, sale
        self.run(self.world.hear(known))

    # What goes wrong -------------------------------------------------------------------------

    @rule(
        operation=st.just("*") | st.sampled_from(OPERATIONS),
        script=st.sampled_from(FAULTS),
    )
    def arm(self, operation: str, script: dict[str, Any]) -> None:
        self.stage.sandbox.fault(operation, **script)

    @rule(reason=st.sampled_from(("ACCOUNT_ABNORMAL", None)))
    def let_shares_fail(self, reason: str | None) -> None:
        platform = self.world.payees["platform", "wechat"]["mchid"]
        self.stage.sandbox.call("PUT", "/receivers", account=platform, fail_reason=reason)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        act, value = self.one(data, self.done)
        with suppress(Refused):
            self.do(act, value)

    # What must hold --------------------------------------------------------------------------

    @invariant()
    def laws_hold(self) -> None:
        self.stage.told["steps"] += 1
        self.look()
        assert self._broken() == []

    def _broken(self) -> list[tuple[str, str]]:
        """Laws and what breaks them; nobody yet owes a merchant what banks took once it settled."""
        disputed = [sale.order_id for sale in self.sales if sale.disputes]
        return [
            (verdict.law, one)
            for verdict in self.run(self.world.broken())
            for one in verdict.broken
            if verdict.law != SETTLED or not any(order_id in one for order_id in disputed)
        ]

    def teardown(self) -> None:
        try:
            self.stage.sandbox.call("DELETE", "/faults")
            self.let_shares_fail(None)
            if sys.exc_info()[0] is None:
                self._go_home()
                self._assert_at_rest()
                self.stage.told["examples"] += 1
        finally:
            self.run(self.world.gateways.close())

    def _go_home(self) -> None:
        """Every story to its end: orders, disputes, late money, settlements, refunds."""
        self.look()
        for sale in self.sales:
            if sale.ending is None and self.row(sale).status in CAN_END:
                sale.ending = _end(sale, "support_cancelled")
            if sale.ending is not None:
                self._end(sale, self.insist)
                self.look()
            if self.row(sale).status == Status.DELIVERED:
                self._complete(sale, self.insist)
        for number in range(len(self.disputes)):
            self._decide(number, "lose")
        self.run(self.world.expire())
        for sale in self.sales:
            of_order = OfOrder(order_id=sale.order_id)
            self._settle_all(self.insist(self.world.payments.close, of_order))
        self.look()
        for attempt in self.rows["payment_attempts"]:
            self.run(self.world.notice(attempt.out_trade_no))
        self.look()
        for fact in self.rows["inbox"]:
            self.insist(
                self.world.payments.settle, Settle(order_id=fact.order_id, notice_id=fact.id)
            )
        self.look()
        while unsettled := self._unsettled():
            self._split(unsettled[0], self.insist)
        self.run(self.world.resolve_tickets())
        self.look()
        for refund in self.rows["refunds"]:
            self._bring_home(refund.out_refund_no, self.insist)

    def _assert_at_rest(self) -> None:
        self.look()
        assert self._broken() == []
        oracle = self.world.moved()
        verdict = self.run(self.world.told(oracle))
        assert verdict.broken == []
        moved = {one["out_trade_no"]: one for one in oracle}
        assert {row.state for row in self.rows["payment_attempts"]} <= OVER
        for sale in self.sales:
            self._assert_home(sale, moved)

    def _assert_home(self, sale: Sale, moved: dict[str, Any]) -> None:
        """By the channels' own word: one payment is kept at most, and none of a cancelled order."""
        row = self.row(sale)
        assert row.ended_at is not None
        trades = [moved.get(one.out_trade_no) for one in self.of("payment_attempts", sale)]
        known = [one for one in trades if one]
        assert all(one["refunded_fen"] <= one["paid_fen"] for one in known)
        assert not [one for one in known if one["trade_state"] == "AUTHORIZED"]
        if sale.disputes:
            return  # what was charged back can't be refunded: people look at it
        assert {refund.state for refund in self.of("refunds", sale)} <= {"success"}
        kept = [one for one in known if one["paid_fen"] > one["refunded_fen"]]
        assert len(kept) <= (row.status == Status.COMPLETED)
        shares = self.run(
            self.world.all(
                """SELECT j.order_id, e.account,
                  sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END)::bigint AS fen
                FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
                WHERE j.site_id = :site AND j.order_id = :order_id AND e.account SIMILAR TO
                  '(suspense|refund)\\:%|platform\\:%\\:receivable|order\\:%' GROUP BY 1, 2""",
                order_id=sale.order_id,
            )
        )
        split_fen = sum(one.get("split_fen", 0) - one.get("returned_fen", 0) for one in known)
        left = {share.account.rpartition(":")[2]: share.fen for share in shares if share.fen}
        if not any(one.channel == "alipay" for one in self.of("payment_attempts", sale)):
            assert left == ({"receivable": split_fen} if split_fen else {})


def _end(sale: Sale, reason: str) -> EndStep:
    always = reason == "support_cancelled"
    return EndStep(order_id=sale.order_id, key="ended", reason=reason, even_after_pickup=always)


def _by_rider(sale: Sale, key: str) -> RiderStep:
    return RiderStep(order_id=sale.order_id, key=key, rider_id=RIDER, token=1)


@pytest.fixture(scope="module")
def stage(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("machine")
    with outside(tmp_path_factory.mktemp("outside")) as sandbox, asyncio.Runner() as runner:
        database = Database(postgres_url)
        payees = enrol(sandbox, home)
        yield Stage(runner, database, sandbox, home, payees, Counter())
        runner.run(database.close())


@pytest.mark.timeout(0)
def test_money_is_exact_in_any_order(stage: Stage) -> None:
    try:
        run_state_machine_as_test(
            lambda: Money(stage),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        print(dict(stage.told))
