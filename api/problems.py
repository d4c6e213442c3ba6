"""Refusals that only the edge knows; what the business refuses is in `domain.errors`."""

from domain.errors import DomainError, Invalid, Kind


class MalformedBody(Invalid):
    """The body is not JSON that can be read."""


class BodyTooLarge(DomainError):
    """The body is larger than any request has to be."""

    kind = Kind.INVALID
    problem = "body_too_large"


class RateLimited(DomainError):
    """Too many requests: wait as long as Retry-After says."""

    kind = Kind.REFUSED
    problem = "rate_limited"


class MethodNotAllowed(DomainError):
    """This address does not know that method."""

    kind = Kind.INVALID
    problem = "method_not_allowed"


class Internal(DomainError):
    """Something is broken on our side; the request id leads to it in our logs."""

    kind = Kind.UNAVAILABLE
    problem = "internal"
