"""`python -m benchmarks.ledger`: what posting costs, alone and in a crowd, and as the books grow.

One run on a PostgreSQL of its own, configured as production's; what each figure means is in
`docs/benchmarks.md`.
"""

import argparse
import asyncio
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg

from benchmarks import gateways, plain
from benchmarks.children import child
from benchmarks.report import Figure, table
from cli import postgres
from cli.state import State
from services import migrate
from services.db import Database

CLIENTS = (1, 8)
SECONDS = 15.0
POSTS_PER_SECOND, GROWTH = 2_000, 1.2
FEW, MANY = 1_000, 1_000_000
"""Journals in the books when latency is measured."""
START_SECONDS, STOP_SECONDS = 30.0, 30.0
CHILD_SECONDS = 120.0
SITE = "s"
# Rows only: triggers and foreign keys would take an hour to say yes to each.
_LOAD = """
SET LOCAL session_replication_role = replica;
INSERT INTO ledger_accounts VALUES
  ('s', 'psp:wechat:m:clearing', 'CNY', 'D', 'derived', true, NULL),
  ('s', 'order:s:held', 'CNY', 'C', 'derived', false, NULL) ON CONFLICT DO NOTHING;
WITH made AS (
  INSERT INTO ledger_journals (key, body_hash, outcome, event, order_id, site_id, currency)
  SELECT 'payment/' || gen_random_uuid() || '/arrived', sha256(n::text::bytea), 'applied',
    'payment_captured', 'loaded-' || n, 's', 'CNY' FROM generate_series(1, {count}) AS n
  RETURNING id)
INSERT INTO ledger_entries (journal_id, line, site_id, account, currency, side, amount_fen)
SELECT id, line, 's', account, 'CNY', side, 3000
  FROM made, (VALUES (1, 'psp:wechat:m:clearing', 'D'), (2, 'order:s:held', 'C'))
    AS legs (line, account, side)
"""


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """The bundled PostgreSQL as `paotui up` runs it, empty, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="paotui-benchmark-") as name:
        password = secrets.token_hex(16)
        placement = _prepared(Path(name), password)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = _start(placement, port)
        try:
            url = postgres.url(port, password)
            await _until_ready(port, password)
            await asyncio.to_thread(migrate.upgrade, url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown
            await asyncio.to_thread(process.wait, STOP_SECONDS)


async def crowd(url: str, *, clients: int, seconds: float) -> dict[str, float]:
    """So many clients at once, each a process: their posts per second, and the median's latency."""
    async with AsyncExitStack() as stack, asyncio.timeout(seconds + CHILD_SECONDS):
        crew = [
            await stack.enter_async_context(child("benchmarks.ledger_client"))
            for _ in range(clients)
        ]
        for process in crew:
            wish = {"url": url, "site_id": SITE, "name": secrets.token_hex(6), "seconds": seconds}
            _tell(process, orjson.dumps(wish))
        for process in crew:
            assert process.stdout is not None
            await process.stdout.readline()
        for process in crew:
            _tell(process, b"go")
        told = [orjson.loads((await process.communicate())[0]) for process in crew]
    return {
        "per_second": sum(one["per_second"] for one in told),
        "p50_ms": sorted(one["p50_ms"] for one in told)[len(told) // 2],
        "p99_ms": max(one["p99_ms"] for one in told),
    }


async def throughput(url: str, *, seconds: float) -> list[Figure]:
    """The ledger with all its laws on, and pgbench without any, in turn."""
    figures = []
    for clients in CLIENTS:
        _say(f"{clients} clients")
        posted = await crowd(url, clients=clients, seconds=seconds)
        bare = await plain.journals_per_second(url, clients=clients, seconds=seconds)
        in_crowd = clients == max(CLIENTS)
        figures += [
            Figure(
                name=f"posts, {clients} clients",
                value=posted["per_second"],
                unit="/s",
                at_least=POSTS_PER_SECOND if in_crowd else None,
                note=f"p50 {posted['p50_ms']:.2f} ms, p99 {posted['p99_ms']:.2f} ms",
            ),
            Figure(
                name=f"pgbench, {clients} clients",
                value=bare,
                unit="/s",
                note=f"the ledger makes {posted['per_second'] / bare:.0%} of it",
            ),
        ]
    return figures


async def growth(url: str, database: Database, *, many: int, seconds: float) -> list[Figure]:
    """One client's latency when the books hold few journals, and when they hold many."""
    few = await crowd(url, clients=1, seconds=seconds)
    began = time.perf_counter()
    async with database.write() as writer:
        await writer.connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        await writer.connection.exec_driver_sql(_LOAD.format(count=many))
    _say(f"{many} journals loaded in {time.perf_counter() - began:.0f} s")
    async with database.read() as reader:
        await reader.connection.exec_driver_sql("SET statement_timeout = 0")
        await reader.connection.exec_driver_sql("VACUUM ANALYZE ledger_journals, ledger_entries")
        await reader.connection.exec_driver_sql("CHECKPOINT")
    then = await crowd(url, clients=1, seconds=seconds)
    return [
        Figure(
            name=f"latency growth, {FEW:,} to {many:,} journals",
            value=then["p50_ms"] / few["p50_ms"],
            unit="×",
            at_most=GROWTH,
            fair=many >= MANY,
            note=f"p50 {few['p50_ms']:.2f} to {then['p50_ms']:.2f} ms",
        )
    ]


async def run(figures: list[Figure], options: argparse.Namespace) -> None:
    """Every phase, on one server; `figures` grows as they are found."""
    async with server() as url:
        database = Database(url, pool_size=1)
        try:
            await plain.prepare(database)
            async with database.write() as writer:
                await writer.connection.exec_driver_sql(_LOAD.format(count=FEW))
            figures += await growth(url, database, many=options.journals, seconds=options.seconds)
            figures += await throughput(url, seconds=options.seconds)
        finally:
            await database.close()
    figures += await gateways.overheads(calls=options.calls)


def main() -> None:
    """Measure and print; exit code 1 where a target was missed or a phase failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--journals", type=int, default=MANY, help="in the grown books")
    parser.add_argument("--calls", type=int, default=gateways.CALLS, help="of each channel")
    parser.add_argument("--json", action="store_true", help="for programs")
    figures: list[Figure] = []
    options = parser.parse_args()
    try:
        asyncio.run(run(figures, options))
    finally:
        if options.json:
            sys.stdout.write(json.dumps([one.as_json() for one in figures], indent=2) + "\n")
        else:
            print("\n".join(table(figures)))
    sys.exit(any(figure.met is False for figure in figures))


def _prepared(home: Path, password: str) -> postgres.Placement:
    home.chmod(0o755)
    placement = postgres.place(State.at(home), _say)
    postgres.initialise(placement, password)
    return placement


def _start(placement: postgres.Placement, port: int) -> subprocess.Popen[bytes]:
    user = placement.user
    return subprocess.Popen(  # noqa: S603 - the wheel's own server
        placement.command(port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


async def _until_ready(port: int, password: str) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await postgres.ensure_database(port, password)
            except (OSError, psycopg.Error):
                await asyncio.sleep(0.1)
            else:
                return


def _tell(process: Any, line: bytes) -> None:  # noqa: ANN401 - asyncio's own
    process.stdin.write(line + b"\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
