"""Tips at the edge: the platform's channels only, and nobody else's order."""

from sqlalchemy import insert

from domain.settlement import PLATFORM
from services import tables
from tests.api.town import Town


async def test_a_tip_is_paid_where_the_platform_is_and_money_is_taken_at_once(town: Town) -> None:
    path = f"/v1/orders/{(await town.order()).order_id}"
    bob = town.headers("customer", "bob")
    assert (await town.http.get(f"{path}/tips", headers=bob)).status_code == 404
    assert (await town.http.get(f"{path}/tips", headers=town.ann)).json() == {
        "items": [],
        "ways": [],
    }
    async with town.database.write() as writer:
        for channel in ("wechat", "card"):
            account = {"merchant_id": PLATFORM, "channel": channel, "mchid": "m", "appid": ""}
            account |= {"account_id": f"{town.site_id}-{channel}", "keys_ref": ""}
            await writer.run(
                insert(tables.channel_accounts).values(site_id=town.site_id, **account)
            )
    told = (await town.http.get(f"{path}/tips", headers=town.ann)).json()
    assert [way["channel"] for way in told["ways"]] == ["wechat"]

    headers = town.ann | {"Idempotency-Key": "k"}
    for wrong in (
        {"amount_fen": 100, "payment": {"channel": "card", "method": "card"}},
        {"amount_fen": 0, "payment": {"channel": "wechat", "method": "native"}},
    ):
        refused = await town.http.post(f"{path}/tip", headers=headers, json=wrong)
        assert refused.json()["type"] == "/problems/validation_failed", refused.text
    body = {"amount_fen": 100, "payment": {"channel": "wechat", "method": "native"}}
    refused = await town.http.post(f"{path}/tip", headers=bob | {"Idempotency-Key": "k"}, json=body)
    assert refused.status_code == 404
    refused = await town.http.post(f"{path}/tip", headers=town.ann, json=body)
    assert refused.status_code == 422, "money wants a key"
