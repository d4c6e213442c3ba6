"""Platform credit in an order's acts, on a real PostgreSQL: held, spent, and back after money."""

import asyncio

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.orders import OrderActs
from domain import ids
from services import laws, payments, refunds
from services.db import Database, Writer
from services.gateways import Gateways
from services.settings import Settings
from tests.crediting import TOTAL_FEN, Desk


@pytest.fixture
async def desk(database: Database, site_id: str) -> Desk:
    return await Desk(database, site_id, Gateways(Settings())).build()


async def test_the_channel_pays_the_rest_and_gets_its_money_back_first(desk: Desk) -> None:
    await desk.gift(700)
    order_id = await desk.placed(500)
    assert await desk.left() == 200
    assert (await desk.view(order_id))["credit_fen"] == 500
    await desk.assert_laws()
    assert (await desk.money(order_id)).outcome == "paid"
    assert (await desk.view(order_id))["paid_fen"] == TOTAL_FEN
    await desk.assert_laws()
    assert (await desk.give(order_id, 1_400))[1:] == [1_400, 0, 1_500]
    assert (await desk.give(order_id, 300))[1:] == [100, 200, 1_500]
    assert await desk.left() == 400, "credit is back at once"
    number, *parts = await desk.give(order_id, 250)
    assert parts == [0, 250, 0]
    with pytest.raises(ApplicationError, match="more than what is left"):
        await desk.give(order_id, 51)
    await desk.home(number)
    view = await desk.view(order_id)
    assert (view["payment"], view["refunded_fen"]) == ("refunding", 450)
    done = await desk.end(order_id)
    assert done.status == "cancelled"
    assert await desk.left() == 700
    await desk.assert_laws()


async def test_credit_alone_pays_at_once_and_goes_home_without_a_channel(desk: Desk) -> None:
    await desk.gift(TOTAL_FEN)
    order_id = await desk.placed(TOTAL_FEN)
    view = await desk.view(order_id)
    assert (view["status"], view["payment"]) == ("awaiting_acceptance", "paid")
    assert view["paid_fen"] == TOTAL_FEN
    assert await desk.all("SELECT * FROM payment_attempts WHERE order_id = :id", id=order_id) == []
    told = await desk.all(
        "SELECT type FROM order_events WHERE order_id = :id ORDER BY seq", id=order_id
    )
    assert [row.type for row in told] == ["order.placed", "order.paid"]
    await desk.assert_laws()
    done = await desk.end(order_id)
    assert (done.payment, await desk.left()) == ("refunding", TOTAL_FEN)
    assert await desk.end(order_id) == done, "a repeat names the same refund"
    await desk.home(*done.refund_nos)
    view = await desk.view(order_id)
    assert (view["payment"], view["refunded_fen"]) == ("refunded", TOTAL_FEN)
    await desk.assert_laws()


async def test_what_ends_unpaid_lets_credit_go_and_late_money_leaves_it(desk: Desk) -> None:
    await desk.gift(500)
    order_id = await desk.placed(500)
    assert (await desk.end(order_id)).payment == "unpaid"
    assert await desk.left() == 500
    await desk.assert_laws()
    late = await desk.money(order_id)
    assert (late.outcome, await desk.left()) == ("late", 500)
    [row] = await desk.all(
        "SELECT amount_fen, credit_fen, source FROM refunds WHERE order_id = :id", id=order_id
    )
    assert tuple(row) == (1_500, 0, "suspense")
    await desk.assert_laws()


@pytest.mark.parametrize("came_fen", [100, 9_000])
async def test_a_wrong_amount_goes_home_as_it_came(desk: Desk, came_fen: int) -> None:
    order_id = await desk.placed(0)
    number = ids.out_trade_no(order_id, 1)
    async with desk.database.engine.connect() as connection:
        writer = Writer(connection)
        stream = await payments.order_stream(writer, order_id)
        opened = await refunds.open_refund(
            writer,
            stream,
            cause=f"late:{number}",
            reason="late_payment",
            amount_fen=came_fen,
            late_out_trade_no=number,
        )
        assert opened is not None
        stored = await refunds.refunding(writer, opened.out_refund_no)
        await connection.rollback()
    assert (stored.amount_fen, stored.total_fen, opened.credit_fen) == (came_fen, came_fen, 0)


async def test_what_a_card_holds_spends_credit_only_when_it_is_taken(desk: Desk) -> None:
    await desk.gift(500)
    order_id = await desk.placed(500)
    assert (await desk.money(order_id, state="authorized")).outcome == "authorized"
    await desk.assert_laws()
    assert (await desk.money(order_id)).outcome == "paid"
    assert (await desk.view(order_id))["paid_fen"] == TOTAL_FEN
    await desk.assert_laws()


async def test_one_of_two_orders_gets_the_same_credit(desk: Desk) -> None:
    await desk.gift(900)
    first, second = await desk.order(500), await desk.order(500)
    acts = OrderActs(desk.database)
    answers = await asyncio.gather(
        acts.reserve(first), acts.reserve(second), return_exceptions=True
    )
    [refused] = [one for one in answers if isinstance(one, ApplicationError)]
    assert refused.type == "credit_too_low"
    rows = await desk.all("SELECT order_id FROM orders WHERE site_id = :id", id=desk.site_id)
    assert len(rows) == 1
    await desk.placed(400)
    assert await desk.left() == 0
    await desk.assert_laws()


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        ("UPDATE credit_holds SET state = 'released'", "1 credit is held, spent and let go"),
        ("UPDATE credit_hold_parts SET refunded_fen = 1", "1 credit that went back is what"),
        ("UPDATE credit_grants SET left_fen = left_fen + 1", "1 a customer's credit is what"),
    ],
)
async def test_laws_see_credit_that_is_out_of_step(desk: Desk, spoil: str, law: str) -> None:
    await desk.gift(TOTAL_FEN + 1)
    order_id = await desk.placed(TOTAL_FEN)
    assert (await desk.give(order_id, 500))[1:] == [0, 500, 0]
    await desk.assert_laws()
    which = {
        "credit_hold_parts": "hold_id = :order_id",
        "credit_holds": "order_id = :order_id",
        "credit_grants": "site_id = :site_id",
    }[spoil.split()[1]]
    async with desk.database.engine.connect() as connection:
        writer = Writer(connection)
        named = {"order_id": order_id, "site_id": desk.site_id}
        spoilt = {name: value for name, value in named.items() if f":{name}" in which}
        await writer.run(text(f"{spoil} WHERE {which}"), spoilt)
        broken = [one.law for one in await laws.check(writer, desk.site_id) if one.broken]
        await connection.rollback()
    assert [name for name in broken if name.startswith(law)]
