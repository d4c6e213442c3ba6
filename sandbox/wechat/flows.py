"""What moves on merchants' accounts at WeChat Pay: one line each, as funds bills list it."""

import secrets
import time
from dataclasses import dataclass

from sandbox.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Money that came (positive) or went (negative), in fen."""

    mchid: str
    business_no: str
    """WeChat's number of what moved: a transaction's, a refund's, a split's."""
    kind: str
    """业务类型"""
    amount_fen: int
    voucher_no: str
    """The merchant's own number."""
    note: str = ""


def record(store: Store, *flows: Flow) -> None:
    """Record what moved, in the transaction that moved it; nothing moves by zero fen."""
    for flow in flows:
        if flow.amount_fen == 0:
            continue
        store.insert(
            "flows",
            {
                "flow_id": f"{time.time_ns()}{secrets.randbelow(10**6):06d}",
                "mchid": flow.mchid,
                "business_no": flow.business_no,
                "kind": flow.kind,
                "amount_fen": flow.amount_fen,
                "voucher_no": flow.voucher_no,
                "note": flow.note,
                "at": time.time(),
            },
        )


def fee(amount_fen: int, per_10000: int) -> int:
    """The channel's fee in fen, rounded half up."""
    return (amount_fen * per_10000 + 5_000) // 10_000


def yuan(amount_fen: int, decimals: int = 2) -> str:
    """Fen as yuan, exactly, with at least two decimals."""
    sign = "-" if amount_fen < 0 else ""
    whole, rest = divmod(abs(amount_fen), 100)
    return f"{sign}{whole}.{rest:02d}" + "0" * (decimals - 2)
