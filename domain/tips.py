"""What customers may still give their rider after delivery; what they give before is a price."""

from domain.errors import ActionNotAllowed, Invalid
from domain.prices import TIP_MAX_FEN

TRIES_MAX = 20
"""Payments of one order's tips, however they ended."""


def ensure_tip(amount_fen: int, *, given_fen: int, tries: int) -> None:
    """Refuse a tip with which those paid or on their way would be more than a customer may give."""
    if tries >= TRIES_MAX:
        raise ActionNotAllowed("too many tips", reason="too_many")
    most_fen = TIP_MAX_FEN - given_fen
    if not 0 < amount_fen <= most_fen:
        raise Invalid(f"what may be given yet is {most_fen} fen", most_fen=most_fen)
