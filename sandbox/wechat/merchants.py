"""Merchants of WeChat Pay: their keys, and the habits they are served with; no orders."""

import asyncio
import hashlib
import json
import secrets
import string
from dataclasses import dataclass, replace
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sandbox.internet import private_pem
from sandbox.store import Store, Value
from sandbox.wechat.keys import load_rsa_key, make_rsa_key

RefundOutcome = Literal["SUCCESS", "ABNORMAL", "CLOSED", "PROCESSING"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the gateway behaves; durations are divided by `speed`, signed times never."""

    speed: float
    refund_seconds: float = 5.0
    """How long a refund stays PROCESSING, before division by `speed`."""
    refund_outcome: RefundOutcome = "SUCCESS"
    grey: float = 0.0
    """Share of callbacks signed with the public key, 0 to 1; never overridden per merchant."""
    fee_per_10000: int = 60
    """费率: the channel's fee of each payment, in ten thousandths."""
    split_percent: int = 30
    """最大分账比例: how much of a payment may be shared out."""
    split_seconds: float = 2.0
    """How long a split or its return is PROCESSING, before division by `speed`."""
    has_balance: bool = True
    """False: what merchants have been paid is elsewhere, and refunds are NOT_ENOUGH."""
    bills_ready: bool = False
    """Whether every day's bill is there at once; else from 10:00 on the next day."""

    def seconds(self, seconds: float) -> float:
        """Return a duration at this speed."""
        return seconds / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant and what WeChat knows of it; with `sp_mchid`, one of a service provider's."""

    mchid: str
    appid: str
    serial_no: str
    private_key_pem: str
    apiv3_key: str
    certificates: bool
    """False as for merchants opened since 2024-09: no platform certificate, public key only."""
    public_key: RSAPublicKey
    sp_mchid: str | None

    @property
    def app_secret(self) -> str:
        """The secret of its application, which is good for access tokens."""
        return hashlib.sha256(self.apiv3_key.encode()).hexdigest()[:32]


class Merchants:
    """The register of merchants; keys are kept parsed, since every request needs one."""

    def __init__(self, store: Store, initial_speed: float) -> None:
        """Serve merchants of the store; `initial_speed` holds until another is set."""
        self._store = store
        self._initial = Habits(speed=initial_speed)
        self._known: dict[str, Merchant] = {}

    async def ensure(
        self,
        *,
        mchid: str | None = None,
        appid: str | None = None,
        name: str = "",
        certificates: bool = True,
        sp_mchid: str | None = None,
    ) -> Merchant:
        """Return the merchant of this number, made first if there is none."""
        found = self.find(mchid) if mchid else None
        if found is not None:
            return found
        alphabet = string.ascii_letters + string.digits
        key = await asyncio.to_thread(make_rsa_key)
        row: dict[str, Value] = {
            "mchid": mchid or f"16{secrets.randbelow(10**8):08d}",
            "appid": appid or f"wx{secrets.token_hex(8)}",
            "name": name,
            "serial_no": f"{secrets.randbelow(7) + 1:X}{secrets.token_hex(20)[1:].upper()}",
            "private_key_pem": private_pem(key).decode(),
            "apiv3_key": "".join(secrets.choice(alphabet) for _ in range(32)),
            "certificates": int(certificates),
            "sp_mchid": sp_mchid,
        }
        # Another caller may have made the same merchant while the key was being made.
        found = self.find(str(row["mchid"]))
        if found is None:
            self._store.insert("merchants", row)
            found = self.get(str(row["mchid"]))
        return found

    def get(self, mchid: str) -> Merchant:
        """Return a merchant that is known to exist."""
        merchant = self.find(mchid)
        if merchant is None:
            raise LookupError("no such merchant")
        return merchant

    def find(self, mchid: str) -> Merchant | None:
        """Return the merchant, if there is one."""
        if mchid not in self._known:
            row = self._store.one("SELECT * FROM merchants WHERE mchid = :mchid", mchid=mchid)
            if row is None:
                return None
            self._known[mchid] = Merchant(
                mchid=mchid,
                appid=row["appid"],
                serial_no=row["serial_no"],
                private_key_pem=row["private_key_pem"],
                apiv3_key=row["apiv3_key"],
                certificates=bool(row["certificates"]),
                public_key=load_rsa_key(row["private_key_pem"].encode()).public_key(),
                sp_mchid=row["sp_mchid"],
            )
        return self._known[mchid]

    def keeper(self, mchid: str) -> Merchant:
        """Whose keys are used for a payee: its own, or its service provider's."""
        payee = self.get(mchid)
        return self.get(payee.sp_mchid) if payee.sp_mchid else payee

    def of_partner(self, sp_mchid: str) -> list[Merchant]:
        """A service provider's merchants."""
        rows = self._store.all("SELECT mchid FROM merchants WHERE sp_mchid = :sp", sp=sp_mchid)
        return [self.get(row["mchid"]) for row in rows]

    def by_appid(self, appid: str) -> Merchant | None:
        """The first merchant of an application."""
        row = self._store.one("SELECT mchid FROM merchants WHERE appid = :appid", appid=appid)
        return self.get(row["mchid"]) if row else None

    def habits(self, mchid: str | None = None) -> Habits:
        """Return the habits in force, for everybody or for one merchant."""
        habits = replace(self._initial, **self._changed())
        return habits if mchid is None else replace(habits, **self._overrides(mchid))

    def change_habits(self, changes: dict[str, Any]) -> None:
        """Change the habits of everybody, by the names of the fields of `Habits`."""
        self._store.run(
            "INSERT INTO settings VALUES ('habits', :value)"
            " ON CONFLICT (name) DO UPDATE SET value = :value",
            value=json.dumps(self._changed() | changes),
        )

    def override_habits(self, mchid: str, changes: dict[str, Any]) -> None:
        """Change one merchant's overrides; None gives a habit back to everybody's."""
        overrides = {k: v for k, v in (self._overrides(mchid) | changes).items() if v is not None}
        self._store.run(
            "UPDATE merchants SET settings = :settings WHERE mchid = :mchid",
            settings=json.dumps(overrides),
            mchid=mchid,
        )

    def _changed(self) -> dict[str, Any]:
        row = self._store.one("SELECT value FROM settings WHERE name = 'habits'")
        return dict(json.loads(row["value"])) if row else {}

    def _overrides(self, mchid: str) -> dict[str, Any]:
        row = self._store.one("SELECT settings FROM merchants WHERE mchid = :mchid", mchid=mchid)
        return dict(json.loads(row["settings"])) if row else {}
