"""Every night's statements: what each merchant and rider moved on each business day, kept."""

from datetime import timedelta

from temporalio import workflow

from domain.contracts import statements
from domain.contracts.statements import KeepAfter, KeepAll
from domain.reconciliation import day_of
from workflows.kit import acts, policies

SITES_OF_A_RUN = 500
"""Then it continues as new."""


@workflow.defn(name="Statements")
class Statements:
    """One site after another."""

    @workflow.run
    async def run(self, every: KeepAll) -> None:
        """Those up to yesterday, unless a day is named; what is kept already stays as it is."""
        day = every.day or str(day_of(workflow.now()) - timedelta(days=1))
        after = every.after
        for _ in range(SITES_OF_A_RUN):
            page = KeepAfter(day=day, after=after)
            after = (await acts.regular(statements.KEEP, page, **policies.BULK)).site_id
            if not after:
                return
        workflow.continue_as_new(KeepAll(day=day, after=after))
