"""The sandbox's people as seen from the command line: its control interface and tokens for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
import httpx

from services import identity
from services.settings import Settings

CONTROL_TIMEOUT_SECONDS = 60
TOKEN_SECONDS = 86_400


def token(site_id: str, role: str, subject: str) -> str:
    """A person's bearer token, long enough for a simulated day."""
    return identity.issue(site=site_id, role=role, subject=subject, ttl_seconds=TOKEN_SECONDS)


@dataclass(frozen=True, slots=True)
class People:
    """One session at the sandbox, for one site."""

    http: httpx.AsyncClient
    site_id: str
    path: str

    async def add(self, role: str, name: str, habits: dict[str, Any]) -> None:
        """Let a `customer`, `merchant` or `rider` take part."""
        person = {"id": name, "token": token(self.site_id, role, name), "habits": habits}
        await self.ask("POST", f"/{role}s", json=person)

    async def order(self, wish: dict[str, Any], *, wait_seconds: float = 0) -> dict[str, Any]:
        """Begin to order; what was seen of it so far."""
        return await self.ask("POST", "/orders", json=wish, params={"wait_seconds": wait_seconds})

    async def progress(self, *, log: bool = False) -> dict[str, Any]:
        """Counters, and with `log` every order."""
        return await self.ask("GET", "", params={"log": log})

    async def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """One call of the session's control interface; raises `httpx.HTTPError`."""
        answer = await self.http.request(method, self.path + path, **more)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body


@asynccontextmanager
async def session(known: Settings, site_id: str, *, speed: float) -> AsyncIterator[People]:
    """People of one site, sent home at the end."""
    need_stack(known)
    async with httpx.AsyncClient(
        base_url=known.sandbox_url, timeout=CONTROL_TIMEOUT_SECONDS, trust_env=False
    ) as http:
        wish = {"api_url": known.api_url, "speed": speed}
        opened = await http.post("/control/people/sessions", json=wish)
        path = f"/control/people/sessions/{opened.raise_for_status().json()['session_id']}"
        try:
            yield People(http, site_id, path)
        finally:
            await http.delete(path)


def need_stack(known: Settings) -> None:
    """Refuse to go on when nothing says where the running parts are."""
    for name in ("api_url", "sandbox_url", "database_url"):
        if not getattr(known, name):
            raise click.ClickException(
                f"PAOTUI_{name.upper()} is not known: start a stack by `paotui up`, or set it"
            )
