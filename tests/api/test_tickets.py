"""Tickets from both sides of the desk, their real workflow behind them; nobody sees another's."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx import ASGITransport
from sqlalchemy import text
from temporalio.worker import Worker

from activities.tickets import build
from api.app import create_app
from api.durable import ORDERS_QUEUE
from domain.ids import ticket_workflow
from domain.tickets import EVIDENCE_BYTES_MAX, EVIDENCE_MAX
from services import tickets
from services.db import Database
from services.settings import Settings
from tests.api.town import Json, Town
from tests.temporal import development_server
from workflows.kit.connect import connect
from workflows.ticket import Ticket

PNG = b"\x89PNG\r\n\x1a\n"
WORDS = {"reason_code": "cold_food", "text": "canary: the soup was cold"}


@pytest.fixture(scope="module")
async def served(told: Settings, database: Database) -> AsyncIterator[FastAPI]:
    """The application over a Temporal that is there."""
    async with development_server() as there:
        here = ("temporal_address", "temporal_namespace", "payload_key")
        app = create_app(told.model_copy(update={name: getattr(there, name) for name in here}))
        client = await connect(there)
        async with (
            Worker(client, task_queue=ORDERS_QUEUE, workflows=[Ticket], activities=build(database)),
            app.router.lifespan_context(app),
        ):
            yield app


@pytest.fixture
async def town(database: Database, served: FastAPI, site_id: str) -> AsyncIterator[Town]:
    transport = ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://paotui") as client:
        yield await Town(database=database, http=client, site_id=site_id).build()


async def call(
    town: Town, who: str, method: str, path: str, body: Json | bytes | None = None, **more: str
) -> httpx.Response:
    role, _, subject = who.partition(":")
    headers = town.headers(role, subject, site=more.pop("site", "")) | more
    if isinstance(body, bytes):
        return await town.http.request(method, path, headers=headers, content=body)
    return await town.http.request(method, path, headers=headers, json=body)


async def complain(town: Town, order_id: str = "", *, key: str = "", **body: Any) -> httpx.Response:
    order_id = order_id or (await town.order()).order_id
    named = {"Idempotency-Key": key or uuid.uuid4().hex}
    path = f"/v1/orders/{order_id}/tickets"
    return await call(town, "customer:ann", "POST", path, WORDS | body, **named)


async def opened(town: Town, order_id: str = "") -> str:
    answer = await complain(town, order_id)
    assert answer.status_code == 201, answer.text
    return f"/tickets/{answer.json()['ticket_id']}"


async def test_a_ticket_goes_from_the_customer_to_support_and_back(town: Town) -> None:
    path = await opened(town)
    sue, ann = "support:sue", "customer:ann"
    photo = PNG + os.urandom(100_000)
    kept = await call(town, ann, "POST", f"/v1{path}/evidence", photo)
    assert kept.status_code == 201, kept.text
    again = await call(town, ann, "POST", f"/v1{path}/evidence", photo)
    assert again.json() == kept.json()
    taken = await call(town, sue, "POST", f"/v1/support{path}/assign", {"assignee": "sue"})
    assert (taken.json()["state"], taken.json()["assignee"]) == ("assigned", "sue")
    said = {"text": "we are sorry"}
    assert (await call(town, sue, "POST", f"/v1/support{path}/message", said)).status_code == 201
    more = {"text": "thank you"}
    assert (await call(town, ann, "POST", f"/v1{path}/messages", more)).status_code == 201
    up = {"reason_code": "wants_more"}
    assert (await call(town, sue, "POST", f"/v1/support{path}/escalate", up)).is_success
    done, key = {"outcome": "compensated"}, {"Idempotency-Key": "k"}
    ended = await call(town, sue, "POST", f"/v1/support{path}/resolve", done, **key)
    assert (ended.json()["state"], ended.json()["owner"]) == ("resolved", "lead")
    assert (
        await call(town, sue, "POST", f"/v1/support{path}/resolve", done, **key)
    ).content == ended.content

    mine = (await call(town, ann, "GET", f"/v1{path}")).json()
    assert [(one["by"], one["text"]) for one in mine["messages"]] == [
        ("customer", WORDS["text"]),
        ("support", "we are sorry"),
        ("customer", "thank you"),
    ]
    assert [one["evidence_id"] for one in mine["evidence"]] == [kept.json()["evidence_id"]]
    assert (mine["state"], mine["outcome"]) == ("resolved", "compensated")
    assert "sue" not in str(mine)
    theirs = (await call(town, sue, "GET", f"/v1/support{path}")).json()
    assert [one["kind"] for one in theirs["entries"]] == ["assigned", "escalated", "resolved"]
    for who, prefix in ((ann, "/v1"), (sue, "/v1/support")):
        shown = await call(
            town, who, "GET", f"{prefix}{path}/evidence/{kept.json()['evidence_id']}"
        )
        assert (shown.content, shown.headers["content-type"]) == (photo, "image/png")
        assert shown.headers["x-content-type-options"] == "nosniff"
    late = await call(town, ann, "POST", f"/v1{path}/messages", more)
    assert (late.status_code, late.json()["type"]) == (409, "/problems/action_not_allowed")
    late = await call(town, ann, "POST", f"/v1{path}/evidence", PNG + b"late")
    assert late.status_code == 409


async def test_a_repeat_is_the_same_ticket_and_an_order_has_five_open_ones(town: Town) -> None:
    order_id, key = (await town.order()).order_id, uuid.uuid4().hex
    first = await complain(town, order_id, key=key)
    assert (await complain(town, order_id, key=key)).content == first.content
    assert (await complain(town, order_id, key=key, text="else")).status_code == 409
    answers = await asyncio.gather(*(complain(town, order_id) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 2
    listed = (await call(town, "customer:ann", "GET", "/v1/tickets?limit=3")).json()
    rest = await call(
        town, "customer:ann", "GET", f"/v1/tickets?limit=3&cursor={listed['next_cursor']}"
    )
    found = [one["ticket_id"] for one in listed["items"] + rest.json()["items"]]
    assert (len(found), rest.json()["next_cursor"]) == (5, None)
    assert found == sorted(found, reverse=True)


async def test_nobody_sees_the_ticket_of_another(town: Town, database: Database) -> None:
    path = await opened(town)
    kept = await call(town, "customer:ann", "POST", f"/v1{path}/evidence", PNG + b"x")
    evidence = f"/evidence/{kept.json()['evidence_id']}"
    async with database.write() as writer:
        ours = await tickets.open_ticket(
            writer, site_id=town.site_id, order_id=town.site_id, kind="difference", key="k"
        )
    tries: list[tuple[str, str, str, Any, dict[str, str]]] = [
        ("customer:bob", "GET", f"/v1{path}", None, {}),
        ("customer:bob", "GET", f"/v1{path}{evidence}", None, {}),
        ("customer:bob", "POST", f"/v1{path}/messages", {"text": "x"}, {}),
        ("customer:bob", "POST", f"/v1{path}/evidence", PNG, {}),
        ("customer:ann", "GET", f"/v1{path}", None, {"site": "elsewhere"}),
        ("customer:ann", "GET", f"/v1/tickets/{ours}", None, {}),
        ("support:sue", "GET", f"/v1/support{path}", None, {"site": "elsewhere"}),
        ("support:sue", "GET", f"/v1/support{path}{evidence}", None, {"site": "elsewhere"}),
        (
            "support:sue",
            "POST",
            f"/v1/support{path}/resolve",
            {"outcome": "solved"},
            {"site": "elsewhere"},
        ),
        ("customer:ann", "GET", f"/v1/tickets/{2**62}", None, {}),
    ]
    for who, method, url, body, more in tries:
        answer = await call(town, who, method, url, body, **more)
        assert answer.status_code == 404, (who, method, url, answer.text)
    named = {"Idempotency-Key": "bob"}
    order_id = (await town.order()).order_id
    other = await call(
        town, "customer:bob", "POST", f"/v1/orders/{order_id}/tickets", WORDS, **named
    )
    assert other.status_code == 404
    assert (await call(town, "customer:bob", "GET", "/v1/tickets")).json()["items"] == []


async def test_what_is_no_photo_or_one_too_many_or_too_large(town: Town) -> None:
    path, ann = f"/v1{await opened(town)}/evidence", "customer:ann"
    wrong = await call(town, ann, "POST", path, b"<svg onload=alert(1)>")
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/validation_failed")
    large = await call(town, ann, "POST", path, PNG + bytes(EVIDENCE_BYTES_MAX))
    assert (large.status_code, large.json()["limit_bytes"]) == (413, EVIDENCE_BYTES_MAX)
    words = {"text": "x" * 70_000}
    elsewhere = await call(town, ann, "POST", path.replace("evidence", "messages"), words)
    assert elsewhere.status_code == 413
    answers = [
        await call(town, ann, "POST", path, PNG + bytes([number]))
        for number in range(EVIDENCE_MAX + 1)
    ]
    assert [answer.status_code for answer in answers] == [201] * EVIDENCE_MAX + [409]


async def test_support_finds_tickets_by_kind_state_and_owner(
    town: Town, database: Database
) -> None:
    path = await opened(town)
    async with database.write() as writer:
        await tickets.open_ticket(
            writer, site_id=town.site_id, order_id=town.site_id, kind="difference", key="k"
        )

    async def kinds(query: str) -> list[str]:
        answer = await call(town, "support:sue", "GET", f"/v1/support/tickets?{query}")
        assert answer.status_code == 200, answer.text
        return [one["kind"] for one in answer.json()["items"]]

    assert await kinds("") == ["difference", "customer"]
    assert await kinds("owner=finance") == ["difference"]
    assert await kinds("kind=customer&state=open") == ["customer"]
    assert await kinds("state=resolved") == []
    for wrong in ("owner=nobody", "state=lost", "cursor=x", "limit=0"):
        answer = await call(town, "support:sue", "GET", f"/v1/support/tickets?{wrong}")
        assert answer.status_code == 422
    for wrong in ("won", "settled_itself", "anything"):
        answer = await call(
            town, "support:sue", "POST", f"/v1/support{path}/resolve", {"outcome": wrong}
        )
        assert answer.status_code in {409, 422}


async def test_a_ticket_is_ended_by_its_own_desk_or_the_lead(
    town: Town, database: Database
) -> None:
    site_id, done = town.site_id, {"outcome": "solved"}
    async with database.write() as writer:
        for key in ("k1", "k2"):
            await tickets.open_ticket(
                writer, site_id=site_id, order_id=site_id, kind="difference", key=key
            )
        found = await tickets.page(writer, tickets.Filter(site_id=site_id), before=None, limit=2)
    first, second = (f"/v1/support/tickets/{one.ticket_id}" for one in found)
    given = {"assignee": "sue"}
    for name, body in (("resolve", done), ("assign", given), ("message", {"text": "x"})):
        refused = await call(town, "support:sue", "POST", f"{first}/{name}", body)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    up = await call(town, "support:sue", "POST", f"{first}/escalate", {"reason_code": "odd"})
    assert up.json()["owner"] == "lead"
    assert (await call(town, "finance:fay", "GET", first)).status_code == 200
    for who, path in (("finance:fay", first), ("lead:lee", second)):
        ended = await call(town, who, "POST", f"{path}/resolve", done)
        assert ended.json()["state"] == "resolved"
    customers = f"/v1/support{await opened(town)}/resolve"
    assert (await call(town, "finance:fay", "POST", customers, done)).status_code == 403


async def test_a_workflow_that_was_terminated_begins_again_with_the_next_command(
    town: Town, served: FastAPI
) -> None:
    path = await opened(town)
    given = {"assignee": "sue"}
    assert (await call(town, "support:sue", "POST", f"/v1/support{path}/assign", given)).is_success
    client = await served.state.parts.durable._connected()
    handle = client.get_workflow_handle(ticket_workflow(int(path.rpartition("/")[2])))
    await handle.terminate()
    done = {"outcome": "solved"}
    ended = await call(town, "support:sue", "POST", f"/v1/support{path}/resolve", done)
    assert (ended.json()["state"], ended.json()["assignee"]) == ("resolved", "sue")


async def test_an_answer_that_got_lost_is_given_again_although_the_ticket_is_over(
    town: Town, database: Database
) -> None:
    path, key = await opened(town), {"Idempotency-Key": "lost"}
    resolve, done = f"/v1/support{path}/resolve", {"outcome": "solved"}
    ended = await call(town, "support:sue", "POST", resolve, done, **key)
    async with database.write() as writer:
        await writer.run(
            text("""UPDATE request_keys SET answer = NULL, status_code = NULL, order_id = ''
            WHERE site_id = :site_id AND key = 'lost'"""),
            {"site_id": town.site_id},
        )
    again = await call(town, "support:sue", "POST", resolve, done, **key)
    assert (again.status_code, again.json()) == (200, ended.json())
    other = await call(town, "support:sue", "POST", resolve, {"outcome": "rejected"})
    assert other.status_code == 409
