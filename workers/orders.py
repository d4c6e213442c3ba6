"""`python -m workers.orders`: serves the queue of orders, refunds and recoveries."""

import asyncio

from services import logs, process
from services.settings import settings
from workers.queues import ORDERS
from workers.serve import serve


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop."""
    await serve(ORDERS, stop)


if __name__ == "__main__":
    logs.configure("orders", settings().log_level)
    process.run(main)
