"""Questions by which a part shows that it is ready; each answers "" or why not."""

import asyncio
from pathlib import Path

import httpx
import psycopg
import redis.asyncio
from redis.exceptions import RedisError

from cli import postgres
from cli.component import Probe

PROBE_SECONDS = 2.0
ANSWER_CHARACTERS = 200


def http(url: str) -> Probe:
    """GET answers 200."""

    async def ask(client: httpx.AsyncClient) -> str:
        try:
            answer = await client.get(url, timeout=PROBE_SECONDS)
        except httpx.HTTPError as error:
            return f"{url}: {error or type(error).__name__}"
        if answer.status_code == httpx.codes.OK:
            return ""
        return f"{url} says {answer.status_code}: {answer.text[:ANSWER_CHARACTERS]}"

    return ask


def postgresql(url: str) -> Probe:
    """The server lets us in."""

    async def ask(_: httpx.AsyncClient) -> str:
        try:
            async with await postgres.connect(url):
                return ""
        except (OSError, psycopg.Error) as error:
            return f"PostgreSQL: {error or type(error).__name__}"

    return ask


def unix_socket(path: Path) -> Probe:
    """Somebody listens there."""

    async def ask(_: httpx.AsyncClient) -> str:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                streams = await asyncio.open_unix_connection(path)
        except OSError as error:
            return f"{path}: {error or type(error).__name__}"
        streams[1].close()
        return ""

    return ask


def redis_protocol(url: str) -> Probe:
    """PING is answered; a server that still loads its data answers with an error."""

    async def ask(_: httpx.AsyncClient) -> str:
        try:
            async with (
                asyncio.timeout(PROBE_SECONDS),
                redis.asyncio.Redis.from_url(url) as connection,
            ):
                await connection.ping()
        except (OSError, RedisError) as error:
            return f"Redis: {error or type(error).__name__}"
        return ""

    return ask


def tcp(address: str) -> Probe:
    """Somebody listens at `host:port`."""

    async def ask(_: httpx.AsyncClient) -> str:
        host, port = address.rsplit(":", 1)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                connection = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            return f"{address}: {error or type(error).__name__}"
        connection[1].close()
        return ""

    return ask
