"""F1: the worker dies before, within and after every single act, and every order ends rightly."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.contracts import act, after_sales, dispatch
from tests.faults.crashing import MOMENTS, SENT
from tests.faults.crowd import crowd
from tests.faults.ends import assert_right_ends
from tests.faults.seeds import SEEDS, Tell
from tests.faults.stage import Stage

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

SLOTS = 34
ALL_HIT_SECONDS = 420.0
ELSEWHERE = {dispatch.MATCH, after_sales.REMIND, after_sales.REQUEST_APPROVAL}
"""`dispatch.match` has a process of its own, which the other tests kill; the others come after a
day's silence, and above four eyes' limit."""
ROOMS = ("after_sales.", "orders.", "payments.", "refunds.")
"""Whose acts move an order or its money; desks and bills wait for people and mornings."""
NAMES = sorted(
    name
    for name in act.ALL.keys() - {contract.name for contract in ELSEWHERE}
    if name.startswith(ROOMS)
)
STORY_OF = {
    "after_sales.approve": "asks_back",
    "after_sales.ask": "asks_back",
    "after_sales.decline": "asks_in_vain",
    "after_sales.escalate": "asks_back",
    "after_sales.reject": "asks_back",
    "orders.ask_cancel": "asks_and_may_not",
    "orders.ask_support": "no_rider",
    "orders.compensate_late": "no_rider",
    "orders.decline_cancel": "asks_and_may_not",
    "orders.end": "cancels_paid",
    "orders.extend": "extended",
    "orders.hold": "held",
    "orders.mark_collected": "fetches",
    "orders.mark_uncollected": "never_fetches",
    "orders.remind_customer": "never_fetches",
    "orders.note": "held",
    "orders.reassign": "reassigned",
    "orders.refund_part": "partly_refunded",
    "orders.release": "held",
    "orders.remind_merchant": "merchant_silent",
    "payments.capture": "pays_by_card",
    "payments.close": "cancels_unpaid",
    "payments.poll": "lost_notice",
    "payments.store_attempt": "pays_again",
    "refunds.finish": "rejected",
    "refunds.follow": "rejected",
    "refunds.request": "rejected",
}
"""Where an act is sure to come; all others are in the plainest life."""
CALLING = (
    *("payments.capture", "payments.close", "payments.open", "payments.poll"),
    *("refunds.follow", "refunds.request"),
)
"""Acts that ask a channel: the worker also dies when the answer has come and isn't stored."""
PLANNED = {f"{name} {moment}" for name in NAMES for moment in MOMENTS} | {
    f"{name} {SENT}" for name in CALLING
}
SAMPLE = 16
"""Kills of each seed but the first, which tries them all."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_f1_killed_around_every_act(
    stage: Stage, seed: int, tell: Tell, tmp_path: Path
) -> None:
    file = tmp_path / "hits"
    left_alone = spared(seed)
    file.write_text("".join(f"{hit}\n" for hit in left_alone))
    planned = PLANNED - left_alone
    async with crashing_worker(stage, file), crowd(stage, seed=seed, slots=SLOTS) as people:
        tell(f"seed {seed}: {len(planned)} kills planned")
        people.wanted = lambda: sorted(
            {STORY_OF.get(hit.split()[0], "eats") for hit in planned - hits(file)}
        )
        try:
            async with asyncio.timeout(ALL_HIT_SECONDS):
                while left := planned - hits(file):
                    people.check()
                    await asyncio.sleep(1)
        except TimeoutError:
            raise AssertionError(f"seed {seed}: no kill at {sorted(left)}") from None
        tell(f"all {len(planned)} done; {dict(people.board.counts())}")
        await people.finish()
        tell(f"{len(people.walks)} orders have ended")
        await assert_right_ends(people)


def spared(seed: int) -> set[str]:
    """The moments at which this seed's worker lives on."""
    if seed == SEEDS[0]:
        return set()
    return PLANNED - set(random.Random(seed).sample(sorted(PLANNED), SAMPLE))  # noqa: S311


def hits(file: Path) -> set[str]:
    """Where the worker has died so far."""
    return set(file.read_text().splitlines())


@asynccontextmanager
async def crashing_worker(stage: Stage, file: Path) -> AsyncIterator[None]:
    """The crashing worker instead of the supervised one, which is back at the end."""
    await stage.stop("worker")
    try:
        # Killed with its group: the parent and whichever worker it has forked last.
        log = file.with_suffix(".log")
        async with stage.process("tests.faults.crashing", file, log=log, instead_of="worker"):
            yield
    finally:
        await stage.start("worker")
