"""`python -m benchmarks.live_plain REDIS_URL`: a hub as one writes it first; prints its port."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis

WATCHERS: dict[str, WebSocket] = {}


async def listen() -> None:
    """Every ping to its watcher, one after another."""
    redis, place = Redis.from_url(sys.argv[1]), "$"
    while True:
        answer: Any = await redis.xread({"paotui:positions": place}, count=100, block=1_000)
        for _, entries in answer:
            for place, fields in entries:  # noqa: B007 - where to go on
                for _, rider_id, lat, lng, at_ms in json.loads(fields[b"m"]):
                    told = {"type": "position", "lat": lat, "lng": lng, "at": at_ms}
                    if rider_id in WATCHERS:
                        await WATCHERS[rider_id].send_json(told)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Listen as long as it serves."""
    task = asyncio.create_task(listen())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})


@app.websocket("/v1/orders/{number}/live")
async def follow(socket_: WebSocket, number: str) -> None:
    """Follow the rider of the order's number."""
    await socket_.accept()
    WATCHERS[number] = socket_
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket_.receive_text()


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, loop="uvloop", log_config=None, access_log=False)
    uvicorn.Server(config).run([listening])
