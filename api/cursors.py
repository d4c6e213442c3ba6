"""Where a page of a list ended, as text that clients hand back unread."""

import base64
import binascii
from datetime import datetime

import orjson

from domain.errors import Invalid

CURSOR_CHARS = 400


def encode(*parts: str | int | datetime) -> str:
    """A cursor that holds these parts."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> list[str | int]:
    """The parts, each of its kind (`str` or `int`); raises Invalid for anything else."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = orjson.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError) as error:
        raise Invalid("this is no cursor of ours") from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise Invalid("this is no cursor of ours")
    if any("\0" in part for part in parts if isinstance(part, str)):
        raise Invalid("this is no cursor of ours")
    return parts


def moment(text: str | int) -> datetime:
    """A part that is a time."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise Invalid("this is no cursor of ours") from error
    if found.tzinfo is None:
        raise Invalid("this is no cursor of ours")
    return found
