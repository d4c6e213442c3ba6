"""The bank behind the port of all channels, against the real sandbox process."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from domain.channels import (
    BillKind,
    Create,
    PaymentNotice,
    RefundNotice,
    RefundSaid,
    Share,
    ShareState,
    TradeState,
    Transaction,
)
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services import channel_http
from services.bank import signing
from services.bank.accounts import Account, load_account
from services.bank.client import Bank
from services.channel import AccountUnreadable, Channel
from tests.sandbox.outside import free_ports
from tests.services.bank.conftest import NOTIFY_URL, World

CHINA = timezone(timedelta(hours=8))
POLLS = 200
POLL_SECONDS = 0.02


def order(**changes: Any) -> Create:
    wanted = Create(
        method="ecny",
        out_trade_no=secrets.token_hex(12),
        amount_fen=2999,
        description="订单",
        notify_url=NOTIFY_URL,
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=15),
    )
    return replace(wanted, **changes)


def refund_of(out_trade_no: str, **changes: Any) -> dict[str, Any]:
    return {
        "out_trade_no": out_trade_no,
        "out_refund_no": secrets.token_hex(12),
        "refund_fen": 1000,
        "total_fen": 2999,
        "reason": "merchant_silent",
        "notify_url": NOTIFY_URL,
    } | changes


def value_of(outcome: Outcome[Any]) -> Any:
    assert isinstance(outcome, Accepted), outcome
    return outcome.value


async def paid(world: World, bank: Bank, account: Account, **changes: Any) -> Transaction:
    wanted = order(**changes)
    value_of(await bank.create(account, wanted))
    world.pay(account, wanted.out_trade_no)
    transaction: Transaction = value_of(await bank.query(account, out_trade_no=wanted.out_trade_no))
    return transaction


async def until(look: Callable[[], Awaitable[Outcome[Any]]], done: Callable[[Any], bool]) -> Any:
    for _ in range(POLLS):
        value = value_of(await look())
        if done(value):
            return value
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError("it never ends")


def test_the_client_is_a_channel(bank: Bank) -> None:
    channel: Channel[Account] = bank
    assert (channel.name, channel.ability.methods) == ("bank", ("wallet", "ecny"))
    assert (channel.ability.holds, channel.ability.splits, channel.ability.saves) == (
        False,
        True,
        True,
    )


async def test_a_payment_is_opened_paid_and_sent_home(
    world: World, bank: Bank, account: Account
) -> None:
    wanted = order()
    opened = value_of(await bank.create(account, wanted))
    assert value_of(await bank.create(account, wanted)) == opened
    shown = bank.parameters(account, method="ecny", handles=opened.handles, now=datetime.now(UTC))
    assert list(shown) == ["code_url"]
    unpaid = value_of(await bank.query(account, out_trade_no=wanted.out_trade_no))
    assert (unpaid.state, unpaid.transaction_id) == (TradeState.OPEN, None)
    world.control("pay", **shown)
    transaction = value_of(await bank.query(account, out_trade_no=wanted.out_trade_no))
    assert (transaction.state, transaction.amount_fen) == (TradeState.PAID, 2999)
    assert (transaction.mchid, transaction.appid) == (account.account, "")
    assert abs(transaction.success_time - datetime.now(UTC)) < timedelta(minutes=1)

    asked = refund_of(wanted.out_trade_no)
    first: RefundSaid = value_of(await bank.refund(account, **asked))
    assert (first.state, first.refund_fen, first.total_fen) == ("processing", 1000, 2999)
    assert value_of(await bank.refund(account, **asked)).refund_id == first.refund_id
    numbers = {name: asked[name] for name in ("out_trade_no", "out_refund_no")}
    ended = await until(
        lambda: bank.query_refund(account, **numbers), lambda said: said.state != "processing"
    )
    assert ended == replace(first, state="success")
    notices = [
        await bank.notice(account, heard.headers, heard.body)
        for heard in await world.heard(account, 2)
    ]
    assert isinstance(notices[0], PaymentNotice)
    assert notices[0].transaction == transaction
    assert isinstance(notices[1], RefundNotice)
    assert notices[1].refund == ended


async def test_a_wallet_pays_by_confirming_or_by_consent(
    world: World, bank: Bank, account: Account
) -> None:
    wallet = world.control("wallets", top_up_fen=6000)
    first = order(method="wallet", payer=wallet["wallet"], save=True)
    opened = value_of(await bank.create(account, first))
    handed = bank.parameters(
        account, method="wallet", handles=opened.handles, now=datetime.now(UTC)
    )
    world.control("pay", **handed)
    consent = value_of(await bank.consent(account, out_trade_no=first.out_trade_no))
    second = order(method="wallet", saved_method=consent)
    opened = value_of(await bank.create(account, second))
    handles = {"handles": opened.handles, "now": datetime.now(UTC)}
    assert bank.parameters(account, method="wallet", **handles) == {}
    state = value_of(await bank.query(account, out_trade_no=second.out_trade_no)).state
    assert state is TradeState.PAID
    third = order(method="wallet", saved_method=consent)
    value_of(await bank.create(account, third))
    poor = value_of(await bank.query(account, out_trade_no=third.out_trade_no))
    assert (poor.state, poor.failure_code) == (TradeState.OPEN, "INSUFFICIENT_FUNDS")
    nobody = await bank.create(account, order(method="wallet", saved_method="consent-nobody"))
    assert nobody == Rejected(code="CONSENT_INVALID", message="/consent", kind=Refusal.NEVER)


async def test_closing_is_repeatable_and_never_undoes_a_payment(
    world: World, bank: Bank, account: Account
) -> None:
    wanted = order()
    value_of(await bank.create(account, wanted))
    for _ in range(2):
        closed = await bank.close(account, out_trade_no=wanted.out_trade_no)
        assert closed == Accepted(value=None)
    again = value_of(await bank.create(account, wanted))
    assert "code_url" not in again.handles
    state = value_of(await bank.query(account, out_trade_no=wanted.out_trade_no)).state
    assert state is TradeState.CLOSED
    transaction = await paid(world, bank, account)
    refused = await bank.close(account, out_trade_no=transaction.out_trade_no)
    assert refused == Rejected(code="PAYMENT_PAID", kind=Refusal.NEVER)


async def test_refusals_say_whether_asking_again_may_help(
    world: World, bank: Bank, account: Account
) -> None:
    nothing = await bank.query(account, out_trade_no="never-made")
    assert nothing == Rejected(code="PAYMENT_NOT_FOUND", kind=Refusal.NOT_FOUND)
    nothing = await bank.query_refund(account, out_trade_no="never-made", out_refund_no="never")
    assert nothing == Rejected(code="REFUND_NOT_FOUND", kind=Refusal.NOT_FOUND)
    wrong = await bank.create(account, order(amount_fen=0))
    assert wrong == Rejected(code="PARAMETER_WRONG", message="/amount/value", kind=Refusal.NEVER)
    transaction = await paid(world, bank, account, split=True)
    too_much = refund_of(transaction.out_trade_no, refund_fen=3000)
    assert await bank.refund(account, **too_much) == Rejected(
        code="REFUND_TOO_MUCH", kind=Refusal.NEVER
    )
    today = datetime.now(UTC).astimezone(CHINA).date()
    early = await bank.bill(account, kind=BillKind.FUNDS, day=today + timedelta(days=1))
    assert early == Rejected(code="STATEMENT_NOT_READY", kind=Refusal.LATER)
    with pytest.raises(NotImplementedError):
        await bank.capture(account, out_trade_no=transaction.out_trade_no, amount_fen=1)


async def test_what_changed_under_its_number_says_nothing_about_the_first(
    bank: Bank, account: Account
) -> None:
    wanted = order()
    value_of(await bank.create(account, wanted))
    other = await bank.create(account, replace(wanted, amount_fen=3000))
    assert other == Unknown(reason="PAYMENT_CHANGED")


async def test_a_payment_is_shared_out_and_taken_back(
    world: World, bank: Bank, account: Account
) -> None:
    transaction = await paid(world, bank, account, split=True)
    receiver = world.account().account
    number = {"out_order_no": secrets.token_hex(8)}
    named = {"transaction_id": transaction.transaction_id or "", **number}
    share = Share(receiver=receiver, amount_fen=100, description="佣金")
    value_of(await bank.split(account, **named, shares=[share], finish=False))
    said = await until(lambda: bank.query_split(account, **named), lambda split: split.finished)
    (result,) = said.results
    assert (result.receiver, result.amount_fen, result.state) == (
        receiver,
        100,
        ShareState.SUCCESS,
    )
    back = {**number, "out_return_no": secrets.token_hex(8)}
    returned = value_of(await bank.return_split(account, **back, share=share))
    assert returned.results[0].state is ShareState.SUCCESS
    assert await bank.query_return(account, **back) == Accepted(value=returned)
    rest = {**named, "out_order_no": secrets.token_hex(8)}
    assert value_of(await bank.unfreeze(account, **rest)).finished
    never = await bank.query_split(account, **{**named, "out_order_no": "never"})
    assert never == Rejected(code="SPLIT_NOT_FOUND", kind=Refusal.NOT_FOUND)


async def test_a_days_statements_are_read_whole(world: World, bank: Bank, account: Account) -> None:
    transaction = await paid(world, bank, account)
    value_of(await bank.refund(account, **refund_of(transaction.out_trade_no)))
    today = datetime.now(UTC).astimezone(CHINA).date()
    world.control(f"statements/{today}/ready")
    trade = value_of(await bank.bill(account, kind=BillKind.TRADE, day=today))
    assert [(row.kind, row.amount_fen) for row in trade.trades] == [
        ("payment", 2999),
        ("refund", 1000),
    ]
    assert {row.transaction_id for row in trade.trades} == {transaction.transaction_id}
    funds = value_of(await bank.bill(account, kind=BillKind.FUNDS, day=today))
    assert [row.amount_fen for row in funds.funds] == [2999, -1000]
    assert funds.funds[-1].balance_fen == 1999
    assert len(funds.sha256) == 64
    world.spoil(account, "bill", "bad_signature")
    damaged = await bank.bill(account, kind=BillKind.FUNDS, day=today)
    assert damaged == Unknown(reason=signing.Refusal.BAD_SIGNATURE)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("drop_before", "RemoteProtocolError"),
        ("drop_after_commit", "RemoteProtocolError"),
        ("http_500", "http_500"),
        ("http_502", "http_502"),
        ("http_429", "http_429"),
        ("http_202", "http_202"),
        ("bad_signature", signing.Refusal.BAD_SIGNATURE),
        ("stale_timestamp", signing.Refusal.STALE_TIMESTAMP),
        ("wrong_serial", signing.Refusal.UNKNOWN_KEY),
        ("signtest", signing.Refusal.BAD_SIGNATURE),
    ],
)
async def test_every_doubt_is_unknown_in_every_call(
    world: World, bank: Bank, account: Account, fault: str, reason: str
) -> None:
    transaction = await paid(world, bank, account)
    fresh, asked = order(), refund_of(transaction.out_trade_no)
    numbers = {name: asked[name] for name in ("out_trade_no", "out_refund_no")}
    calls: list[tuple[str, Callable[[], Awaitable[Outcome[Any]]]]] = [
        ("create", lambda: bank.create(account, fresh)),
        ("query", lambda: bank.query(account, out_trade_no=fresh.out_trade_no)),
        ("close", lambda: bank.close(account, out_trade_no=fresh.out_trade_no)),
        ("refund", lambda: bank.refund(account, **asked)),
        ("refund_query", lambda: bank.query_refund(account, **numbers)),
    ]
    for operation, call in calls:
        world.spoil(account, operation, fault)
        doubtful = await call()
        if isinstance(doubtful, Unknown) and doubtful.reason in {"ReadError", "WriteError"}:
            doubtful = Unknown(reason="RemoteProtocolError")  # A reset may be seen either way.
        assert doubtful == Unknown(reason=reason), operation
        assert isinstance(await call(), Accepted), operation


async def test_a_refusal_is_believed_only_when_the_bank_signed_it(
    world: World, bank: Bank, account: Account
) -> None:
    world.spoil(account, "query", "bad_signature")
    doubtful = await bank.query(account, out_trade_no="never-made")
    assert doubtful == Unknown(reason=signing.Refusal.BAD_SIGNATURE)


async def test_time_and_distance_are_unknown(
    world: World, bank: Bank, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_http, "TOTAL_TIMEOUT_SECONDS", 0.3)
    world.spoil(account, "query", "delay", delay_seconds=1.0)
    assert await bank.query(account, out_trade_no="x") == Unknown(reason="timeout")
    (port,) = free_ports(1)
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}", trust_env=False) as far:
        outcome = await Bank(far).query(account, out_trade_no="x")
    assert outcome == Unknown(reason="ConnectError")
    async with httpx.AsyncClient(proxy=world.sandbox.proxy, trust_env=False) as distrusting:
        outcome = await Bank(distrusting).query(account, out_trade_no="x")
    assert outcome == Unknown(reason="ConnectError")


async def test_the_wrong_key_and_the_wrong_time_are_refused(
    world: World, bank: Bank, account: Account, http: httpx.AsyncClient
) -> None:
    stranger = replace(account, private_key=world.account().private_key)
    refused = await bank.query(stranger, out_trade_no="x")
    assert refused == Rejected(code="SIGNATURE_WRONG", kind=Refusal.LATER)
    assert await bank.create(stranger, order()) == Unknown(reason="SIGNATURE_WRONG")
    late = Bank(http, now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    stale = await late.query(account, out_trade_no="x")
    assert stale == Unknown(reason=signing.Refusal.STALE_TIMESTAMP)


async def test_an_account_is_read_from_its_folder(tmp_path: Path, account: Account) -> None:
    private = account.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = account.bank_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "private_key.pem").write_bytes(private)
    (tmp_path / "bank_public_key.pem").write_bytes(public)
    names = ("account", "client_id", "bank_key_id")
    fields = {name: getattr(account, name) for name in names}
    (tmp_path / "account.json").write_text(json.dumps(fields))
    loaded = load_account(tmp_path)
    assert {name: getattr(loaded, name) for name in names} == fields
    assert isinstance(loaded.private_key, rsa.RSAPrivateKey)
    assert "PrivateKey" not in repr(loaded)
    for spoiled, content in (("account.json", "{}"), ("private_key.pem", public.decode())):
        right = (tmp_path / spoiled).read_text()
        (tmp_path / spoiled).write_text(content)
        with pytest.raises(AccountUnreadable, match=tmp_path.name):
            load_account(tmp_path)
        (tmp_path / spoiled).write_text(right)
