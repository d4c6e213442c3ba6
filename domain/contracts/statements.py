"""Contracts of the statements that are kept of each day."""

from dataclasses import dataclass

from domain.contracts.act import act


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAll:
    """The input of `Statements`: every site's days up to `day` (ISO), empty for yesterday."""

    day: str = ""
    after: str = ""
    """Goes on beyond this site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAfter:
    """Keep the statements of the next site beyond one."""

    day: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Whose statements were kept; no site: those were all."""

    site_id: str


KEEP = act("statements.keep", KeepAfter, Kept)
