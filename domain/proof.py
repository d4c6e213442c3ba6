"""Proof of delivery: the four-digit code that the customer tells the rider, and nothing else."""

import hashlib
import hmac

CODE_DIGITS = 4
TRIES = 5
"""Wrong codes a rider may give before support must look."""


def handover_code(order_id: str, key: bytes) -> str:
    """The order's code: HMAC-SHA-256 under `key`, as four decimal digits."""
    digest = hmac.digest(key, f"handover:{order_id}".encode(), hashlib.sha256)
    return f"{int.from_bytes(digest) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def proves(order_id: str, key: bytes, code: str) -> bool:
    """Whether `code` is the order's, compared in constant time."""
    return hmac.compare_digest(handover_code(order_id, key).encode(), code.encode())
