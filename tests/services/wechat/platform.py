"""WeChat Pay's side of the protocol with keys made here: what tests sign, seal and serve."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from services.wechat.accounts import Account
from services.wechat.signing import SCHEME, lines, sign

NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PUBLIC_KEY_ID = "PUB_KEY_ID_0116000000000000000000000000000000"


def make_key() -> rsa.RSAPrivateKey:
    """A key as merchants and the gateway use."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A gateway's keys and one merchant's; three RSA keys, so make it once per session."""

    merchant_key: rsa.RSAPrivateKey = field(default_factory=make_key)
    certificate_key: rsa.RSAPrivateKey = field(default_factory=make_key)
    public_key: rsa.RSAPrivateKey = field(default_factory=make_key)
    apiv3_key: bytes = b"0123456789abcdef0123456789abcdef"
    serial: str = SERIAL
    public_key_id: str = PUBLIC_KEY_ID
    now: datetime = NOW

    def account(self, *, public_key_mode: bool = True, certificates: bool = True) -> Account:
        """The merchant, with or without a public key, with certificates fetched or not yet."""
        account = Account(
            mchid="1600000001",
            appid="wx0000000000000001",
            serial_no="444F4864EA9B34415D5B8B2D1A7F2D5D5E7A1C01",
            private_key=self.merchant_key,
            apiv3_key=self.apiv3_key,
            public_key_id=self.public_key_id if public_key_mode else "",
            public_key=self.public_key.public_key() if public_key_mode else None,
        )
        if certificates:
            keys = {self.serial: self.certificate_key.public_key()}
            account.certificates.keep(keys, now=self.now)
        return account

    def headers(
        self, body: bytes, *, kind: str = "certificate", at: datetime | None = None
    ) -> dict[str, str]:
        """The headers of a rightly signed answer or notice."""
        timestamp, nonce = str(int((at or self.now).timestamp())), "fdasflkja484w"
        certificate = kind == "certificate"
        key = self.certificate_key if certificate else self.public_key
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": sign(key, lines(timestamp.encode(), nonce.encode(), body)),
            "Wechatpay-Serial": self.serial if certificate else self.public_key_id,
            "Wechatpay-Signature-Type": SCHEME,
        }

    def seal(self, plain: bytes, *, associated_data: str = "transaction") -> dict[str, str]:
        """A resource that only the merchant's APIv3 key opens."""
        nonce = "0123456789ab"
        sealed = AESGCM(self.apiv3_key).encrypt(nonce.encode(), plain, associated_data.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated_data,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def notice(self, event_type: str, resource: Any) -> bytes:
        """The body of a notice."""
        return orjson.dumps(
            {
                "id": "EV-2018022511223320873",
                "create_time": "2026-11-23T12:05:06+08:00",
                "resource_type": "encrypt-resource",
                "event_type": event_type,
                "summary": "支付成功",
                "resource": {"original_type": "transaction"} | self.seal(orjson.dumps(resource)),
            }
        )

    def certificates_body(self, *, expires_at: datetime = NOW + timedelta(days=1825)) -> bytes:
        """The body of `GET /v3/certificates`."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.certificate_key.public_key())
            .serial_number(int(SERIAL, 16))
            .not_valid_before(expires_at - timedelta(days=1825))
            .not_valid_after(expires_at)
            .sign(self.certificate_key, SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        sealed = self.seal(pem, associated_data="certificate")
        return orjson.dumps({"data": [{"serial_no": SERIAL, "encrypt_certificate": sealed}]})


TRANSACTION: Mapping[str, Any] = {
    "appid": "wx0000000000000001",
    "mchid": "1600000001",
    "out_trade_no": "1217752501201407033233368018",
    "transaction_id": "1217752501201407033233368018",
    "trade_type": "JSAPI",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "CMC",
    "attach": "",
    "success_time": "2026-11-23T12:05:05+08:00",
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    "amount": {"total": 2999, "payer_total": 2999, "currency": "CNY", "payer_currency": "CNY"},
}
REFUND: Mapping[str, Any] = {
    "mchid": "1600000001",
    "out_trade_no": "1217752501201407033233368018",
    "transaction_id": "1217752501201407033233368018",
    "out_refund_no": "R1",
    "refund_id": "50000000382019052709732678859",
    "refund_status": "SUCCESS",
    "success_time": "2026-11-23T12:05:05+08:00",
    "user_received_account": "支付用户零钱",
    "amount": {"total": 2999, "refund": 1000, "payer_total": 2999, "payer_refund": 1000},
}
