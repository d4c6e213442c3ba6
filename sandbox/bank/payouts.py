"""Payouts: batches of transfers from a client's own account, each line ending by itself."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Literal

from sandbox.bank.accounts import Accounts, Client
from sandbox.bank.models import BatchBody, parse
from sandbox.bank.protocol import CURRENCY, BankError
from sandbox.habits import Habits
from sandbox.store import Store, Value
from sandbox.wire import Json, number, parameters_hash

TRANSFER_SECONDS = 5.0
"""How long a transfer is on its way, before division by the speed."""

Resolution = Literal["SUCCESS", "FAILED"]


class TransferIsFinal(Exception):
    """A transfer that has ended stays so."""


class Payouts:
    """The bank's batches, keyed by account and the client's batch id."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        habits: Callable[[], Habits],
        wake: Callable[[], None],
    ) -> None:
        """Keep batches in the store; `wake` has the clockwork look again."""
        self._store = store
        self._accounts = accounts
        self._habits = habits
        self._wake = wake

    def create(self, client: Client, raw: bytes) -> Json:
        """Take a whole batch's money and process its lines; repeated, it is shown as it is."""
        body, parameters = parse(BatchBody, raw)
        parameters_id = parameters_hash("batch", parameters)
        with self._store.transaction():
            known = self._find(client.account, body.batch_id)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise BankError(409, "BATCH_CHANGED")
                return self._shown(known)
            self._require_new_lines(client, body)
            total_fen = sum(line.amount.value for line in body.lines)
            self._accounts.move(client.account, "payout", body.batch_id, -total_fen)
            batch = {"account": client.account, "batch_id": body.batch_id}
            self._store.insert("bank_batches", {**batch, "parameters_hash": parameters_id})
            now = time.time()
            for line in body.lines:
                row: dict[str, Value] = {
                    **batch,
                    "line_id": line.line_id,
                    "transfer_id": number("64", now, 32),
                    "payee": line.payee,
                    "amount_fen": line.amount.value,
                    "due_at": now + self._habits().seconds(TRANSFER_SECONDS),
                }
                self._store.insert("bank_transfers", row)
        self._wake()
        return self.query(client, body.batch_id)

    def query(self, client: Client, batch_id: str) -> Json:
        """Return the batch with every line; BATCH_NOT_FOUND."""
        row = self._find(client.account, batch_id)
        if row is None:
            raise BankError(404, "BATCH_NOT_FOUND")
        return self._shown(row)

    def query_line(self, client: Client, line_id: str) -> Json:
        """Return one line; LINE_NOT_FOUND."""
        return {"account": client.account, **_shown_line(self._line(client.account, line_id))}

    def settle_due(self, now: float) -> float | None:
        """End the transfers whose time has come; when the next one is due, if any is."""
        for row in self._store.all("SELECT * FROM bank_transfers WHERE due_at <= :now", now=now):
            payee = self._accounts.payee(row["payee"])
            state = "FAILED" if payee is None else payee["outcome"]
            reason = "PAYEE_UNKNOWN" if payee is None else payee["reason"]
            with self._store.transaction():
                self._end(row, state, reason if state == "FAILED" else "")
        due = self._store.one(
            "SELECT min(due_at) AS at FROM bank_transfers WHERE due_at IS NOT NULL"
        )
        return due["at"] if due else None

    def resolve(self, account: str, line_id: str, state: Resolution, reason: str) -> Json:
        """End a transfer by hand; `TransferIsFinal`, or LINE_NOT_FOUND."""
        with self._store.transaction():
            row = self._line(account, line_id)
            if row["state"] != "PROCESSING":
                raise TransferIsFinal
            self._end(row, state, reason if state == "FAILED" else "")
        return _shown_line(self._line(account, line_id))

    def oracle(self, account: str | None, prefix: str | None) -> dict[str, Any]:
        """Return the chosen batches with what truly moved, in fen."""
        batches = self._store.all(
            "SELECT * FROM bank_batches WHERE (:account IS NULL OR account = :account)"
            " AND (:prefix IS NULL OR substr(batch_id, 1, length(:prefix)) = :prefix)"
            " ORDER BY rowid",
            account=account,
            prefix=prefix,
        )
        shown = []
        for batch in batches:
            lines = [
                {
                    **{name: row[name] for name in ("line_id", "payee", "state", "reason")},
                    "amount_fen": row["amount_fen"],
                }
                for row in self._lines(batch)
            ]
            paid = [line["amount_fen"] for line in lines if line["state"] == "SUCCESS"]
            named = {"account": batch["account"], "batch_id": batch["batch_id"]}
            shown.append({**named, "lines": lines, "paid_fen": sum(paid)})
        return {"batches": shown, "paid_fen": sum(batch["paid_fen"] for batch in shown)}

    def _require_new_lines(self, client: Client, body: BatchBody) -> None:
        seen: set[str] = set()
        for place, line in enumerate(body.lines):
            if line.line_id in seen or self._find_line(client.account, line.line_id):
                raise BankError(409, "LINE_REUSED", f"/lines/{place}/line_id")
            seen.add(line.line_id)

    def _end(self, row: sqlite3.Row, state: str, reason: str) -> None:
        self._store.run(
            "UPDATE bank_transfers SET state = :state, reason = :reason, due_at = NULL"
            " WHERE transfer_id = :transfer_id",
            state=state,
            reason=reason,
            transfer_id=row["transfer_id"],
        )
        if state == "SUCCESS":
            self._accounts.move(row["payee"], "payout", row["transfer_id"], row["amount_fen"])
        if state == "FAILED":
            self._accounts.move(
                row["account"], "payout_failed", row["transfer_id"], row["amount_fen"]
            )

    def _shown(self, row: sqlite3.Row) -> Json:
        lines = [_shown_line(line) for line in self._lines(row)]
        ended = all(line["state"] != "PROCESSING" for line in lines)
        return {
            "account": row["account"],
            "batch_id": row["batch_id"],
            "state": "FINISHED" if ended else "PROCESSING",
            "lines": lines,
        }

    def _lines(self, row: sqlite3.Row) -> list[sqlite3.Row]:
        return self._store.all(
            "SELECT * FROM bank_transfers WHERE account = :account AND batch_id = :batch_id"
            " ORDER BY rowid",
            account=row["account"],
            batch_id=row["batch_id"],
        )

    def _find(self, account: str, batch_id: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM bank_batches WHERE account = :account AND batch_id = :batch_id",
            account=account,
            batch_id=batch_id,
        )

    def _find_line(self, account: str, line_id: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM bank_transfers WHERE account = :account AND line_id = :line_id",
            account=account,
            line_id=line_id,
        )

    def _line(self, account: str, line_id: str) -> sqlite3.Row:
        row = self._find_line(account, line_id)
        if row is None:
            raise BankError(404, "LINE_NOT_FOUND")
        return row


def _shown_line(row: sqlite3.Row) -> Json:
    return {
        "line_id": row["line_id"],
        "transfer_id": row["transfer_id"],
        "payee": row["payee"],
        "amount": {"value": row["amount_fen"], "currency": CURRENCY},
        "state": row["state"],
        "reason": row["reason"],
    }
