"""The kinds of columns: what a name's ending promises is what the column holds."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Integer,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

NOW = text("now()")


def text_column(name: str, **more: Any) -> Column[str]:  # noqa: ANN401
    """Text; ids, codes and names."""
    return Column(name, Text, nullable=more.pop("nullable", False), **more)


def fen_column(name: str, **more: Any) -> Column[int]:  # noqa: ANN401
    """Money in fen."""
    return Column(name, BigInteger, nullable=more.pop("nullable", False), **more)


def int_column(name: str, **more: Any) -> Column[int]:  # noqa: ANN401
    """A small count."""
    return Column(name, Integer, nullable=more.pop("nullable", False), **more)


def flag_column(name: str, *, default: bool = False) -> Column[bool]:
    """Yes or no, never neither."""
    return Column(name, Boolean, nullable=False, server_default=str(default).lower())


def at_column(name: str, **more: Any) -> Column[Any]:  # noqa: ANN401
    """A moment with its time zone; may be missing unless said."""
    return Column(name, DateTime(timezone=True), nullable=more.pop("nullable", True), **more)


def json_column(name: str, default: str = "{}") -> Column[Any]:
    """A document."""
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))


def float_column(name: str, **more: Any) -> Column[float]:  # noqa: ANN401
    """A measure: degrees, seconds, speeds."""
    return Column(name, Double, nullable=more.pop("nullable", False), **more)


def serial_column(name: str = "id") -> Column[int]:
    """A number that the database gives out, and the key."""
    return Column(name, BigInteger, Identity(always=False), primary_key=True)


def site_column() -> Column[str]:
    """Whose row it is."""
    return text_column("site_id")
