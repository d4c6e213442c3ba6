"""Fields of what a payment channel tells us, read strictly: ValueError where one isn't as agreed.

Whether it is signed is not asked here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

MAX_TEXT_CHARACTERS = 512
MAX_AMOUNT_FEN = 2**53

Json = dict[str, Any]


def read_json(body: bytes) -> Json:
    """The object that a body holds."""
    return as_object(orjson.loads(body))


def text(data: Mapping[str, Any], name: str) -> str:
    """A non-empty printable string: what is read here may be stored."""
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARACTERS:
        raise ValueError(f"{name} is no text")
    if not value.isprintable():
        raise ValueError(f"{name} is not printable")
    return value


def optional_text(data: Mapping[str, Any], name: str) -> str | None:
    """The same, or None where it is absent, null or empty."""
    return text(data, name) if data.get(name) not in (None, "") else None


def section(data: Json, name: str) -> Json:
    """An object inside the object."""
    return as_object(data.get(name))


def sections(data: Json, name: str) -> list[Json]:
    """A list of objects inside the object."""
    value = data.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")  # noqa: TRY004 - one kind of error for all bad JSON
    return [as_object(item) for item in value]


def as_object(value: object) -> Json:
    """The value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all bad JSON
    return value


def fen(data: Json, name: str) -> int:
    """An amount in fen that is not negative."""
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= MAX_AMOUNT_FEN:
        raise ValueError(f"{name} is no amount in fen")
    return value


def moment(data: Json, name: str) -> datetime:
    """A moment with an offset."""
    at = datetime.fromisoformat(text(data, name))
    if at.tzinfo is None:
        raise ValueError(f"{name} has no offset")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{name} is out of range") from error


def optional_moment(data: Json, name: str) -> datetime | None:
    """The same, or None where it is absent, null or empty."""
    return moment(data, name) if data.get(name) not in (None, "") else None
