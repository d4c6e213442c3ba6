"""A hub as a process: `python -m api.live`; any number of them, each with a port of its own."""

import asyncio

from api import serving
from api.live.app import create_app
from api.live.parts import Live
from services import health, logs, process
from services.settings import settings


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop; then send connections away, spread over seconds, and close."""
    told = settings()
    app = create_app(told)
    async with app.router.lifespan_context(app):
        live: Live = app.state.live
        config = serving.config(app, host=told.live_host, port=told.live_port)
        window = None
        if told.metrics_port:
            window = await health.serve(told.metrics_port, live.checks(), serving.exposition)
        await serving.serve([config], stop, drain=live.hub.drain)
        if window is not None:
            window.close()


if __name__ == "__main__":
    logs.configure("live", settings().log_level)
    process.run(main)
