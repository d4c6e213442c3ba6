"""F12, F13: notices that are forged, and true ones that say what we did not ask for."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.tills import ALL, pay_at
from tests.e2e.world import CANARIES, Json, World, poll
from tests.faults.cases import QUANTITIES, Case, arm, assert_right, beside, place
from tests.faults.mint import mint, secrets_of
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CASES_MIN = 200
MEGABYTE = b"x" * 1_000_000
SEND_AT_ONCE = 8
ALERT_SECONDS = 10.0
LOADED = 3
"""The machine may be shared: the alert comes in so many times as long."""
UNHURRIED = {"notice_seconds": 120}
"""Nothing asks the channels while notices are watched."""
PAY_WRONGLY = ("wechat", "alipay", "bank")
"""Channels whose sandbox lets another amount be paid; Stripe's customers confirm ours."""
TABLES = (
    *("orders", "order_events", "payment_attempts", "refunds", "inbox", "facts", "tickets"),
    "ledger_journals",
)

_ENTRIES = """
SELECT to_jsonb(e)::text AS row FROM ledger_entries e JOIN ledger_journals j ON j.id = e.journal_id
WHERE j.site_id = :site_id
"""
_ROWS = text(
    " UNION ALL ".join(
        (
            _ENTRIES,
            *(
                f"SELECT to_jsonb(t)::text FROM {table} t WHERE site_id = :site_id"  # noqa: S608
                for table in TABLES
            ),
        )
    )
)
_QUARANTINED = text("SELECT count(*) FROM quarantine WHERE account_id = :account_id")
_STRANGER = text("""
SELECT account_id FROM channel_accounts WHERE channel = :channel AND site_id <> :site_id LIMIT 1
""")
_TICKETS = text("SELECT count(*) FROM tickets WHERE order_id = :order_id AND kind = :kind")


@every_seed
async def test_f12_forgeries_are_refused_and_change_nothing(case: Case) -> None:
    """Every channel's corpus over HTTP: 4xx, quarantined, no row touched, no secret logged."""
    world = await case.city(timers=UNHURRIED)
    orders = dict(zip(ALL, await beside(place(world, one) for one in ALL), strict=True))
    corpus = [
        forged
        for channel in ALL
        for forged in _corpus(world, channel, orders[channel], await _stranger(world, channel))
    ]
    assert len(corpus) >= CASES_MIN
    case.dice.shuffle(corpus)
    logs, before = _sizes(world), await _rows(world)

    gate = asyncio.Semaphore(SEND_AT_ONCE)
    seen: Counter[int] = Counter()

    async def send(name: str, path: str, headers: dict[str, str], body: bytes) -> None:
        raw = {key: value.encode() for key, value in headers.items()}
        async with gate:
            answer = await case.stage.api.post(path, headers=raw, content=body)
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        seen[answer.status_code] += 1

    await beside(send(*one) for one in corpus)
    case.say(f"{len(corpus)} forgeries, answered {dict(seen)}")
    assert await _rows(world) == before
    kept = [await _quarantined(world, channel) for channel in ALL]
    # Too large ones aren't read, and what is for another's address is quarantined there.
    assert sum(kept) == len(corpus) - seen[413] - len(ALL)
    said = _said_since(world, logs)
    for secret in (*CANARIES, *(one for channel in ALL for one in secrets_of(world, channel))):
        assert secret not in said
    await assert_right(world, {order["order_id"]: 0 for order in orders.values()})


def _corpus(
    world: World, channel: str, order: Json, stranger: str
) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """What each is, where it is posted, its headers and body."""
    made = mint(world, channel, order)
    path = f"/v1/notify/{channel}/{world.account_of(channel)}"
    for name, headers, body in made.forged():
        yield f"{channel}: {name}", path, headers, body
    headers, body = made.true()
    yield f"{channel}: a megabyte", path, headers, MEGABYTE
    yield f"{channel}: a stranger's address", f"/v1/notify/{channel}/{stranger}", headers, body
    headers, body = made.true(mchid=f"{world.payee(channel)[:-2]}00")
    yield f"{channel}: a stranger's payment", path, headers, body


@every_seed
async def test_f13_a_wrong_amount_is_frozen(case: Case) -> None:
    """What was paid is not what was asked for: a person is told, nobody cooks, it goes home."""
    world = await case.city(timers=UNHURRIED)

    async def life(channel: str) -> tuple[str, int]:
        dice = case.dice_of(channel)
        order = await place(world, channel, dice.randint(1, QUANTITIES))
        asked_fen = int(order["total_fen"])
        wrong = [1, asked_fen - 1, asked_fen + 1, asked_fen * 100, dice.randint(1, asked_fen - 1)]
        paid_fen = dice.choice(wrong)
        case.say(f"{channel}: {paid_fen} fen paid of {asked_fen}")
        await pay_at(world, order, amount_fen=paid_fen)
        await _frozen(case, world, order)
        return order["order_id"], 0

    await assert_right(world, dict(await beside(life(channel) for channel in PAY_WRONGLY)))


@every_seed
async def test_f13_another_application_is_frozen(case: Case) -> None:
    """WeChat signs a payment of the right payee under an application that isn't the order's."""
    world = await case.city(timers=UNHURRIED)
    await arm(world, "wechat", "notify", "lost", times=None)
    order = await place(world, "wechat", case.dice.randint(1, QUANTITIES))
    await pay_at(world, order)
    [moved] = await world.moved("wechat")
    appid = f"wx{case.dice.randrange(16**16):016x}"
    name = moved["transaction_id"]
    headers, body = mint(world, "wechat", order).true(appid=appid, transaction_id=name)
    path = f"/v1/notify/wechat/{world.account_id}"
    answer = await world.api.post(path, headers=headers, content=body)
    assert answer.is_success, answer.text
    await _frozen(case, world, order)
    await assert_right(world, {order["order_id"]: int(order["total_fen"])})


async def _frozen(case: Case, world: World, order: Json) -> None:
    """A ticket for finance in time, and an order that nobody fulfils."""
    which = {"order_id": order["order_id"], "kind": "payment_mismatch"}
    began = time.monotonic()

    async def alerted() -> bool | None:
        async with world.database.read() as reader:
            return bool(await reader.scalar(_TICKETS, which)) or None

    await poll(alerted)
    seconds = time.monotonic() - began
    case.say(f"a ticket after {seconds:.1f} s")
    assert seconds <= ALERT_SECONDS * LOADED
    view = await world.view(order["order_id"])
    assert (view["status"], view["payment"]) == ("awaiting_payment", "unpaid")
    who = world.token("merchant", world.merchant_id)
    path = f"/v1/merchant/orders/{order['order_id']}/accept"
    assert (await world.api.post(path, headers=who)).status_code == 409


async def _stranger(world: World, channel: str) -> str:
    """The address of a payee of another city."""
    async with world.database.read() as reader:
        which = {"channel": channel, "site_id": world.site_id}
        return str(await reader.scalar(_STRANGER, which))


async def _quarantined(world: World, channel: str) -> int:
    async with world.database.read() as reader:
        which = {"account_id": world.account_of(channel)}
        return int(await reader.scalar(_QUARANTINED, which))


async def _rows(world: World) -> list[str]:
    """Everything this city holds of orders and money."""
    async with world.database.read() as reader:
        rows = await reader.all(_ROWS, {"site_id": world.site_id})
    return sorted(row.row for row in rows)


def _sizes(world: World) -> dict[Path, int]:
    logs = world.settings.home / "logs"
    return {path: path.stat().st_size for path in logs.glob("*.log")}


def _said_since(world: World, before: dict[Path, int]) -> str:
    """What any process has written since."""
    said = b""
    for path in _sizes(world):
        with path.open("rb") as log:
            log.seek(before.get(path, 0))
            said += log.read()
    return said.decode(errors="replace")
