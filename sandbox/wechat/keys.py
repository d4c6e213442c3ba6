"""WeChat's own keys, platform certificate and public key, and what it signs with them."""

import base64
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.faults import Blemish
from sandbox.internet import Authority, private_pem, write_private
from sandbox.keys import load_rsa_key, make_rsa_key, public_pem, sign
from sandbox.wechat.protocol import CLOCK_SKEW_SECONDS, OAEP, SIGNATURE_TYPE, signed_lines

CERTIFICATE_LIFETIME = timedelta(days=5 * 365)
_STALE_BY_SECONDS = 2 * CLOCK_SKEW_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One of WeChat's keys under the name merchants know it by."""

    serial: str
    key: rsa.RSAPrivateKey

    def headers(self, body: bytes, blemish: Blemish | None = None) -> dict[str, str]:
        """Return the `Wechatpay-*` headers for a body, empty for 204."""
        stale = _STALE_BY_SECONDS if blemish is Blemish.STALE_TIMESTAMP else 0
        timestamp = str(int(time.time()) - stale)
        nonce = secrets.token_hex(16)
        signed = b"other bytes" if blemish is Blemish.BAD_SIGNATURE else body
        signature = sign(self.key, signed_lines(timestamp, nonce, signed))
        serial = self.serial
        if blemish is Blemish.SIGNTEST:
            signature = "WECHATPAY/SIGNTEST/" + signature
        if blemish is Blemish.WRONG_SERIAL:
            is_public_key = serial.startswith("PUB_KEY_ID_")
            serial = "PUB_KEY_ID_" + "9" * 32 if is_public_key else "7" + "F" * 39
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": signature,
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature-Type": SIGNATURE_TYPE,
        }


class PlatformKeys:
    """Both kinds of key WeChat signs with, made on first start and kept in `wechat/`."""

    def __init__(self, home: Path, authority: Authority) -> None:
        """Load the keys, or make them; interrupted making starts over."""
        self._folder = home / "wechat"
        self._authority = authority
        self._folder.mkdir(parents=True, exist_ok=True)
        done = self._folder / "public_key_id"
        if not done.exists():
            _make_certificate(self._folder, authority, CERTIFICATE_LIFETIME)
            write_private(self._folder / "public_key.key", private_pem(make_rsa_key()))
            write_private(done, f"PUB_KEY_ID_{secrets.randbelow(10**32):032d}".encode())
        self.public_key = Signer(
            serial=done.read_text(),
            key=load_rsa_key((self._folder / "public_key.key").read_bytes()),
        )
        self._load_certificate()
        self.public_key_pem = public_pem(self.public_key.key).decode()

    def roll(self, lifetime: timedelta) -> None:
        """Sign by a new certificate from now on; the old one is handed out no longer."""
        _make_certificate(self._folder, self._authority, lifetime)
        self._load_certificate()

    def _load_certificate(self) -> None:
        self.certificate_pem = (self._folder / "certificate.pem").read_bytes()
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        self.not_before: datetime = certificate.not_valid_before_utc
        self.not_after: datetime = certificate.not_valid_after_utc
        self.certificate = Signer(
            serial=f"{certificate.serial_number:040X}",
            key=load_rsa_key((self._folder / "certificate.key").read_bytes()),
        )
        self._by_serial = {signer.serial: signer for signer in (self.certificate, self.public_key)}

    def opens(self, serial: str, sealed: str) -> bool:
        """Tell whether a personal field was encrypted for the key of this serial (§1.4)."""
        signer = self._by_serial.get(serial)
        if signer is None:
            return False
        try:
            signer.key.decrypt(base64.b64decode(sealed, validate=True), OAEP)
        except ValueError:
            return False
        return True


def _make_certificate(folder: Path, authority: Authority, lifetime: timedelta) -> None:
    key = make_rsa_key()
    certificate = authority.issue(
        subject=x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tenpay.com"),
            ]
        ),
        public_key=key.public_key(),
        lifetime=lifetime,
        # Forty hexadecimal digits without padding: the top digit lies between 1 and 7.
        serial_number=int(f"{secrets.randbelow(7) + 1:x}{secrets.token_hex(20)[1:]}", 16),
    )
    write_private(folder / "certificate.key", private_pem(key))
    write_private(folder / "certificate.pem", certificate.public_bytes(serialization.Encoding.PEM))
