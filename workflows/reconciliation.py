"""Reconciliation of one account's day, and the morning that starts it for every account."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from domain.contracts import reconciliation
from domain.contracts.reconciliation import (
    AccountsAfter,
    BillOf,
    DayOf,
    DaySaid,
    NoBill,
    ReconcileAll,
    ReconcileDay,
)
from domain.ids import reconcile_workflow
from domain.reconciliation import day_of
from workflows.kit import acts, policies

HERE = frozenset({"imported", "known"})
LEAST = timedelta(minutes=5)
"""For the last ask before a person is told."""


@workflow.defn(name="Reconciliation")
class Reconciliation:
    """Waits for a day's bills, compares, and has people told of what is missing or differs."""

    @workflow.run
    async def run(self, day: ReconcileDay) -> DaySaid:
        """Both bills, then the comparison; without a trade bill there is nothing to compare."""
        until = workflow.now() + timedelta(seconds=day.patience_seconds)
        trade = await self._bill(day, "trade", until)
        await self._bill(day, "funds", until)
        if trade not in HERE:
            return DaySaid(outcome="not_compared")
        account_day = DayOf(account_id=day.account_id, day=day.day)
        return await acts.regular(reconciliation.COMPARE, account_day, **policies.BULK)

    async def _bill(self, day: ReconcileDay, kind: str, until: datetime) -> str:
        while True:
            said = await self._ask(day, kind, until)
            if said in HERE or said == "none":
                return said
            left = until - workflow.now()
            if left <= timedelta():
                break
            again = timedelta(seconds=day.again_seconds)
            await workflow.sleep(min(again, left), summary=f"the {kind} bill: {said}")
        missed = NoBill(account_id=day.account_id, day=day.day, kind=kind, reason=said)
        return (await acts.regular(reconciliation.GIVE_UP, missed, **policies.BULK)).state

    async def _ask(self, day: ReconcileDay, kind: str, until: datetime) -> str:
        wanted = BillOf(account_id=day.account_id, day=day.day, kind=kind)
        patience = policies.within(max(until - workflow.now(), LEAST), policies.BULK)
        try:
            return (await acts.regular(reconciliation.IMPORT, wanted, **patience)).state
        except ActivityError as error:
            if acts.is_final(error):
                raise
            return "unavailable"


@workflow.defn(name="Reconciliations")
class Reconciliations:
    """Starts the `Reconciliation` of every account, a page at a time."""

    @workflow.run
    async def run(self, every: ReconcileAll) -> None:
        """Those of yesterday, unless a day is named; what runs already is left alone."""
        day = every.day or str(day_of(workflow.now()) - timedelta(days=1))
        page = AccountsAfter(after=every.after)
        found = (await acts.regular(reconciliation.ACCOUNTS, page, **policies.BULK)).account_ids
        for account_id in found:
            try:
                await workflow.start_child_workflow(
                    Reconciliation.run,
                    ReconcileDay(account_id=account_id, day=day),
                    id=reconcile_workflow(account_id, day),
                    parent_close_policy=ParentClosePolicy.ABANDON,
                )
            except WorkflowAlreadyStartedError:
                continue
        if found:
            workflow.continue_as_new(ReconcileAll(day=day, after=found[-1]))
