"""A city as JSON becomes rows and key folders; what lives on since is left as it is.

{site, zones, merchants, contracts, channel_accounts, shops, items, customers, riders}: lists of
rows by the names of their columns, `site_id` left out. A customer may carry an `openid` (WeChat's
name of them) and `payers` (other channels'), an account `keys` and `fund_fen`; an account without
a `channel` is WeChat Pay's. The merchant `platform` is the platform itself: its accounts receive
its shares. A `payee` that is no text is a wish that nobody has answered. A contract without a
`merchant_id` is the site's, without `valid_from` it holds from ever.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert

from domain.matching import ZoneRules
from services import personal
from services.db import Writer
from services.tables import market, settlement

Row = Mapping[str, Any]

SECTIONS: dict[str, Table] = {
    "zones": market.zones,
    "merchants": market.merchants,
    "contracts": settlement.contracts,
    "channel_accounts": market.channel_accounts,
    "shops": market.shops,
    "items": market.items,
    "customers": market.customers,
    "riders": market.riders,
}
LEFT_AS_IT_IS: dict[str, frozenset[str]] = {
    "zones": frozenset({"epoch", "rules"}),
    "shops": frozenset(
        {"open", "paused", "paused_until", "auto_accept", "self_pickup", "prep_minutes"}
    ),
    "items": frozenset({"available", "stock"}),
    "riders": frozenset(
        {"zone_id", "vehicle", "skills", "room", "area", "probation"}
        | {"on_shift", "seen_at", "paused_at", "pause_code"}
    ),
}
"""Columns that people change: planting a city again doesn't take their changes back."""
ROWS_PER_STATEMENT = 500
WECHAT = "wechat"
EVER = datetime(2000, 1, 1, tzinfo=UTC)
ACCOUNT_NAMES = {"account_id", "merchant_id", "mchid"}
PEM = "_pem"
_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")


class SeedWrong(ValueError):
    """The city's JSON names what there is not, or lacks what must be."""


async def plant(writer: Writer, city: Mapping[str, Any]) -> dict[str, int]:
    """Upsert a city in the caller's transaction; how many rows of each section.

    Raises `SeedWrong`; needs `PAOTUI_PERSONAL_KEY` where customers have an openid.
    """
    ensure_city(city)
    site_id = str(city["site"]["site_id"])
    await _upsert(writer, market.sites, [city["site"]], frozenset())
    counts = {}
    for section, table in SECTIONS.items():
        rows = [_row(section, row, site_id) for row in city.get(section, ())]
        await _upsert(writer, table, rows, LEFT_AS_IT_IS.get(section, frozenset()))
        counts[section] = len(rows)
    await _ensure_neighbours(writer, city, site_id)
    for customer in city.get("customers", ()):
        payers = {WECHAT: customer.get("openid"), **customer.get("payers", {})}
        for channel, payer in payers.items():
            if payer:
                await personal.put(
                    writer,
                    site_id=site_id,
                    subject=f"customer:{customer['customer_id']}",
                    kind="openid",
                    ref=channel,
                    value={"openid": payer},
                )
    return counts


def ensure_city(city: object) -> None:
    """Raise `SeedWrong` unless this looks like a city: sections, lists of rows, rules, payees."""
    if not isinstance(city, dict) or not {"site"} <= set(city) <= {"site", *SECTIONS}:
        raise SeedWrong(f"a city is a JSON object {{site, {', '.join(SECTIONS)}}}")
    if not isinstance(city["site"], dict) or "site_id" not in city["site"]:
        raise SeedWrong("site: a site_id is missing")
    for section in SECTIONS:
        rows = city.get(section, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SeedWrong(f"{section}: a list of objects is wanted")
    for account in city.get("channel_accounts", []):
        if missing := ACCOUNT_NAMES - set(account):
            raise SeedWrong(f"channel_accounts: {min(missing)} is missing")
    for zone in city.get("zones", []):
        _rules(zone)


def _rules(zone: Row) -> ZoneRules:
    told = zone.get("rules", {})
    try:
        return ZoneRules.of(told)
    except (AttributeError, TypeError, ValueError) as error:
        raise SeedWrong(f"zones: rules of {zone.get('zone_id')}: {error}") from error


async def _ensure_neighbours(writer: Writer, city: Mapping[str, Any], site_id: str) -> None:
    zones = market.zones
    rows = await writer.all(select(zones.c.zone_id).where(zones.c.site_id == site_id))
    known = {row.zone_id for row in rows}
    for zone in city.get("zones", ()):
        if unknown := set(_rules(zone).neighbours) - known:
            raise SeedWrong(f"zones: {min(unknown)}, next to {zone['zone_id']}, is none of them")


def keep_keys(home: Path, account: Row) -> None:
    """Write a payee's keys where `keys_ref` says, readable by this user only.

    What ends in `_pem` is a file of its own, all else is in `account.json`.
    """
    folder = home / keys_ref(account.get("channel", WECHAT), str(account["mchid"]))
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    fields = {"mchid": account["mchid"], "appid": account.get("appid"), **account["keys"]}
    for name in [name for name in fields if name.endswith(PEM)]:
        _write(folder / f"{name.removesuffix(PEM)}.pem", str(fields.pop(name)).encode())
    _write(folder / "account.json", orjson.dumps(fields))


def keys_ref(channel: str, mchid: str) -> Path:
    """The folder of a payee's keys, relative to the state folder."""
    if not _NUMBER.fullmatch(mchid) or not _NUMBER.fullmatch(channel):
        raise SeedWrong("an mchid is letters, digits and _")
    return Path("keys") / channel / mchid


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    partial.replace(path)


def _row(section: str, row: Row, site_id: str) -> dict[str, Any]:
    out = {"site_id": site_id, **row}
    if not isinstance(out.get("payee", ""), str):
        del out["payee"]
    if section == "customers":
        out.pop("openid", None)
        out.pop("payers", None)
    elif section == "contracts":
        out = {"merchant_id": "", "kind": "takeaway", "valid_from": EVER} | out
    elif section == "channel_accounts":
        out.pop("keys", None)
        out.pop("fund_fen", None)
        out.setdefault("channel", WECHAT)
        out.setdefault("appid", "")
        out["keys_ref"] = str(keys_ref(out["channel"], str(row["mchid"])))
    return out


async def _upsert(
    writer: Writer, table: Table, rows: Iterable[Row], left_as_it_is: frozenset[str]
) -> None:
    key = {column.name for column in table.primary_key}
    alike: defaultdict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        names = frozenset(row)
        if not key <= names <= set(table.columns.keys()):
            wrong = sorted((names - set(table.columns.keys())) | (key - names))
            raise SeedWrong(f"{table.name}: unknown or missing {', '.join(wrong)}")
        alike[names].append(dict(row))
    for names, group in alike.items():
        statement = insert(table)
        changed = {name: statement.excluded[name] for name in names - key - left_as_it_is}
        upsert = (
            statement.on_conflict_do_update(index_elements=sorted(key), set_=changed)
            if changed
            else statement.on_conflict_do_nothing()
        )
        for start in range(0, len(group), ROWS_PER_STATEMENT):
            await writer.run(upsert, group[start : start + ROWS_PER_STATEMENT])
