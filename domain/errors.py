"""Named facts that refuse an act; each carries a kind that two doors map to HTTP and to retries."""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of refusal it is."""

    NOT_FOUND = "not_found"
    """There is no such thing, or it belongs to somebody else."""
    CONFLICT = "conflict"
    """It exists, but its state does not allow this now."""
    REFUSED = "refused"
    """A rule of the business says no."""
    INVALID = "invalid"
    """The question itself is wrong."""
    UNAVAILABLE = "unavailable"
    """Somebody we need does not answer; ask again later."""


class DomainError(Exception):
    """A fact that stops an act; `problem` is its stable public name, `data` what to know of it."""

    kind: ClassVar[Kind] = Kind.REFUSED
    problem: ClassVar[str] = "validation_failed"

    def __init__(self, detail: str = "", **data: object) -> None:
        super().__init__(detail or type(self).__doc__ or self.problem)
        self.data = data

    @property
    def detail(self) -> str:
        """One sentence for people; never personal data."""
        return str(self.args[0])


class Invalid(DomainError):
    """The request does not make sense as it stands."""

    kind = Kind.INVALID
    problem = "validation_failed"


class NotFound(DomainError):
    """There is nothing of that name here."""

    kind = Kind.NOT_FOUND
    problem = "not_found"


class IdempotencyConflict(DomainError):
    """This key was used before with another body: use a new key for a new request."""

    kind = Kind.CONFLICT
    problem = "idempotency_conflict"


class QuoteChanged(DomainError):
    """The price changed since the quote: look at the new quote and order by it."""

    kind = Kind.CONFLICT
    problem = "quote_changed"


class QuoteExpired(DomainError):
    """The quote is too old: ask for a new one."""

    kind = Kind.CONFLICT
    problem = "quote_expired"


class ShopClosed(DomainError):
    """The shop takes no orders now."""

    kind = Kind.CONFLICT
    problem = "shop_closed"


class OutOfDeliveryArea(DomainError):
    """The shop does not deliver to this address."""

    kind = Kind.REFUSED
    problem = "out_of_delivery_area"


class SoldOut(DomainError):
    """There is not enough left of an item."""

    kind = Kind.CONFLICT
    problem = "sold_out"


class CreditTooLow(DomainError):
    """There is less platform credit left than that."""

    kind = Kind.CONFLICT
    problem = "credit_too_low"


class FulfilmentUnavailable(DomainError):
    """The shop does not offer this way to get the order."""

    kind = Kind.REFUSED
    problem = "fulfilment_unavailable"


class WindowNotKept(DomainError):
    """The order can't be there in that window: choose one that ends between these times."""

    kind = Kind.REFUSED
    problem = "window_not_kept"


class PayerNotLinked(DomainError):
    """This way to pay needs the customer's WeChat identity: use `native` instead."""

    kind = Kind.REFUSED
    problem = "payer_not_linked"


class ActionNotAllowed(DomainError):
    """The order's status does not allow this now."""

    kind = Kind.CONFLICT
    problem = "action_not_allowed"


class ClaimTaken(DomainError):
    """Another rider has the task, or the offer is over."""

    kind = Kind.CONFLICT
    problem = "claim_taken"


class BoxFull(DomainError):
    """It doesn't fit beside what the rider has: bring that first."""

    kind = Kind.CONFLICT
    problem = "box_full"


class ProofWrong(DomainError):
    """The hand-over code is wrong."""

    kind = Kind.REFUSED
    problem = "proof_wrong"


class PaymentPending(DomainError):
    """The payment's outcome is not known yet: ask again in a moment."""

    kind = Kind.CONFLICT
    problem = "payment_pending"


class PaymentRefused(DomainError):
    """The payment channel refused this payment: try another way to pay."""

    kind = Kind.REFUSED
    problem = "gateway_unavailable"


class GatewayUnavailable(DomainError):
    """The payment channel refused or does not answer."""

    kind = Kind.UNAVAILABLE
    problem = "gateway_unavailable"


class Unavailable(DomainError):
    """A part we need does not answer: ask again later."""

    kind = Kind.UNAVAILABLE
    problem = "unavailable"
