"""The table of task queues: which workflows and activities each serves, and its limits."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from activities import (
    after_sales,
    collecting,
    dispatch,
    disputes,
    orders,
    payments,
    payouts,
    reconciliation,
    refunds,
    settlement,
    statements,
    support,
    tickets,
    tips,
)
from services.db import Database
from services.gateways import Gateways
from services.positions import Places
from services.settings import settings
from workflows.after_sale import AfterSale
from workflows.dispatch import Dispatch
from workflows.dispute_answers import DisputeAnswers
from workflows.payout import Payout
from workflows.reconciliation import Reconciliation, Reconciliations
from workflows.recover import Recover
from workflows.refund import Refund
from workflows.settlement import Settlement
from workflows.statements import Statements
from workflows.takeaway import TakeawayOrder
from workflows.ticket import Ticket
from workflows.tip import Tip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What activities hold: one of each per process."""

    database: Database
    gateways: Gateways


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One task queue and how much of it one process takes on."""

    name: str
    workflows: tuple[type, ...]
    activities: Callable[[Tools], list[Callable[..., Any]]]
    workflow_tasks: int
    """At a time; each runs Python, so more than a few only wait for the interpreter."""
    local_activities: int
    activities_at_once: int
    cached_workflows: int
    """Kept in memory (85–210 kB each); beyond it an order is replayed when it wakes."""
    sticky_wait: timedelta
    """How long a cached workflow's task waits for this process before any other may take it."""
    grace: timedelta
    """For running activities after SIGTERM."""


def _order_acts(tools: Tools) -> list[Callable[..., Any]]:
    return [
        *orders.build(tools.database),
        *collecting.build(tools.database),
        *support.build(tools.database),
        *tickets.build(tools.database),
        *tips.build(tools.database),
        *disputes.build(tools.database, tools.gateways),
        *payments.build(tools.database, tools.gateways),
        *refunds.build(tools.database, tools.gateways),
        *after_sales.build(tools.database, tools.gateways.abilities),
    ]


def _finance_acts(tools: Tools) -> list[Callable[..., Any]]:
    return [
        *reconciliation.build(tools.database, tools.gateways),
        *settlement.build(tools.database, tools.gateways),
        *statements.build(tools.database),
        *payouts.build(tools.database, tools.gateways),
    ]


ORDERS = Queue(
    name="orders",
    workflows=(TakeawayOrder, Refund, Recover, Ticket, DisputeAnswers, AfterSale, Tip),
    activities=_order_acts,
    workflow_tasks=20,
    local_activities=50,
    activities_at_once=20,
    cached_workflows=2_000,
    # The SDK's 10 s would be what every order waits after a killed worker (measured 10.5 s).
    sticky_wait=timedelta(seconds=3),
    grace=timedelta(seconds=5),
)
DISPATCH = Queue(
    name="dispatch",
    workflows=(Dispatch,),
    activities=lambda tools: dispatch.build(tools.database, Places(settings().redis_url).of),
    workflow_tasks=5,
    local_activities=1,
    activities_at_once=500,
    cached_workflows=50,
    sticky_wait=timedelta(seconds=3),
    # None: another process takes over the sooner.
    grace=timedelta(),
)
FINANCE = Queue(
    name="finance",
    workflows=(Reconciliation, Reconciliations, Settlement, Statements, Payout),
    activities=_finance_acts,
    workflow_tasks=5,
    local_activities=1,
    # A bill is held whole in memory.
    activities_at_once=4,
    cached_workflows=50,
    sticky_wait=timedelta(seconds=3),
    grace=timedelta(seconds=5),
)
QUEUES = (ORDERS, DISPATCH, FINANCE)
