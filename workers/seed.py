"""`python -m workers.seed [FILE|-]`: a city as JSON into the database; without one, the demo city.

Payees without `keys` are enrolled at the sandbox, which makes them; the `fund_fen` of one at the
bank is brought onto their account there. A rider's or merchant's `payee` may be a wish, an object
as `POST /control/bank/payees` takes one: the sandbox answers it with a token to pay them by.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from services.db import Database
from services.seeds import ensure_city, keep_keys, plant
from services.settings import Settings, settings
from workers.demo_city import demo_city

ENROL_AT_ONCE = 8
ENROL_TIMEOUT_SECONDS = 60
PAID_OUT = ("riders", "merchants")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Where the sandbox makes a channel's merchants, and what it calls their numbers."""

    path: str
    mchid: str
    appid: str = ""
    webhook: bool = False
    """Notices go to an address told beforehand."""
    has_habits: bool = False


ENROLMENTS = {
    "wechat": Enrolment(path="/control", mchid="mchid", appid="appid", has_habits=True),
    "alipay": Enrolment(path="/control/alipay", mchid="seller_id", appid="app_id", has_habits=True),
    "card": Enrolment(path="/control/card", mchid="account", webhook=True),
    "bank": Enrolment(path="/control/bank", mchid="account"),
}


async def seed(city: dict[str, Any], known: Settings) -> str:
    """Enrol payees, keep their keys, upsert the rows; one line about what was done."""
    ensure_city(city)
    accounts = city.get("channel_accounts", [])
    left_out = ""
    if any("keys" not in account for account in accounts):
        if known.sandbox_url:
            await _enrol(accounts, known, city["site"].get("speed", 1))
        else:
            left_out = "; payees left out: PAOTUI_SANDBOX_URL names no sandbox to make their keys"
            city = city | {"channel_accounts": [one for one in accounts if "keys" in one]}
    wishes = [
        one
        for section in PAID_OUT
        for one in city.get(section, [])
        if not isinstance(one.get("payee", ""), str)
    ]
    if known.sandbox_url:
        await _fund(accounts, wishes, known)
    for account in city.get("channel_accounts", []):
        keep_keys(known.home, account)
    database = Database(known.database_url, pool_size=1)
    try:
        async with database.write() as writer:
            counts = await plant(writer, city)
    finally:
        await database.close()
    listed = ", ".join(f"{count} {section}" for section, count in counts.items() if count)
    return f"seeded {city['site']['site_id']}: {listed}{left_out}"


async def _enrol(accounts: list[dict[str, Any]], known: Settings, speed: float) -> None:
    """Have the gateways make merchants, and serve them at their site's speed."""
    notices = f"{known.public_url.rstrip('/')}/v1/notify/card"
    gate = asyncio.Semaphore(ENROL_AT_ONCE)
    async with httpx.AsyncClient(
        base_url=known.sandbox_url, timeout=ENROL_TIMEOUT_SECONDS, trust_env=False
    ) as gateway:

        async def enrol(account: dict[str, Any]) -> None:
            wish = ENROLMENTS[account.get("channel", "wechat")]
            async with gate:
                asked = {wish.mchid: account["mchid"]}
                if wish.webhook:
                    asked["webhook_url"] = f"{notices}/{account['account_id']}"
                made = await gateway.post(f"{wish.path}/merchants", json=asked)
                account["keys"] = made.raise_for_status().json()
                account["appid"] = account["keys"].get(wish.appid, "")
                if wish.has_habits:
                    habits = await gateway.put(
                        f"{wish.path}/merchants/{account['mchid']}/settings", json={"speed": speed}
                    )
                    habits.raise_for_status()

        await asyncio.gather(*(enrol(account) for account in accounts if "keys" not in account))


async def _fund(
    accounts: list[dict[str, Any]], wishes: list[dict[str, Any]], known: Settings
) -> None:
    """Bring accounts at the bank up to their `fund_fen`; have it name those who are paid out."""
    gate = asyncio.Semaphore(ENROL_AT_ONCE)
    async with httpx.AsyncClient(
        base_url=f"{known.sandbox_url}/control/bank",
        timeout=ENROL_TIMEOUT_SECONDS,
        trust_env=False,
    ) as bank:

        async def name(one: dict[str, Any]) -> None:
            async with gate:
                made = await bank.post("/payees", json=one["payee"])
            one["payee"] = made.raise_for_status().json()["payee"]

        await asyncio.gather(*(name(one) for one in wishes))
        for account in accounts:
            if wanted_fen := account.get("fund_fen"):
                there = await bank.get(f"/balances/{account['mchid']}")
                more_fen = wanted_fen - there.raise_for_status().json()["balance_fen"]
                if more_fen > 0:
                    money = {"account": account["mchid"], "amount_fen": more_fen}
                    (await bank.post("/fund", json=money)).raise_for_status()


def main() -> int:
    """Read the city, seed it; exit code 1 with one line when that can't be."""
    parser = argparse.ArgumentParser(prog="python -m workers.seed", description=__doc__)
    parser.add_argument("city", nargs="?", help="a JSON file, or - for standard input")
    named = parser.parse_args().city
    try:
        if named is None:
            city = demo_city()
        else:
            city = json.loads(sys.stdin.read() if named == "-" else Path(named).read_text("utf-8"))
        sys.stdout.write(asyncio.run(seed(city, settings())) + "\n")
    except (OSError, ValueError, httpx.HTTPError, SQLAlchemyError) as error:
        sys.stderr.write(f"seed: {str(error).splitlines()[0]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
