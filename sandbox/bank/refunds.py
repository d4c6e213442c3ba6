"""Refunds at the bank: applying, looking up, and how each comes to its end."""

import sqlite3
import time
from collections.abc import Callable
from typing import Literal

from sandbox.bank.accounts import Accounts, Client
from sandbox.bank.models import RefundBody, parse
from sandbox.bank.notices import Notices
from sandbox.bank.payments import Payments
from sandbox.bank.protocol import CURRENCY, BankError
from sandbox.habits import GeneralHabits
from sandbox.store import Store, Value
from sandbox.wire import Json, china_time, number, parameters_hash

REFUND_WINDOW_SECONDS = 365 * 24 * 3600
MAX_REFUNDS_PER_PAYMENT = 50

Resolution = Literal["SUCCESS", "ABNORMAL", "CLOSED"]


class RefundIsFinal(Exception):
    """A refund that has reached SUCCESS or CLOSED stays so."""


class Refunds:
    """The bank's refunds, keyed by account and the client's refund number."""

    def __init__(
        self,
        *,
        store: Store,
        accounts: Accounts,
        payments: Payments,
        notices: Notices,
        habits: Callable[[], GeneralHabits],
    ) -> None:
        """Keep refunds in the store and announce their ends through the notices."""
        self._store = store
        self._accounts = accounts
        self._payments = payments
        self._notices = notices
        self._habits = habits

    def create(self, client: Client, raw: bytes) -> Json:
        """Accept a refund as PROCESSING; the same number again is the same refund."""
        body, parameters = parse(RefundBody, raw)
        parameters_id = parameters_hash("refund", parameters)
        now = time.time()
        with self._store.transaction():
            known = self.find(client.account, body.out_refund_no)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise BankError(409, "REFUND_CHANGED")
                return self.shown(known)
            payment = self._refundable(client, body, now)
            refund_id = number("63", now, 28)
            frozen_fen = self._payments.take_out(payment, "refund", refund_id, body.amount.value)
            habits = self._habits()
            row: dict[str, Value] = {
                "account": client.account,
                "out_refund_no": body.out_refund_no,
                "refund_id": refund_id,
                "out_trade_no": body.out_trade_no,
                "parameters_hash": parameters_id,
                "amount_fen": body.amount.value,
                "frozen_fen": frozen_fen,
                "notify_url": body.notify_url,
                "status": "PROCESSING",
                "create_time": now,
                "due_at": now + habits.seconds(habits.refund_seconds),
            }
            self._store.insert("bank_refunds", row)
            accepted = self._existing(client.account, body.out_refund_no)
        self._notices.wake.set()
        return self.shown(accepted)

    def query(self, client: Client, out_refund_no: str) -> Json:
        """Return the refund; REFUND_NOT_FOUND."""
        return self.shown(self._existing(client.account, out_refund_no))

    def settle_due(self, now: float) -> float | None:
        """End the refunds whose time has come; when the next one is due, if any is."""
        for row in self._store.all("SELECT * FROM bank_refunds WHERE due_at <= :now", now=now):
            with self._store.transaction():
                self._end(row, self._habits().refund_outcome, now)
        due = self._store.one("SELECT min(due_at) AS at FROM bank_refunds WHERE due_at IS NOT NULL")
        return due["at"] if due else None

    def resolve(self, account: str, out_refund_no: str, status: Resolution) -> Json:
        """End a refund by hand; `RefundIsFinal`, or REFUND_NOT_FOUND."""
        with self._store.transaction():
            row = self._existing(account, out_refund_no)
            if row["status"] in {"SUCCESS", "CLOSED"}:
                raise RefundIsFinal
            self._end(row, status, time.time())
        return self.shown(self._existing(account, out_refund_no))

    def find(self, account: str, out_refund_no: str) -> sqlite3.Row | None:
        """Return the refund's row by the client's number."""
        return self._store.one(
            "SELECT * FROM bank_refunds WHERE account = :account AND out_refund_no = :number",
            account=account,
            number=out_refund_no,
        )

    def shown(self, row: sqlite3.Row) -> Json:
        """Return the refund as answers and notices show it."""
        payment = self._payment(row)
        at = row["success_time"]
        return {
            "account": row["account"],
            "out_trade_no": row["out_trade_no"],
            "out_refund_no": row["out_refund_no"],
            "refund_id": row["refund_id"],
            "state": row["status"],
            "amount": {"value": row["amount_fen"], "currency": CURRENCY},
            "total": {"value": payment["paid_fen"], "currency": CURRENCY},
            "refunded_at": None if at is None else china_time(at),
        }

    def _refundable(self, client: Client, body: RefundBody, now: float) -> sqlite3.Row:
        payment = self._payments.find(client.account, body.out_trade_no)
        if payment is None:
            raise BankError(404, "PAYMENT_NOT_FOUND")
        if payment["state"] != "PAID":
            raise BankError(409, "PAYMENT_NOT_PAID")
        if body.total.value != payment["paid_fen"]:
            raise BankError(400, "PARAMETER_WRONG", "/total/value")
        if now - payment["paid_at"] > REFUND_WINDOW_SECONDS:
            raise BankError(409, "REFUND_TOO_LATE")
        sums = self._store.one(
            "SELECT count(*) AS refunds, coalesce(sum(amount_fen), 0) AS fen FROM bank_refunds"
            " WHERE account = :account AND out_trade_no = :number AND status <> 'CLOSED'",
            account=client.account,
            number=body.out_trade_no,
        )
        if sums is None:
            raise LookupError("an aggregate always has a row")
        if sums["fen"] + body.amount.value > payment["paid_fen"]:
            raise BankError(409, "REFUND_TOO_MUCH")
        if sums["refunds"] >= MAX_REFUNDS_PER_PAYMENT:
            raise BankError(409, "REFUNDS_TOO_MANY")
        return payment

    def _end(self, row: sqlite3.Row, status: str, now: float) -> None:
        self._store.run(
            "UPDATE bank_refunds SET status = :status, due_at = NULL, success_time = :at"
            " WHERE refund_id = :refund_id",
            status=status,
            at=now if status == "SUCCESS" else None,
            refund_id=row["refund_id"],
        )
        if status == "PROCESSING":
            return
        payment = self._payment(row)
        if status == "SUCCESS" and payment["method"] == "wallet":
            self._accounts.move(payment["payer"], "refund", row["refund_id"], row["amount_fen"])
        if status == "CLOSED":
            frozen_fen = row["frozen_fen"]
            kind, number_ = "refund_failed", row["refund_id"]
            self._payments.give_back(payment, kind, number_, frozen_fen)
            self._accounts.move(row["account"], kind, number_, row["amount_fen"] - frozen_fen)
        ended = self._existing(row["account"], row["out_refund_no"])
        event = f"refund.{status.lower()}"
        self._notices.add(row=ended, event=event, data=self.shown(ended))

    def _payment(self, row: sqlite3.Row) -> sqlite3.Row:
        payment = self._payments.find(row["account"], row["out_trade_no"])
        if payment is None:
            raise LookupError("a refund without its payment")
        return payment

    def _existing(self, account: str, out_refund_no: str) -> sqlite3.Row:
        row = self.find(account, out_refund_no)
        if row is None:
            raise BankError(404, "REFUND_NOT_FOUND")
        return row
