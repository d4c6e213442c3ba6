"""A machine over an order's money: acts in any order, repeated, in doubt; the laws hold throughout.

PAOTUI_MACHINE_EXAMPLES: how many stories it tells; a failing one is told again by its blob.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.contracts.after_sales import AfterSaleStep, AfterSaleTimers, Ask, AskedLine
from domain.contracts.life import PayWishes
from domain.contracts.orders import RefundStep
from domain.contracts.payments import OfOrder, Poll, Settle, StoreAttempt
from domain.orders import COOKING, Status
from services.db import Database
from services.payments import OVER
from tests.bazaar import (
    DISCOUNT_FEN,
    LINES,
    METHODS,
    TIP_FEN,
    enrol,
    outside,
)
from tests.driving import PAID, Driven, Refused, Sale, Stage, ending

EXAMPLES = int(os.environ.get("PAOTUI_MACHINE_EXAMPLES", "12"))
BATCH = 12
"""Stories of one run: their world has clocks, so a long run would tell a story again and differ."""
STEPS = 30
ORDERS_MAX, ATTEMPTS_MAX = 2, 4
CHANNELS = st.sampled_from(sorted(METHODS))
PLACED = st.fixed_dictionaries(
    {
        "channel": CHANNELS,
        "credit_fen": st.sampled_from((0, 0, 700, 99_999)),
        "discount_fen": st.sampled_from((0, DISCOUNT_FEN)),
        "tip_fen": st.sampled_from((0, TIP_FEN)),
        "far": st.integers(0, 5),
    }
)
OPERATIONS = (
    *("create", "query", "close", "capture", "refund", "refund_query", "receivers"),
    *("split", "split_query", "unfreeze", "split_return", "split_return_query"),
)
FAULTS = (
    {"fault": "drop_before"},
    {"fault": "drop_after_commit"},
    {"fault": "http_500"},
    {"fault": "http_500", "after_commit": True},
    {"fault": "http_202"},
    {"fault": "system_error"},
    {"fault": "bad_signature"},
)
REASONS = ("customer_cancelled", "merchant_rejected", "payment_expired", "support_cancelled")
AFTER_SALE = ("quality", "damaged", "other")
ANSWERS = ("approve", "reject", "escalate", "request_approval", "decline")


class Money(Driven):
    """Each rule is what somebody may do now, or do again."""

    # Paying ----------------------------------------------------------------------------------

    @initialize(how=PLACED)
    def begin(self, how: dict[str, Any]) -> None:
        self.sell(**how)

    @precondition(lambda self: len(self.sales) < ORDERS_MAX)
    @rule(how=PLACED)
    def place(self, how: dict[str, Any]) -> None:
        self.sell(**how)

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
        self.open_attempt(self.do(self.world.payments.store_attempt, wanted))

    @precondition(lambda self: self.unopened())
    @rule(data=st.data())
    def insist_on_opening(self, data: st.DataObject) -> None:
        self.open_attempt(self.one(data, self.unopened()))

    @precondition(lambda self: self.rows["payment_attempts"])
    @rule(data=st.data(), how=st.sampled_from(("", "", "", "late", "wrong")), told=st.booleans())
    def pay(self, data: st.DataObject, *, how: str, told: bool) -> None:
        attempt = self.one(data, self.rows["payment_attempts"])
        wrong: dict[str, dict[str, Any]] = {
            "late": {"cleared_late": True},
            "wrong": {"amount_fen": 1_234},
        }
        more = {} if attempt.channel == "card" else wrong.get(how, {})
        self.world.pay(attempt, **more)
        if told:
            self.hear_of(attempt.out_trade_no)

    @precondition(lambda self: self.rows["payment_attempts"])
    @rule(data=st.data())
    def notice(self, data: st.DataObject) -> None:
        self.hear_of(self.one(data, self.rows["payment_attempts"]).out_trade_no)

    @precondition(lambda self: self.among(Status.AWAITING_PAYMENT))
    @rule(data=st.data())
    def poll(self, data: st.DataObject) -> None:
        sale = self.one(data, self.among(Status.AWAITING_PAYMENT))
        found = self.do(
            self.world.payments.poll, Poll(order_id=sale.order_id, waits_seconds=(1.0,))
        )
        self.settle_all(found)

    @precondition(lambda self: self.rows["inbox"])
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        fact = self.one(data, self.rows["inbox"])
        self.do(self.world.payments.settle, Settle(order_id=fact.order_id, notice_id=fact.id))

    @precondition(lambda self: self.paid())
    @rule(data=st.data())
    def close_others(self, data: st.DataObject) -> None:
        sale = self.one(data, self.paid())
        others = OfOrder(order_id=sale.order_id, keep_held=True)
        self.settle_all(self.do(self.world.payments.close, others))

    # The order's life ------------------------------------------------------------------------

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        self.capture_held(self.one(data, self.held()))

    @precondition(lambda self: self.among(Status.AWAITING_ACCEPTANCE))
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        self.accept_sale(self.one(data, self.among(Status.AWAITING_ACCEPTANCE)))

    @precondition(lambda self: self.among(*COOKING))
    @rule(data=st.data())
    def pick_up(self, data: st.DataObject) -> None:
        self.hand_to_rider(self.one(data, self.among(*COOKING)))

    @precondition(lambda self: self.among(Status.DELIVERING))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self.hand_over(self.one(data, self.among(Status.DELIVERING)))

    @precondition(lambda self: self.among(Status.DELIVERED))
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        self.complete_sale(self.one(data, self.among(Status.DELIVERED)))

    @precondition(lambda self: self.may_end())
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def cancel(self, data: st.DataObject, reason: str) -> None:
        sale = self.one(data, self.may_end())
        unpaid = self.row(sale).status == Status.AWAITING_PAYMENT
        if sale.ending is None and (unpaid or reason != "payment_expired"):
            sale.ending = ending(sale, reason)
        if sale.ending is not None:
            self.end_early(sale, self.do)

    # Money back ------------------------------------------------------------------------------

    @precondition(lambda self: self.among(*PAID))
    @rule(data=st.data(), fen=st.sampled_from((1, 99, 1_000, 2_500, 3_630)))
    def refund_amount(self, data: st.DataObject, fen: int) -> None:
        sale = self.one(data, self.among(*PAID))
        key = f"support_refund:{len(self.of('refunds', sale))}:{fen}"
        step = RefundStep(order_id=sale.order_id, key=key, amount_fen=fen, reason="test")
        with suppress(Refused):
            self.do(self.world.support.refund_part, step)

    @precondition(lambda self: self.delivered())
    @rule(
        data=st.data(),
        line=st.integers(1, len(LINES)),
        quantity=st.integers(1, 3),
        fee=st.booleans(),
        reason=st.sampled_from(AFTER_SALE),
    )
    def ask(self, data: st.DataObject, *, line: int, quantity: int, fee: bool, reason: str) -> None:
        sale = self.one(data, self.delivered())
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

    @precondition(lambda self: self.wishes())
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def answer(self, data: st.DataObject, answer: str) -> None:
        wish = self.one(data, self.wishes())
        step = AfterSaleStep(
            order_id=wish.order_id,
            key=f"after_sale:{wish.after_sale_id}:{answer}",
            after_sale_id=wish.after_sale_id,
        )
        with suppress(Refused):
            self.do(getattr(self.world.after_sales, answer), step)

    @precondition(lambda self: self.rows["refunds"])
    @rule(data=st.data())
    def bring_home(self, data: st.DataObject) -> None:
        self.refund_on(self.one(data, self.rows["refunds"]).out_refund_no, self.do)

    # After the end ---------------------------------------------------------------------------

    @precondition(lambda self: self.unsettled())
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        self.settle_on(self.one(data, self.unsettled()), self.do)

    @precondition(lambda self: self.disputable())
    @rule(data=st.data())
    def dispute(self, data: st.DataObject) -> None:
        sale, attempt = self.one(data, self.disputable())
        account = self.world.payees["shop", "card"]["mchid"]
        named = {"account": account, "out_trade_no": attempt.out_trade_no}
        answer = self.stage.sandbox.control.post("/control/card/disputes", json=named)
        if answer.status_code == 409:
            return  # all of it went back before
        sale.disputes += 1
        self.disputes.append((answer.json(), sale))
        self.run(self.world.hear(answer.json()))

    @precondition(lambda self: self.disputes)
    @rule(data=st.data(), decision=st.sampled_from(("", "win", "lose")))
    def decide(self, data: st.DataObject, decision: str) -> None:
        self.decide_dispute(data.draw(st.integers(0, len(self.disputes) - 1)), decision)

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
        assert self.broken() == []

    def teardown(self) -> None:
        try:
            self.stage.sandbox.call("DELETE", "/faults")
            self.let_shares_fail(None)
            if sys.exc_info()[0] is None:
                self.go_home()
                self._assert_at_rest()
                self.stage.told["examples"] += 1
        finally:
            self.run(self.world.gateways.close())

    def _assert_at_rest(self) -> None:
        self.look()
        assert self.broken() == []
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
        split_fen = sum(one.get("split_fen", 0) - one.get("returned_fen", 0) for one in known)
        left = self.run(self.world.left(sale.order_id))
        if not any(one.channel == "alipay" for one in self.of("payment_attempts", sale)):
            assert left == ({"receivable": split_fen} if split_fen else {})


@pytest.fixture(scope="module")
def stage(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("machine")
    with outside(tmp_path_factory.mktemp("outside")) as sandbox, asyncio.Runner() as runner:
        database = Database(postgres_url)
        payees = enrol(sandbox, home)
        yield Stage(runner, database, sandbox, home, payees, Counter())
        runner.run(database.close())


@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(0, EXAMPLES, BATCH))
def test_money_is_exact_in_any_order(stage: Stage, first: int) -> None:
    Money.stage = stage
    try:
        run_state_machine_as_test(
            Money,
            settings=settings(
                max_examples=min(BATCH, EXAMPLES - first),
                stateful_step_count=STEPS,
                deadline=None,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        sys.stdout.write(f"{dict(stage.told)}\n")
