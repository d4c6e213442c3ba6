"""Closing what Alipay knows nothing of yet, against the real sandbox: never certain too early."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from activities.payments import EXPIRY_MARGIN, PaymentActs
from domain import ids
from domain.contracts.life import PayWishes
from domain.contracts.payments import Attempt, OfOrder, Settle, StoreAttempt
from services import personal, tables
from services.db import Database
from services.gateways import Gateways
from services.seeds import keep_keys, keys_ref
from services.settings import Settings
from tests.sandbox.outside import SandboxProcess, free_ports
from tests.sold import Sales

QR = {"channel": "alipay", "method": "native"}


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The gateways; nobody hears their callbacks."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("acts"), *free_ports(1))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
async def sales(database: Database, site_id: str, outside: SandboxProcess, tmp_path: Path) -> Sales:
    """A shop that is paid by Alipay."""
    sold = await Sales(database, site_id).build()
    keys = outside.call("POST", "/alipay/merchants")
    account = {"channel": "alipay", "mchid": keys["seller_id"], "appid": keys["app_id"]}
    keep_keys(tmp_path, account | {"keys": keys})
    payee = account | {"account_id": f"{site_id}-alipay", "merchant_id": sold.merchant_id}
    payee |= {"keys_ref": str(keys_ref("alipay", keys["seller_id"]))}
    shop = {"merchant_id": sold.merchant_id, "zone_id": "z", "name": "Noodles", "lat": 30, "lng": 1}
    shop |= {"shop_id": f"{site_id}-shop", "delivery_area": [], "prep_minutes": 10}
    async with database.write() as writer:
        await writer.run(insert(tables.channel_accounts).values(site_id=site_id, **payee))
        await writer.run(insert(tables.shops).values(site_id=site_id, **shop))
    return sold


@pytest.fixture
async def acts(
    database: Database, outside: SandboxProcess, tmp_path: Path
) -> AsyncIterator[PaymentActs]:
    """The acts, over the sandbox's proxy."""
    known = Settings(
        home=tmp_path, gateway_proxy=outside.proxy, gateway_ca=str(outside.home / "ca.pem")
    )
    gateways = Gateways(known)
    yield PaymentActs(database, gateways)
    await gateways.close()


async def opened(acts: PaymentActs, sales: Sales, **wishes: Any) -> tuple[Attempt, OfOrder]:
    """An order that was paid another way, and a code for it that nobody has scanned."""
    due = datetime.now(UTC) + timedelta(minutes=15)
    order_id = await sales.order(pay_by=due)
    wanted = StoreAttempt(order_id=order_id, attempt=2, wishes=PayWishes(**wishes), **QR)
    attempt = await acts.open(await acts.store_attempt(wanted))
    return attempt, OfOrder(order_id=order_id)


async def row(sales: Sales, attempt: Attempt) -> Any:
    question = "SELECT * FROM payment_attempts WHERE out_trade_no = :number"
    [found] = await sales.all(question, number=attempt.out_trade_no)
    return found


async def test_what_nobody_scanned_is_watched_and_its_late_money_goes_home(
    acts: PaymentActs, sales: Sales, outside: SandboxProcess
) -> None:
    attempt, order = await opened(acts, sales)
    code = (await row(sales, attempt)).handles["qr_code"]
    first = await acts.close(order)
    left = (await row(sales, attempt)).expires_at + EXPIRY_MARGIN - datetime.now(UTC)
    assert first.notice_ids == ()
    assert first.close_again_seconds == pytest.approx(left.total_seconds(), abs=30)
    assert (await row(sales, attempt)).state == "watched"
    assert (await acts.close(order)).close_again_seconds
    outside.call("POST", "/alipay/pay", qr_code=code)
    found = await acts.close(order)
    assert (len(found.notice_ids), found.close_again_seconds) == (1, 0)
    settled = await acts.settle(Settle(order_id=order.order_id, notice_id=found.notice_ids[0]))
    assert (settled.outcome, len(settled.refund_nos)) == ("late", 1)


async def test_what_was_scanned_is_closed_at_once(
    acts: PaymentActs, sales: Sales, outside: SandboxProcess
) -> None:
    attempt, order = await opened(acts, sales)
    code = (await row(sales, attempt)).handles["qr_code"]
    outside.call("POST", "/alipay/pay", qr_code=code, outcome="fail")
    assert not (await acts.close(order)).close_again_seconds
    assert (await row(sales, attempt)).state == "closed"


async def test_once_it_has_expired_never_made_is_certain(acts: PaymentActs, sales: Sales) -> None:
    attempt, order = await opened(acts, sales)
    await acts.close(order)
    async with sales.database.write() as writer:
        past = "UPDATE payment_attempts SET expires_at = :at WHERE out_trade_no = :number"
        at = datetime.now(UTC) - EXPIRY_MARGIN
        await writer.run(text(past), {"at": at, "number": attempt.out_trade_no})
    assert not (await acts.close(order)).close_again_seconds
    assert (await row(sales, attempt)).state == "closed"


async def test_a_devices_address_is_looked_up_and_never_travels(
    acts: PaymentActs, sales: Sales, personal_key: str
) -> None:
    """The reference in the wishes is ours: what is opened at the channel has no such field."""
    assert personal_key
    ref = ids.derive("device", sales.site_id)
    async with sales.database.write() as writer:
        whose = {"site_id": sales.site_id, "subject": "customer:ann", "kind": "device", "ref": ref}
        await personal.put(writer, **whose, value={"address": "203.0.113.9"})
    attempt, _ = await opened(acts, sales, device_ref=ref)
    kept = await row(sales, attempt)
    assert (kept.state, kept.wishes["device_ref"]) == ("opened", ref)
    assert "203.0.113.9" not in str(kept)
