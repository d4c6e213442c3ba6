"""Who is paid by card, and with which keys; reading them from a folder, never choosing."""

from dataclasses import dataclass, field
from pathlib import Path

import orjson

from services.channel import AccountUnreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One payee's own Stripe account."""

    account: str
    """`acct_…`"""
    publishable_key: str
    """The only key that a customer's device may see."""
    secret_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def load_account(folder: Path) -> Account:
    """Read `account.json`; raises AccountUnreadable, whose text names the folder and no key."""
    try:
        fields = orjson.loads((folder / "account.json").read_bytes())
        account = Account(
            account=str(fields["account"]),
            publishable_key=str(fields["publishable_key"]),
            secret_key=str(fields["secret_key"]),
            webhook_secret=str(fields["webhook_secret"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AccountUnreadable(f"{folder}: {type(error).__name__}") from error
    prefixes = {
        "acct_": account.account,
        "pk_": account.publishable_key,
        "whsec_": account.webhook_secret,
    }
    if not all(value.startswith(prefix) for prefix, value in prefixes.items()):
        raise AccountUnreadable(f"{folder}: a key is in another's place")
    # A restricted key (rk_) serves as well; a publishable one in its place must not go unseen.
    if not account.secret_key.startswith(("sk_", "rk_")):
        raise AccountUnreadable(f"{folder}: a key is in another's place")
    return account
