"""What each of Stripe's calls may be told; anything else is `parameter_unknown`."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sandbox.card.wire import bad_request
from sandbox.wire import Json

MAX_AMOUNT = 99_999_999
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
Metadata = dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=500)]]
Text = Annotated[str, Field(max_length=1000)]


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expand: list[str] = Field(default=[], max_length=10)


class Created(BaseModel):
    """A range of creation times in Unix seconds."""

    model_config = ConfigDict(extra="forbid")

    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None

    def bounds(self) -> dict[str, int]:
        """Return it as `from` (included) and `to` (not included)."""
        starts = [self.gte or 0, 0 if self.gt is None else self.gt + 1]
        ends = [self.lt or 2**53, 2**53 if self.lte is None else self.lte + 1]
        return {"from": max(starts), "to": min(ends)}


class Listing(_Params):
    """How every list is paged."""

    limit: int = Field(default=10, ge=1, le=100)
    starting_after: str | None = None
    created: Created = Created()


class Retrieve(_Params):
    """A look at one object."""


class ListRefunds(Listing):
    """`GET /v1/refunds`."""

    payment_intent: str | None = None
    charge: str | None = None


class ListMethods(Listing):
    """`GET /v1/customers/{id}/payment_methods`."""

    type: Literal["card"] | None = None


class Search(_Params):
    """`GET /v1/payment_intents/search`: one metadata clause, as `metadata["name"]:"value"`."""

    query: str
    limit: int = Field(default=10, ge=1, le=100)


class Confirm(_Params):
    """`POST /v1/payment_intents/{id}/confirm`."""

    payment_method: str | None = None
    off_session: bool = False
    return_url: Text | None = None
    setup_future_usage: Literal["on_session", "off_session"] | None = None


class CreateIntent(Confirm):
    """`POST /v1/payment_intents`."""

    amount: Amount
    currency: Annotated[str, Field(pattern=r"^[a-zA-Z]{3}$")]
    capture_method: Literal["automatic", "automatic_async", "manual"] = "automatic_async"
    confirm: bool = False
    customer: str | None = None
    description: Text | None = None
    metadata: Metadata = {}
    allowed_payment_method_types: list[Literal["card"]] = ["card"]

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Json) -> Json:
        return {name: value for name, value in given.items() if value != ""}


class Capture(_Params):
    """`POST /v1/payment_intents/{id}/capture`."""

    amount_to_capture: Amount | None = None


class Cancel(_Params):
    """`POST /v1/payment_intents/{id}/cancel`."""

    cancellation_reason: (
        Literal["abandoned", "duplicate", "fraudulent", "requested_by_customer"] | None
    ) = None


class CreateRefund(_Params):
    """`POST /v1/refunds`."""

    payment_intent: str | None = None
    charge: str | None = None
    amount: Amount | None = None
    metadata: Metadata = {}
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


class CreateCustomer(_Params):
    """`POST /v1/customers`: nothing personal is asked for."""

    description: Text | None = None
    metadata: Metadata = {}


class UpdateDispute(_Params):
    """`POST /v1/disputes/{id}`."""

    evidence: dict[str, Text] = {}
    metadata: Metadata = {}
    submit: bool = True


Params = TypeVar("Params", bound=BaseModel)


def read(model: type[Params], given: Json) -> Params:
    """Return the checked parameters; StripeError before anything has begun."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        head, *rest = (str(step) for step in first["loc"]) if first["loc"] else ("",)
        param = head + "".join(f"[{step}]" for step in rest)
        if param == "payment_method_types":
            # Since 2026-09-30.endive (docs.stripe.com/changelog/endive).
            message, code = f"{param} is no longer supported.", f"{param}_no_longer_supported"
        elif first["type"] == "extra_forbidden":
            message, code = f"Received unknown parameter: {param}", "parameter_unknown"
        elif first["type"] == "missing":
            message, code = f"Missing required param: {param}.", "parameter_missing"
        elif first["type"].startswith("int"):
            message, code = f"Invalid integer: {param}", "parameter_invalid_integer"
        else:
            message, code = f"Invalid {param}: {first['msg']}", "parameter_invalid"
        raise bad_request(message, began=False, code=code, param=param) from error
