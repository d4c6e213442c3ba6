"""The API as a process: `python -m api`."""

import asyncio

import uvicorn
from starlette.types import ASGIApp

from api import serving
from api.app import create_app
from api.health import checks
from services import health, logs, process
from services.settings import Settings, settings


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop; then end live connections, finish requests, close pools."""
    told = settings()
    app = create_app(told)
    async with app.router.lifespan_context(app):
        parts = app.state.parts
        window = None
        if told.metrics_port:
            window = await health.serve(told.metrics_port, checks(parts), serving.exposition)
        await serving.serve(_configs(app, told), stop, drain=parts.live.hub.drain)
        if window is not None:
            window.close()


def _configs(app: ASGIApp, told: Settings) -> list[uvicorn.Config]:
    configs = [serving.config(app, host=told.api_host, port=told.api_port)]
    if told.tls_certificate:
        tls = told.tls_certificate, told.tls_key
        configs.append(serving.config(app, host=told.api_host, port=told.api_tls_port, tls=tls))
    return configs


if __name__ == "__main__":
    logs.configure("api", settings().log_level)
    process.run(main)
