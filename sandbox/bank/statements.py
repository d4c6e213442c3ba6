"""A day's statements of an account: JSON lines, the last one a summary of those before it."""

import re
from datetime import UTC, date, datetime, time, timedelta

from sandbox.bank.accounts import Client
from sandbox.bank.protocol import CURRENCY, BankError
from sandbox.store import Store
from sandbox.wire import CHINA_TIME, Json, china_time, dump

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Statements:
    """Statements by business day (Asia/Shanghai); ready when the day is over."""

    def __init__(self, store: Store) -> None:
        """Read what the store holds."""
        self._store = store

    def make_ready(self, day: date) -> None:
        """Let a day's statements be asked for before it is over, as they stand."""
        self._store.run("INSERT OR IGNORE INTO bank_days VALUES (:day)", day=day.isoformat())

    def statement(self, client: Client, kind: str, day_text: str) -> bytes:
        """Return one account's statement; 425 STATEMENT_NOT_READY until the day is over."""
        try:
            day = date.fromisoformat(day_text if _DAY.fullmatch(day_text) else "")
        except ValueError as error:
            raise BankError(400, "PARAMETER_WRONG", "/day") from error
        made = self._store.one("SELECT 1 FROM bank_days WHERE day = :day", day=day_text)
        if day >= datetime.now(UTC).astimezone(CHINA_TIME).date() and made is None:
            raise BankError(425, "STATEMENT_NOT_READY")
        start = datetime.combine(day, time(), CHINA_TIME)
        span = {"begin": start.timestamp(), "end": (start + timedelta(days=1)).timestamp()}
        if kind == "trade":
            rows = self._trades(client.account, span)
        elif kind == "funds":
            rows = self._funds(client.account, span)
        else:
            raise BankError(404, "STATEMENT_UNKNOWN")
        summary: Json = {
            "summary": {
                "account": client.account,
                "kind": kind,
                "day": day_text,
                "rows": len(rows),
                "amount": sum(row["amount"] for row in rows),
                "currency": CURRENCY,
            }
        }
        return b"".join(dump(row) + b"\n" for row in [*rows, summary])

    def _trades(self, account: str, span: dict[str, float]) -> list[Json]:
        payments = self._store.all(
            "SELECT * FROM bank_payments WHERE account = :account"
            " AND paid_at >= :begin AND paid_at < :end ORDER BY paid_at",
            account=account,
            **span,
        )
        refunds = self._store.all(
            "SELECT r.*, p.transaction_id FROM bank_refunds r"
            " JOIN bank_payments p USING (account, out_trade_no) WHERE r.account = :account"
            " AND r.create_time >= :begin AND r.create_time < :end ORDER BY r.create_time",
            account=account,
            **span,
        )
        return [
            *(
                {
                    "type": "payment",
                    "out_trade_no": row["out_trade_no"],
                    "transaction_id": row["transaction_id"],
                    "amount": row["paid_fen"],
                    "fee": 0,
                    "state": "SUCCESS",
                    "at": china_time(row["paid_at"]),
                }
                for row in payments
            ),
            *(
                {
                    "type": "refund",
                    "out_trade_no": row["out_trade_no"],
                    "transaction_id": row["transaction_id"],
                    "out_refund_no": row["out_refund_no"],
                    "refund_id": row["refund_id"],
                    "amount": row["amount_fen"],
                    "fee": 0,
                    "state": row["status"],
                    "at": china_time(row["create_time"]),
                }
                for row in refunds
            ),
        ]

    def _funds(self, account: str, span: dict[str, float]) -> list[Json]:
        rows = self._store.all(
            "SELECT * FROM bank_flows WHERE holder = :account"
            " AND at >= :begin AND at < :end ORDER BY flow_id",
            account=account,
            **span,
        )
        return [
            {
                "flow_id": str(row["flow_id"]),
                "business_no": row["business_no"],
                "type": row["kind"],
                "amount": row["amount_fen"],
                "balance": row["balance_fen"],
                "at": china_time(row["at"]),
            }
            for row in rows
        ]
