"""An order's money as people read it: its journals, and the gateways' own account beside ours."""

from collections import Counter
from typing import Any

import httpx

from cli import people
from cli.report import Report
from services.settings import Settings

TIMEOUT_SECONDS = 15
SIDES = {"D": "借", "C": "贷"}
ORACLES = {"wechat": "/control/oracle"}
"""Where the sandbox tells what truly moved; other channels' by their names."""


async def show_money(known: Settings, report: Report, site_id: str, order_id: str) -> bool:
    """Print every journal of an order, and per payment the oracle beside the ledger.

    Whether they agree.
    """
    headers = {"Authorization": f"Bearer {people.token(site_id, 'support', 'demo')}"}
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        path = f"{known.api_url}/v1/support/orders/{order_id}/money"
        money = (await http.get(path, headers=headers)).raise_for_status().json()
        for journal in money["journals"]:
            report.say(f"{journal['event']}  {journal['key']}")
            for entry in journal["entries"]:
                side, yuan = SIDES[entry["side"]], entry["amount_fen"] / 100
                report.say(f"    {side} {yuan:>9.2f}  {entry['account']}")
        return all([await _beside(known, http, report, money, one) for one in money["attempts"]])


async def _beside(
    known: Settings,
    http: httpx.AsyncClient,
    report: Report,
    money: dict[str, Any],
    attempt: dict[str, Any],
) -> bool:
    number, channel = attempt["out_trade_no"], attempt["channel"]
    path = ORACLES.get(channel, f"/control/{channel}/oracle")
    asked = await http.get(f"{known.sandbox_url}{path}", params={"out_trade_no": number})
    moved = asked.raise_for_status().json()
    theirs = moved["paid_fen"], moved["refunded_fen"]
    arrived = {journal["key"]: journal["entries"] for journal in money["journals"]}
    ours = (
        _total(arrived.get(f"payment/{number}/arrived", [])),
        sum(
            _total(arrived.get(f"refund/{refund['out_refund_no']}/ended", []))
            for refund in money["refunds"]
            if refund["out_trade_no"] == number
        ),
    )
    report.say(
        f"{channel} {number}: ledger paid {ours[0]} refunded {ours[1]} fen,"
        f" oracle paid {theirs[0]} refunded {theirs[1]} fen"
        f"{'' if ours == theirs else '  DIFFERENT'}"
    )
    return _split_beside(report, money, attempt, moved["orders"]) and ours == theirs


def _split_beside(
    report: Report, money: dict[str, Any], attempt: dict[str, Any], moved: list[dict[str, Any]]
) -> bool:
    """Print who has what of a payment beside the oracle, where it tells; whether they agree."""
    told = [one for one in moved if "split_fen" in one]
    if not told:
        return True
    split: int = sum(one["split_fen"] - one.get("returned_fen", 0) for one in told)
    kept = attempt["state"] == "paid"
    for one in money["splits"] if kept else []:
        what = f"{one['amount_fen']} fen for {one['receiver']}" if one["amount_fen"] else "the rest"
        ended = f"{one['state']} {one['reason']}".rstrip()
        report.say(f"    {one['kind']} {one['out_order_no']}: {what}, {ended}")
    shares = _shares(money["journals"]) if kept else {}
    ours = ", ".join(f"{fen} fen to {account}" for account, fen in shares.items()) or "0 fen"
    same: bool = sum(shares.values()) == split
    report.say(f"    split: ledger {ours}, oracle {split} fen{'' if same else '  DIFFERENT'}")
    return same


def _shares(journals: list[dict[str, Any]]) -> dict[str, int]:
    """What each receiver has of an order's split and has not returned, by their account."""
    shares: Counter[str] = Counter()
    for journal in journals:
        if journal["key"].startswith("split/"):
            for entry in journal["entries"]:
                if not entry["account"].startswith("psp:"):
                    sign = 1 if entry["side"] == "D" else -1
                    shares[entry["account"]] += sign * entry["amount_fen"]
    return shares


def _total(entries: list[dict[str, Any]]) -> int:
    return sum(entry["amount_fen"] for entry in entries if entry["side"] == "D")
