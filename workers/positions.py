"""`python -m workers.positions`: riders' positions by MQTT into the ingest that HTTP uses too.

Any number of these share the subscription. With the embedded broker this process is also its
door (`workers.gate`).
"""

import asyncio
import logging
import secrets
import ssl
import uuid
from contextlib import AsyncExitStack
from urllib.parse import SplitResult, unquote, urlsplit

import gmqtt
import structlog
from gmqtt.mqtt.handler import MQTTConnectError
from pydantic import ValidationError

from services import health, logs, metrics, process
from services.db import Database
from services.positions import Ingest, Positions
from services.settings import settings
from workers.gate import INGEST, TOPIC, Gate
from workers.serve import check_database

WAY = "mqtt"
SHARED = f"$share/paotui/{TOPIC.format('+/riders/+')}"
PORT, TLS_PORT = 1883, 8883
CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 1.0
POOL_CONNECTIONS = 2

log = structlog.get_logger(__name__)


class Subscriber:
    """One connection to the broker, renewed by itself; what comes goes to the ingest."""

    def __init__(self, url: SplitResult, ingest: Ingest, secret: str) -> None:
        """`secret` is the password where the address has none."""
        self._url = url
        self._ingest = ingest
        self.client = gmqtt.Client(f"{INGEST}/{uuid.uuid4().hex}", clean_session=True)
        name, password = unquote(url.username or INGEST), unquote(url.password or secret)
        self.client.set_auth_credentials(name, password)
        self.client.set_config({"reconnect_delay": RECONNECT_SECONDS, "reconnect_retries": -1})
        self.client.on_connect = self._connected
        self.client.on_message = self._message

    async def connect(self, stop: asyncio.Event) -> None:
        """Return when the broker has let us in, or we are told to stop."""
        encrypted = self._url.scheme == "mqtts"
        port = self._url.port or (TLS_PORT if encrypted else PORT)
        context = ssl.create_default_context() if encrypted else False
        while not stop.is_set():
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self.client.connect(str(self._url.hostname), port, ssl=context)
            except (OSError, MQTTConnectError) as error:
                log.warning("mqtt_unavailable", error_type=type(error).__name__)
                await process.rest(stop, RECONNECT_SECONDS)
            else:
                return

    async def check(self) -> None:
        """Raise unless the broker is there."""
        if not self.client.is_connected:
            raise ConnectionError("no MQTT broker")

    def _connected(self, client: gmqtt.Client, *_: object) -> None:
        client.subscribe(SHARED, qos=0)

    def _message(self, _client: gmqtt.Client, topic: str, payload: bytes, *_: object) -> int:
        site_id, rider_id = topic.split("/")[1::2]
        try:
            batch = Positions.model_validate_json(payload)
        except ValidationError:
            metrics.POSITIONS.labels(WAY, "malformed").inc()
        else:
            self._ingest.put(site_id, rider_id, batch.fixes(), way=WAY)
        return 0


async def main(stop: asyncio.Event) -> None:
    """Take positions until told to stop."""
    known = settings()
    # At lower levels it tells of topics, which name riders.
    logging.getLogger("gmqtt").setLevel(logging.ERROR)
    async with AsyncExitStack() as stack:
        database = Database(known.database_url, pool_size=POOL_CONNECTIONS)
        stack.push_async_callback(database.close)
        ingest = Ingest(known.redis_url, database)
        stack.push_async_callback(ingest.close)
        secret = secrets.token_urlsafe()
        url = urlsplit(known.mqtt_url)
        if known.mqtt_socket:
            gate = await Gate(known.mqtt_socket, secret).serve(known.api_host, url.port or PORT)
            stack.callback(gate.close)
        subscriber = Subscriber(url, ingest, secret)
        if known.metrics_port:
            checks: dict[str, health.Check] = {
                "mqtt": subscriber.check,
                "redis": ingest.redis.ping,
                "database": check_database(database),
            }
            window = await health.serve(known.metrics_port, checks, _exposition)
            stack.callback(window.close)
        await subscriber.connect(stop)
        stack.push_async_callback(subscriber.client.disconnect)
        log.info("taking positions")
        await stop.wait()


async def _exposition() -> bytes:
    return metrics.exposition()


if __name__ == "__main__":
    logs.configure("positions", settings().log_level)
    process.run(main)
