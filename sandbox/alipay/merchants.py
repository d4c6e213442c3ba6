"""Merchants of Alipay: their keys, and the habits they are served with; no trades."""

import asyncio
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.internet import private_pem
from sandbox.store import Store

RefundOutcome = Literal["SUCCESS", "CLOSED", "PROCESSING"]
RoyaltyOutcome = Literal["SUCCESS", "FAIL", "PROCESSING"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the gateway behaves; durations are divided by `speed`, signed times never."""

    speed: float
    refund_seconds: float = 0.0
    """How long a refund is on its way; at 0 its answer says that the money went back."""
    refund_outcome: RefundOutcome = "SUCCESS"
    """How refunds end; a CLOSED one is as if it was never asked for (§2.5)."""
    seller_has_balance: bool = True
    """Whether the seller's account can pay refunds."""
    royalty_seconds: float = 0.0
    royalty_outcome: RoyaltyOutcome = "SUCCESS"
    early_bills: bool = False
    """Bills of the running day; else from 9:00 of the next (§2.6)."""

    def seconds(self, seconds: float) -> float:
        """Return a duration at this speed."""
        return seconds / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant with its one application, and the key Alipay answers it with."""

    seller_id: str
    app_id: str
    app_key_pem: str
    app_public_key: rsa.RSAPublicKey
    alipay_key: rsa.RSAPrivateKey

    @property
    def alipay_public_key_pem(self) -> str:
        """What the merchant verifies answers and callbacks with."""
        key = self.alipay_key.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_bytes(serialization.Encoding.PEM, form).decode()


class Merchants:
    """The register of merchants; keys are kept parsed, since every request needs one."""

    def __init__(self, store: Store, initial_speed: float) -> None:
        """Serve merchants of the store; `initial_speed` holds until another is set."""
        self._store = store
        self._initial = Habits(speed=initial_speed)
        self._by_app: dict[str, Merchant] = {}

    async def ensure(self, *, seller_id: str | None = None, app_id: str | None = None) -> Merchant:
        """Return the merchant of this number, made first if there is none."""
        found = self.find(seller_id) if seller_id else None
        if found is not None:
            return found
        pems = [private_pem(await asyncio.to_thread(_make_key)).decode() for _ in range(2)]
        wanted = seller_id or f"2088{secrets.randbelow(10**12):012d}"
        # Another caller may have made the same merchant while the keys were being made.
        found = self.find(wanted)
        if found is not None:
            return found
        self._store.insert(
            "alipay_merchants",
            {
                "seller_id": wanted,
                "app_id": app_id or f"2021{secrets.randbelow(10**12):012d}",
                "app_key_pem": pems[0],
                "alipay_key_pem": pems[1],
            },
        )
        return self.get(wanted)

    def get(self, seller_id: str) -> Merchant:
        """Return a merchant that is known to exist."""
        merchant = self.find(seller_id)
        if merchant is None:
            raise LookupError("no such merchant")
        return merchant

    def find(self, seller_id: str) -> Merchant | None:
        """Return the merchant of a seller's number, if there is one."""
        row = self._store.one(
            "SELECT app_id FROM alipay_merchants WHERE seller_id = :seller", seller=seller_id
        )
        return self.find_app(row["app_id"]) if row else None

    def find_app(self, app_id: str) -> Merchant | None:
        """Return the merchant of an application, if there is one."""
        if app_id not in self._by_app:
            row = self._store.one(
                "SELECT * FROM alipay_merchants WHERE app_id = :app_id", app_id=app_id
            )
            if row is None:
                return None
            self._by_app[app_id] = Merchant(
                seller_id=row["seller_id"],
                app_id=app_id,
                app_key_pem=row["app_key_pem"],
                app_public_key=_load_key(row["app_key_pem"]).public_key(),
                alipay_key=_load_key(row["alipay_key_pem"]),
            )
        return self._by_app[app_id]

    def habits(self, seller_id: str | None = None) -> Habits:
        """Return the habits in force, for everybody or for one merchant."""
        habits = replace(self._initial, **self._changed())
        return habits if seller_id is None else replace(habits, **self._overrides(seller_id))

    def change_habits(self, changes: dict[str, Any]) -> None:
        """Change the habits of everybody, by the names of the fields of `Habits`."""
        self._store.run(
            "INSERT INTO settings VALUES ('alipay_habits', :value)"
            " ON CONFLICT (name) DO UPDATE SET value = :value",
            value=json.dumps(self._changed() | changes),
        )

    def override_habits(self, seller_id: str, changes: dict[str, Any]) -> None:
        """Change one merchant's overrides; None gives a habit back to everybody's."""
        merged = self._overrides(seller_id) | changes
        self._store.run(
            "UPDATE alipay_merchants SET habits = :habits WHERE seller_id = :seller",
            habits=json.dumps({k: v for k, v in merged.items() if v is not None}),
            seller=seller_id,
        )

    def _changed(self) -> dict[str, Any]:
        row = self._store.one("SELECT value FROM settings WHERE name = 'alipay_habits'")
        return dict(json.loads(row["value"])) if row else {}

    def _overrides(self, seller_id: str) -> dict[str, Any]:
        row = self._store.one(
            "SELECT habits FROM alipay_merchants WHERE seller_id = :seller", seller=seller_id
        )
        return dict(json.loads(row["habits"])) if row else {}


def _make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _load_key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")
    return key
