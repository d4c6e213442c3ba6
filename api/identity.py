"""The one door for callers: bearer tokens, the roles a route is open to, whose order it is."""

from collections.abc import Mapping
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.errors import NotFound
from services import identity
from services.identity import Forbidden, Identity, Role, Unauthenticated

SCHEME = "bearer "
BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT")
TOKEN_CHARS = 2_000
SUPPORT = frozenset({Role.SUPPORT, Role.LEAD})
SUPPORTERS = SUPPORT | {Role.OPERATIONS}
PEOPLE_OF_ORDERS = SUPPORTERS | {Role.CUSTOMER, Role.MERCHANT}
DESKS = SUPPORT | {Role.FINANCE}
"""Whoever has tickets of their own."""


class Owned(Protocol):
    """Whatever belongs to an order: its stream or its snapshot."""

    @property
    def site_id(self) -> str:
        """The order's site."""
        ...

    @property
    def customer_id(self) -> str:
        """Who ordered."""
        ...

    @property
    def merchant_id(self) -> str:
        """Who cooks."""
        ...


def of_headers(headers: Mapping[str, str]) -> Identity:
    """Whom the `Authorization` header speaks for, or Unauthenticated."""
    header = headers.get("authorization", "")
    if header[: len(SCHEME)].lower() != SCHEME or len(header) > TOKEN_CHARS:
        raise Unauthenticated
    return identity.verify(header[len(SCHEME) :])


def ensure_role(who: Identity, roles: frozenset[Role]) -> Identity:
    """Refuse a role that this is not for."""
    if who.role not in roles:
        raise Forbidden(f"this is not for the role {who.role}", role=who.role.value)
    return who


class Door:
    """A dependency that lets some roles in."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    async def __call__(
        self,
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> Identity:
        """Who asks; raises Unauthenticated or Forbidden."""
        return ensure_role(of_headers(request.headers), self.roles)


Customer = Annotated[Identity, Depends(Door(Role.CUSTOMER))]
Merchant = Annotated[Identity, Depends(Door(Role.MERCHANT))]
Rider = Annotated[Identity, Depends(Door(Role.RIDER))]
Support = Annotated[Identity, Depends(Door(*SUPPORT))]
Supporter = Annotated[Identity, Depends(Door(*SUPPORTERS))]
Desk = Annotated[Identity, Depends(Door(*DESKS))]
DeskReader = Annotated[Identity, Depends(Door(*DESKS, Role.OPERATIONS))]
Finance = Annotated[Identity, Depends(Door(Role.FINANCE))]
Operations = Annotated[Identity, Depends(Door(Role.OPERATIONS))]
OfOrder = Annotated[Identity, Depends(Door(*PEOPLE_OF_ORDERS))]
Anybody = Annotated[Identity, Depends(Door(*Role))]


def ensure_theirs(who: Identity, order: Owned | None) -> None:
    """Somebody else's order does not exist: NotFound."""
    if order is None or order.site_id != who.site_id:
        raise NotFound("there is no such order")
    theirs = {
        Role.CUSTOMER: order.customer_id == who.subject,
        Role.MERCHANT: order.merchant_id == who.subject,
    }
    if not theirs.get(who.role, who.role in SUPPORTERS):
        raise NotFound("there is no such order")
