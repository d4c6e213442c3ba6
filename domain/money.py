"""Fen: how an amount is split and shown; whose money it is belongs to `domain.ledger`."""

from collections.abc import Sequence

FEN_PER_YUAN = 100


def allocate(total_fen: int, weights: Sequence[int]) -> list[int]:
    """Split `total_fen` in proportion to `weights` by largest remainder (Hamilton); sums exactly.

    For partial refunds give what is left of each part as its weight: no share exceeds its part,
    and any sequence of refunds adds up to the parts. Raises ValueError on negative numbers, and
    on money with no weight to carry it.
    """
    weight_sum = sum(weights)
    if total_fen < 0 or any(weight < 0 for weight in weights):
        raise ValueError("amounts and weights are never negative")
    if total_fen == 0:
        return [0] * len(weights)
    if weight_sum == 0:
        raise ValueError("nothing carries this amount: all weights are zero")
    shares, remainders = [], []
    for weight in weights:
        share, remainder = divmod(total_fen * weight, weight_sum)
        shares.append(share)
        remainders.append(remainder)
    by_remainder = sorted(range(len(weights)), key=lambda index: (-remainders[index], index))
    for index in by_remainder[: total_fen - sum(shares)]:
        shares[index] += 1
    return shares


def yuan(fen: int) -> str:
    """`1234` → `"12.34"`, for people; machines exchange fen."""
    whole, part = divmod(abs(fen), FEN_PER_YUAN)
    return f"{'-' if fen < 0 else ''}{whole}.{part:02d}"
