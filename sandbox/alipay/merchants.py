"""Merchants of Alipay: their keys, and the habits they are served with; no trades."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.habits import HabitBook, Habits
from sandbox.internet import private_pem
from sandbox.keys import load_rsa_key, make_rsa_key, public_pem
from sandbox.store import Store

RefundOutcome = Literal["SUCCESS", "CLOSED", "PROCESSING"]
RoyaltyOutcome = Literal["SUCCESS", "FAIL", "PROCESSING"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayHabits(Habits):
    """How Alipay behaves."""

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
        return public_pem(self.alipay_key).decode()


class Merchants:
    """The register of merchants; keys are kept parsed, since every request needs one."""

    def __init__(self, store: Store, initial_speed: float) -> None:
        """Serve merchants of the store; `initial_speed` holds until another is set."""
        self._store = store
        self.habits = HabitBook(
            store=store,
            initial=AlipayHabits(speed=initial_speed),
            name="alipay_habits",
            table="alipay_merchants",
            key="seller_id",
            column="habits",
        )
        self._by_app: dict[str, Merchant] = {}

    async def ensure(self, *, seller_id: str | None = None, app_id: str | None = None) -> Merchant:
        """Return the merchant of this number, made first if there is none."""
        found = self.find(seller_id) if seller_id else None
        if found is not None:
            return found
        pems = [private_pem(await asyncio.to_thread(make_rsa_key)).decode() for _ in range(2)]
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
                app_public_key=load_rsa_key(row["app_key_pem"].encode()).public_key(),
                alipay_key=load_rsa_key(row["alipay_key_pem"].encode()),
            )
        return self._by_app[app_id]
