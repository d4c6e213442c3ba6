"""Finance sees its own site's days and differences, page by page, and closes them with a reason."""

import httpx

from domain.channels import Bill, BillKind
from services import reconciliation
from services.db import Database
from tests.account import live, open_account
from tests.api.town import Town
from tests.bills import DAY, plant
from tests.bills import town as day_of_town

PLANTED = ["amount", "only_theirs", "unbooked"]


async def spoilt(database: Database, site_id: str) -> set[str]:
    """A compared day with differences; their numbers."""
    who = await open_account(database, site_id)
    made = day_of_town(5, 20, prefix=site_id)
    numbers = {number for *_, number in plant(made, PLANTED)}
    await live(database, who, made)
    bill = Bill(kind=BillKind.TRADE, sha256="a", trades=tuple(made.bill))
    async with database.write() as writer:
        await reconciliation.keep_bill(writer, who, DAY, bill)
        await reconciliation.compare(writer, who, DAY)
    return numbers


async def test_days_and_differences_are_listed_and_closed(
    database: Database, http: httpx.AsyncClient, town: Town
) -> None:
    numbers = await spoilt(database, town.site_id)
    fin = town.headers("finance", "fin")
    [day] = (await http.get("/v1/finance/reconciliations", headers=fin)).json()["items"]
    assert (day["day"], day["differs"], day["only_theirs"], day["open"]) == (str(DAY), 2, 1, 3)

    seen, cursor = [], None
    for _ in range(len(PLANTED)):
        page = {"state": "open", "limit": "1"} | ({"cursor": cursor} if cursor else {})
        answer = (await http.get("/v1/finance/differences", headers=fin, params=page)).json()
        seen += answer["items"]
        cursor = answer["next_cursor"]
    assert cursor is None
    assert {one["number"] for one in seen} == numbers

    url = f"/v1/finance/differences/{seen[0]['difference_id']}/close"
    for _ in range(2):
        done = await http.post(url, headers=fin, json={"reason_code": "paid_by_hand"})
        assert done.status_code == 200, done.text
        assert done.json()["state"] == "closed"
        assert done.json()["closed_by"] == "finance:fin"
    other = await http.post(url, headers=fin, json={"reason_code": "other"})
    assert other.status_code == 409
    assert (await http.post(url, headers=fin, json={"reason_code": "no text"})).status_code == 422
    left = await http.get("/v1/finance/differences", headers=fin, params={"state": "open"})
    assert len(left.json()["items"]) == len(PLANTED) - 1


async def test_another_site_sees_and_closes_nothing(
    database: Database, http: httpx.AsyncClient, town: Town
) -> None:
    await spoilt(database, town.site_id)
    fin = town.headers("finance", "fin")
    mine = (await http.get("/v1/finance/differences", headers=fin)).json()["items"]
    stranger = town.headers("finance", "fin", site="elsewhere")
    for path in ("reconciliations", "differences"):
        answer = await http.get(f"/v1/finance/{path}", headers=stranger)
        assert answer.json() == {"items": [], "next_cursor": None}
    url = f"/v1/finance/differences/{mine[0]['difference_id']}/close"
    closing = await http.post(url, headers=stranger, json={"reason_code": "mine"})
    assert closing.status_code == 404
