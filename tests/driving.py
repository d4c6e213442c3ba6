"""How orders of a bazaar are moved by a machine: each act once more, looked at, driven home."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
)
from temporalio.exceptions import ApplicationError

from domain.after_sale import UNDECIDED
from domain.contracts.orders import EndStep, ReassignStep, RiderStep, Step
from domain.contracts.payments import Attempt, Found, OfOrder, Settle
from domain.contracts.refunds import REFUND_ENDS, EndRefund, FollowRefund, RefundOf
from domain.contracts.settlement import FollowSplit, SettlementOf, SplitNow, Splitting
from domain.orders import FINAL, Payment, Status
from domain.settlement import SPLITS_MAX
from services.db import Database
from services.payments import ARRIVED
from tests.bazaar import (
    RIDER,
    Bazaar,
    Payees,
    accepting,
    enrol,
    once,
)
from tests.sandbox.outside import SandboxProcess

PATIENCE_TRIES = 200
PAUSE_SECONDS = 0.02
REFUSALS = {"action_not_allowed", "credit_too_low", "payment_refused", "not_found"}
CAN_END = frozenset(Status) - FINAL - {Status.DELIVERED}
PAID = frozenset(Status) - FINAL - {Status.AWAITING_PAYMENT}
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
Do = Callable[[Act, Any], Any]


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


class Driven(RuleBasedStateMachine):
    """One site's orders and what is known of them; `do` is one try, `insist` the last word."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        stage = self.stage
        # Cards are looked for among an account's latest: each story has accounts of its own.
        payees = {**stage.payees, **enrol(stage.sandbox, stage.home, ("card",))}
        self.world = self.run(Bazaar.build(stage.database, stage.sandbox, stage.home, payees))
        self.sales: list[Sale] = []
        self.rows: dict[str, list[Any]] = {}
        self.done: list[tuple[Act, Any]] = []
        self.tries: Counter[Any] = Counter()
        self.disputes: list[tuple[Any, Sale]] = []

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

    def sell(
        self, channel: str, credit_fen: int, discount_fen: int, tip_fen: int, far: int
    ) -> None:
        """A new order, and its first so many steps as they should go."""
        order = self.run(
            self.world.order(
                channel, credit_fen=credit_fen, discount_fen=discount_fen, tip_fen=tip_fen
            )
        )
        self.do(self.world.orders.reserve, order)
        sale = Sale(order.order_id)
        self.sales.append(sale)
        self.look()
        for attempt in self.of("payment_attempts", sale):
            self.open_attempt(attempt)
        steps = {
            Status.AWAITING_PAYMENT: self._pay_first,
            Status.AWAITING_ACCEPTANCE: self.accept_sale,
            Status.PREPARING: self.hand_to_rider,
            Status.DELIVERING: self.hand_over,
            Status.DELIVERED: self.complete_sale,
        }
        for status in [*steps][:far]:
            self.look()
            if sale in self.among(status):
                steps[status](sale)

    def _pay_first(self, sale: Sale) -> None:
        first = self.of("payment_attempts", sale)[0]
        self.world.pay(first)
        self.hear_of(first.out_trade_no)

    def unopened(self) -> list[Any]:
        return [
            attempt
            for sale in self.among(Status.AWAITING_PAYMENT)
            for attempt in self.of("payment_attempts", sale)
            if attempt.state in {"created", "unknown"}
        ]

    def open_attempt(self, attempt: Any) -> None:
        named = Attempt(order_id=attempt.order_id, out_trade_no=attempt.out_trade_no)
        with suppress(Refused):
            self.do(self.world.payments.open, named)

    def hear_of(self, out_trade_no: str) -> None:
        """A notice, stored and applied."""
        notice_id = self.run(self.world.notice(out_trade_no))
        self.settle_all(Found(notice_ids=(notice_id,) if notice_id else ()))

    def paid(self) -> list[Sale]:
        return [sale for sale in self.sales if self.row(sale).status != Status.AWAITING_PAYMENT]

    def settle_all(self, found: Any) -> None:
        self.look()
        for notice_id in found.notice_ids if found else ():
            [order_id] = [fact.order_id for fact in self.rows["inbox"] if fact.id == notice_id]
            self.do(self.world.payments.settle, Settle(order_id=order_id, notice_id=notice_id))

    def held(self) -> list[Sale]:
        started = self.among(*PAID)
        return [sale for sale in started if self.row(sale).payment == Payment.AUTHORIZED]

    def capture_held(self, sale: Sale) -> None:
        try:
            found = self.do(self.world.payments.capture, OfOrder(order_id=sale.order_id))
        except Refused:
            sale.ending = ending(sale, "payment_refused")
        else:
            self.settle_all(found)

    def accept_sale(self, sale: Sale) -> None:
        if self.row(sale).payment == Payment.AUTHORIZED:
            self.capture_held(sale)
        if sale.ending is None:
            self.do(self.world.orders.mark_accepted, accepting(sale.order_id))

    def hand_to_rider(self, sale: Sale) -> None:
        given = ReassignStep(order_id=sale.order_id, key="given", rider_id=RIDER)
        self.do(self.world.support.reassign, given)
        self.do(self.world.orders.mark_picked_up, by_rider(sale, "picked_up"))

    def hand_over(self, sale: Sale) -> None:
        self.do(self.world.orders.mark_delivered, by_rider(sale, "delivered"))

    def complete_sale(self, sale: Sale, do: Do | None = None) -> None:
        """What is still held is taken first, as `Recover` does."""
        do = do or self.do
        if self.row(sale).payment == Payment.AUTHORIZED:
            found = do(self.world.payments.close, OfOrder(order_id=sale.order_id))
            if found is None:
                return
            self.settle_all(found)
        do(self.world.orders.complete, Step(order_id=sale.order_id, key="completed"))

    def may_end(self) -> list[Sale]:
        return [sale for sale in self.sales if self.row(sale).status in CAN_END]

    def end_early(self, sale: Sale, do: Do) -> None:
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
            self.settle_all(found)
            self.look()
        if not in_time or self.row(sale).status == Status.AWAITING_PAYMENT:
            do(self.world.orders.end, sale.ending)
        sale.ending = None
        if not in_time:
            self.settle_all(found)

    def delivered(self) -> list[Sale]:
        done = {Status.DELIVERED, Status.COMPLETED}
        return [sale for sale in self.sales if self.row(sale).status in done]

    def wishes(self) -> list[Any]:
        return [wish for wish in self.rows["after_sales"] if wish.state in UNDECIDED]

    def refund_on(self, number: str, do: Do) -> None:
        said = do(self.world.refunds.request, RefundOf(out_refund_no=number))
        if said and said.state not in REFUND_ENDS:
            follow = FollowRefund(out_refund_no=number, waits_seconds=(0.02,))
            said = do(self.world.refunds.follow, follow)
        if said:
            do(self.world.refunds.finish, EndRefund(out_refund_no=number, state=said.state))

    def unsettled(self) -> list[Sale]:
        known = {row.order_id for row in self.rows["settlements"]}
        return [sale for sale in self.sales if sale.order_id in known and sale.stage != "done"]

    def settle_on(self, sale: Sale, do: Do) -> None:
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

    def disputable(self) -> list[tuple[Sale, Any]]:
        return [
            (sale, attempt)
            for sale in self.sales
            if not sale.disputes
            for attempt in self.of("payment_attempts", sale)
            if attempt.channel == "card" and attempt.state in ARRIVED
        ]

    def decide_dispute(self, number: int, decision: str) -> None:
        """The bank's word; without one, what it said before comes once more."""
        known, sale = self.disputes[number]
        if decision and known["status"] == "needs_response":
            account = self.world.payees["shop", "card"]["mchid"]
            path = f"/card/disputes/{known['id']}/{decision}"
            known = self.stage.sandbox.call("POST", path, account=account)
            self.disputes[number] = known, sale
        self.run(self.world.hear(known))

    def broken(self) -> list[tuple[str, str]]:
        """Laws and what breaks them."""
        return [
            (verdict.law, one)
            for verdict in self.run(self.world.broken())
            for one in verdict.broken
        ]

    def go_home(self) -> None:
        """Every story to its end: orders, disputes, late money, settlements, refunds."""
        self.look()
        for sale in self.sales:
            if sale.ending is None and self.row(sale).status in CAN_END:
                sale.ending = ending(sale, "support_cancelled")
            if sale.ending is not None:
                self.end_early(sale, self.insist)
                self.look()
            if self.row(sale).status == Status.DELIVERED:
                self.complete_sale(sale, self.insist)
        for number in range(len(self.disputes)):
            self.decide_dispute(number, "lose")
        self.run(self.world.expire())
        for sale in self.sales:
            of_order = OfOrder(order_id=sale.order_id)
            self.settle_all(self.insist(self.world.payments.close, of_order))
        self.look()
        for attempt in self.rows["payment_attempts"]:
            self.run(self.world.notice(attempt.out_trade_no))
        self.look()
        for fact in self.rows["inbox"]:
            self.insist(
                self.world.payments.settle, Settle(order_id=fact.order_id, notice_id=fact.id)
            )
        self.look()
        while unsettled := self.unsettled():
            self.settle_on(unsettled[0], self.insist)
        self.run(self.world.resolve_tickets())
        self.look()
        for refund in self.rows["refunds"]:
            self.refund_on(refund.out_refund_no, self.insist)


def ending(sale: Sale, reason: str) -> EndStep:
    always = reason == "support_cancelled"
    return EndStep(order_id=sale.order_id, key="ended", reason=reason, even_after_pickup=always)


def by_rider(sale: Sale, key: str) -> RiderStep:
    return RiderStep(order_id=sale.order_id, key=key, rider_id=RIDER, token=1)
