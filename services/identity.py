"""Who asks: bearer tokens of a site, a role and a subject; logging in comes with its own issue."""

import time
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


def issue(*, site: str, role: str, subject: str, ttl_seconds: int) -> str:
    """A signed token; raises ValueError on an unknown role or a key too short to sign with."""
    claims = {
        "site": site,
        "role": Role(role).value,
        "sub": subject,
        "exp": int(time.time()) + ttl_seconds,
    }
    return jwt.encode(claims, _key(), algorithm=ALGORITHM)


def verify(token: str) -> Identity:
    """Whom a token speaks for; raises Unauthenticated when it is forged, damaged or too old."""
    identity, expires_at = _verified(token)
    if expires_at <= time.time():
        raise Unauthenticated("the token has expired")
    return identity


@lru_cache(maxsize=CACHED_TOKENS)
def _verified(token: str) -> tuple[Identity, float]:
    key = _key()
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            options={"require": ["exp", "sub", "site", "role"], "verify_exp": False},
        )
        identity = Identity(
            site_id=_word(claims["site"]), role=Role(claims["role"]), subject=_word(claims["sub"])
        )
        return identity, float(claims["exp"])
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
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
