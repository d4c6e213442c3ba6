"""True notices of every channel, signed by the sandbox's own keys, and all that is forged of them.

No forgery is made here: they are those of each channel's own tests.
"""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.alipay import accounts as alipay
from services.bank import accounts as bank
from services.card import accounts as card
from services.wechat import accounts as wechat
from tests.e2e.world import Json, World
from tests.services.alipay import forgeries as of_alipay
from tests.services.alipay.conftest import Keys
from tests.services.bank import forgeries as of_bank
from tests.services.card import forgeries as of_card
from tests.services.wechat import forgeries as of_wechat
from tests.services.wechat.platform import REFUND, TRANSACTION, Platform

Notice = tuple[dict[str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class Mint:
    """One payment at one channel: `true` makes its notice, saying otherwise what is given.

    `true` takes `amount_fen`, `mchid`, `appid`, `transaction_id`; each call is an event of its own.
    """

    true: Callable[..., Notice]
    forged: Callable[[], Iterator[tuple[str, dict[str, str], bytes]]]


def mint(world: World, channel: str, order: Json) -> Mint:
    """The notices of an order's first payment."""
    folder = world.settings.home / "keys" / channel / world.payee(channel)
    makers = {"wechat": _wechat, "alipay": _alipay, "card": _card, "bank": _bank}
    number, fen = f"{order['order_id']}p01", int(order["total_fen"])
    return makers[channel](folder, world.settings.home / "sandbox", number, fen)


def secrets_of(world: World, channel: str) -> list[str]:
    """What of a payee's keys must never be seen anywhere."""
    folder = world.settings.home / "keys" / channel / world.payee(channel)
    account = json.loads((folder / "account.json").read_bytes())
    kept = [
        account[name]
        for name in ("apiv3_key", "secret_key", "webhook_secret", "app_secret")
        if account.get(name)
    ]
    pems = [path.read_text().splitlines()[1] for path in folder.glob("private_key.pem")]
    return kept + pems


def _wechat(folder: Path, sandbox: Path, number: str, fen: int) -> Mint:
    account = wechat.load_account(folder)
    keys = sandbox / "wechat"
    certificate = x509.load_pem_x509_certificate((keys / "certificate.pem").read_bytes())
    platform = Platform(
        merchant_key=account.private_key,
        certificate_key=_key((keys / "certificate.key").read_bytes()),
        public_key=_key((keys / "public_key.key").read_bytes()),
        apiv3_key=account.apiv3_key,
        serial=f"{certificate.serial_number:040X}",
        public_key_id=account.public_key_id,
        now=datetime.now(UTC),
    )

    def paid(**other: Any) -> Json:
        said = {"mchid": account.mchid, "appid": account.appid, "amount_fen": fen} | other
        amount = TRANSACTION["amount"] | {"total": said.pop("amount_fen")}
        return {**TRANSACTION, **said, "out_trade_no": number, "amount": amount}

    def true(**other: Any) -> Notice:
        body = platform.notice("TRANSACTION.SUCCESS", paid(**other))
        fresh = json.dumps(json.loads(body) | {"id": str(uuid.uuid4())}).encode()
        return platform.headers(fresh), fresh

    refund = {**REFUND, "mchid": account.mchid, "out_trade_no": number}
    resources = {
        "payment": ("TRANSACTION.SUCCESS", paid()),
        "refund": ("REFUND.SUCCESS", refund),
    }
    return Mint(true=true, forged=lambda: of_wechat.forgeries(platform, resources))


def _alipay(folder: Path, sandbox: Path, number: str, fen: int) -> Mint:
    account = alipay.load_account(folder)
    with sqlite3.connect(f"file:{sandbox / 'sandbox.sqlite3'}?mode=ro", uri=True) as store:
        [pem] = store.execute(
            "SELECT alipay_key_pem FROM alipay_merchants WHERE seller_id = ?", [account.seller_id]
        ).fetchone()
    store.close()
    keys = Keys(account=account, alipay_key=_key(pem.encode()))

    def paid(**other: Any) -> dict[str, str]:
        said = {"seller_id": "mchid", "app_id": "appid", "trade_no": "transaction_id"}
        changed = {name: other[short] for name, short in said.items() if short in other}
        ours = {"seller_id": account.seller_id, "app_id": account.app_id, "out_trade_no": number}
        amount = {"total_amount": f"{other.get('amount_fen', fen) / 100:.2f}"}
        fresh = {"notify_id": uuid.uuid4().hex}
        return of_alipay.PAYMENT | ours | amount | fresh | changed

    def forged() -> Iterator[tuple[str, dict[str, str], bytes]]:
        for name, body in of_alipay.forgeries(keys, paid()).items():
            yield name, {}, body

    return Mint(true=lambda **other: ({}, _form(keys.signed(paid(**other)))), forged=forged)


def _card(folder: Path, sandbox: Path, number: str, fen: int) -> Mint:  # noqa: ARG001
    account = card.load_account(folder)

    def paid(**other: Any) -> bytes:
        amount = other.get("amount_fen", fen)
        changed = {"id": other["transaction_id"]} if "transaction_id" in other else {}
        intent = of_card.INTENT | {
            "amount": amount,
            "amount_received": amount,
            "metadata": {"out_trade_no": number},
            **changed,
        }
        payee = {"account": other.get("mchid", account.account)}
        event = of_card.event_of(id=f"evt_{uuid.uuid4().hex}", data={"object": intent}, **payee)
        return json.dumps(event).encode()

    def true(**other: Any) -> Notice:
        body = paid(**other)
        return {"Stripe-Signature": of_card.signature(body, account.webhook_secret)}, body

    return Mint(true=true, forged=lambda: of_card.forgeries(account.webhook_secret, paid()))


def _bank(folder: Path, sandbox: Path, number: str, fen: int) -> Mint:
    account = bank.load_account(folder)
    key = _key((sandbox / "bank" / "signing.key").read_bytes())
    sign = partial(of_bank.signed, key=key, key_id=account.bank_key_id)

    def paid(**other: Any) -> bytes:
        payee = {"account": other.get("mchid", account.account)}
        amount = {"value": other.get("amount_fen", fen), "currency": "CNY"}
        data = {**of_bank.PAYMENT, **payee, "out_trade_no": number, "amount": amount}
        if "transaction_id" in other:
            data["transaction_id"] = other["transaction_id"]
        return of_bank.envelope("payment.paid", data, id=f"evt-{uuid.uuid4().hex}", **payee)

    def true(**other: Any) -> Notice:
        body = paid(**other)
        return sign(body), body

    return Mint(true=true, forged=lambda: of_bank.forgeries(sign, paid()))


def _key(pem: bytes) -> RSAPrivateKey:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def _form(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()
