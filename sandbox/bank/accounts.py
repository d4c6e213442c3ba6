"""Who holds money at the bank, and every movement of it: clients, wallets, payees; no payments."""

import asyncio
import secrets
import sqlite3
import time
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sandbox.bank.protocol import BankError, token
from sandbox.internet import private_pem
from sandbox.keys import load_rsa_key, make_rsa_key
from sandbox.store import Store, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A merchant or the platform itself: one account, one key."""

    account: str
    client_id: str
    private_key_pem: str
    public_key: RSAPublicKey


class Accounts:
    """The register of holders; a balance is what its holder's last movement left."""

    def __init__(self, store: Store) -> None:
        """Keep holders in the store."""
        self._store = store
        self._known: dict[str, Client] = {}

    async def ensure(self, account: str | None) -> Client:
        """Return the client of this account, made first if there is none."""
        found = self.find(account) if account else None
        if found is not None:
            return found
        key = await asyncio.to_thread(make_rsa_key)
        number = account or f"6228{secrets.randbelow(10**12):012d}"
        # Another caller may have made the same client while the key was being made.
        found = self.find(number)
        if found is None:
            row = {
                "account": number,
                "client_id": token("client-"),
                "private_key_pem": private_pem(key).decode(),
            }
            self._store.insert("bank_clients", row)
            found = self.find(number)
        if found is None:
            raise LookupError("a client vanished")
        return found

    def find(self, account: str) -> Client | None:
        """Return the client of an account, if there is one."""
        if account not in self._known:
            row = self._store.one("SELECT * FROM bank_clients WHERE account = :a", a=account)
            if row is None:
                return None
            self._known[account] = Client(
                account=account,
                client_id=row["client_id"],
                private_key_pem=row["private_key_pem"],
                public_key=load_rsa_key(row["private_key_pem"].encode()).public_key(),
            )
        return self._known[account]

    def find_by_client_id(self, client_id: str) -> Client | None:
        """Return the client that signs under this name."""
        row = self._store.one("SELECT account FROM bank_clients WHERE client_id = :c", c=client_id)
        return None if row is None else self.find(row["account"])

    def close_account(self, account: str) -> bool:
        """Let nothing come in any more; whether there is such an account."""
        sql = "UPDATE bank_clients SET closed = 1 WHERE account = :account"
        return self._store.run(sql, account=account) == 1

    def is_closed(self, account: str) -> bool:
        """Tell whether an account that exists is closed."""
        row = self._store.one("SELECT closed FROM bank_clients WHERE account = :a", a=account)
        return row is not None and bool(row["closed"])

    def open_wallet(self, wallet: str | None) -> tuple[str, str]:
        """Open a wallet, or find it; (wallet, a consent of its holder to pay from it at once)."""
        wallet = wallet or token("w-")
        with self._store.transaction():
            if not self.has_wallet(wallet):
                self._store.insert("bank_wallets", {"wallet": wallet})
            row = self._store.one(
                "SELECT token FROM bank_consents WHERE wallet = :w ORDER BY rowid", w=wallet
            )
            return wallet, row["token"] if row else self.add_consent(wallet)

    def has_wallet(self, wallet: str) -> bool:
        """Tell whether there is such a wallet."""
        return bool(self._store.one("SELECT 1 FROM bank_wallets WHERE wallet = :w", w=wallet))

    def add_consent(self, wallet: str) -> str:
        """Write down that the holder lets a client pay from the wallet; the token to do it."""
        made = token("consent-")
        self._store.insert("bank_consents", {"token": made, "wallet": wallet})
        return made

    def wallet_of_consent(self, consent: str) -> str | None:
        """Return the wallet that a consent opens."""
        row = self._store.one("SELECT wallet FROM bank_consents WHERE token = :t", t=consent)
        return None if row is None else str(row["wallet"])

    def add_payee(self, outcome: str, reason: str) -> str:
        """Register somebody who is paid out to; the token that stands for their account."""
        payee = token("payee-")
        row = {"payee": payee, "outcome": outcome, "reason": reason}
        self._store.insert("bank_payees", row)
        return payee

    def payee(self, payee: str) -> sqlite3.Row | None:
        """Return a payee's row."""
        return self._store.one("SELECT * FROM bank_payees WHERE payee = :p", p=payee)

    def balance_fen(self, holder: str) -> int:
        """Return what a holder has."""
        row = self._store.one(
            "SELECT balance_fen FROM bank_flows WHERE holder = :h ORDER BY flow_id DESC LIMIT 1",
            h=holder,
        )
        return int(row["balance_fen"]) if row else 0

    def move(self, holder: str, kind: str, business_no: str, amount_fen: int) -> None:
        """Move money in (positive) or out; 402 INSUFFICIENT_FUNDS. In a transaction."""
        if not amount_fen:
            return
        balance_fen = self.balance_fen(holder) + amount_fen
        if balance_fen < 0:
            raise BankError(402, "INSUFFICIENT_FUNDS")
        flow: dict[str, Value] = {
            "holder": holder,
            "kind": kind,
            "business_no": business_no,
            "amount_fen": amount_fen,
            "balance_fen": balance_fen,
            "at": time.time(),
        }
        self._store.insert("bank_flows", flow)
