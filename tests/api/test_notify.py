"""Notices of WeChat Pay: a true one is stored once, all else is refused and kept for people."""

import asyncio
import base64
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from prometheus_client import REGISTRY
from sqlalchemy import text

from activities.payments import PaymentActs
from api.parts import Parts
from domain import ids
from domain.contracts.life import PayWishes
from domain.contracts.payments import Settle, StoreAttempt
from services import metrics, payments
from services.db import Database
from services.settings import Settings
from tests.api.town import Town

KEY_ID = "PUB_KEY_ID_0000000000000001"
APIV3_KEY = os.urandom(16).hex()
MCHID, APPID = "1900000001", "wx0000000000000001"


class Gateway:
    """Signs and seals as WeChat Pay does, in public-key mode."""

    def __init__(self, home: Path, keys_ref: str) -> None:
        self.key = rsa.generate_private_key(65_537, 2_048)
        merchant = rsa.generate_private_key(65_537, 2_048)
        folder = home / keys_ref
        folder.mkdir(parents=True)
        account = {
            "mchid": MCHID,
            "appid": APPID,
            "serial_no": "AB",
            "apiv3_key": APIV3_KEY,
            "public_key_id": KEY_ID,
        }
        (folder / "account.json").write_bytes(orjson.dumps(account))
        private = merchant.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "private_key.pem").write_bytes(private)
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "public_key.pem").write_bytes(public)

    def notice(self, event_id: str, out_trade_no: str, **more: Any) -> bytes:
        """The body of a payment notice."""
        resource = {
            "mchid": MCHID,
            "appid": APPID,
            "out_trade_no": out_trade_no,
            "transaction_id": "4200000001",
            "trade_state": "SUCCESS",
            "amount": {"total": 800, "currency": "CNY"},
            "success_time": datetime.now(UTC).isoformat(),
            **more,
        }
        nonce = os.urandom(6).hex()
        sealed = AESGCM(APIV3_KEY.encode()).encrypt(
            nonce.encode(), orjson.dumps(resource), b"transaction"
        )
        return orjson.dumps(
            {
                "id": event_id,
                "event_type": "TRANSACTION.SUCCESS",
                "resource_type": "encrypt-resource",
                "resource": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "ciphertext": base64.b64encode(sealed).decode(),
                    "nonce": nonce,
                    "associated_data": "transaction",
                },
            }
        )

    def headers(self, body: bytes, *, at: float | None = None) -> dict[str, str]:
        """Signed now."""
        timestamp, nonce = str(int(at or time.time())), os.urandom(8).hex()
        message = b"%b\n%b\n%b\n" % (timestamp.encode(), nonce.encode(), body)
        signature = self.key.sign(message, PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Wechatpay-Serial": KEY_ID,
            "Content-Type": "application/json",
        }


@pytest.fixture
async def gateway(town: Town, told: Settings) -> Gateway:
    """The town's payee, with keys."""
    return Gateway(told.home, f"keys/wechat/{town.site_id}")


async def count(database: Database, town: Town, table: str) -> int:
    """Rows of this test's payee."""
    account = {"account": f"{town.site_id}-account"}
    async with database.read() as reader:
        return int(
            await reader.scalar(
                text(f"SELECT count(*) FROM {table} WHERE account_id = :account"),  # noqa: S608
                account,
            )
        )


def figure(name: str, **labels: str) -> float:
    """What a metric of this process shows."""
    return REGISTRY.get_sample_value(name, {"channel": "wechat", **labels}) or 0.0


async def attempt(town: Town, database: Database) -> tuple[str, str]:
    """An order and the number of the payment that is to be made for it."""
    order_id = (await town.order()).order_id
    async with database.write() as writer:
        number = await payments.store_attempt(
            writer,
            StoreAttempt(
                order_id=order_id,
                attempt=1,
                channel="wechat",
                method="native",
                wishes=PayWishes(),
            ),
        )
    return order_id, number


async def test_a_true_notice_is_stored_once_and_told_once(
    town: Town, gateway: Gateway, http: httpx.AsyncClient, database: Database
) -> None:
    order_id, number = await attempt(town, database)
    stored = figure("paotui_notice_lag_seconds_count", stage="stored")
    body = gateway.notice("event-1", number)
    path = f"/v1/notify/wechat/{town.site_id}-account"

    async def post() -> int:
        headers = gateway.headers(body)
        return (await http.post(path, headers=headers, content=body)).status_code

    assert await asyncio.gather(*(post() for _ in range(10))) == [204] * 10
    assert await count(database, town, "inbox") == 1
    assert figure("paotui_notice_lag_seconds_count", stage="stored") == stored + 1
    async with database.read() as reader:
        told = await reader.all(
            text("SELECT workflow_id, name FROM facts WHERE order_id = :order_id"),
            {"order_id": order_id},
        )
    assert [(row.workflow_id, row.name) for row in told] == [
        (ids.order_workflow(order_id), "payment_settled")
    ]
    assert await count(database, town, "quarantine") == 0


async def test_another_amount_is_frozen_and_figures_say_so(
    town: Town, gateway: Gateway, http: httpx.AsyncClient, database: Database, parts: Parts
) -> None:
    begun = figure("paotui_payment_attempts_total")
    order_id, number = await attempt(town, database)
    assert figure("paotui_payment_attempts_total") == begun + 1
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    body = gateway.notice(
        "late", number, amount={"total": 1, "currency": "CNY"}, success_time=hour_ago
    )
    path = f"/v1/notify/wechat/{town.site_id}-account"
    answer = await http.post(path, headers=gateway.headers(body), content=body)
    assert answer.status_code == 204
    async with database.read() as reader:
        query = text("SELECT id FROM inbox WHERE order_id = :order_id")
        notice_id = await reader.scalar(query, {"order_id": order_id})
    frozen = figure("paotui_payments_total", outcome="frozen")
    lag = figure("paotui_notice_lag_seconds_sum", stage="applied")
    acts = PaymentActs(database, parts.gateways)
    for _ in range(2):
        done = await acts.settle(Settle(order_id=order_id, notice_id=notice_id))
        assert done.outcome == "frozen"
    assert figure("paotui_payments_total", outcome="frozen") == frozen + 1
    assert 3_599 <= figure("paotui_notice_lag_seconds_sum", stage="applied") - lag <= 3_660


Damage = Callable[[Gateway, bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
DAMAGES: dict[str, tuple[Damage, int, str]] = {
    "no signature": (lambda _, body, __: (body, {}), 401, "missing_header"),
    "another body": (lambda _, body, headers: (body + b" ", headers), 401, "bad_signature"),
    "another key": (
        lambda _, body, headers: (body, headers | {"Wechatpay-Serial": "PUB_KEY_ID_9"}),
        401,
        "unknown_serial",
    ),
    "too old": (
        lambda gateway, body, _: (body, gateway.headers(body, at=time.time() - 400)),
        401,
        "stale_timestamp",
    ),
    "probe": (
        lambda _, body, headers: (
            body,
            headers | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + "x" * 20},
        ),
        401,
        "signtest",
    ),
    "no json": (
        lambda gateway, _, __: (b"\xff{", gateway.headers(b"\xff{")),
        400,
        "wrong_shape",
    ),
    "empty": (lambda gateway, _, __: (b"", gateway.headers(b"")), 400, "wrong_shape"),
    "not ours": (
        lambda gateway, _, __: _signed(gateway, gateway.notice("e", "x", mchid="1900000009")),
        400,
        "wrong_payee",
    ),
    "unknown number": (
        lambda gateway, _, __: _signed(gateway, gateway.notice("e", "x")),
        400,
        "unknown_number",
    ),
    "another amount's shape": (
        lambda gateway, _, __: _signed(gateway, gateway.notice("e", "x", amount={"total": "8"})),
        400,
        "wrong_shape",
    ),
}


def _signed(gateway: Gateway, body: bytes) -> tuple[bytes, dict[str, str]]:
    return body, gateway.headers(body)


@pytest.mark.parametrize("name", DAMAGES)
async def test_forged_and_damaged_notices_change_nothing(
    town: Town, gateway: Gateway, http: httpx.AsyncClient, database: Database, name: str
) -> None:
    damage, status, reason = DAMAGES[name]
    refused = figure("paotui_notices_refused_total", reason=reason)
    body = gateway.notice("event-1", "number")
    body, headers = damage(gateway, body, gateway.headers(body))
    path = f"/v1/notify/wechat/{town.site_id}-account"
    answer = await http.post(path, headers=headers, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, "FAIL")
    assert await count(database, town, "inbox") == 0
    assert await count(database, town, "quarantine") == 1
    assert figure("paotui_notices_refused_total", reason=reason) == refused + 1


async def test_a_channels_own_trial_is_answered_well_and_changes_nothing(
    town: Town, gateway: Gateway, http: httpx.AsyncClient, database: Database
) -> None:
    body = gateway.notice("echo-1", "number").replace(b"TRANSACTION", b"SECURITY_ECHO")
    path = f"/v1/notify/wechat/{town.site_id}-account"
    answer = await http.post(path, headers=gateway.headers(body), content=body)
    assert (answer.status_code, answer.content) == (204, b"")
    for table in ("inbox", "quarantine"):
        assert await count(database, town, table) == 0


async def test_a_payee_nobody_knows(http: httpx.AsyncClient, town: Town) -> None:
    answer = await http.post(f"/v1/notify/wechat/{town.site_id}-unknown", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (400, "FAIL")
    answer = await http.post("/v1/notify/nonsense/x", content=b"{}")
    assert answer.status_code == 400
    assert b"nonsense" not in metrics.exposition()
    large = await http.post(f"/v1/notify/wechat/{town.site_id}-account", content=b"x" * 70_000)
    assert large.status_code == 413


def _forgeries(gateway: Gateway) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Damage to every part of a true notice: headers, signed bytes, envelope, resource."""
    body = gateway.notice("event-1", "number")
    headers = gateway.headers(body)
    for name in (name for name in headers if name.startswith("Wechatpay-")):
        for value in ("", headers[name][1:], headers[name].swapcase()[::-1], "0"):
            yield body, headers | {name: value}
    for at in range(0, len(body), len(body) // 24):
        yield body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], headers
    for name in ("id", "event_type", "resource"):
        for value in (None, "", 1, []):
            yield _signed(gateway, orjson.dumps(orjson.loads(body) | {name: value}))
    for name in ("algorithm", "ciphertext", "nonce", "associated_data"):
        for value in ("x", 1, []):
            envelope = orjson.loads(body)
            envelope["resource"] |= {name: value}
            yield _signed(gateway, orjson.dumps(envelope))


async def test_generated_forgeries_change_nothing(
    town: Town, gateway: Gateway, http: httpx.AsyncClient, database: Database
) -> None:
    corpus = list(_forgeries(gateway))
    assert len(corpus) >= 60
    path = f"/v1/notify/wechat/{town.site_id}-account"
    for body, headers in corpus:
        answer = await http.post(path, headers=headers, content=body)
        assert (answer.status_code, answer.json()["code"]) in {(400, "FAIL"), (401, "FAIL")}
    assert await count(database, town, "inbox") == 0
    assert await count(database, town, "quarantine") == len(corpus)
