"""Tips after delivery, against the real sandbox: the rider's whole, or home by themselves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.payments import EXPIRY_MARGIN
from activities.tips import TipActs
from domain import ids
from domain.channels import Bill, BillKind, BillRow
from domain.contracts.life import PayWishes
from domain.contracts.orders import ReassignStep, RiderStep, Step
from domain.contracts.payments import Attempt, OfOrder, Poll, Settle, Settled
from domain.contracts.refunds import EndRefund, RefundOf, RefundState
from domain.contracts.settlement import FollowSplit, SettlementOf, Splitting
from domain.contracts.tips import GiveTip
from domain.prices import TIP_MAX_FEN
from domain.reconciliation import CHINA
from domain.settlement import PLATFORM
from services import earnings, events, payments, reconciliation
from services.db import Database
from tests.bazaar import (
    DELIVERY_FEN,
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
from tests.till import retried

CHANNELS = ("wechat", "alipay", "bank")
ON_ITS_WAY = (RefundState.CREATED, RefundState.PROCESSING)
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Home:
    """What the tests of this file share."""

    sandbox: SandboxProcess
    folder: Path
    payees: Payees


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("tips")
    with outside(tmp_path_factory.mktemp("outside")) as sandbox:
        yield Home(sandbox, folder, enrol(sandbox, folder, CHANNELS))


@pytest.fixture
async def bazaar(database: Database, home: Home) -> AsyncIterator[Bazaar]:
    made = await Bazaar.build(database, home.sandbox, home.folder, home.payees)
    yield made
    await made.gateways.close()


async def delivered(bazaar: Bazaar, channel: str = "wechat") -> str:
    """A paid order that its rider has handed over; its id."""
    order = await bazaar.order(channel, credit_fen=0, discount_fen=0, tip_fen=0)
    of = order.order_id
    await once(bazaar.orders.reserve, order)
    number = ids.out_trade_no(of, 1)
    await once(bazaar.payments.open, Attempt(order_id=of, out_trade_no=number))
    assert (await money(bazaar, number, whose="shop")).outcome == "paid"
    await once(bazaar.orders.mark_accepted, accepting(of))
    await once(bazaar.support.reassign, ReassignStep(order_id=of, key="given", rider_id=RIDER))
    for act in (bazaar.orders.mark_picked_up, bazaar.orders.mark_delivered):
        step = RiderStep(order_id=of, key=act.__name__, rider_id=RIDER, token=1)
        await once(act, step)
    return of


def tip_of(order_id: str, amount_fen: int, channel: str = "wechat", key: str = "k") -> GiveTip:
    return GiveTip(
        order_id=order_id,
        out_trade_no=ids.tip_no(order_id, key),
        amount_fen=amount_fen,
        channel=channel,
        method=METHODS[channel],
        wishes=PayWishes(),
        pay_by=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=15),
        notice_seconds=30,
        poll_seconds=(5,),
        refund_poll_seconds=(60,),
    )


async def opened(bazaar: Bazaar, tip: GiveTip) -> Attempt:
    """The customer can pay it."""
    attempt = await once(TipActs(bazaar.database).store, tip)
    await once(bazaar.payments.open, attempt)
    return attempt


async def money(bazaar: Bazaar, number: str, *, whose: str = PLATFORM, **more: Any) -> Settled:
    """The customer pays, the channel says so, and it is applied."""
    async with bazaar.database.read() as reader:
        paying = await payments.paying(reader, number)
    bazaar.pay(paying, whose, **more)
    notice_id = await bazaar.notice(number)
    assert notice_id is not None
    return await once(bazaar.payments.settle, Settle(order_id=paying.order_id, notice_id=notice_id))


async def home_again(bazaar: Bazaar, refund_nos: tuple[str, ...]) -> None:
    """The refund's way, as its workflow goes it."""
    [number] = refund_nos
    state = str(RefundState.CREATED)
    while state in ON_ITS_WAY:
        await asyncio.sleep(PAUSE_SECONDS)
        state = (await once(bazaar.refunds.request, RefundOf(out_refund_no=number), 2)).state
    assert state == RefundState.SUCCESS
    await once(bazaar.refunds.finish, EndRefund(out_refund_no=number, state=state))


async def settle(bazaar: Bazaar, order_id: str) -> None:
    """The order's money is shared out, as `workflows.settlement` does it."""
    acts, of = bazaar.settlement, SettlementOf(order_id=order_id)
    said = await retried(acts.split, of)
    if said.state == Splitting.ASKED:
        number = said.out_order_no
        follow = FollowSplit(order_id=order_id, out_order_no=number, waits_seconds=(0.02,))
        said = await retried(acts.follow, follow)
    assert said.state == Splitting.SUCCESS
    await retried(acts.unfreeze, of)
    await acts.finish(of)


async def assert_kept(bazaar: Bazaar) -> None:
    """Every law, and the books are what truly moved."""
    assert await bazaar.broken() == []
    assert (await bazaar.told(bazaar.moved("shop", PLATFORM))).broken == []


async def earned(bazaar: Bazaar) -> dict[str, int]:
    """What the rider is shown of today's only order."""
    now = datetime.now(UTC)
    async with bazaar.database.read() as reader:
        [one] = await earnings.of_day(
            reader,
            site_id=bazaar.site_id,
            rider_id=RIDER,
            since=now - timedelta(hours=1),
            until=now + timedelta(hours=1),
        )
    return one.parts


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_tip_is_its_riders_and_no_part_of_the_order(bazaar: Bazaar, channel: str) -> None:
    order_id = await delivered(bazaar, channel)
    tips = [tip_of(order_id, fen, channel, key) for key, fen in (("a", 300), ("b", 200))]
    for tip in tips:
        await opened(bazaar, tip)
        assert (await opened(bazaar, tip)).out_trade_no == tip.out_trade_no
        for _ in range(2):
            assert (await money(bazaar, tip.out_trade_no)).outcome == "paid"
    assert await earned(bazaar) == {"fee": DELIVERY_FEN, "tip": 500}
    words = await bazaar.all(
        "SELECT message FROM outbox WHERE order_id = :id AND message ->> 'type' = 'tip.given'"
        " ORDER BY id",
        id=order_id,
    )
    heard = [(row.message["rider_id"], row.message["amount_fen"]) for row in words]
    assert heard == [(RIDER, 300), (RIDER, 200)]
    async with bazaar.database.read() as reader:
        told = await events.since(reader, order_id, 0)
        assert [one["data"] for one in told if one["type"] == "order.tipped"] == [
            {"tipped_fen": 300},
            {"tipped_fen": 500},
        ]
        assert [one.attempt for one in await payments.attempts(reader, order_id)] == [1]
    await assert_kept(bazaar)
    await once(bazaar.orders.complete, Step(order_id=order_id, key="completed"))
    [row] = await bazaar.all(
        "SELECT total_fen = paid_fen AS paid, refunded_fen FROM orders WHERE order_id = :id",
        id=order_id,
    )
    assert tuple(row) == (True, 0)
    [settling] = await bazaar.all(
        "SELECT out_trade_no FROM settlements WHERE order_id = :id", id=order_id
    )
    assert settling.out_trade_no == ids.out_trade_no(order_id, 1)
    await settle(bazaar, order_id)
    await assert_kept(bazaar)


async def test_more_than_may_be_given_and_what_nobody_delivered_is_refused(
    bazaar: Bazaar,
) -> None:
    order_id = await delivered(bazaar)
    await opened(bazaar, tip_of(order_id, TIP_MAX_FEN - 100, key="a"))
    with pytest.raises(ApplicationError) as refused:
        await opened(bazaar, tip_of(order_id, 101, key="b"))
    assert (refused.value.type, refused.value.details[0]["most_fen"]) == ("validation_failed", 100)
    await once(
        bazaar.payments.close,
        OfOrder(order_id=order_id, out_trade_no=ids.tip_no(order_id, "a")),
    )
    await opened(bazaar, tip_of(order_id, 101, key="b"))
    await once(bazaar.orders.complete, Step(order_id=order_id, key="completed"))
    with pytest.raises(ApplicationError) as refused:
        await opened(bazaar, tip_of(order_id, 1, key="c"))
    assert refused.value.type == "action_not_allowed"
    order = await bazaar.order("wechat", credit_fen=0, discount_fen=0, tip_fen=0)
    await once(bazaar.orders.reserve, order)
    with pytest.raises(ApplicationError) as refused:
        await opened(bazaar, tip_of(order.order_id, 1))
    assert refused.value.type == "action_not_allowed"
    await assert_kept(bazaar)


@pytest.mark.parametrize(
    ("settled", "more", "outcome"),
    [(True, {}, "late"), (False, {"amount_fen": 123}, "frozen")],
)
async def test_what_comes_too_late_or_wrong_goes_home(
    bazaar: Bazaar, *, settled: bool, more: dict[str, Any], outcome: str
) -> None:
    order_id = await delivered(bazaar)
    tip = tip_of(order_id, 300)
    await opened(bazaar, tip)
    if settled:
        await once(bazaar.orders.complete, Step(order_id=order_id, key="completed"))
    done = await money(bazaar, tip.out_trade_no, **more)
    assert done.outcome == outcome
    assert (await bazaar.left(order_id)).get("in_flight")
    await home_again(bazaar, done.refund_nos)
    assert await earned(bazaar) == {"fee": DELIVERY_FEN}
    left = await bazaar.left(order_id)
    assert not {"in_flight", "late"} & left.keys()
    await assert_kept(bazaar)


async def test_one_that_nobody_pays_is_watched_and_closed(bazaar: Bazaar) -> None:
    order_id = await delivered(bazaar)
    tip = tip_of(order_id, 300)
    await opened(bazaar, tip)
    for out_trade_no in (tip.out_trade_no, ""):
        poll = Poll(order_id=order_id, waits_seconds=(1,), out_trade_no=out_trade_no)
        with pytest.raises(ApplicationError, match="nothing paid yet"):
            await once(bazaar.payments.poll, poll)
    this = OfOrder(order_id=order_id, out_trade_no=tip.out_trade_no)
    assert (await once(bazaar.payments.close, OfOrder(order_id=order_id))).notice_ids == ()
    bazaar.pay(await paying(bazaar, tip), PLATFORM)
    found = await once(bazaar.payments.close, this)
    [notice_id] = found.notice_ids
    done = await once(bazaar.payments.settle, Settle(order_id=order_id, notice_id=notice_id))
    assert done.outcome == "paid"
    unpaid = tip_of(order_id, 100, "alipay", "unpaid")
    await opened(bazaar, unpaid)
    this = OfOrder(order_id=order_id, out_trade_no=unpaid.out_trade_no)
    assert (await once(bazaar.payments.close, this)).close_again_seconds > 0
    assert (await paying(bazaar, unpaid)).state == "watched"
    async with bazaar.database.write() as writer:
        await writer.run(
            text("UPDATE payment_attempts SET expires_at = :at WHERE out_trade_no = :number"),
            {"at": datetime.now(UTC) - EXPIRY_MARGIN, "number": unpaid.out_trade_no},
        )
    assert (await once(bazaar.payments.close, this)).close_again_seconds == 0
    assert (await paying(bazaar, unpaid)).state == "closed"
    await assert_kept(bazaar)


async def paying(bazaar: Bazaar, tip: GiveTip) -> payments.Paying:
    async with bazaar.database.read() as reader:
        return await payments.paying(reader, tip.out_trade_no)


async def test_the_platforms_bill_matches_and_its_fee_is_the_platforms(bazaar: Bazaar) -> None:
    order_id = await delivered(bazaar)
    tip = tip_of(order_id, 1_000)
    await opened(bazaar, tip)
    await money(bazaar, tip.out_trade_no)
    [row] = await bazaar.all(
        "SELECT transaction_id, paid_at FROM payment_attempts WHERE out_trade_no = :number",
        number=tip.out_trade_no,
    )
    line = BillRow(
        out_trade_no=tip.out_trade_no,
        transaction_id=row.transaction_id,
        kind="payment",
        amount_fen=1_000,
        fee_fen=6,
        state="success",
        at=row.paid_at,
    )
    day = row.paid_at.astimezone(CHINA).date()
    bill = Bill(kind=BillKind.TRADE, sha256="a", trades=(line,))
    account_id = f"{bazaar.site_id}-{PLATFORM}-wechat"
    async with bazaar.database.write() as writer:
        who = await reconciliation.payee(writer, account_id)
        await reconciliation.keep_bill(writer, who, day, bill)
        await reconciliation.compare(writer, who, day)
        assert await reconciliation.of_day(writer, account_id, day) == []
    [booked] = await bazaar.all(
        """SELECT sum(amount_fen)::bigint AS fen FROM ledger_entries
        WHERE site_id = :site AND account = 'merchant\\:platform\\:channel_fees'"""
    )
    assert booked.fen == 6
    await assert_kept(bazaar)
