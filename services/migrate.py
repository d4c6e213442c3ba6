"""`python -m services.migrate`: brings the schema to head; the revisions are in `migrations/`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from services.settings import settings

DATABASE_WAIT_SECONDS = 30
DATABASE_POLL_SECONDS = 0.5
CONNECT_TIMEOUT_SECONDS = 5
LOCK_WAIT_SECONDS = 60
"""How long one migration waits for another, and for a table that is in use."""
MIGRATION_LOCK = 0x70616F747569
"""Advisory lock of the database: its migrations run one at a time ("paotui" in ASCII)."""


def say(line: str) -> None:
    """Tell whoever started the migration."""
    sys.stdout.write(f"migrate: {line}\n")
    sys.stdout.flush()


def upgrade(database_url: str | None = None) -> None:
    """Apply what is missing, in order; PAOTUI_DATABASE_URL when no address is given."""
    config = Config(Path(__file__).with_name("alembic.ini"))
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


@contextmanager
def locked_connection(database_url: str | None = None) -> Iterator[Connection]:
    """The only connection that migrates; waits for the database, then for its turn."""
    url = database_url or settings().database_url
    if not url:
        raise SystemExit("migrate: no database: set PAOTUI_DATABASE_URL, or start `paotui up`")
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        poolclass=NullPool,
        connect_args={
            "options": f"-c lock_timeout={LOCK_WAIT_SECONDS}s -c timezone=UTC",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        },
    )
    with _connect(engine) as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
        connection.commit()  # the lock belongs to the session, and revisions need transactions
        yield connection


def _connect(engine: Engine) -> Connection:
    give_up = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if time.monotonic() > give_up:
                raise SystemExit(
                    f"migrate: no answer from the database in {DATABASE_WAIT_SECONDS} s: "
                    f"{error.orig}"
                ) from error
            time.sleep(DATABASE_POLL_SECONDS)


def main() -> None:
    """Bring the configured database to head."""
    upgrade()
    say("the schema is at head")


if __name__ == "__main__":
    main()
