"""Payouts from approval to the riders' accounts: real rows, Temporal and the sandbox's bank."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import Client

from domain.contracts.payouts import PayoutOrder, PayoutSaid
from domain.ids import payout_workflow
from services import laws, payouts
from services.bank.accounts import Account
from services.bank.payouts import Payouts
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess
from tests.services.bank.conftest import World
from tests.services.test_payouts import decide, lines, owed, propose, town
from workers.queues import FINANCE, Tools
from workers.serve import worker
from workers.sweep import Sweep
from workers.temporal import Workflows
from workflows.payout import Payout

PATIENCE_SECONDS = 30
POLL_SECONDS = (0.2,)


@dataclass
class Desk:
    """The gateways, but for the keys: every batch is paid by this account."""

    payouts: Payouts
    payer: Account

    def account(self, *_: str) -> Account:
        return self.payer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = MerchantServer()
    sandbox = SandboxProcess(tmp_path_factory.mktemp("bank"), server.port)
    sandbox.start()
    tls = sandbox.home / "tls"
    server.serve(tls / f"{PUBLIC_NAME}.pem", tls / f"{PUBLIC_NAME}.key")
    sandbox.call("PUT", "/settings", speed=100)
    yield World(sandbox, server)
    sandbox.stop()
    server.close()


@pytest.fixture
async def client(temporal_settings: Settings) -> Client:
    return await Workflows(temporal_settings).client()


@pytest.fixture
async def desk(world: World, database: Database, client: Client) -> AsyncIterator[Desk]:
    trust = ssl.create_default_context(cafile=str(world.sandbox.home / "ca.pem"))
    proxy = world.sandbox.proxy
    async with httpx.AsyncClient(proxy=proxy, verify=trust, trust_env=False) as http:
        desk = Desk(payouts=Payouts(http), payer=world.account())
        tools = Tools(database=database, gateways=cast("Gateways", desk))
        async with worker(client, FINANCE, tools):
            yield desk


async def approved(
    database: Database, site_id: str, world: World, **outcomes: str
) -> tuple[str, dict[str, str]]:
    """A batch of 50.00 for each rider, and their tokens at the bank; each ends as told there."""
    await town(database, site_id, **dict.fromkeys(outcomes, 5_000))
    tokens = {
        rider: world.control("payees", outcome=outcome)["payee"]
        for rider, outcome in outcomes.items()
    }
    async with database.write() as writer:
        for rider, token in tokens.items():
            await writer.run(
                text("UPDATE riders SET payee = :p WHERE site_id = :s AND rider_id = :r"),
                {"p": token, "s": site_id, "r": rider},
            )
    batch_id = (await propose(database, site_id)).batch_id
    await decide(database, site_id, batch_id)
    return batch_id, tokens


async def run(client: Client, batch_id: str, **more: float) -> str:
    order = PayoutOrder(batch_id=batch_id, poll_seconds=POLL_SECONDS, **more)
    async with asyncio.timeout(PATIENCE_SECONDS):
        said: PayoutSaid = await client.execute_workflow(
            Payout.run, order, id=payout_workflow(batch_id), task_queue=FINANCE.name
        )
    return said.state


def paid(world: World, token: str) -> int:
    fen: int = world.sandbox.call("GET", f"/bank/balances/{token}")["balance_fen"]
    return fen


async def tickets(database: Database, site_id: str) -> list[Any]:
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT kind, owner, data FROM tickets WHERE site_id = :s"), {"s": site_id}
        )
    return [(row.kind, row.owner, row.data.get("reason") or row.data["code"]) for row in rows]


async def test_riders_are_paid_and_who_could_not_be_is_owed_again(
    world: World, database: Database, client: Client, desk: Desk, site_id: str
) -> None:
    batch_id, tokens = await approved(database, site_id, world, amy="SUCCESS", ben="FAILED")
    world.control("fund", account=desk.payer.account, amount_fen=10_000)
    assert await run(client, batch_id) == "finished"
    balances = await owed(database, site_id)
    assert (balances["rider:amy"], balances["rider:ben"]) == (0, 5_000)
    assert balances[f"platform:{site_id}:bank"] == -5_000
    assert {rider: paid(world, token) for rider, token in tokens.items()} == {
        "amy": 5_000,
        "ben": 0,
    }
    found = await lines(database, batch_id)
    assert (found["amy"].state, found["ben"].reason) == ("success", "ACCOUNT_CLOSED")
    assert found["amy"].transfer_id
    failed = [("payout_failed", "finance", "ACCOUNT_CLOSED")]
    assert await tickets(database, site_id) == failed
    assert await run(client, batch_id) == "finished"
    assert (await owed(database, site_id), await tickets(database, site_id)) == (balances, failed)


@pytest.mark.parametrize("fault", ["drop_after_commit", "http_500"])
async def test_a_batch_in_doubt_is_asked_after_and_paid_once(
    *, world: World, database: Database, client: Client, desk: Desk, site_id: str, fault: str
) -> None:
    batch_id, tokens = await approved(database, site_id, world, amy="SUCCESS")
    world.control("fund", account=desk.payer.account, amount_fen=10_000)
    world.spoil(desk.payer, "transfer", fault)
    assert await run(client, batch_id) == "finished"
    assert paid(world, tokens["amy"]) == 5_000
    assert paid(world, desk.payer.account) == 5_000
    assert (await owed(database, site_id))["rider:amy"] == 0


async def test_a_batch_that_lost_its_workflow_goes_on_where_it_was(
    *,
    world: World,
    database: Database,
    client: Client,
    desk: Desk,
    site_id: str,
    temporal_settings: Settings,
) -> None:
    batch_id, tokens = await approved(database, site_id, world, amy="PROCESSING")
    world.control("fund", account=desk.payer.account, amount_fen=10_000)
    sweep = Sweep(database, Workflows(temporal_settings))
    handle = client.get_workflow_handle(payout_workflow(batch_id))
    for _ in range(2):
        await sweep.payouts()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while paid(world, desk.payer.account) != 5_000:  # noqa: ASYNC110  the bank tells nobody
                await asyncio.sleep(0.05)
        await handle.terminate()
    assert (await owed(database, site_id))[f"payout:{site_id}:in_flight"] == 5_000
    [line] = (await lines(database, batch_id)).values()
    world.control(
        f"transfers/{line.line_id}/resolve",
        account=desk.payer.account,
        status="SUCCESS",
        reason="",
    )
    assert await run(client, batch_id) == "finished"
    assert paid(world, tokens["amy"]) == 5_000
    async with database.read() as reader:
        assert batch_id not in await payouts.open_batches(reader)


async def test_what_the_bank_refuses_for_too_long_is_owed_again(
    world: World, database: Database, client: Client, desk: Desk, site_id: str
) -> None:
    assert paid(world, desk.payer.account) == 0
    batch_id, _ = await approved(database, site_id, world, amy="SUCCESS")
    assert await run(client, batch_id, give_up_seconds=0) == "finished"
    assert (await owed(database, site_id))["rider:amy"] == 5_000
    assert await tickets(database, site_id) == [("payout_failed", "finance", "INSUFFICIENT_FUNDS")]
    async with database.read() as reader:
        assert [one.law for one in await laws.check(reader, site_id) if one.broken] == []
