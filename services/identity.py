"""Who asks: bearer tokens of a site, a role and a subject; logging in comes with its own issue."""

import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import jwt

from domain.errors import DomainError, Kind
from services.settings import settings

ALGORITHM = "HS256"
CACHED_TOKENS = 20_000
KEY_BYTES = 32
"""A shorter HS256 key can be guessed (RFC 7518 §3.2)."""
TICKET_SECONDS = 30


class Unauthenticated(DomainError):
    """There is no valid token: ask for one and send it as `Authorization: Bearer …`."""

    kind = Kind.REFUSED
    problem = "unauthenticated"


class Forbidden(DomainError):
    """This role may not do that."""

    kind = Kind.REFUSED
    problem = "forbidden"


class Role(StrEnum):
    """In whose name a token speaks."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    RIDER = "rider"
    SUPPORT = "support"
    OPERATIONS = "operations"
    FINANCE = "finance"
    LEAD = "lead"
    """Support's own lead, who may also do what every desk's tickets need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A verified caller; `subject` is a customer's, merchant's, rider's… id within the site."""

    site_id: str
    role: Role
    subject: str

    @property
    def actor(self) -> str:
        """How events and timelines name the caller."""
        return f"{self.role}:{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A short-lived pass for one live connection, for those who can't send headers."""

    ticket: str
    ticket_id: str
    """To be remembered when it is used: it opens one connection."""
    identity: Identity
    expires_at: int
    """Unix seconds."""


def issue(*, site: str, role: str, subject: str, ttl_seconds: int) -> str:
    """A signed token; raises ValueError on an unknown role or a key too short to sign with."""
    identity = Identity(site_id=_word(site), role=Role(role), subject=_word(subject))
    return _sign(identity, int(time.time()) + ttl_seconds)


def verify(token: str) -> Identity:
    """Whom a token speaks for; raises Unauthenticated when it is forged, damaged or too old."""
    found = _read(token)
    if found.ticket_id:
        raise Unauthenticated("a live ticket is no token")
    return found.identity


def issue_ticket(identity: Identity) -> Ticket:
    """A ticket in this caller's name."""
    ticket_id, expires_at = uuid.uuid4().hex, int(time.time()) + TICKET_SECONDS
    return Ticket(
        ticket=_sign(identity, expires_at, jti=ticket_id),
        ticket_id=ticket_id,
        identity=identity,
        expires_at=expires_at,
    )


def verify_ticket(ticket: str) -> Ticket:
    """An unspoilt ticket (whether it was used before is not known here), or Unauthenticated."""
    found = _read(ticket)
    if not found.ticket_id:
        raise Unauthenticated("this is no live ticket")
    return found


def _sign(identity: Identity, expires_at: int, **more: str) -> str:
    claims = {
        "site": identity.site_id,
        "role": identity.role.value,
        "sub": identity.subject,
        "exp": expires_at,
        **more,
    }
    return jwt.encode(claims, _key(), algorithm=ALGORITHM)


def _read(text: str) -> Ticket:
    found = _verified(text)
    if found.expires_at <= time.time():
        raise Unauthenticated("the token has expired")
    return found


@lru_cache(maxsize=CACHED_TOKENS)
def _verified(text: str) -> Ticket:
    key = _key()
    try:
        claims = jwt.decode(
            text,
            key,
            algorithms=[ALGORITHM],
            options={"require": ["exp", "sub", "site", "role"], "verify_exp": False},
        )
        identity = Identity(
            site_id=_word(claims["site"]), role=Role(claims["role"]), subject=_word(claims["sub"])
        )
        return Ticket(
            ticket=text,
            ticket_id=str(claims.get("jti", "")),
            identity=identity,
            expires_at=int(claims["exp"]),
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
        raise Unauthenticated("the token is not valid") from error


def _word(claim: object) -> str:
    if not isinstance(claim, str) or not claim:
        raise ValueError("an empty claim names nobody")
    return claim


def _key() -> str:
    key = settings().token_key.get_secret_value()
    if len(key.encode()) < KEY_BYTES:
        raise ValueError(f"PAOTUI_TOKEN_KEY must have at least {KEY_BYTES} bytes")
    return key
