"""An abnormal refund on its second way home, over the real sandbox; money is booked once."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from activities.refunds import RefundActs
from domain.channels import BankCard
from domain.contracts.refunds import EndRefund, FollowRefund, RefundOf
from domain.errors import ActionNotAllowed
from services import personal, refunds
from services.db import Database
from tests.sandbox.outside import SandboxProcess, free_ports
from tests.till import Till, retried

pytestmark = pytest.mark.usefixtures("personal_key")
CARD = BankCard(bank_type="CMB_DEBIT", number="6225880000000000", name="canary Li")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The gateways; nobody hears their callbacks."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("again"), *free_ports(1))
    sandbox.start()
    sandbox.call("PUT", "/settings", speed=1_000, refund_seconds=1)
    yield sandbox
    sandbox.stop()


@pytest.fixture
async def till(
    database: Database, site_id: str, outside: SandboxProcess, tmp_path: Path
) -> AsyncIterator[Till]:
    made = await Till.build(database, site_id, outside, "wechat", tmp_path)
    habits = {"speed": 1_000, "refund_seconds": 1, "refund_outcome": "ABNORMAL"}
    outside.call("PUT", f"/merchants/{made.sales.mchid}/settings", **habits)
    yield made
    await made.gateways.close()


async def followed(till: Till, number: str) -> str:
    """The story of `workflows.refund`, without its notices."""
    acts = RefundActs(till.database, till.gateways)
    said = await retried(acts.request, RefundOf(out_refund_no=number))
    if said.state == "processing":
        follow = FollowRefund(out_refund_no=number, waits_seconds=(0.02,))
        said = await retried(acts.follow, follow)
    return (await acts.finish(EndRefund(out_refund_no=number, state=said.state))).state


async def send_again(till: Till, number: str, request_id: str = "r") -> refunds.Refunding:
    async with till.database.write() as writer:
        by = {"actor": "finance:fay", "request_id": request_id, "reason": "card_closed"}
        return await refunds.send_again(writer, number, CARD, **by)


async def test_an_abnormal_refund_goes_to_another_card_and_is_booked_once(till: Till) -> None:
    order_id = await till.sold()
    number = await till.open_refund(order_id, 300, "platform")
    assert await followed(till, number) == "abnormal"
    in_flight = await till.of_order(order_id, "%:refunds_in_flight")
    assert [(await send_again(till, number)).state for _ in range(2)] == ["retrying"] * 2
    with pytest.raises(ActionNotAllowed):
        await send_again(till, number, "another tap")
    assert await till.of_order(order_id, "%:refunds_in_flight") == in_flight
    assert await followed(till, number) == "success"
    async with till.database.read() as reader:
        ended = await refunds.refunding(reader, number)
        assert await refunds.card_of(reader, ended) is None
    assert (ended.state, ended.retries) == ("success", 1)
    assert (await till.moved(order_id))["refunded_fen"] == 300
    [note] = await till.sales.all(
        "SELECT actor, data FROM order_timeline WHERE order_id = :id AND kind = 'refund_retried'",
        id=order_id,
    )
    assert note.actor == "finance:fay"
    assert "canary" not in str(note)
    await till.assert_laws()


async def test_where_no_card_is_known_any_more_a_person_is_told_again(till: Till) -> None:
    order_id = await till.sold()
    number = await till.open_refund(order_id, 300, "platform")
    await followed(till, number)
    sent = await send_again(till, number)
    async with till.database.write() as writer:
        await personal.erase(writer, site_id=sent.site_id, subject=f"customer:{sent.customer_id}")
    assert await followed(till, number) == "abnormal"
    told = await till.sales.all(
        "SELECT key FROM tickets WHERE order_id = :id AND kind = 'refund_abnormal'", id=order_id
    )
    assert len(told) == 2
