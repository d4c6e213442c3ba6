"""Who is paid, and with which keys; reading them from a folder, never choosing among them."""

from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.channel import AccountUnreadable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Account:
    """One payee, who signs with a key of their own and believes Alipay's public key."""

    seller_id: str
    """Partner id, 2088…; what other channels call the merchant's number."""
    app_id: str
    private_key: RSAPrivateKey = field(repr=False)
    alipay_public_key: RSAPublicKey = field(repr=False)


def load_account(folder: Path) -> Account:
    """Read `account.json`, `private_key.pem` and `alipay_public_key.pem`.

    Raises `AccountUnreadable`; its text names the folder and never a key. The open platform shows
    two public keys side by side: ours in the place of Alipay's is found here, not at the first
    customer.
    """
    try:
        fields = orjson.loads((folder / "account.json").read_bytes())
        private_key = load_pem_private_key((folder / "private_key.pem").read_bytes(), password=None)
        public_key = load_pem_public_key((folder / "alipay_public_key.pem").read_bytes())
        if not isinstance(private_key, RSAPrivateKey) or not isinstance(public_key, RSAPublicKey):
            raise TypeError("not an RSA key")  # noqa: TRY301 - one text for whatever is wrong
        account = Account(
            seller_id=str(fields["seller_id"]),
            app_id=str(fields["app_id"]),
            private_key=private_key,
            alipay_public_key=public_key,
        )
    except (OSError, KeyError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise AccountUnreadable(f"{folder}: {type(error).__name__}") from error
    if private_key.public_key().public_numbers() == public_key.public_numbers():
        raise AccountUnreadable(f"{folder}: alipay_public_key.pem is our own public key")
    return account
