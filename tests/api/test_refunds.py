"""Sending an abnormal refund again at the edge: who may, of what, and what each channel can."""

from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from services import tables
from services.db import Database
from tests.api.town import Json, Town
from tests.sold import Sales

CARD = {"bank_type": "CMB_DEBIT", "number": "6225880000000000", "name": "canary Li"}
WANTED: Json = {"card": CARD, "reason_code": "card_closed"}


@pytest.fixture
async def sales(database: Database, town: Town) -> Sales:
    return await Sales(database, town.site_id).build(new_site=False)


async def refund(sales: Sales, state: str, channel: str = "wechat") -> str:
    """A refund in a state, of an account at a channel; its path."""
    order_id = await sales.order()
    account = {"account_id": f"{order_id}-payee", "merchant_id": sales.merchant_id, "appid": ""}
    account |= {"site_id": sales.site_id, "channel": channel, "mchid": order_id, "keys_ref": ""}
    row = {"out_refund_no": f"{order_id}r01", "site_id": sales.site_id, "order_id": order_id}
    row |= {"out_trade_no": f"{order_id}p01", "account_id": account["account_id"], "cause": "c"}
    money: dict[str, Any] = {"source": "held", "reason": "r", "amount_fen": 1, "total_fen": 1}
    async with sales.database.write() as writer:
        await writer.run(insert(tables.channel_accounts).values(**account))
        await writer.run(insert(tables.refunds).values(state=state, **row, **money))
    return f"/v1/finance/refunds/{row['out_refund_no']}/retry"


async def test_an_abnormal_refund_is_sent_again_once(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    path = await refund(sales, "abnormal")

    async def ask(who: str = "finance:fay", key: str = "k", **more: Any) -> httpx.Response:
        headers = town.headers(*who.split(":"), site=more.pop("site", ""))
        headers |= {"Idempotency-Key": key}
        return await http.post(more.pop("path", path), headers=headers, json=WANTED | more)

    assert (await ask(site="elsewhere")).status_code == 404
    assert (await ask("merchant:m")).status_code == 403
    wrong = await ask(card=CARD | {"number": "6225 8800"})
    assert (wrong.status_code, "canary" in wrong.text) == (422, False)
    first = await ask()
    assert (first.status_code, first.json()["state"], first.json()["retries"]) == (
        200,
        "retrying",
        1,
    )
    assert (await ask()).content == first.content
    other = await ask("support:sue")
    assert (other.status_code, other.json()["refund"]) == (409, "retrying")
    for state, channel, reason in (("success", "wechat", None), ("abnormal", "bank", "by_hand")):
        refused = await ask(path=await refund(sales, state, channel), key=f"{state}{channel}")
        assert (refused.status_code, refused.json().get("reason")) == (409, reason)
