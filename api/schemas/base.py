"""What all shapes are made of: bounded words, what is asked, what is told."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.cards import looks_like_card_number

PAGE_ITEMS = 100
Id = Annotated[str, StringConstraints(pattern=r"^[\w.:@~-]{1,64}$")]
"""Letters of any script, digits and `_ . : @ ~ -`."""
MaybeId = Annotated[str, StringConstraints(pattern=r"^[\w.:@~-]{0,64}$")]
"""The same, or empty: there is none."""
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
"""A word of a list, never free text."""


def _without_card_number(text: str) -> str:
    if looks_like_card_number(text):
        raise ValueError("a card number must never be sent here")
    return text


Free = Annotated[str, AfterValidator(_without_card_number)]
"""What people write: kept encrypted, and refused when a card number is in it."""
Lat = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Lng = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Token = Annotated[int, Field(ge=0, le=2**31 - 1)]
Fen = Annotated[int, Field(ge=0, le=2**53)]
Outcome = Literal["done", "asked", "approval_requested"]


class Asked(BaseModel):
    """A body; a field that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """An answer."""


class Problem(Told):
    """RFC 9457; more members by type."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
