"""A tap that changes an order: sent to its workflow, and the next read is not older than it."""

from dataclasses import asdict

from starlette.responses import Response

from api.once import once
from api.parts import Parts
from api.replies import reply
from domain.contracts.life import Command
from services.requests import Key


async def act(
    parts: Parts, key: Key | None, order_id: str, name: str, command: Command
) -> Response:
    """Send update `name`; its answer {order_id, status, seq, outcome}."""

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        answer = await parts.durable.command(order_id, name, command, update_id=command.request_id)
        await parts.refresh(order_id)
        return reply(asdict(answer))

    return await once(parts, key, order_id, go)
