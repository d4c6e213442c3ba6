"""A payee's folder is read whole, or refused without a word of its keys."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from services.channel import AccountUnreadable
from services.wechat.accounts import CERTIFICATES_MAX_AGE, load_account
from tests.services.wechat.platform import NOW, PUBLIC_KEY_ID, SERIAL, Platform


@pytest.fixture
def folder(platform: Platform, tmp_path: Path) -> Path:
    """A payee in public-key mode, as it is kept on disk."""
    fields = {
        "mchid": "1600000001",
        "appid": "wx0000000000000001",
        "serial_no": "444F",
        "apiv3_key": platform.apiv3_key.decode(),
        "public_key_id": PUBLIC_KEY_ID,
    }
    (tmp_path / "account.json").write_text(json.dumps(fields))
    (tmp_path / "private_key.pem").write_bytes(
        platform.merchant_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "public_key.pem").write_bytes(
        platform.public_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return tmp_path


def _change(folder: Path, **fields: str) -> None:
    path = folder / "account.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_folder_is_an_account(folder: Path, platform: Platform) -> None:
    account = load_account(folder)
    assert (account.mchid, account.appid) == ("1600000001", "wx0000000000000001")
    assert account.verifier(PUBLIC_KEY_ID, now=NOW) is not None
    assert account.apiv3_key == platform.apiv3_key
    assert platform.apiv3_key.decode() not in repr(account)


def test_an_account_without_public_key_needs_no_public_key_file(folder: Path) -> None:
    _change(folder, public_key_id="")
    (folder / "public_key.pem").write_text("")
    account = load_account(folder)
    assert account.public_key is None
    assert account.verifier("", now=NOW) is None


def test_what_is_missing_or_damaged_is_said_without_keys(folder: Path) -> None:
    secret = json.loads((folder / "account.json").read_text())["apiv3_key"]
    _change(folder, apiv3_key=secret[:16])
    with pytest.raises(AccountUnreadable, match="32 bytes") as caught:
        load_account(folder)
    assert secret[:16] not in str(caught.value)
    _change(folder, apiv3_key=secret)
    (folder / "public_key.pem").write_text("no key")
    with pytest.raises(AccountUnreadable):
        load_account(folder)
    (folder / "public_key.pem").unlink()
    with pytest.raises(AccountUnreadable, match="FileNotFoundError"):
        load_account(folder)
    (folder / "account.json").write_text("[]")
    with pytest.raises(AccountUnreadable):
        load_account(folder)


def test_keys_of_another_kind_are_refused(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "private_key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(AccountUnreadable, match="TypeError"):
        load_account(folder)


def test_certificates_are_trusted_for_twelve_hours(platform: Platform) -> None:
    account = platform.account(public_key_mode=False)
    assert account.verifier(SERIAL, now=NOW + CERTIFICATES_MAX_AGE) is not None
    later = NOW + CERTIFICATES_MAX_AGE * 1.001
    assert account.verifier(SERIAL, now=later) is None


def _certify(folder: Path, platform: Platform, serial_no: int) -> datetime:
    """Put the merchant's certificate beside its key; when it expires."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "1600000001")])
    ends = NOW.replace(microsecond=0) + timedelta(days=20)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(platform.merchant_key.public_key())
        .serial_number(serial_no)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(ends)
        .sign(platform.merchant_key, SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    return ends


def test_the_merchants_own_certificate_shows_when_it_ends(folder: Path, platform: Platform) -> None:
    ends = _certify(folder, platform, 0x444F)
    _change(folder, mchid="1600000099")
    load_account(folder)
    labels = {"channel": "wechat", "account": "1600000099", "whose": "payee"}
    name = "paotui_certificate_expires_timestamp_seconds"
    assert REGISTRY.get_sample_value(name, labels) == ends.timestamp()


def test_anothers_certificate_is_unreadable(folder: Path, platform: Platform) -> None:
    _certify(folder, platform, 0x4450)
    with pytest.raises(AccountUnreadable):
        load_account(folder)
