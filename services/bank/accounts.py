"""A client of the bank and its keys; reading them from a folder, never choosing among them."""

from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.channel import AccountUnreadable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Account:
    """A payee, or the platform as who pays out: one account number, one key."""

    account: str
    client_id: str
    """Names the key that signs our requests."""
    private_key: RSAPrivateKey = field(repr=False)
    bank_key_id: str
    bank_key: RSAPublicKey = field(repr=False)


def load_account(folder: Path) -> Account:
    """Read `account.json`, `private_key.pem` and `bank_public_key.pem`.

    Raises AccountUnreadable; its text names the folder and never a key.
    """
    try:
        fields = orjson.loads((folder / "account.json").read_bytes())
        private_key = load_pem_private_key((folder / "private_key.pem").read_bytes(), password=None)
        bank_key = load_pem_public_key((folder / "bank_public_key.pem").read_bytes())
        account = Account(
            account=str(fields["account"]),
            client_id=str(fields["client_id"]),
            private_key=_private(private_key),
            bank_key_id=str(fields["bank_key_id"]),
            bank_key=_public(bank_key),
        )
    except (OSError, KeyError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise AccountUnreadable(f"{folder}: {type(error).__name__}") from error
    return account


def _private(key: object) -> RSAPrivateKey:
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("not an RSA private key")
    return key


def _public(key: object) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA public key")
    return key
