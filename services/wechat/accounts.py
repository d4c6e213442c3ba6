"""Who is paid, and with which keys; reading them from a folder, never choosing among them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from services import metrics
from services.channel import AccountUnreadable

CERTIFICATES_MAX_AGE = timedelta(hours=12)
REFRESH_INTERVAL = timedelta(seconds=10)
APIV3_KEY_BYTES = 32
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"


class Certificates:
    """WeChat Pay's platform certificates as one payee sees them, trusted for 12 hours."""

    __slots__ = ("_asked_at", "_fetched_at", "_keys", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None

    def key(self, serial: str, *, now: datetime) -> RSAPublicKey | None:
        """The key of a certificate, unless it is unknown or was fetched too long ago."""
        if self._fetched_at is None or now - self._fetched_at > CERTIFICATES_MAX_AGE:
            return None
        return self._keys.get(serial)

    def newest(self, *, now: datetime) -> tuple[str, RSAPublicKey] | None:
        """A certificate's serial and key to encrypt with, unless none is known."""
        serial = next(reversed(self._keys), "")
        key = self.key(serial, now=now)
        return (serial, key) if key else None

    def keep(self, keys: Mapping[str, RSAPublicKey], *, now: datetime) -> None:
        """Replace what is known by what was just fetched."""
        self._keys = dict(keys)
        self._fetched_at = now

    def may_ask(self, *, now: datetime) -> bool:
        """Whether to fetch for a serial nobody knows: a forger must not make us ask for ever."""
        if self._asked_at is not None and now - self._asked_at < REFRESH_INTERVAL:
            return False
        self._asked_at = now
        return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Account:
    """One payee; load it once per process and keep it, it caches certificates.

    Without `public_key_id` answers are verified by platform certificates; with it, by both.
    With `sub_mchid` it is paid through a service provider (服务商), whose number and keys these
    are; without, it is a merchant of its own (直连商户).
    """

    mchid: str
    """Whose key signs."""
    appid: str
    """The application under which WeChat knows the payers."""
    serial_no: str
    """Serial of the merchant's own certificate, hex; names the key that signs our requests."""
    private_key: RSAPrivateKey = field(repr=False)
    apiv3_key: bytes = field(repr=False)
    public_key_id: str = ""
    public_key: RSAPublicKey | None = field(default=None, repr=False)
    sub_mchid: str = ""
    sp_appid: str = ""
    """The service provider's application; may be the same as `appid`."""
    app_secret: str = field(default="", repr=False)
    """The secret of `appid`, where it is a mini-program that must tell of its deliveries."""
    certificates: Certificates = field(default_factory=Certificates, repr=False)

    @property
    def sub(self) -> dict[str, str]:
        """What requests of a service provider add."""
        return {"sub_mchid": self.sub_mchid} if self.sub_mchid else {}

    @property
    def payee(self) -> str:
        """Whose money it is."""
        return self.sub_mchid or self.mchid

    def verifier(self, serial: str, *, now: datetime) -> RSAPublicKey | None:
        """The key that a `Wechatpay-Serial` names, of either kind, or None."""
        if self.public_key_id and serial == self.public_key_id:
            return self.public_key
        return self.certificates.key(serial, now=now)


def load_account(folder: Path) -> Account:
    """Read `account.json`, `private_key.pem` and, where an id names it, `public_key.pem`.

    The merchant's own certificate signs nothing here, its serial does; a `certificate.pem` beside
    the key, as WeChat Pay hands it out, tells the metrics when that serial ends.
    Raises `AccountUnreadable`; its text names the folder and never a key.
    """
    try:
        fields = orjson.loads((folder / "account.json").read_bytes())
        private_key = load_pem_private_key((folder / "private_key.pem").read_bytes(), password=None)
        public_key_id = str(fields["public_key_id"])
        public_key = (
            load_pem_public_key((folder / "public_key.pem").read_bytes()) if public_key_id else None
        )
        account = Account(
            mchid=str(fields["mchid"]),
            appid=str(fields["appid"]),
            serial_no=str(fields["serial_no"]),
            private_key=_rsa_private(private_key),
            apiv3_key=str(fields["apiv3_key"]).encode(),
            public_key_id=public_key_id,
            public_key=_rsa_public(public_key) if public_key else None,
            sub_mchid=str(fields.get("sub_mchid", "")),
            sp_appid=str(fields.get("sp_appid", "")),
            app_secret=str(fields.get("app_secret", "")),
        )
        expires_at = _own_certificate(folder / "certificate.pem", account)
    except (OSError, KeyError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise AccountUnreadable(f"{folder}: {type(error).__name__}") from error
    if bool(account.sub_mchid) != bool(account.sp_appid):
        raise AccountUnreadable(f"{folder}: sub_mchid and sp_appid come together")
    if len(account.apiv3_key) != APIV3_KEY_BYTES:
        raise AccountUnreadable(f"{folder}: the APIv3 key has {APIV3_KEY_BYTES} bytes")
    if expires_at is not None:
        metrics.certificate("wechat", account.mchid, "payee", expires_at)
    return account


def _own_certificate(path: Path, account: Account) -> datetime | None:
    """When the merchant's own certificate expires, if it is there; ValueError for another one."""
    if not path.exists():
        return None
    certificate = load_pem_x509_certificate(path.read_bytes())
    if certificate.serial_number != int(account.serial_no, 16):
        raise ValueError("not the certificate that serial_no names")
    return certificate.not_valid_after_utc


def _rsa_private(key: object) -> RSAPrivateKey:
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("not an RSA private key")
    return key


def _rsa_public(key: object) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA public key")
    return key
