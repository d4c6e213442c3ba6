"""Platform credit on a real PostgreSQL: against a model, under races, and in the books."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from domain.credit import CreditNotHeld, CreditRefundTooMuch
from domain.errors import DomainError, IdempotencyConflict, NotFound
from domain.ledger import Journal
from services import credit
from services.credit import Grant, Hold, Refund
from services.db import Database, Writer
from services.ledger import balances, check, post

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOLDS, FITTING = 50, 10


def grant_of(site_id: str, name: str, fen: int, *, hours: float = 24, **more: Any) -> Grant:
    return Grant(
        grant_id=f"{site_id}/{name}",
        site_id=site_id,
        customer_id="c",
        reason="compensation",
        amount_fen=fen,
        expires_at=NOON + timedelta(hours=hours),
        **more,
    )


def hold_of(site_id: str, name: str, fen: int) -> Hold:
    return Hold(
        hold_id=f"{site_id}/{name}",
        site_id=site_id,
        customer_id="c",
        order_id=f"{site_id}/o-{name}",
        amount_fen=fen,
    )


def refund_of(site_id: str, name: str, hold: str, fen: int) -> Refund:
    return Refund(refund_id=f"{site_id}/{name}", hold_id=f"{site_id}/{hold}", amount_fen=fen)


class Desk:
    """Each act in a transaction of its own, its journal posted in it."""

    def __init__(self, database: Database, site_id: str) -> None:
        self.database = database
        self.site_id = site_id

    async def grant(self, wanted: Grant) -> None:
        await self._book(lambda writer: credit.grant(writer, wanted))

    async def hold(self, name: str, fen: int, now: datetime = NOON) -> None:
        async with self.database.write() as writer:
            await credit.hold(writer, hold_of(self.site_id, name, fen), now=now)

    async def capture(self, name: str) -> None:
        hold_id = f"{self.site_id}/{name}"
        await self._book(lambda writer: credit.capture(writer, hold_id))

    async def release(self, name: str) -> None:
        async with self.database.write() as writer:
            await credit.release_if_held(writer, f"{self.site_id}/{name}")

    async def refund(self, wanted: Refund, now: datetime = NOON) -> None:
        until = now + timedelta(days=30)
        await self._book(
            lambda writer: credit.refund(writer, wanted, payer="held", now=now, renewed_until=until)
        )

    async def expire(self, now: datetime) -> int:
        """Expire until nothing is due; how many journals of this site that were."""
        ended = 0
        while True:
            async with self.database.write() as writer:
                journals = await credit.expire(writer, now=now)
                for journal in journals:
                    assert (await post(writer, journal)).status == "applied"
            ended += sum(journal.site_id == self.site_id for journal in journals)
            if not journals:
                return ended

    async def available_fen(self, now: datetime = NOON) -> int:
        async with self.database.read() as reader:
            return await credit.available_fen(reader, self.site_id, "c", now=now)

    async def balance(self, code: str) -> int:
        async with self.database.read() as reader:
            assert await check(reader) == []
            found = {row.code: row.balance_fen for row in await balances(reader, self.site_id)}
        return found.get(code, 0)

    async def _book(self, act: Callable[[Writer], Awaitable[Journal]]) -> None:
        async with self.database.write() as writer:
            assert (await post(writer, await act(writer))).status in {"applied", "already"}


@pytest.fixture
def desk(database: Database, site_id: str) -> Desk:
    return Desk(database, site_id)


async def test_what_expires_first_is_spent_first_and_comes_back_last(desk: Desk) -> None:
    site_id = desk.site_id
    await desk.grant(grant_of(site_id, "late", 100, hours=48))
    await desk.grant(grant_of(site_id, "soon", 100, hours=1))
    await desk.hold("h", 150)
    assert await desk.available_fen() == 50
    await desk.capture("h")
    assert await desk.balance("customer:c:credit") == 50
    assert await desk.balance(f"order:{site_id}:held") == 150
    await desk.refund(refund_of(site_id, "r1", "h", 50))
    later = NOON + timedelta(hours=2)
    assert await desk.available_fen(later) == 100, "the grant that lives longer is whole again"
    await desk.refund(refund_of(site_id, "r2", "h", 100), later)
    assert await desk.available_fen(later) == 200
    renewed = later + timedelta(days=29)
    assert await desk.available_fen(renewed) == 100, "what had expired was granted anew"
    with pytest.raises(CreditRefundTooMuch):
        await desk.refund(refund_of(site_id, "r3", "h", 1), later)
    assert await desk.balance("customer:c:credit") == 200
    assert await desk.balance(f"platform:{site_id}:expense") == 200
    assert await desk.balance(f"order:{site_id}:held") == 0


async def test_a_hold_outlives_its_grant_and_expires_when_released(desk: Desk) -> None:
    await desk.grant(grant_of(desk.site_id, "g", 100, hours=1, order_id="o1"))
    await desk.hold("kept", 40)
    await desk.hold("spent", 30)
    late = NOON + timedelta(hours=2)
    assert await desk.expire(late) == 1
    assert await desk.balance("customer:c:credit") == 70
    await desk.capture("spent")
    await desk.release("kept")
    assert await desk.available_fen(late) == 0
    assert await desk.expire(late) == 1, "the same grant expires a second time"
    assert await desk.expire(late) == 0
    assert await desk.balance("customer:c:credit") == 0
    assert await desk.balance(f"platform:{desk.site_id}:expense") == 30


async def test_a_key_belongs_to_one_content(desk: Desk) -> None:
    site_id = desk.site_id
    await desk.grant(grant_of(site_id, "g", 100))
    await desk.hold("h", 60)
    with pytest.raises(IdempotencyConflict):
        await desk.grant(grant_of(site_id, "g", 101))
    with pytest.raises(IdempotencyConflict):
        await desk.hold("h", 61)
    await desk.capture("h")
    await desk.refund(refund_of(site_id, "r", "h", 10))
    with pytest.raises(IdempotencyConflict):
        await desk.refund(refund_of(site_id, "r", "h", 11))
    assert await desk.balance("customer:c:credit") == 50
    await desk.hold("other", 5)
    with pytest.raises(CreditNotHeld):
        await desk.refund(refund_of(site_id, "r-other", "other", 1))
    await desk.release("other")
    for refused in (desk.hold("other", 5), desk.capture("other")):
        with pytest.raises(CreditNotHeld):
            await refused
    with pytest.raises(NotFound):
        await desk.capture("never")
    await desk.release("never")
    assert await desk.available_fen() == 50


async def outcome_of(act: Awaitable[None]) -> str:
    try:
        await act
    except DomainError as error:
        return type(error).__name__
    return "done"


async def test_fifty_holds_at_once_on_a_grant_that_fits_ten(desk: Desk) -> None:
    await desk.grant(grant_of(desk.site_id, "g1", 7 * FITTING))
    await desk.grant(grant_of(desk.site_id, "g2", 3 * FITTING, hours=2))
    outcomes = await asyncio.gather(
        *(outcome_of(desk.hold(f"h{number}", 10)) for number in range(HOLDS))
    )
    assert outcomes.count("done") == FITTING
    assert outcomes.count("CreditTooLow") == HOLDS - FITTING
    assert await desk.available_fen() == 0
    won = [f"h{number}" for number, outcome in enumerate(outcomes) if outcome == "done"]
    # Each hold is captured and released at once, several times over: one of both happens, once.
    acts = [act(name) for name in won for act in (desk.capture, desk.release) for _ in range(3)]
    await asyncio.gather(*(outcome_of(act) for act in acts))
    left = await desk.available_fen()
    assert await desk.balance("customer:c:credit") == left
    assert await desk.balance(f"order:{desk.site_id}:held") == 10 * FITTING - left


async def test_the_same_hold_sent_at_once_is_one(desk: Desk) -> None:
    await desk.grant(grant_of(desk.site_id, "g", 100))
    outcomes = await asyncio.gather(*(outcome_of(desk.hold("h", 60)) for _ in range(8)))
    assert outcomes == ["done"] * 8
    assert await desk.available_fen() == 40
    wanted = refund_of(desk.site_id, "r", "h", 60)
    await desk.capture("h")
    assert await asyncio.gather(*(outcome_of(desk.refund(wanted)) for _ in range(8))) == (
        ["done"] * 8
    )
    assert await desk.available_fen() == 100


class Model:
    """What credit is: numbers that a dictionary can hold; grants by the hour they expire."""

    def __init__(self) -> None:
        self.hour = 0
        self.left: dict[tuple[int, str], int] = {}
        self.holds: dict[str, tuple[int, str, list[list[Any]]]] = {}
        self.known: dict[str, tuple[int, ...]] = {}
        self.spent_fen = self.given_fen = self.expired_fen = 0

    def spendable(self) -> list[tuple[int, str]]:
        return sorted(key for key, fen in self.left.items() if fen and key[0] > self.hour)

    def grant(self, name: str, fen: int, hours: int) -> str:
        if name in self.known:
            return "done" if self.known[name] == (fen, hours) else "IdempotencyConflict"
        self.known[name] = (fen, hours)
        self.left[hours, name] = fen
        self.given_fen += fen
        return "done"

    def hold(self, name: str, fen: int) -> str:
        if name in self.holds:
            known_fen, state, _ = self.holds[name]
            if known_fen != fen:
                return "IdempotencyConflict"
            return "CreditNotHeld" if state == "released" else "done"
        if sum(self.left[key] for key in self.spendable()) < fen:
            return "CreditTooLow"
        parts, wanted = [], fen
        for key in self.spendable():
            taken = min(self.left[key], wanted)
            if taken:
                parts.append([key, taken])
                self.left[key] -= taken
                wanted -= taken
        self.holds[name] = (fen, "held", parts)
        return "done"

    def capture(self, name: str) -> str:
        if name not in self.holds:
            return "NotFound"
        fen, state, parts = self.holds[name]
        if state == "released":
            return "CreditNotHeld"
        if state == "held":
            self.spent_fen += fen
            self.holds[name] = (fen, "captured", parts)
        return "done"

    def release(self, name: str) -> str:
        fen, state, parts = self.holds.get(name, (0, "", []))
        if state == "held":
            for key, taken in parts:
                self.left[key] += taken
            self.holds[name] = (fen, "released", parts)
        return "done"

    def refund(self, name: str, hold: str, fen: int) -> str:
        if hold not in self.holds:
            return "NotFound"
        if name in self.known:
            same = self.known[name] == (fen, int(hold[1:]))
            return "done" if same else "IdempotencyConflict"
        _, state, parts = self.holds[hold]
        if state != "captured":
            return "CreditNotHeld"
        if sum(left for _, left in parts) < fen:
            return "CreditRefundTooMuch"
        self.known[name] = (fen, int(hold[1:]))
        self.spent_fen -= fen
        for line, part in reversed(list(enumerate(parts))):
            back = min(part[1], fen)
            part[1] -= back
            fen -= back
            key = part[0] if part[0][0] > self.hour else (self.hour + 30 * 24, f"{name}/{line}")
            self.left[key] = self.left.get(key, 0) + back
        return "done"

    def expire(self) -> None:
        for key in self.left:
            if key[0] <= self.hour:
                self.expired_fen += self.left[key]
                self.left[key] = 0


NAMES = st.integers(0, 3)
FEN = st.sampled_from((10, 25, 60))
STEP = st.one_of(
    st.tuples(st.just("grant"), NAMES, st.sampled_from((40, 100)), st.integers(1, 4)),
    st.tuples(st.just("hold"), NAMES, FEN),
    st.tuples(st.just("capture"), NAMES),
    st.tuples(st.just("release"), NAMES),
    st.tuples(st.just("refund"), NAMES, NAMES, FEN),
    st.tuples(st.just("expire")),
    st.tuples(st.just("tick")),
)
LIFE = st.tuples(NAMES, NAMES, FEN, FEN).map(
    lambda drawn: [
        ("grant", drawn[1], 100, 3),
        ("hold", drawn[0], drawn[2]),
        ("capture", drawn[0]),
        ("refund", drawn[1], drawn[0], drawn[3]),
    ]
)
"""What chance alone seldom puts together; whatever lies between or is repeated comes from STEP."""
STEPS = st.lists(st.one_of(STEP.map(lambda step: [step]), LIFE), min_size=6, max_size=16)


async def _step(desk: Desk, model: Model, step: tuple[Any, ...]) -> tuple[str, str]:
    """Do it and have the model do it; what both say."""
    now, (kind, *args) = NOON + timedelta(hours=model.hour), step
    names = {"hold": "h", "capture": "h", "release": "h", "grant": "g", "refund": "r"}
    if kind in names:
        args[0] = f"{names[kind]}{args[0]}"
    if kind == "tick":
        model.hour += 1
    elif kind == "expire":
        await desk.expire(now)
        model.expire()
    elif kind == "grant":
        wanted = grant_of(desk.site_id, args[0], args[1], hours=args[2])
        return await outcome_of(desk.grant(wanted)), model.grant(*args)
    elif kind == "refund":
        args[1] = f"h{args[1]}"
        wish = refund_of(desk.site_id, *args)
        return await outcome_of(desk.refund(wish, now)), model.refund(*args)
    else:
        act = {"hold": desk.hold, "capture": desk.capture, "release": desk.release}[kind]
        more = {"now": now} if kind == "hold" else {}
        return await outcome_of(act(*args, **more)), getattr(model, kind)(*args)
    return "done", "done"


@examples(max_examples=60, deadline=None)
@given(lives=STEPS)
async def test_credit_agrees_with_its_model(
    database: Database, lives: list[list[tuple[Any, ...]]]
) -> None:
    """Whatever is granted, held, spent, given back, expired or repeated: both tell the same."""
    desk, model = Desk(database, f"site-{uuid.uuid4().hex[:12]}"), Model()
    for step in (step for steps in lives for step in steps):
        said, expected = await _step(desk, model, step)
        assert said == expected, step
        now = NOON + timedelta(hours=model.hour)
        available = sum(model.left[key] for key in model.spendable())
        assert await desk.available_fen(now) == available, step
    held = sum(fen for fen, state, _ in model.holds.values() if state == "held")
    total = held + sum(model.left.values())
    assert await desk.balance("customer:c:credit") == total
    assert await desk.balance(f"order:{desk.site_id}:held") == model.spent_fen
    funded = model.given_fen - model.expired_fen
    assert await desk.balance(f"platform:{desk.site_id}:expense") == funded
    assert funded == total + model.spent_fen
