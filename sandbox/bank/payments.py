"""Payments at the bank, from wallets and from e-CNY: opening, looking up, closing, paying."""

import sqlite3
import time
from datetime import datetime

from sandbox.bank.accounts import Accounts, Client
from sandbox.bank.models import PaymentBody, parse
from sandbox.bank.notices import Notices
from sandbox.bank.protocol import CURRENCY, HOST, BankError, token
from sandbox.store import Store, Value
from sandbox.wire import Json, china_time, number, parameters_hash

CODE_URL = "ecny://pay/"
CONFIRM_URL = f"https://{HOST}/confirm/"


class PaymentRefused(Exception):
    """The customer could not pay; `reason` says why, in snake_case."""

    def __init__(self, reason: str, state: str | None = None) -> None:
        """Refuse for a reason, with the payment's state where it is known."""
        super().__init__(reason)
        self.reason = reason
        self.state = state


class Payments:
    """The bank's payments, keyed by account and the client's number."""

    def __init__(self, store: Store, accounts: Accounts, notices: Notices) -> None:
        """Keep payments in the store and announce them through the notices."""
        self._store = store
        self._accounts = accounts
        self._notices = notices

    def create(self, client: Client, raw: bytes) -> Json:
        """Open a payment, or pay it at once by consent; repeated, it is shown as it is."""
        body, parameters = parse(PaymentBody, raw)
        parameters_id = parameters_hash("payment", parameters)
        now = time.time()
        with self._store.transaction():
            known = self.find(client.account, body.out_trade_no)
            if known is None:
                expires_at = datetime.fromisoformat(body.expires_at).timestamp()
                if expires_at <= now:
                    raise BankError(400, "PARAMETER_WRONG", "/expires_at")
                self._require_payer(body)
                self._insert(client, body, parameters_id, expires_at)
                known = self._existing(client.account, body.out_trade_no)
                if body.consent:
                    known = self._pay_by_consent(known, body.consent)
            elif known["parameters_hash"] != parameters_id:
                raise BankError(409, "PAYMENT_CHANGED")
        shown = self.shown(known)
        if self.state(known) == "OPEN":
            name, url = ("confirm_url", CONFIRM_URL) if body.method == "wallet" else _CODE
            shown[name] = url + known["payment_id"]
        return shown

    def query(self, client: Client, out_trade_no: str) -> Json:
        """Return the payment; PAYMENT_NOT_FOUND."""
        return self.shown(self._existing(client.account, out_trade_no))

    def consent(self, client: Client, out_trade_no: str) -> Json:
        """Return the consent that its payer gave with a payment; CONSENT_NOT_FOUND."""
        row = self._existing(client.account, out_trade_no)
        if not row["consent"]:
            raise BankError(404, "CONSENT_NOT_FOUND")
        return {"out_trade_no": out_trade_no, "consent": row["consent"]}

    def close(self, client: Client, out_trade_no: str) -> Json:
        """Close an unpaid payment; repeatable; PAYMENT_PAID once money was taken."""
        with self._store.transaction():
            row = self._existing(client.account, out_trade_no)
            if row["state"] == "PAID":
                raise BankError(409, "PAYMENT_PAID")
            self._set(row, "state = 'CLOSED'")
        return self.query(client, out_trade_no)

    def pay(
        self, found: sqlite3.Row, wallet: str, amount_fen: int | None, *, cleared_late: bool
    ) -> str:
        """Take the customer's money once; the transaction id, or `PaymentRefused`.

        `amount_fen` is what a mistaken bank takes instead of the payment's amount;
        `cleared_late`: another bank had it before the payment was closed or expired.
        """
        with self._store.transaction():
            row = self._existing(found["account"], found["out_trade_no"])
            if not (cleared_late and row["state"] != "PAID"):
                self._require_payable(row)
            if row["method"] == "wallet":
                wallet = wallet or row["payer"]
                if not self._accounts.has_wallet(wallet):
                    raise PaymentRefused("unknown_wallet", row["state"])
                if row["payer"] not in {"", wallet}:
                    raise PaymentRefused("other_payer", row["state"])
            paid_fen = row["amount_fen"] if amount_fen is None else amount_fen
            try:
                paid = self._take(row, wallet, paid_fen)
            except BankError as error:
                raise PaymentRefused(error.code.lower(), row["state"]) from error
        return str(paid["transaction_id"])

    def decline(self, found: sqlite3.Row) -> None:
        """Have a customer's try to pay fail: `failure_code` tells; `PaymentRefused`."""
        self._require_payable(found)
        self._set(found, "failure_code = 'DECLINED'")

    def _require_payable(self, row: sqlite3.Row) -> None:
        """Refuse a payment that can't be paid: `PaymentRefused`."""
        if row["state"] == "PAID":
            raise PaymentRefused("already_paid", "PAID")
        if row["state"] == "CLOSED":
            raise PaymentRefused("order_closed", "CLOSED")
        if time.time() >= row["expires_at"]:
            raise PaymentRefused("order_expired", "CLOSED")

    def find(self, account: str, out_trade_no: str) -> sqlite3.Row | None:
        """Return the payment's row by the client's number."""
        return self._store.one(
            "SELECT * FROM bank_payments WHERE account = :account AND out_trade_no = :number",
            account=account,
            number=out_trade_no,
        )

    def find_paid(self, account: str, transaction_id: str) -> sqlite3.Row | None:
        """Return the payment's row by the bank's number."""
        return self._store.one(
            "SELECT * FROM bank_payments WHERE account = :account AND transaction_id = :number",
            account=account,
            number=transaction_id,
        )

    def find_by_url(self, url: str) -> sqlite3.Row | None:
        """Return the payment's row by the address its customer was shown."""
        payment_id = url.removeprefix(CONFIRM_URL).removeprefix(CODE_URL)
        return self._store.one("SELECT * FROM bank_payments WHERE payment_id = :p", p=payment_id)

    def shown(self, row: sqlite3.Row) -> Json:
        """Return the payment as answers and notices show it."""
        amount_fen = row["paid_fen"] if row["state"] == "PAID" else row["amount_fen"]
        return {
            "account": row["account"],
            "out_trade_no": row["out_trade_no"],
            "payment_id": row["payment_id"],
            "method": row["method"],
            "state": self.state(row),
            "amount": {"value": amount_fen, "currency": CURRENCY},
            "transaction_id": row["transaction_id"],
            "paid_at": None if row["paid_at"] is None else china_time(row["paid_at"]),
            "failure_code": row["failure_code"],
        }

    def state(self, row: sqlite3.Row) -> str:
        """Return OPEN, PAID or CLOSED; nobody has to close what has expired."""
        expired = row["state"] == "OPEN" and time.time() >= row["expires_at"]
        return "CLOSED" if expired else str(row["state"])

    def take_out(self, row: sqlite3.Row, kind: str, business_no: str, amount_fen: int) -> int:
        """Take money of a payment from what is frozen, then from its payee; how much was frozen."""
        frozen_fen = min(amount_fen, int(row["frozen_fen"]))
        self._accounts.move(row["account"], "freeze", business_no, frozen_fen)
        self._accounts.move(row["account"], kind, business_no, -amount_fen)
        self._set(row, "frozen_fen = frozen_fen - :fen", fen=frozen_fen)
        return frozen_fen

    def give_back(self, row: sqlite3.Row, kind: str, business_no: str, amount_fen: int) -> None:
        """Put money back where `take_out` found it frozen, or to the payee if that has ended."""
        now = self._existing(row["account"], row["out_trade_no"])
        self._accounts.move(row["account"], kind, business_no, amount_fen)
        if not now["finished"]:
            self._accounts.move(row["account"], "freeze", business_no, -amount_fen)
            self._set(row, "frozen_fen = frozen_fen + :fen", fen=amount_fen)

    def finish(self, row: sqlite3.Row, business_no: str) -> None:
        """End the sharing: what is frozen goes to the payee."""
        now = self._existing(row["account"], row["out_trade_no"])
        self._set(row, "frozen_fen = 0, finished = 1")
        self._accounts.move(row["account"], "unfreeze", business_no, now["frozen_fen"])

    def _require_payer(self, body: PaymentBody) -> None:
        wallet = self._accounts.wallet_of_consent(body.consent) if body.consent else ""
        if wallet is None or (body.consent and body.method != "wallet"):
            raise BankError(400, "CONSENT_INVALID", "/consent")
        if body.payer and (body.method != "wallet" or not self._accounts.has_wallet(body.payer)):
            raise BankError(400, "PAYER_UNKNOWN", "/payer")
        if body.payer and wallet and body.payer != wallet:
            raise BankError(400, "CONSENT_INVALID", "/consent")

    def _insert(
        self, client: Client, body: PaymentBody, parameters_id: str, expires_at: float
    ) -> None:
        row: dict[str, Value] = {
            "account": client.account,
            "out_trade_no": body.out_trade_no,
            "payment_id": token("pay-"),
            "method": body.method,
            "parameters_hash": parameters_id,
            "amount_fen": body.amount.value,
            "notify_url": body.notify_url,
            "payer": body.payer,
            "expires_at": expires_at,
            "split": int(body.split),
            "save": int(body.save),
            "state": "OPEN",
        }
        self._store.insert("bank_payments", row)

    def _pay_by_consent(self, row: sqlite3.Row, consent: str) -> sqlite3.Row:
        wallet = self._accounts.wallet_of_consent(consent)
        if wallet is None:
            raise LookupError("a consent vanished")
        try:
            return self._take(row, wallet, row["amount_fen"])
        except BankError as error:
            # The wallet lacks money: its holder may top it up and confirm.
            self._set(row, "failure_code = :code", code=error.code)
            return self._existing(row["account"], row["out_trade_no"])

    def _take(self, row: sqlite3.Row, wallet: str, paid_fen: int) -> sqlite3.Row:
        now = time.time()
        transaction_id = number("62", now, 28)
        if row["method"] == "wallet":
            self._accounts.move(wallet, "payment", transaction_id, -paid_fen)
        self._accounts.move(row["account"], "payment", transaction_id, paid_fen)
        if row["split"]:
            self._accounts.move(row["account"], "freeze", transaction_id, -paid_fen)
        wants_consent = row["save"] and row["method"] == "wallet"
        self._set(
            row,
            "state = 'PAID', transaction_id = :transaction_id, paid_fen = :paid_fen,"
            " frozen_fen = :frozen_fen, charges = charges + 1, paid_at = :now, payer = :payer,"
            " failure_code = '', consent = :consent",
            transaction_id=transaction_id,
            paid_fen=paid_fen,
            frozen_fen=paid_fen if row["split"] else 0,
            now=now,
            payer=wallet,
            consent=self._accounts.add_consent(wallet) if wants_consent else "",
        )
        paid = self._existing(row["account"], row["out_trade_no"])
        self._notices.add(row=paid, event="payment.paid", data=self.shown(paid))
        return paid

    def _set(self, row: sqlite3.Row, change: str, **values: str | float) -> None:
        self._store.run(
            f"UPDATE bank_payments SET {change}"  # noqa: S608 (written in this file)
            " WHERE account = :account AND out_trade_no = :number",
            account=row["account"],
            number=row["out_trade_no"],
            **values,
        )

    def _existing(self, account: str, out_trade_no: str) -> sqlite3.Row:
        row = self.find(account, out_trade_no)
        if row is None:
            raise BankError(404, "PAYMENT_NOT_FOUND")
        return row


_CODE = ("code_url", CODE_URL)
