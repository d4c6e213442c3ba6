"""The API put together: routes, doors, documentation; nothing happens here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api import (
    after_sales,
    catalogue,
    codec,
    credit,
    door,
    earnings,
    finance,
    health,
    hot,
    me,
    merchant,
    notify,
    operations,
    orders,
    payouts,
    policies,
    ratings,
    refunds,
    rider,
    statements,
    support,
    support_tickets,
    tickets,
    tips,
)
from api.errors import on_http, on_invalid, on_refusal
from api.limits import Limits
from api.live import routes
from api.observe import Observe
from api.openapi import PROBLEMS, document
from api.parts import Parts
from domain.errors import DomainError
from services.settings import Settings

VERSION = "1"


def create_app(settings: Settings) -> FastAPI:
    """The application; its pools are opened when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = Parts(settings)
        app.state.parts = parts
        app.state.live = parts.live
        parts.live.start()
        try:
            yield
        finally:
            await parts.close()

    app = FastAPI(
        title="Paotui",
        version=VERSION,
        summary="Local commerce: every order is one durable workflow.",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=_operation_id,
        exception_handlers={
            DomainError: on_refusal,
            RequestValidationError: on_invalid,
            HTTPException: on_http,
        },
    )
    hot.add(app, PROBLEMS)
    for module in (
        catalogue,
        orders,
        me,
        merchant,
        rider,
        door,
        support,
        credit,
        tickets,
        support_tickets,
        finance,
        payouts,
        refunds,
        statements,
        after_sales,
        policies,
        ratings,
        tips,
        earnings,
        operations,
        routes,
    ):
        app.include_router(module.router, responses=PROBLEMS)
    app.include_router(notify.router, responses={422: PROBLEMS[422], 503: PROBLEMS[503]})
    app.include_router(health.router)
    app.mount("/codec", codec.application(settings))
    app.add_middleware(Limits, rate=settings.rate_limit)
    app.add_middleware(Observe)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
