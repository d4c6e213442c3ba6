"""Fixtures for every room: a real PostgreSQL with the schema, a key for personal rows, a site."""

import base64
import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from services import migrate
from services.db import Database
from services.settings import Settings, settings
from tests import envelopes
from tests.postgres import bundled_postgres, pool
from tests.stack import running_stack
from tests.valkey import Valkey, bundled_valkey


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A migrated database: `PAOTUI_TEST_DATABASE_URL`, or the bundled server for this session."""
    given = os.environ.get("PAOTUI_TEST_DATABASE_URL")
    if given:
        migrate.upgrade(given)
        yield given
        return
    with bundled_postgres() as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture(scope="session")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """One pool for all tests; they keep apart by fresh sites, never by emptying tables."""
    async with pool(postgres_url) as opened:
        yield opened


@pytest.fixture
def site_id() -> str:
    """A site of this test's own."""
    return f"site-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def personal_key() -> Iterator[str]:
    """A key for personal rows in this process's settings."""
    key = base64.b64encode(os.urandom(32)).decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAOTUI_PERSONAL_KEY", key)
        settings.cache_clear()
        yield key
    settings.cache_clear()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A real Valkey; tests keep apart by their ids. Whoever stops it starts it again."""
    with bundled_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_url(valkey: Valkey) -> str:
    """Its address."""
    return valkey.url


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The whole product, running: one for all tests marked `stack`."""
    with running_stack() as settings_of_stack:
        yield settings_of_stack
        wrong = envelopes.wrong(settings_of_stack.database_url)
        assert wrong == [], "events that were told otherwise than promised"
