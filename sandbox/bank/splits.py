"""Sharing a payment out to other accounts (分账), ending that, and taking a share back."""

import sqlite3
import time
from collections.abc import Callable

from sandbox.bank.accounts import Accounts, Client
from sandbox.bank.models import Receiver, ReturnBody, SplitBody, UnfreezeBody, parse
from sandbox.bank.payments import Payments
from sandbox.bank.protocol import CURRENCY, BankError
from sandbox.habits import Habits
from sandbox.store import Store, Value
from sandbox.wire import Json, parameters_hash

SHARE_SECONDS = 2.0
"""How long a share stays PENDING, before division by the speed."""


class Splits:
    """The bank's splits, keyed by account and the client's number."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        payments: Payments,
        habits: Callable[[], Habits],
        wake: Callable[[], None],
    ) -> None:
        """Keep splits in the store; `wake` has the clockwork look again."""
        self._store = store
        self._accounts = accounts
        self._payments = payments
        self._habits = habits
        self._wake = wake

    def create(self, client: Client, raw: bytes) -> Json:
        """Share out what is frozen; the results are PENDING at first."""
        body, parameters = parse(SplitBody, raw)
        return self._open(
            client,
            transaction_id=body.transaction_id,
            out_order_no=body.out_order_no,
            parameters_id=parameters_hash("split", parameters),
            receivers=body.receivers,
            finish=body.finish,
        )

    def unfreeze(self, client: Client, raw: bytes) -> Json:
        """Give what is left to the payee, under a number of its own."""
        body, parameters = parse(UnfreezeBody, raw)
        return self._open(
            client,
            transaction_id=body.transaction_id,
            out_order_no=body.out_order_no,
            parameters_id=parameters_hash("unfreeze", parameters),
            receivers=[],
            finish=True,
        )

    def query(self, client: Client, out_order_no: str) -> Json:
        """Return each receiver's result; SPLIT_NOT_FOUND."""
        return self._shown(self._existing(client.account, out_order_no))

    def give_back(self, client: Client, raw: bytes) -> Json:
        """Take a share, or some of it, from its receiver to the payee's account."""
        body, parameters = parse(ReturnBody, raw)
        parameters_id = parameters_hash("return", parameters)
        with self._store.transaction():
            known = self._find_return(client, body.out_return_no)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise BankError(409, "RETURN_CHANGED")
                return _shown_return(known)
            self._require_returnable(client, body)
            receiver, amount_fen = body.receiver.account, body.receiver.amount.value
            state, reason = "SUCCESS", ""
            try:
                self._accounts.move(receiver, "split_return", body.out_return_no, -amount_fen)
            except BankError as error:
                state, reason = "CLOSED", error.code
            else:
                self._accounts.move(client.account, "split_return", body.out_return_no, amount_fen)
                self._store.run(
                    "UPDATE bank_shares SET returned_fen = returned_fen + :fen"
                    " WHERE account = :account AND out_order_no = :number"
                    " AND receiver = :receiver",
                    fen=amount_fen,
                    account=client.account,
                    number=body.out_order_no,
                    receiver=receiver,
                )
            row: dict[str, Value] = {
                "account": client.account,
                "out_return_no": body.out_return_no,
                "out_order_no": body.out_order_no,
                "parameters_hash": parameters_id,
                "receiver": receiver,
                "amount_fen": amount_fen,
                "state": state,
                "reason": reason,
            }
            self._store.insert("bank_returns", row)
        return self.query_return(client, body.out_return_no)

    def query_return(self, client: Client, out_return_no: str) -> Json:
        """Return what became of a return; RETURN_NOT_FOUND."""
        row = self._find_return(client, out_return_no)
        if row is None:
            raise BankError(404, "RETURN_NOT_FOUND")
        return _shown_return(row)

    def settle_due(self, now: float) -> float | None:
        """End the shares whose time has come; when the next ones are due, if any are."""
        for row in self._store.all("SELECT * FROM bank_splits WHERE due_at <= :now", now=now):
            with self._store.transaction():
                for share in self._shares(row):
                    self._end(row, share)
                self._store.run(
                    "UPDATE bank_splits SET due_at = NULL"
                    " WHERE account = :account AND out_order_no = :number",
                    account=row["account"],
                    number=row["out_order_no"],
                )
        due = self._store.one("SELECT min(due_at) AS at FROM bank_splits WHERE due_at IS NOT NULL")
        return due["at"] if due else None

    def _open(
        self,
        client: Client,
        *,
        transaction_id: str,
        out_order_no: str,
        parameters_id: str,
        receivers: list[Receiver],
        finish: bool,
    ) -> Json:
        with self._store.transaction():
            known = self._find(client.account, out_order_no)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise BankError(409, "SPLIT_CHANGED")
                return self._shown(known)
            payment = self._payments.find_paid(client.account, transaction_id)
            if payment is None:
                raise BankError(404, "PAYMENT_NOT_FOUND")
            if not payment["split"] or payment["finished"]:
                raise BankError(409, "PAYMENT_NOT_FROZEN")
            self._require_receivers(client, receivers)
            wanted_fen = sum(receiver.amount.value for receiver in receivers)
            if wanted_fen > payment["frozen_fen"]:
                raise BankError(409, "SPLIT_TOO_MUCH")
            split: dict[str, Value] = {
                "account": client.account,
                "out_order_no": out_order_no,
                "out_trade_no": payment["out_trade_no"],
                "parameters_hash": parameters_id,
                "due_at": time.time() + self._habits().seconds(SHARE_SECONDS)
                if receivers
                else None,
            }
            self._store.insert("bank_splits", split)
            for receiver in receivers:
                share: dict[str, Value] = {
                    "account": client.account,
                    "out_order_no": out_order_no,
                    "receiver": receiver.account,
                    "amount_fen": receiver.amount.value,
                }
                self._store.insert("bank_shares", share)
            self._payments.take_out(payment, "split", out_order_no, wanted_fen)
            if finish:
                self._payments.finish(payment, out_order_no)
        self._wake()
        return self.query(client, out_order_no)

    def _require_receivers(self, client: Client, receivers: list[Receiver]) -> None:
        names = [receiver.account for receiver in receivers]
        for place, name in enumerate(names):
            strange = self._accounts.find(name) is None or name == client.account
            if strange or name in names[:place]:
                raise BankError(400, "RECEIVER_WRONG", f"/receivers/{place}/account")

    def _require_returnable(self, client: Client, body: ReturnBody) -> None:
        share = self._store.one(
            "SELECT * FROM bank_shares WHERE account = :account AND out_order_no = :number"
            " AND receiver = :receiver",
            account=client.account,
            number=body.out_order_no,
            receiver=body.receiver.account,
        )
        if share is None:
            raise BankError(404, "SHARE_NOT_FOUND")
        left_fen = share["amount_fen"] - share["returned_fen"]
        if share["state"] != "SUCCESS" or body.receiver.amount.value > left_fen:
            raise BankError(409, "RETURN_TOO_MUCH")

    def _end(self, split: sqlite3.Row, share: sqlite3.Row) -> None:
        closed = self._accounts.is_closed(share["receiver"])
        self._store.run(
            "UPDATE bank_shares SET state = :state, reason = :reason"
            " WHERE account = :account AND out_order_no = :number AND receiver = :receiver",
            state="CLOSED" if closed else "SUCCESS",
            reason="ACCOUNT_CLOSED" if closed else "",
            account=share["account"],
            number=share["out_order_no"],
            receiver=share["receiver"],
        )
        if not closed:
            number, fen = share["out_order_no"], share["amount_fen"]
            self._accounts.move(share["receiver"], "split", number, fen)
            return
        payment = self._payments.find(split["account"], split["out_trade_no"])
        if payment is None:
            raise LookupError("a split without its payment")
        self._payments.give_back(
            payment, "split_failed", share["out_order_no"], share["amount_fen"]
        )

    def _shown(self, row: sqlite3.Row) -> Json:
        payment = self._payments.find(row["account"], row["out_trade_no"])
        shares = self._shares(row)
        return {
            "account": row["account"],
            "out_order_no": row["out_order_no"],
            "transaction_id": payment["transaction_id"] if payment else None,
            "state": "PROCESSING" if row["due_at"] is not None else "FINISHED",
            "receivers": [_shown_share(share) for share in shares],
        }

    def _shares(self, row: sqlite3.Row) -> list[sqlite3.Row]:
        return self._store.all(
            "SELECT * FROM bank_shares WHERE account = :account AND out_order_no = :number"
            " ORDER BY rowid",
            account=row["account"],
            number=row["out_order_no"],
        )

    def _find(self, account: str, out_order_no: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM bank_splits WHERE account = :account AND out_order_no = :number",
            account=account,
            number=out_order_no,
        )

    def _find_return(self, client: Client, out_return_no: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM bank_returns WHERE account = :account AND out_return_no = :number",
            account=client.account,
            number=out_return_no,
        )

    def _existing(self, account: str, out_order_no: str) -> sqlite3.Row:
        row = self._find(account, out_order_no)
        if row is None:
            raise BankError(404, "SPLIT_NOT_FOUND")
        return row


def _shown_share(row: sqlite3.Row) -> Json:
    return {
        "account": row["receiver"],
        "amount": {"value": row["amount_fen"], "currency": CURRENCY},
        "state": row["state"],
        "reason": row["reason"],
    }


def _shown_return(row: sqlite3.Row) -> Json:
    return {
        "account": row["account"],
        "out_order_no": row["out_order_no"],
        "out_return_no": row["out_return_no"],
        "state": "FINISHED",
        "receivers": [_shown_share(row)],
    }
