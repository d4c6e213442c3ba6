"""After-sale's acts on a real PostgreSQL: never more than was paid, whoever asks at once."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.after_sales import AfterSaleActs
from activities.orders import OrderActs
from activities.refunds import RefundActs, open_refund
from domain import allocation, ledger
from domain.books import account
from domain.contracts.orders import Step
from domain.contracts.refunds import EndRefund
from services import after_sales, events, laws
from services import ledger as books
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.sold import DELIVERY_FEN, GOODS_FEN, MCHID, PACKING_FEN, PAID_FEN, Sales, step


@pytest.fixture
async def sales(database: Database, site_id: str) -> Sales:
    return await Sales(database, site_id).build()


@pytest.fixture
def acts(database: Database) -> AfterSaleActs:
    return AfterSaleActs(database, {})


async def refused(call: Coroutine[Any, Any, Any]) -> dict[str, Any]:
    """The facts of a refusal."""
    with pytest.raises(ApplicationError) as error:
        await call
    assert error.value.type == "action_not_allowed"
    return dict(error.value.details[0])


async def complete(database: Database, order_id: str) -> None:
    await OrderActs(database).complete(Step(order_id=order_id, key="completed"))


async def assert_laws(database: Database, site_id: str) -> None:
    async with database.snapshot() as reader:
        verdicts = await laws.check(reader, site_id)
    unfolded = "7 events fold to the state", "7 seq is gapless from 1"
    assert [one for one in verdicts if one.broken and one.law not in unfolded] == []


async def test_a_wish_is_kept_once_and_told(sales: Sales, acts: AfterSaleActs) -> None:
    order_id = await sales.order()
    ask = sales.asked(order_id, (1, 1), delivery_fee=True)
    said = await acts.ask(ask)
    assert (said.state, said.amount_fen) == ("asked", 334 + 10 + DELIVERY_FEN)
    assert await acts.ask(ask) == said
    view = (await sales.stream(order_id)).view
    assert (view["after_sale"], view["after_sale_id"]) == ("asked", ask.after_sale_id)
    again = await refused(acts.ask(sales.asked(order_id, (1, 3))))
    assert again["reason"] == "nothing_left"
    assert again["left_lines"][0] == {"line_no": 1, "quantity": 2}
    assert again["left_delivery_fee_fen"] == 0


async def test_too_late_and_unknown_are_refused(sales: Sales, acts: AfterSaleActs) -> None:
    order_id = await sales.order(delivered_ago=timedelta(hours=25))
    late = await refused(acts.ask(sales.asked(order_id, (1, 1))))
    assert late["reason"] == "after_deadline"
    assert (await acts.ask(sales.asked(order_id, (1, 1), reason_code="food_safety"))).state
    with pytest.raises(ApplicationError) as unknown:
        await acts.ask(sales.asked(order_id, (1, 1), reason_code="because"))
    assert unknown.value.type == "validation_failed"


async def test_wishes_at_once_share_what_there_is(sales: Sales, acts: AfterSaleActs) -> None:
    order_id = await sales.order()
    asks = [acts.ask(sales.asked(order_id, (1, 1))) for _ in range(10)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    kept = [one for one in answers if not isinstance(one, BaseException)]
    assert sorted(one.amount_fen for one in kept) == [343, 343, 344]


async def test_while_the_order_lives_its_own_money_goes_back(
    sales: Sales, acts: AfterSaleActs, database: Database
) -> None:
    order_id = await sales.order()
    ask = sales.asked(order_id, (2, 1))
    await acts.ask(ask)
    approved = step(ask, "approved")
    said = await acts.approve(approved)
    assert await acts.approve(approved) == said
    assert (said.state, len(said.refund_nos)) == ("approved", 1)
    assert (await sales.row(order_id)).refunded_fen == 2_100
    told = await sales.all("SELECT body FROM facts WHERE order_id = :id", id=order_id)
    assert [row.body["payment"] for row in told] == ["refunding"]
    await complete(database, order_id)
    payable = account("merchant", merchant_id=sales.merchant_id).code
    assert await sales.balance(payable) == GOODS_FEN + PACKING_FEN - 2_100
    assert await sales.balance(account("expense", site_id=sales.site_id).code) == 0
    assert await sales.balance(account("delivery", site_id=sales.site_id).code) == DELIVERY_FEN
    assert (await sales.stream(order_id)).view["after_sale"] == "approved"
    await assert_laws(database, sales.site_id)


async def test_a_riders_fault_leaves_the_merchant_paid(
    sales: Sales, acts: AfterSaleActs, database: Database
) -> None:
    order_id = await sales.order()
    ask = sales.asked(order_id, (2, 1), reason_code="damaged", delivery_fee=True)
    assert (await acts.ask(ask)).state == "escalated"
    [ticket] = await sales.all("SELECT kind FROM tickets WHERE order_id = :id", id=order_id)
    assert ticket.kind == "after_sale"
    await acts.approve(step(ask, "approved", "support:sue"))
    await complete(database, order_id)
    payable = account("merchant", merchant_id=sales.merchant_id).code
    assert await sales.balance(payable) == GOODS_FEN + PACKING_FEN
    await assert_laws(database, sales.site_id)


async def test_after_the_end_it_is_the_merchants_money_or_the_platform_stands_in(
    sales: Sales, acts: AfterSaleActs, database: Database
) -> None:
    order_id = await sales.order()
    first, second = sales.asked(order_id, (2, 1)), sales.asked(order_id, (1, 3))
    for ask in (first, second):
        await acts.ask(ask)
    await complete(database, order_id)
    payable = account("merchant", merchant_id=sales.merchant_id).code
    await acts.approve(step(first, "approved"))
    assert await sales.balance(payable) == GOODS_FEN + PACKING_FEN - 2_100
    await withdraw(sales, GOODS_FEN + PACKING_FEN - 2_100)
    await acts.approve(step(second, "approved"))
    assert await sales.balance(account("expense", site_id=sales.site_id).code) == 1_030
    tickets = await sales.all("SELECT kind FROM tickets WHERE order_id = :id", id=order_id)
    assert [row.kind for row in tickets] == ["merchant_owes"]
    sources = await sales.all("SELECT source FROM refunds WHERE order_id = :id", id=order_id)
    assert sorted(row.source for row in sources) == ["merchant", "platform"]
    await assert_laws(database, sales.site_id)


async def withdraw(sales: Sales, amount_fen: int) -> None:
    """The merchant takes all they have."""
    paid_out = ledger.Journal(
        key=f"{sales.site_id}/payout",
        event="test",
        site_id=sales.site_id,
        order_id="none",
        postings=(
            ledger.Posting(
                account=account("merchant", merchant_id=sales.merchant_id),
                side=ledger.Side.DEBIT,
                amount_fen=amount_fen,
            ),
            ledger.Posting(
                account=account("clearing", channel="wechat", mchid=MCHID),
                side=ledger.Side.CREDIT,
                amount_fen=amount_fen,
            ),
        ),
    )
    async with sales.database.write() as writer:
        await books.post(writer, paid_out)


async def test_the_end_of_its_refund_is_the_wishs_end(
    sales: Sales, acts: AfterSaleActs, database: Database, tmp_path: Any
) -> None:
    order_id = await sales.order()
    ask = sales.asked(order_id, (2, 1))
    await acts.ask(ask)
    [number] = (await acts.approve(step(ask, "approved"))).refund_nos
    await complete(database, order_id)
    gateways = Gateways(Settings(home=tmp_path))
    finish = RefundActs(database, gateways).finish
    await finish(EndRefund(out_refund_no=number, state="abnormal"))
    assert (await sales.stream(order_id)).view["after_sale"] == "delayed"
    await finish(EndRefund(out_refund_no=number, state="success"))
    await gateways.close()
    view = (await sales.stream(order_id)).view
    assert (view["after_sale"], view["payment"]) == ("refunded", "partially_refunded")
    assert view["refunded_fen"] == 2_100
    [wish] = await sales.all("SELECT state FROM after_sales WHERE order_id = :id", id=order_id)
    assert wish.state == "refunded"
    await assert_laws(database, sales.site_id)


async def test_what_support_gave_meanwhile_is_not_given_twice(
    sales: Sales, acts: AfterSaleActs, database: Database
) -> None:
    order_id = await sales.order()
    some, rest = sales.asked(order_id, (2, 1)), sales.asked(order_id, (1, 3))
    for ask in (some, rest):
        await acts.ask(ask)
    async with database.write() as writer:
        stream = await sales.stream(order_id)
        await open_refund(
            writer, stream, cause="support", reason="goodwill", amount_fen=PAID_FEN - 100
        )
    assert (await acts.approve(step(some, "approved"))).amount_fen == 100
    assert (await acts.approve(step(rest, "approved"))).state == "declined"
    assert (await sales.row(order_id)).refunded_fen == PAID_FEN
    await assert_laws(database, sales.site_id)


async def test_a_stored_discount_comes_back_with_its_bearer(
    sales: Sales, acts: AfterSaleActs, database: Database
) -> None:
    off = {"code": "c", "name": "满减", "bearer": "platform", "amount_fen": 363}
    order_id = await sales.order(paid_fen=PAID_FEN - 363, discounts=[off])
    async with database.read() as reader:
        left = (await after_sales.sold(reader, order_id)).left
    assert (sum(part.platform_fen for part in left), allocation.paid_fen(left)) == (363, 3_267)
    ask = sales.asked(order_id, (1, 3), (2, 1), delivery_fee=True)
    assert (await acts.ask(ask)).amount_fen == PAID_FEN - 363


@pytest.mark.parametrize("ended", [False, True])
async def test_twenty_refunds_at_once_never_exceed_what_was_paid(
    sales: Sales, database: Database, *, ended: bool
) -> None:
    order_id = await sales.order()
    if ended:
        await complete(database, order_id)
    stream = await sales.stream(order_id)

    async def give(number: int) -> str | None:
        async with database.write() as writer:
            await events.lock(writer, order_id)
            return await open_refund(
                writer,
                stream,
                cause=f"one:{number}",
                reason="test",
                amount_fen=700,
                source="merchant" if ended and number % 2 else "platform" if ended else "held",
            )

    numbers = await asyncio.gather(*(give(number) for number in range(20)))
    opened = [number for number in numbers if number]
    assert len(opened) == len(set(opened)) == PAID_FEN // 700
    assert (await sales.row(order_id)).refunded_fen == 700 * len(opened) <= PAID_FEN
    await assert_laws(database, sales.site_id)
