"""A payee's folder is read whole, or refused without a word of its keys."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.alipay.accounts import load_account
from services.channel import AccountUnreadable
from tests.services.alipay.conftest import Keys


def _public_pem(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def folder(keys: Keys, tmp_path: Path) -> Path:
    """A payee as they are kept on disk."""
    fields = {"seller_id": keys.account.seller_id, "app_id": keys.account.app_id}
    (tmp_path / "account.json").write_text(json.dumps(fields))
    (tmp_path / "private_key.pem").write_bytes(
        keys.account.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "alipay_public_key.pem").write_bytes(_public_pem(keys.account.alipay_public_key))
    return tmp_path


def test_a_folder_is_an_account(folder: Path, keys: Keys) -> None:
    account = load_account(folder)
    assert (account.seller_id, account.app_id) == (keys.account.seller_id, keys.account.app_id)
    assert "RSA" not in repr(account)


def test_our_own_public_key_is_not_alipays(folder: Path, keys: Keys) -> None:
    own = _public_pem(keys.account.private_key.public_key())
    (folder / "alipay_public_key.pem").write_bytes(own)
    with pytest.raises(AccountUnreadable, match="our own"):
        load_account(folder)


@pytest.mark.parametrize("name", ["account.json", "private_key.pem", "alipay_public_key.pem"])
def test_what_is_missing_or_damaged_is_said_without_keys(folder: Path, name: str) -> None:
    (folder / name).write_text("[]")
    with pytest.raises(AccountUnreadable) as caught:
        load_account(folder)
    assert str(folder) in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(AccountUnreadable, match="FileNotFoundError"):
        load_account(folder)
