"""What drives Stripe from outside, at `/control/card`: customers, banks, merchants' desks."""

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field

from sandbox.card.accounts import RefundOutcome
from sandbox.card.intents import CONFIRMABLE
from sandbox.card.methods import KIND
from sandbox.card.oracle import orders_moved
from sandbox.card.params import Confirm
from sandbox.card.refunds import Ending, RefundIsFinal
from sandbox.card.service import Stripe
from sandbox.card.wire import StripeError
from sandbox.routes import Body, common_routes
from sandbox.wire import Json


class NewAccount(Body):
    """An account to make, or to find again by its id."""

    account: str | None = Field(default=None, pattern=r"^acct_[0-9A-Za-z]{1,32}$")
    name: str = ""
    webhook_url: str | None = Field(default=None, pattern=r"^https://\S+$", max_length=2048)


class Which(Body):
    """A payment, by what the customer's device was given or by the merchant's number."""

    client_secret: str | None = None
    account: str | None = None
    out_trade_no: str | None = None


class Payment(Which):
    """The customer's device confirms an intent with a kind of test card; never a number."""

    card: str = Field(default="ok", pattern=KIND)
    save: bool = False
    """The customer ticks "keep this card"; it needs the intent's customer."""
    finish: bool = True
    """Whether the customer goes through the bank's challenge (3DS) at once."""
    return_url: str | None = None
    delay_seconds: float = Field(default=0.0, ge=0, le=7 * 24 * 3600)


class NewDispute(Which):
    """A payment that the customer's bank takes back."""

    amount_fen: int | None = Field(default=None, gt=0)
    reason: Literal["fraudulent", "product_not_received", "duplicate", "general"] = "fraudulent"


class Owner(Body):
    """Whose object it is."""

    account: str


class Resolve(Owner):
    """How a refund ends by hand; its number is the merchant's."""

    status: Ending


class ChangedHabits(Body):
    """Habits of everybody; what is left out stays."""

    speed: float | None = Field(default=None, gt=0, le=1e6)
    refund_seconds: float | None = Field(default=None, ge=0)
    refund_outcome: RefundOutcome | None = None
    dispute_seconds: float | None = Field(default=None, ge=0)


def create_control(stripe: Stripe) -> APIRouter:
    """Make the routes under `/control/card`."""
    router = APIRouter(prefix="/control/card")
    router.include_router(_customer_routes(stripe))
    router.include_router(_bank_routes(stripe))
    router.include_router(_desk_routes(stripe))
    router.include_router(common_routes(stripe.store, stripe.events, orders_moved))
    return router


def _customer_routes(stripe: Stripe) -> APIRouter:
    router = APIRouter()

    @router.post("/pay")
    async def pay(payment: Payment) -> JSONResponse:
        await asyncio.sleep(stripe.accounts.habits().seconds(payment.delay_seconds))
        account, intent = _identify(stripe, payment)
        if intent["status"] not in CONFIRMABLE:
            return JSONResponse({"reason": "not_payable", "status": intent["status"]}, 409)
        with stripe.store.transaction():
            method = stripe.methods.make(account, payment.card)
            wish = Confirm(
                payment_method=method["id"],
                return_url=payment.return_url,
                setup_future_usage="off_session" if payment.save else None,
            )
            # A decline is an answer to the customer, and it is kept in the intent.
            with suppress(StripeError):
                stripe.intents.confirm_with(account, intent, wish)
            if payment.finish and intent["status"] == "requires_action":
                with suppress(StripeError):
                    stripe.intents.finish_challenge(account, intent["id"])
        return JSONResponse(_outcome(stripe.intents.get(account, intent["id"])))

    @router.post("/challenges")
    async def finish_challenge(which: Which) -> JSONResponse:
        account, intent = _identify(stripe, which)
        if intent["status"] != "requires_action":
            return JSONResponse({"reason": "no_challenge", "status": intent["status"]}, 409)
        with stripe.store.transaction(), suppress(StripeError):
            stripe.intents.finish_challenge(account, intent["id"])
        return JSONResponse(_outcome(stripe.intents.get(account, intent["id"])))

    return router


def _bank_routes(stripe: Stripe) -> APIRouter:
    router = APIRouter()

    @router.post("/expiries")
    async def expire(which: Which) -> JSONResponse:
        """A hold's seven days are over."""
        account, intent = _identify(stripe, which)
        with stripe.store.transaction():
            stripe.intents.expire(account, intent)
        return JSONResponse(_outcome(stripe.intents.get(account, intent["id"])))

    @router.post("/disputes")
    async def open_dispute(body: NewDispute) -> Json:
        account, intent = _identify(stripe, body)
        try:
            with stripe.store.transaction():
                charge = stripe.objects.get(account, "charge", intent["latest_charge"] or "")
                return stripe.disputes.open(
                    account, charge, amount=body.amount_fen, reason=body.reason
                )
        except StripeError as error:
            raise HTTPException(409, "not_disputable") from error

    @router.post("/disputes/{dispute}/{decision}")
    async def decide(dispute: str, decision: Literal["win", "lose"], body: Owner) -> Json:
        status: Literal["won", "lost"] = "won" if decision == "win" else "lost"
        try:
            with stripe.store.transaction():
                return stripe.disputes.decide(body.account, dispute, status)
        except StripeError as error:
            raise HTTPException(error.status, "no_open_dispute") from error

    @router.post("/refunds/{out_refund_no}/resolve")
    async def resolve(out_refund_no: str, body: Resolve) -> Json:
        found = stripe.objects.all(body.account, "refund", number=out_refund_no)
        if not found:
            raise HTTPException(404, "no_such_refund")
        try:
            with stripe.store.transaction():
                return stripe.refunds.resolve(body.account, found[0]["id"], body.status)
        except RefundIsFinal as error:
            raise HTTPException(409, "refund_is_final") from error

    return router


def _desk_routes(stripe: Stripe) -> APIRouter:
    router = APIRouter()

    @router.post("/merchants")
    async def make_merchant(body: NewAccount) -> Json:
        account = stripe.accounts.ensure(**body.model_dump())
        return {
            "account": account.id,
            "secret_key": account.secret_key,
            "publishable_key": account.publishable_key,
            "webhook_secret": account.webhook_secret,
            "webhook_url": account.webhook_url,
        }

    @router.get("/settings")
    async def settings() -> dict[str, Any]:
        return asdict(stripe.accounts.habits())

    @router.put("/settings")
    async def change_settings(body: ChangedHabits) -> dict[str, Any]:
        stripe.accounts.habits.change(body.model_dump(exclude_none=True))
        return asdict(stripe.accounts.habits())

    return router


def _identify(stripe: Stripe, which: Which) -> tuple[str, Json]:
    if which.client_secret is not None:
        key = which.client_secret.partition("_secret_")[0]
        row = stripe.store.one("SELECT account FROM card_objects WHERE id = :id", id=key)
        account = row["account"] if row else ""
    else:
        account, key = which.account or "", ""
        found = stripe.objects.all(account, "payment_intent", number=which.out_trade_no or "?")
        key = found[0]["id"] if found else ""
    try:
        intent = stripe.intents.get(account, key)
    except StripeError as error:
        raise HTTPException(404, "unknown_order") from error
    if which.client_secret not in {None, intent["client_secret"]}:
        raise HTTPException(404, "unknown_order")
    return account, intent


def _outcome(intent: Json) -> Json:
    error = intent["last_payment_error"] or {}
    return {
        "status": intent["status"],
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "failure_code": error.get("decline_code") or error.get("code", ""),
    }
