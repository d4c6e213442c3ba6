"""`python -m benchmarks.ledger_client`: one client of the ledger, posting whole orders' journals.

Reads {url, site_id, name, seconds} from stdin, says `ready`, posts from the next line on, and tells
{posts, latencies_ms}.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson
import uvloop

from benchmarks.pace import percentile
from domain.books import journal
from domain.ledger import Journal
from services import ledger
from services.db import Database

MERCHANTS, RIDERS = 200, 500
WARM_POSTS = 60
"""Before the clock starts: plans and caches of a connection that lives for hours."""


def journals(site_id: str, name: str) -> Iterator[Journal]:
    """Orders without end: paid into one clearing account, settled in four legs, the rider's pay."""
    for number in itertools.count():
        order_id = f"{name}-{number}"
        of = {"site_id": site_id, "order_id": order_id}
        yield journal(
            "payment_captured",
            **of,
            channel="wechat",
            mchid="m",
            out_trade_no=f"{order_id}p01",
            amount_fen=3_000,
        )
        yield journal(
            "order_settled",
            **of,
            merchant_id=str(number % MERCHANTS),
            merchant_fen=2_500,
            commission_fen=300,
            delivery_fen=200,
        )
        yield journal("rider_earned", **of, rider_id=str(number % RIDERS), amount_fen=500)


async def run(wish: dict[str, Any]) -> dict[str, float]:
    """Post one journal after another, each in a transaction of its own."""
    database = Database(wish["url"], pool_size=1)
    work = journals(wish["site_id"], wish["name"])

    async def post() -> None:
        async with database.write() as writer:
            posted = await ledger.post(writer, next(work))
        assert posted.status == "applied"

    for _ in range(WARM_POSTS):
        await post()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    waits = []
    began = now = time.perf_counter()
    while now < began + wish["seconds"]:
        await post()
        before, now = now, time.perf_counter()
        waits.append((now - before) * 1_000)
    await database.close()
    return {
        "per_second": len(waits) / (now - began),
        "p50_ms": percentile(waits, 0.50),
        "p99_ms": percentile(waits, 0.99),
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(run(orjson.loads(sys.stdin.readline())))))
