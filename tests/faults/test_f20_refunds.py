"""F20: refunds that a channel can't or won't pay: a ticket, the customer told, no second number."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.tills import ALL
from tests.e2e.world import Json, World, poll
from tests.faults.cases import QUANTITIES, Case, assert_right, events, paid, accepted, until_over
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

_TICKETS = text("SELECT kind, state, outcome FROM tickets WHERE order_id = :order_id")
