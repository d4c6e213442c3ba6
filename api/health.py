"""Whether the process turns, and which part it needs is down."""

from fastapi import APIRouter
from sqlalchemy import text
from starlette.responses import Response

from api.parts import Held, Parts
from api.replies import reply
from services import health

router = APIRouter(tags=["health"])
DEGRADES = frozenset({"redis"})
"""Without these the API is slower and still right."""


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers."""
    return reply({"status": "ok"})


@router.get("/readyz")
async def readyz(parts: Held) -> Response:
    """Each part by name: `ok`, or why not; 503 if one is down without which nothing works."""
    states = await health.ready(checks(parts))
    down = {name for name, state in states.items() if state != "ok"}
    status = "down" if down - DEGRADES else "degraded" if down else "ok"
    return reply({"status": status, "parts": states}, 503 if status == "down" else 200)


def checks(parts: Parts) -> dict[str, health.Check]:
    """What a ready API needs."""

    async def database() -> None:
        async with parts.database.read() as reader:
            await reader.scalar(text("SELECT 1"))

    return {
        "database": database,
        "redis": parts.cache.check,
        "temporal": parts.durable.check,
    }
