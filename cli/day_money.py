"""A simulated day's money: gateways that misbehave while it runs, and its books afterwards."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import click

from cli import city
from cli.mdrp import Instance
from cli.people import People
from cli.report import Report

CHINA = ZoneInfo("Asia/Shanghai")
"""Whose days the bills are of."""
FAULTS: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    ("create", "drop_after_commit", 0.02, {}),
    ("create", "http_500", 0.02, {}),
    ("query", "http_502", 0.05, {}),
    ("close", "drop_after_commit", 0.05, {}),
    ("capture", "drop_after_commit", 0.05, {}),
    ("refund", "drop_after_commit", 0.1, {}),
    ("refund", "http_429", 0.05, {}),
    ("split", "drop_after_commit", 0.1, {}),
    ("notify", "lost", 0.05, {}),
    ("notify", "duplicate", 0.05, {"count": 5}),
    ("notify", "bad_signature", 0.02, {}),
    ("notify", "delay", 0.05, {"delay_seconds": 5}),
)
"""What goes wrong at every channel: operation, fault, how often (0 to 1), and its details."""


async def misbehave(group: People, channels: Sequence[str]) -> None:
    """Script every channel's faults, until `behave`."""
    for channel in channels:
        for operation, fault, probability, details in FAULTS:
            script = {"channel": channel, "operation": operation, "fault": fault, **details}
            script |= {"probability": probability, "times": None}
            answer = await group.http.post("/control/faults", json=script)
            answer.raise_for_status()


async def behave(group: People) -> None:
    """No fault any more."""
    (await group.http.delete("/control/faults")).raise_for_status()


async def reconciled(
    group: People, day: Instance, channels: Sequence[str], report: Report, *, since: datetime
) -> dict[str, str]:
    """Have the bills made of the days that it took, and compare them; the four results of each."""
    first, last = (at.astimezone(CHINA).date() for at in (since, datetime.now(CHINA)))
    days = [first + timedelta(days=more) for more in range((last - first).days + 1)]
    for one in days:
        await group.http.post(f"/control/bank/statements/{one}/ready")
    early = {"wechat": {"bills_ready": True}, "alipay": {"early_bills": True}}
    paths = {"wechat": "/control/merchants", "alipay": "/control/alipay/merchants"}
    seeded = city.city_of(day, group.site_id, 1, channels=channels)
    for account in seeded["channel_accounts"]:
        if account["channel"] in early:
            path = f"{paths[account['channel']]}/{account['mchid']}/settings"
            answer = await group.http.put(path, json=early[account["channel"]])
            answer.raise_for_status()
    results = {}
    for channel, one in product(channels, days):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.reconcile"),
            *("--channel", channel, "--site", group.site_id, "--date", str(one)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await child.communicate()
        *differences, results[f"{channel} {one}"] = output.decode().splitlines() or [""]
        for line in differences:
            report.say(line)
    return results


async def settled(group: People, report: Report, *, seconds: float) -> None:
    """Wait until nothing of the site's money is under way any more."""
    until = asyncio.get_running_loop().time() + seconds
    while left := await _under_way(group.site_id):
        if asyncio.get_running_loop().time() > until:
            raise click.ClickException(f"still under way: {json.dumps(left)}")
        report.note("settlement", json.dumps(left))
        await asyncio.sleep(2)


async def _under_way(site_id: str) -> dict[str, int]:
    """What of the site has not ended yet, by the platform itself."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.verify", "--site", site_id, "--under-way"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    found: dict[str, int] = json.loads(output)
    return {name: count for name, count in found.items() if count}
