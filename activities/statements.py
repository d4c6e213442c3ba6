"""The act that keeps statements: a site's last days, each in a transaction of its own."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from activities.act import act
from domain.contracts import statements as contracts
from domain.contracts.statements import KeepAfter, Kept
from services import statements
from services.db import Database

DAYS_BACK = 14
"""Nights that were missed are made up for."""


class StatementActs:
    """The act on statements, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.KEEP)
    async def keep(self, page: KeepAfter) -> Kept:
        """Keep the figures of the next site's days; those that are kept stay as they are."""
        async with self.database.read() as reader:
            site_id = await statements.next_site(reader, page.after)
        for back in reversed(range(DAYS_BACK if site_id else 0)):
            day = date.fromisoformat(page.day) - timedelta(days=back)
            async with self.database.write() as writer:
                await statements.keep_day(writer, site_id, day)
        return Kept(site_id=site_id)


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    return [StatementActs(database).keep]
