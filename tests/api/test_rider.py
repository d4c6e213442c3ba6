"""A rider's taps over HTTP: one claim wins, everybody else is told so; proof is counted."""

import asyncio
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from sqlalchemy import insert, text, update

from api.live import feed
from api.live.outbox import Outbox
from api.parts import Parts
from domain.geo import Point
from domain.positions import cell
from domain.proof import handover_code
from domain.riding import area
from services import addresses, shifts, tables
from services.db import Database
from services.dispatch import TaskState
from services.identity import issue, verify
from services.positions import end, of_riders
from services.settings import Settings
from tests.api.town import HOME
from tests.zone import SHOP_LAT, SHOP_LNG, City
from workers.traces import Traces

RIDERS = [f"r{number}" for number in range(20)]


@pytest.fixture
async def city(database: Database, site_id: str, http: httpx.AsyncClient) -> City:
    assert http
    return await City.build(database, site_id)


def who(city: City, rider: str) -> dict[str, str]:
    token = issue(site=city.site_id, role="rider", subject=rider, ttl_seconds=600)
    return {"Authorization": f"Bearer {token}"}


async def offered(city: City, *riders: str) -> TaskState:
    """A task that all these riders are asked about at once."""
    await city.add_riders(*riders)
    task = await city.add_task()
    await (await city.matcher()).offer(task, list(riders))
    return task


async def test_twenty_claim_at_once_and_one_has_it(city: City, http: httpx.AsyncClient) -> None:
    task = await offered(city, *RIDERS)
    async with city.database.write() as writer:
        await addresses.copy_to_order(
            writer,
            site_id=city.site_id,
            customer_id="customer",
            order_id=task.order_id,
            address=HOME,
            remark="no onions",
        )
    work = (await http.get("/v1/rider/offers", headers=who(city, "r0"))).json()
    [offer] = work["offers"]
    assert (offer["task_id"], offer["token"], offer["shop"]["name"]) == (
        task.task_id,
        1,
        "Noodles",
    )
    assert offer["earns_fen"] == offer["delivery_fee_fen"] == 500
    assert offer["dropoff_area"] == asdict(area(Point(HOME["lat"], HOME["lng"])))
    assert offer["ride_meters"] % 100 == 0
    assert not {"dropoff", "customer_id", "address_id"} & set(offer)
    assert work["tasks"] == []

    path, tap = f"/v1/rider/tasks/{task.task_id}/claim", {"token": offer["token"]}
    answers = await asyncio.gather(
        *(http.post(path, headers=who(city, rider), json=tap) for rider in RIDERS)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: len(RIDERS) - 1}
    lost = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["type"] for answer in lost} == {"/problems/claim_taken"}
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert (won.json()["state"], won.json()["dropoff"]) == ("assigned", HOME)

    winner = RIDERS[answers.index(won)]
    [mine] = (await http.get("/v1/rider/offers", headers=who(city, winner))).json()["tasks"]
    assert (mine["dropoff"], mine["remark"], mine["ready"]) == (HOME, "no onions", False)
    assert "address_id" not in mine
    stranger = who(city, RIDERS[answers.index(lost[0])])
    for act in ("arrive-store", "arrive-customer"):
        answer = await http.post(
            f"/v1/rider/tasks/{task.task_id}/{act}", headers=stranger, json=tap
        )
        assert answer.status_code == 409, answer.text
    arrived = f"/v1/rider/tasks/{task.task_id}/arrive-store"
    for _ in range(2):
        answer = await http.post(arrived, headers=who(city, winner), json=tap)
        assert (answer.status_code, answer.json()["state"]) == (200, "at_store")
    elsewhere = issue(site="elsewhere", role="rider", subject=winner, ttl_seconds=60)
    headers = {"Authorization": f"Bearer {elsewhere}"}
    assert (await http.post(arrived, headers=headers, json=tap)).status_code == 404
    assert await city.event_types(task) == [
        "delivery.offered",
        "delivery.assigned",
        "delivery.at_store",
    ]


async def test_saying_no_and_giving_back(city: City, http: httpx.AsyncClient) -> None:
    task = await offered(city, "r0")
    path, tap = f"/v1/rider/tasks/{task.task_id}", {"token": 1}
    unknown = tap | {"reason_code": "because"}
    answer = await http.post(f"{path}/decline", headers=who(city, "r0"), json=unknown)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")
    answer = await http.post(f"{path}/decline", headers=who(city, "r0"), json=tap)
    assert answer.json()["state"] == "searching"
    matcher = await city.matcher()
    await matcher.offer(await state(city, task), ["r0"])
    token = {"token": (await city.row(task)).token}
    claimed = await http.post(f"{path}/claim", headers=who(city, "r0"), json=token)
    assert claimed.status_code == 200, claimed.text
    failure = token | {"reason_code": "flat_tyre"}
    answer = await http.post(f"{path}/fail", headers=who(city, "r0"), json=failure)
    assert answer.json()["state"] == "searching"
    free_text = token | {"reason_code": "My tyre is flat!"}
    answer = await http.post(f"{path}/fail", headers=who(city, "r0"), json=free_text)
    assert answer.status_code == 422


async def state(city: City, task: TaskState) -> TaskState:
    """The task under its newest token."""
    row = await city.row(task)
    return TaskState(
        task_id=row.task_id, order_id=row.order_id, state=row.state, token=row.token, seq=0
    )


async def test_a_wrong_proof_is_counted_before_the_order_hears(
    city: City, http: httpx.AsyncClient, told: Settings
) -> None:
    task = await city.picked_up(await city.matcher())
    code = handover_code(task.order_id, told.token_key.get_secret_value().encode())
    wrong = f"{(int(code) + 1) % 10_000:04d}"
    path = f"/v1/rider/tasks/{task.task_id}/deliver"
    left = []
    for _ in range(6):
        proof = {"token": task.token, "code": wrong}
        answer = await http.post(path, headers=who(city, "a"), json=proof)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/proof_wrong")
        left.append(answer.json()["tries_left"])
    assert left == [4, 3, 2, 1, 0, 0]
    for shape in ("12", "12345", "abcd", "１２３４"):
        proof = {"token": task.token, "code": shape}
        answer = await http.post(path, headers=who(city, "a"), json=proof)
        assert answer.json()["type"] == "/problems/validation_failed"


async def test_a_pickup_needs_temporal(city: City, http: httpx.AsyncClient) -> None:
    task = await city.picked_up(await city.matcher())
    answer = await http.post(
        f"/v1/rider/tasks/{task.task_id}/pickup",
        headers=who(city, "a"),
        json={"token": task.token},
    )
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


async def test_a_shift_begins_and_ends_once(
    city: City, http: httpx.AsyncClient, database: Database
) -> None:
    await city.add_riders("r0")
    for on in (True, True, False, False, True):
        answer = await http.post("/v1/rider/shift", headers=who(city, "r0"), json={"on": on})
        assert answer.json() == {"on": on}
    async with database.read() as reader:
        shifts = await reader.all(
            text("SELECT ended_at IS NULL AS open FROM shifts WHERE site_id = :site ORDER BY id"),
            {"site": city.site_id},
        )
    assert [row.open for row in shifts] == [False, True]
    answer = await http.post("/v1/rider/shift", headers=who(city, "nobody"), json={"on": True})
    assert answer.status_code == 404


async def test_a_shift_is_shown_paused_and_ending(city: City, http: httpx.AsyncClient) -> None:
    await city.add_riders("r0")
    shift, mine = "/v1/rider/shift", who(city, "r0")
    ends_at = "2030-01-01T12:00:00Z"
    assert (await http.get(shift, headers=mine)).json()["state"] == "off"
    await http.post(shift, headers=mine, json={"on": True, "ends_at": ends_at})
    shown = (await http.get(shift, headers=mine)).json()
    assert (shown["state"], shown["ends_at"]) == ("on", ends_at)
    paused = await http.post(f"{shift}/pause", headers=mine, json={"reason_code": "rest"})
    assert (paused.json()["state"], paused.json()["pause_code"]) == ("paused", "rest")
    await http.post(shift, headers=mine, json={"on": False})
    again = await http.post(f"{shift}/pause", headers=mine, json={"reason_code": "rest"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/action_not_allowed")


async def test_what_a_contract_gives_a_rider_is_what_an_offer_shows(
    city: City, http: httpx.AsyncClient
) -> None:
    async with city.database.write() as writer:
        await writer.run(
            insert(tables.contracts).values(
                site_id=city.site_id,
                merchant_id="",
                kind="takeaway",
                commission_bp=0,
                rider_fee_bp=8_000,
                valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            )
        )
    await offered(city, "r0")
    work = (await http.get("/v1/rider/offers", headers=who(city, "r0"))).json()
    assert [offer["earns_fen"] for offer in work["offers"]] == [400]


async def test_what_a_long_search_pays_more_is_shown_before_and_after_the_claim(
    city: City, http: httpx.AsyncClient
) -> None:
    await city.add_riders("r0")
    tasks = [await city.add_task(), await city.add_task()]
    matcher = await city.matcher()
    for task in tasks:
        await matcher.offer(task, ["r0"], bonus_fen=300, grab=True)
    claim, tap = f"/v1/rider/tasks/{tasks[0].task_id}/claim", {"token": 1}
    work = (await http.get("/v1/rider/offers", headers=who(city, "r0"))).json()
    assert (await http.post(claim, headers=who(city, "r0"), json=tap)).status_code == 200
    work["tasks"] = (await http.get("/v1/rider/offers", headers=who(city, "r0"))).json()["tasks"]
    assert [(one["earns_fen"], one["bonus_fen"]) for one in work["offers"]] == [(800, 300)] * 2
    assert [(one["earns_fen"], one["bonus_fen"]) for one in work["tasks"]] == [(800, 300)]
    async with city.database.write() as writer:
        await writer.run(
            update(tables.riders).where(tables.riders.c.site_id == city.site_id).values(room=1)
        )
    claim = f"/v1/rider/tasks/{tasks[1].task_id}/claim"
    full = await http.post(claim, headers=who(city, "r0"), json=tap)
    assert (full.status_code, full.json()["type"]) == (409, "/problems/box_full")
    assert (full.json()["room"], full.json()["in_hand"], full.json()["load"]) == (1, 1, 1)


async def test_the_door_over_http(city: City, http: httpx.AsyncClient) -> None:
    task = await city.picked_up(await city.matcher())
    rider = who(city, "a")
    path, tap = f"/v1/rider/tasks/{task.task_id}", {"token": task.token}
    await http.post(f"{path}/arrive-customer", headers=rider, json=tap)
    photos = f"{path}/photos?token={task.token}"
    answer = await http.post(photos, headers=rider, content=b"\xff\xd8\xff" + bytes(200_000))
    assert answer.status_code == 201, answer.text
    nothing = await http.post(photos, headers=rider, content=b"MZ")
    assert nothing.json()["type"] == "/problems/validation_failed"
    proof = tap | {"photo_id": answer.json()["photo_id"]}
    for body in (tap, proof | {"code": "1234"}):
        refused = await http.post(f"{path}/deliver", headers=rider, json=body)
        assert refused.json()["type"] == "/problems/validation_failed"
    refused = await http.post(f"{path}/deliver", headers=rider, json=proof)
    assert (refused.status_code, refused.json()["ways"]) == (409, [])
    refused = await http.post(f"{path}/unreachable", headers=rider, json=tap)
    assert (refused.status_code, refused.json()["calls"]) == (409, 0)
    called = await http.post(f"{path}/calls", headers=rider, json=tap | {"outcome": "busy"})
    assert called.json()["state"] == "arrived"
    await http.post(f"{path}/unreachable", headers=rider, json=tap)
    [mine] = (await http.get("/v1/rider/offers", headers=rider)).json()["tasks"]
    assert mine["unreachable_until"]
    stranger = await http.post(f"{path}/return", headers=who(city, "b"), json=tap)
    assert stranger.status_code == 404
    photo = f"/v1/orders/{task.order_id}/photos/{proof['photo_id']}"
    for role, subject, status in (
        ("customer", "customer", 200),
        ("customer", "another", 404),
        ("merchant", "another", 404),
    ):
        token = issue(site=city.site_id, role=role, subject=subject, ttl_seconds=60)
        shown = await http.get(photo, headers={"Authorization": f"Bearer {token}"})
        assert shown.status_code == status


async def test_riders_can_read_their_rules(http: httpx.AsyncClient) -> None:
    rules = (await http.get("/v1/policies/riding")).json()
    assert {"code": "too_far", "name": "距离太远", "bars": True} in rules["declines"]
    assert {"code": "meal", "name": "用餐", "most_seconds": 2_700} in rules["pauses"]


async def test_positions_are_taken_or_dropped_by_reason(
    city: City, http: httpx.AsyncClient, parts: Parts
) -> None:
    await city.add_riders("a")
    rod, path = who(city, "a"), "/v1/rider/positions"
    shift = {"on": True, "lat": 31.23, "lng": 121.47}
    assert (await http.post("/v1/rider/shift", headers=rod, json=shift)).json() == {"on": True}
    begun = await of_riders(parts.positions.redis, city.site_id, ["a"])
    assert begun["a"].place == Point(31.23, 121.47)
    now = datetime.now(UTC) + timedelta(seconds=1)
    here = {"lat": 31.2301, "lng": 121.47, "at": now.isoformat(), "accuracy_m": 12.5}
    odd = [{"lat": 91}, {"lat": 32}, {"at": "2030-01-01T00:00:00+08:00"}, {}]
    batch = {"positions": [here, *(here | one for one in odd)]}
    answer = await http.post(path, headers=rod, json=batch)
    dropped = {"impossible": 1, "future": 1, "duplicate": 2}
    assert answer.json() == {"accepted": 1, "dropped": dropped}
    assert (await http.post(path, headers=who(city, "x"), json=batch)).status_code == 404
    broken = {"positions": [here | {"lat": "31.98765x"}]}
    answer = await http.post(path, headers=rod, json=broken)
    assert answer.status_code == 422
    assert "98765" not in answer.text
    assert (await http.post("/v1/rider/shift", headers=rod, json={"on": False})).status_code == 200
    later = here | {"lat": 31.2302, "at": (now + timedelta(seconds=1)).isoformat()}
    await forget_places(city, parts)
    answer = await http.post(path, headers=rod, json={"positions": [later]})
    assert answer.json() == {"accepted": 0, "dropped": {"off_shift": 1}}
    assert await of_riders(parts.positions.redis, city.site_id, ["a"]) == {}
    assert (await http.post("/v1/rider/shift", headers=rod, json={"on": True})).status_code == 200
    answer = await http.post(path, headers=rod, json={"positions": [later]})
    assert answer.json() == {"accepted": 1, "dropped": {}}


async def forget_places(city: City, parts: Parts) -> None:
    """As the relay does once a shift has ended."""
    async with city.database.read() as reader:
        over = await shifts.off(reader, [(city.site_id, "a")])
    await end(parts.positions.redis, over)


async def test_support_reads_a_trace_and_the_timeline_says_so(
    city: City, http: httpx.AsyncClient, parts: Parts
) -> None:
    task = await city.picked_up(await city.matcher())
    await parts.positions.begin(city.site_id, "a", Point(31.23, 121.47))
    await Traces(city.database, parts.positions.redis, days=1).once()
    path = f"/v1/support/orders/{task.order_id}"
    token = issue(site=city.site_id, role="support", subject="sue", ttl_seconds=600)
    sue = {"Authorization": f"Bearer {token}"}
    [point] = (await http.get(f"{path}/trace", headers=sue)).json()["trace"]
    coarse = cell(Point(31.23, 121.47))
    assert (point["rider_id"], point["lat"], point["lng"]) == ("a", coarse.lat, coarse.lng)
    lines = (await http.get(f"{path}/timeline", headers=sue)).json()["items"]
    [line] = [line for line in lines if line["kind"] == "trace_read"]
    assert (line["actor"], line["data"]) == ("support:sue", {"rows": 1})
    elsewhere = issue(site="elsewhere", role="support", subject="sue", ttl_seconds=600)
    for who_else in (who(city, "a"), {"Authorization": f"Bearer {elsewhere}"}):
        assert (await http.get(f"{path}/trace", headers=who_else)).status_code in {403, 404}


async def test_the_live_line_shows_of_an_offer_what_the_list_shows(
    city: City, http: httpx.AsyncClient, parts: Parts
) -> None:
    await offered(city, "r0")
    path = "/v1/rider/offers"
    [offer] = (await http.get(path, headers=who(city, "r0"))).json()["offers"]
    assert "pickup_meters" not in offer
    async with city.database.write() as writer:
        await writer.run(
            update(tables.orders).where(tables.orders.c.site_id == city.site_id).values(tip_fen=300)
        )
    await parts.positions.begin(city.site_id, "r0", Point(SHOP_LAT + 0.01, SHOP_LNG))
    token = issue(site=city.site_id, role="rider", subject="r0", ttl_seconds=60)
    listed = (await http.get(path, headers=who(city, "r0"))).json()["offers"]
    story = await feed.rider(parts.live, verify(token))
    snapshot = await anext(story.lines(Outbox(story.topic)))
    assert orjson.loads(snapshot.body or b"")["offers"] == listed
    assert (listed[0]["pickup_meters"], listed[0]["tip_fen"]) == (1_112, 300)
    assert not {"customer_id", "goods"} & set(listed[0])
