"""The rules as anybody may read them, straight from the tables that decide."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from domain import compensation, rating, refund_rules, riding
from domain.after_sale import State, first_state
from domain.contracts.after_sales import AfterSaleTimers
from domain.contracts.life import Timers
from domain.orders import CUSTOMER_FAULT, CloseReason, bearer_of
from domain.prices import FEES_VERSION, FeeRule
from services import shops

router = APIRouter(prefix="/v1/policies", tags=["policies"])


@router.get("/ratings", response_model=schemas.RatingPolicy)
async def get_rating_policy() -> Response:
    """Tags by code."""
    return reply(
        {
            "food_tags": rating.FOOD_TAGS,
            "ride_tags": rating.RIDE_TAGS,
            "stars_max": rating.STARS_MAX,
            "changes_max": rating.CHANGES_MAX,
        }
    )


@router.get("/refunds", response_model=schemas.RefundPolicy)
async def get_refund_policy(parts: Held) -> Response:
    """Reasons, who bears them, deadlines; durations at speed 1."""
    timers = AfterSaleTimers()
    reasons = [
        {
            "code": reason.code,
            "name": reason.name,
            "bearer": reason.bearer,
            "answered_by": "merchant" if first_state(reason) is State.ASKED else "support",
            "delivery_fee": reason.delivery_fee,
            "window_seconds": int(reason.window.total_seconds()),
        }
        for reason in refund_rules.REASONS.values()
    ]
    ended_early = [
        {
            "close_reason": reason,
            "bearer": bearer_of(reason),
            "refund_percent": 0 if reason in CUSTOMER_FAULT else 100,
        }
        for reason in CloseReason
    ]
    return reply(
        {
            "version": refund_rules.VERSION,
            "reasons": reasons,
            "ended_early": ended_early,
            "refund_order": refund_rules.GOES_BACK,
            "auto_approve_fen": parts.settings.after_sale_auto_fen,
            "merchant_seconds": timers.merchant_seconds,
            "escalate_seconds": timers.escalate_seconds,
            "support_seconds": timers.support_seconds,
            "two_person_fen": parts.settings.approval_limit_fen,
            "channel_age_seconds": refund_rules.USUAL.refund_age.total_seconds(),
            "channel_refunds": refund_rules.USUAL.refund_count,
            "channel_gap_seconds": refund_rules.USUAL.refund_gap.total_seconds(),
        }
    )


@router.get("/fees", response_model=schemas.FeePolicy)
async def get_fee_policy(parts: Held, site: Id | None = None) -> Response:
    """A site's delivery fee; without a site, the usual one."""
    rule = FeeRule()
    if site is not None:
        async with parts.database.read() as reader:
            rule = (await shops.site(reader, site)).fee_rule
    return reply({"version": FEES_VERSION, **asdict(rule)})


@router.get("/compensation", response_model=schemas.CompensationPolicy)
async def get_compensation_policy() -> Response:
    """Tiers of lateness and the caps of a business day."""
    return reply(
        {
            "version": compensation.VERSION,
            "tiers": [asdict(tier) for tier in compensation.TIERS],
            "customer_day_fen": compensation.CUSTOMER_DAY_FEN,
            "site_day_fen": compensation.SITE_DAY_FEN,
        }
    )


@router.get("/riding", response_model=schemas.RidingPolicy)
async def get_riding_policy() -> Response:
    """What a rider may say and for how long it holds."""
    return reply(
        {
            "declines": [{"code": code, **asdict(one)} for code, one in riding.DECLINES.items()],
            "pauses": [{"code": code, **asdict(one)} for code, one in riding.PAUSES.items()],
            "kitchen_late_seconds": riding.KITCHEN_LATE_SECONDS,
            "unreachable_seconds": Timers().unreachable_seconds,
        }
    )
