"""The application with real parts behind it (Temporal is away), and a small town in it."""

import base64
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from httpx import ASGITransport

from api.app import create_app
from api.parts import Parts
from services.db import Database
from services.settings import Settings, settings
from tests.api.town import Town


@pytest.fixture(scope="session")
def told(
    postgres_url: str,
    valkey_url: str,
    personal_key: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Settings]:
    """Settings of this process, as the stack's file would give them."""
    home: Path = tmp_path_factory.mktemp("home")
    values = {
        "PAOTUI_HOME": str(home),
        "PAOTUI_DATABASE_URL": postgres_url,
        "PAOTUI_REDIS_URL": valkey_url,
        "PAOTUI_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "PAOTUI_TOKEN_KEY": base64.b64encode(os.urandom(32)).decode(),
        "PAOTUI_PAYLOAD_KEY": base64.b64encode(os.urandom(32)).decode(),
        "PAOTUI_PERSONAL_KEY": personal_key,
        "PAOTUI_RATE_LIMIT": "100000/minute",
        "PAOTUI_TEMPORAL_UI_ORIGINS": "http://ui.example",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield settings()
    settings.cache_clear()


@pytest.fixture(scope="session")
async def app(told: Settings) -> AsyncIterator[FastAPI]:
    """The application, started."""
    made = create_app(told)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
def parts(app: FastAPI) -> Parts:
    """What the application holds."""
    held = app.state.parts
    assert isinstance(held, Parts)
    return held


@pytest.fixture(scope="session")
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    transport = ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://paotui") as client:
        yield client


@pytest.fixture
async def town(database: Database, http: httpx.AsyncClient, site_id: str) -> Town:
    """A site of the test's own with one shop."""
    return await Town(database=database, http=http, site_id=site_id).build()
