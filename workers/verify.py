"""`python -m workers.verify`: asks every law of the live data, and the gateway's oracle."""

import argparse
import asyncio
import json
import sys
import time

import httpx

from services import laws
from services.db import Database
from services.laws import VIOLATIONS_SHOWN, Verdict
from services.settings import settings

ORACLE_TIMEOUT_SECONDS = 60
PATIENCE_SECONDS = 15.0
"""What a gateway has done and we have not heard of yet is no broken law for so long."""
AGAIN_SECONDS = 1.0
ORACLES = tuple(f"/control/{channel}oracle" for channel in ("", "alipay/", "card/", "bank/"))
"""Where the sandbox tells what truly moved at each channel, WeChat Pay's first."""


async def verify(site_id: str) -> list[Verdict]:
    """Every law's verdict, asked again for a while where one seems broken."""
    database = Database(settings().database_url, pool_size=1)
    give_up = time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            verdicts = await _ask(database, site_id)
            if not any(one.broken for one in verdicts) or time.monotonic() > give_up:
                return verdicts
            await asyncio.sleep(AGAIN_SECONDS)
    finally:
        await database.close()


async def under_way(site_id: str) -> dict[str, int]:
    """What must still end, by kind."""
    database = Database(settings().database_url, pool_size=1)
    try:
        async with database.read() as reader:
            return await laws.under_way(reader, site_id)
    finally:
        await database.close()


async def _ask(database: Database, site_id: str) -> list[Verdict]:
    """The laws of one moment; the oracle's last, where a sandbox plays the gateway."""
    sandbox_url = settings().sandbox_url
    if sandbox_url:
        async with httpx.AsyncClient(timeout=ORACLE_TIMEOUT_SECONDS) as http:
            moved = [
                order
                for path in ORACLES
                for order in (await http.get(f"{sandbox_url}{path}"))
                .raise_for_status()
                .json()["orders"]
            ]
    async with database.snapshot() as reader:
        verdicts = await laws.check(reader, site_id)
        if sandbox_url:
            verdicts.append(await laws.compare(reader, moved, site_id))
    return verdicts


def main() -> int:
    """Print the verdicts; 1 if a law is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", default="", help="one site only")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--under-way", action="store_true", help="count what has not ended instead")
    options = parser.parse_args()
    if options.under_way:
        sys.stdout.write(json.dumps(asyncio.run(under_way(options.site))) + "\n")
        return 0
    verdicts = asyncio.run(verify(options.site))
    broken = [verdict for verdict in verdicts if verdict.broken]
    if options.json:
        answer = {
            "laws": len(verdicts),
            "broken": {verdict.law: verdict.broken[:VIOLATIONS_SHOWN] for verdict in broken},
        }
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        for verdict in verdicts:
            sys.stdout.write(f"{'BROKEN' if verdict.broken else 'ok':7}{verdict.law}\n")
            for line in verdict.broken[:VIOLATIONS_SHOWN]:
                sys.stdout.write(f"         {line}\n")
        sys.stdout.write(f"{len(verdicts)} laws checked, {len(broken)} broken laws\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
