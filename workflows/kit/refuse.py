"""The one place where a workflow's `DomainError` becomes Temporal's `ApplicationError`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from domain.errors import DomainError


def refused(error: DomainError) -> ApplicationError:
    """The failure that carries a named fact: its sentence, its data, its problem as `type`."""
    return ApplicationError(error.detail, dict(error.data), type=error.problem, non_retryable=True)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a `DomainError` raised inside into the failure that refuses."""
    try:
        yield
    except DomainError as error:
        # Without a cause: it would be kept in the history a second time.
        raise refused(error) from None


class Refusals(Interceptor):
    """Wraps runs, update validators and update handlers of every workflow in `refusing`.

    Without it a plain exception in a handler sticks the workflow task. Signal handlers are left
    alone: a failure there would end the whole workflow.
    """

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002
    ) -> type[WorkflowInboundInterceptor]:
        """See the base class."""
        return _Refusing


class _Refusing(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        with refusing():
            return await super().execute_workflow(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        with refusing():
            super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        with refusing():
            return await super().handle_update_handler(input)
