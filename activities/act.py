"""The door between acts and Temporal: wire names, failures, ids in logs, counts and times."""

import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.contracts.act import Act
from domain.errors import DomainError, Kind
from services import metrics

Me = TypeVar("Me")
In = TypeVar("In")
Out = TypeVar("Out")

REGISTERED: dict[str, str] = {}
"""Wire name → the method behind it; a test compares it with `domain.contracts.act.ALL`."""


def act(
    contract: Act[In, Out],
) -> Callable[[Callable[[Me, In], Awaitable[Out]]], Callable[[Me, In], Coroutine[Any, Any, Out]]]:
    """Make a method of a class that holds its dependencies the activity of a contract.

    A `DomainError` becomes an `ApplicationError` whose `type` is the problem's name; only what
    is unavailable may be retried. Any other exception is a fault and is retried.

    Raises:
        ValueError: the contract has an activity already.
    """

    def decorate(
        method: Callable[[Me, In], Awaitable[Out]],
    ) -> Callable[[Me, In], Coroutine[Any, Any, Out]]:
        if contract.name in REGISTERED:
            raise ValueError(f"{contract.name} is {REGISTERED[contract.name]} already")
        REGISTERED[contract.name] = method.__qualname__

        @activity.defn(name=contract.name)
        @functools.wraps(method)
        async def run(self: Me, value: In) -> Out:
            outcome = "crashed"
            began = time.perf_counter()
            with structlog.contextvars.bound_contextvars(act=contract.name, **_ids(value)):
                try:
                    done = await method(self, value)
                    outcome = "done"
                except DomainError as error:
                    outcome = error.problem
                    # Without a cause: it would be kept in the history a second time.
                    raise failure(error) from None
                except ApplicationError as error:
                    outcome = error.type or outcome
                    raise
                finally:
                    metrics.ACTS.labels(contract.name, outcome).inc()
                    metrics.ACT_SECONDS.labels(contract.name).observe(time.perf_counter() - began)
            return done

        return run

    return decorate


def failure(error: DomainError) -> ApplicationError:
    """The failure that carries a named fact out of an activity."""
    return ApplicationError(
        error.detail,
        dict(error.data),
        type=error.problem,
        non_retryable=error.kind is not Kind.UNAVAILABLE,
    )


def _ids(value: object) -> dict[str, str]:
    ids = {"order_id": getattr(value, "order_id", ""), "workflow_id": ""}
    if activity.in_activity():
        ids["workflow_id"] = activity.info().workflow_id or ""
    return {name: known for name, known in ids.items() if known}
