"""The codec endpoint opens payloads for those who may read them, and for nobody else."""

import base64
from typing import Any

import httpx
import pytest

from api.codec import application
from services.settings import Settings
from tests.api.town import Town

PLAIN = {
    "payloads": [
        {
            "metadata": {"encoding": base64.b64encode(b"json/plain").decode()},
            "data": base64.b64encode(b'{"order_id":"x"}').decode(),
        }
    ]
}


async def test_it_closes_and_opens(town: Town, http: httpx.AsyncClient) -> None:
    who = town.headers("support", "sue")
    closed = (await http.post("/codec/encode", headers=who, json=PLAIN)).json()
    assert closed["payloads"][0]["data"] != PLAIN["payloads"][0]["data"]
    opened = await http.post("/codec/decode", headers=who, json=closed)
    assert opened.json() == PLAIN
    operations = town.headers("operations", "otto")
    assert (await http.post("/codec/decode", headers=operations, json=closed)).json() == PLAIN


@pytest.mark.parametrize("role", ["", "customer", "merchant", "rider"])
async def test_others_may_not_read(town: Town, http: httpx.AsyncClient, role: str) -> None:
    who = town.headers(role, "x") if role else {}
    answer = await http.post("/codec/decode", headers=who, json=PLAIN)
    assert answer.status_code == (403 if role else 401)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 30_000, b'{"payloads": 5}', b"\xff"])
async def test_nonsense_is_refused(town: Town, http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/codec/decode", headers=town.headers("support", "s"), content=body)
    assert answer.status_code == 400


async def test_what_no_key_opens_comes_back_marked(town: Town, http: httpx.AsyncClient) -> None:
    payload: dict[str, Any] = {
        "metadata": {
            "encoding": base64.b64encode(b"binary/encrypted").decode(),
            "key": base64.b64encode(b"unknown").decode(),
        },
        "data": base64.b64encode(b"x" * 40).decode(),
    }
    who = town.headers("support", "sue")
    answer = await http.post("/codec/decode", headers=who, json={"payloads": [payload]})
    [opened] = answer.json()["payloads"]
    assert "undecodable" in opened["metadata"]


async def test_only_the_ui_may_ask_from_a_browser(http: httpx.AsyncClient) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-namespace,authorization",
    }
    ours = {"Origin": "http://ui.example"}
    answer = await http.options("/codec/decode", headers=ours | asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://ui.example"
    theirs = {"Origin": "http://evil.example"}
    answer = await http.options("/codec/decode", headers=theirs | asked)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("192.0.2.7", {}, 401),
        ("127.0.0.1", {"Authorization": "Bearer forged"}, 401),
    ],
)
async def test_an_embedded_stack_is_open_to_its_own_machine(
    told: Settings, address: str, headers: dict[str, str], status: int
) -> None:
    open_ = application(told.model_copy(update={"codec_open": True}))
    transport = httpx.ASGITransport(open_, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.post("/decode", headers=headers, json=PLAIN)
    assert answer.status_code == status
