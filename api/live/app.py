"""A hub alone: the live addresses of the public face behind the API's own doors, nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.cache import Cache
from api.errors import on_http, on_invalid, on_refusal
from api.limits import Limits
from api.live import routes
from api.live.parts import Live, of
from api.observe import Observe
from api.replies import reply
from domain.errors import DomainError
from services import health
from services.db import Database
from services.settings import Settings

POOL_CONNECTIONS = 8


def create_app(settings: Settings) -> FastAPI:
    """The application; its pools are opened when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url, pool_size=POOL_CONNECTIONS)
        cache = Cache(settings.redis_url)
        app.state.live = live = Live(settings, database, cache, on=True)
        live.start()
        try:
            yield
        finally:
            await live.close()
            await cache.close()
            await database.close()

    app = FastAPI(
        title="Paotui live",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            DomainError: on_refusal,
            RequestValidationError: on_invalid,
            HTTPException: on_http,
        },
    )
    app.include_router(routes.router)
    app.add_api_route("/readyz", readyz)
    app.add_middleware(Limits, rate=settings.rate_limit)
    app.add_middleware(Observe)
    return app


async def readyz(request: Request) -> Response:
    """For a load balancer: whether this hub takes connections (503: it doesn't)."""
    states = await health.ready(of(request).checks())
    up = all(state == "ok" for state in states.values())
    return reply({"status": "ok" if up else "down", "parts": states}, 200 if up else 503)
