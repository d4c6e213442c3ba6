"""`paotui follow`: one order as it happens, a line per message, until it ends."""

import asyncio
from contextlib import aclosing
from typing import Any

import click

from cli.following import follow
from cli.following_ways import Refused
from services.settings import settings

ENDS = frozenset({"delivered", "completed", "cancelled"})
SHOWN = ("status", "payment", "kitchen", "delivery", "estimated_at", "delay", "close_reason")


@click.command("follow")
@click.argument("order_id")
@click.option("--token", required=True, help="Whose view; `paotui token` makes one.")
@click.option("--url", help="A live hub, or a load balancer before some; else the running stack's.")
def follow_order(*, order_id: str, token: str, url: str | None) -> None:
    """Print what happens to an order, and by which way that is heard, until it ends."""
    known = settings()
    address = url or known.live_url or known.api_url
    if not address:
        raise click.ClickException("no stack is known: start one by `paotui up`, or say --url")
    try:
        asyncio.run(_show(address, order_id, token))
    except Refused as refusal:
        raise click.ClickException(f"the hub refuses: {refusal}") from refusal


async def _show(address: str, order_id: str, token: str) -> None:
    async with aclosing(follow(address, order_id, token)) as messages:
        async for message in messages:
            click.echo(_line(message))
            if {**message, **message.get("data", {})}.get("status") in ENDS:
                return


def _line(message: dict[str, Any]) -> str:
    match message["type"]:
        case "way":
            return f"      by {message['way']}, {message['changes']} changes"
        case "position":
            about = " or about there" if message.get("coarse") else ""
            return f"      rider at {message['lat']:.5f}, {message['lng']:.5f}{about}"
        case kind:
            told = message.get("data", message)
            changed = ", ".join(f"{name} {_said(told[name])}" for name in SHOWN if told.get(name))
            return f"{message['seq']:>4}  {kind:<22} {changed}"


def _said(value: Any) -> str:  # noqa: ANN401 - as the event has it
    """A delay in words, the rest as it is."""
    if isinstance(value, dict):
        return f"{value['minutes']} min ({', '.join(value.get('hints', ()))})"
    return str(value)
