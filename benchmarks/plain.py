"""The same rows as the ledger's, inserted by pgbench: as many indexes, none of its checks."""

import asyncio
import re
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from benchmarks.ledger_client import MERCHANTS, RIDERS
from benchmarks.wire import Unexpected
from cli import bundled
from services.db import Database

JOURNALS = 3
"""Of one run of the script, each a transaction."""
MORE_SECONDS = 60
TABLES = """
DROP SCHEMA IF EXISTS plain CASCADE;
CREATE SCHEMA plain;
CREATE TABLE plain.accounts (LIKE ledger_accounts INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE plain.journals (LIKE ledger_journals INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE plain.entries (LIKE ledger_entries INCLUDING DEFAULTS INCLUDING INDEXES);
INSERT INTO plain.accounts
SELECT 's', kind || '.' || n || '.payable', 'CNY', 'C', 'locked', false, 0
  FROM (VALUES ('merchant', {merchants}), ('rider', {riders})) AS k (kind, many),
       generate_series(0, k.many - 1) AS n;
"""
# pgbench takes a colon for a variable: the codes are spelt with dots.
_JOURNAL = """
BEGIN;
WITH one AS (
  INSERT INTO plain.journals (key, body_hash, outcome, event, order_id, site_id, currency)
  VALUES ('{key}/' || gen_random_uuid(), sha256('x'), 'applied', '{event}', :client_id || '-' || :o,
    's', 'CNY') RETURNING id)
INSERT INTO plain.entries (journal_id, line, site_id, account, currency, side, amount_fen)
SELECT id, line, 's', account, 'CNY', side, fen
  FROM one, (VALUES {legs}) AS legs (line, account, side, fen);
{more}COMMIT;
"""
_PAY = """UPDATE plain.accounts SET balance_fen = balance_fen + {fen}
 WHERE site_id = 's' AND code = '{kind}.' || :{name} || '.payable' AND currency = 'CNY';
"""
SCRIPT = "\n".join(
    [
        f"\\set m random(0, {MERCHANTS - 1})",
        f"\\set r random(0, {RIDERS - 1})",
        "\\set o random(1, 1000000000)",
        _JOURNAL.format(
            key="payment",
            event="payment_captured",
            legs="(1, 'psp.wechat.m.clearing', 'D', 3000), (2, 'order.s.held', 'C', 3000)",
            more="",
        ),
        _JOURNAL.format(
            key="order",
            event="order_settled",
            legs="(1, 'order.s.held', 'D', 3000), (2, 'merchant.' || :m || '.payable', 'C', 2500),"
            " (3, 'platform.s.commission', 'C', 300), (4, 'platform.s.delivery', 'C', 200)",
            more=_PAY.format(fen=2_500, kind="merchant", name="m"),
        ),
        _JOURNAL.format(
            key="order",
            event="rider_earned",
            legs="(1, 'platform.s.rider_cost', 'D', 500),"
            " (2, 'rider.' || :r || '.payable', 'C', 500)",
            more=_PAY.format(fen=500, kind="rider", name="r"),
        ),
    ]
)


async def prepare(database: Database) -> None:
    """Empty tables beside the ledger's, with accounts whose balances run."""
    async with database.write() as writer:
        statements = TABLES.format(merchants=MERCHANTS, riders=RIDERS)
        await writer.connection.exec_driver_sql(statements)


async def journals_per_second(url: str, *, clients: int, seconds: float) -> float:
    """How many journals pgbench inserts."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPT)
        script.flush()
        process = await asyncio.create_subprocess_exec(
            bundled.postgres() / "bin" / "pgbench",
            *("-n", "-M", "simple", "-f", Path(script.name)),
            *("-c", str(clients), "-j", str(min(clients, 2)), "-T", str(round(seconds)), url),
            stdout=PIPE,
            stderr=STDOUT,
        )
        async with asyncio.timeout(seconds + MORE_SECONDS):
            said = (await process.communicate())[0].decode()
    found = re.search(r"tps = ([\d.]+)", said)
    if process.returncode or found is None:
        raise Unexpected(f"pgbench: {said}")
    return float(found[1]) * JOURNALS
