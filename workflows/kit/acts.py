"""How workflows schedule activities: by contract, typed, never by importing their code."""

from typing import TypeVar, Unpack, cast

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from domain.contracts.act import Act
from domain.errors import DomainError
from workflows.kit.policies import LocalPolicy, RegularPolicy

In = TypeVar("In")
Out = TypeVar("Out")


async def local(
    contract: Act[In, Out],
    value: In,
    *,
    summary: str | None = None,
    **policy: Unpack[LocalPolicy],
) -> Out:
    """Run a local activity; run them one after the other (sdk-python #1578)."""
    answer = await workflow.execute_local_activity(
        contract.name, value, result_type=contract.gives, summary=summary, **policy
    )
    return cast("Out", answer)


async def regular(
    contract: Act[In, Out],
    value: In,
    *,
    summary: str | None = None,
    **policy: Unpack[RegularPolicy],
) -> Out:
    """Run a regular activity."""
    return await start_regular(
        contract,
        value,
        summary=summary,
        **policy,
    )


def start_regular(
    contract: Act[In, Out],
    value: In,
    *,
    summary: str | None = None,
    **policy: Unpack[RegularPolicy],
) -> workflow.ActivityHandle[Out]:
    """Start a regular activity and go on; the handle is awaited or cancelled later."""
    return workflow.start_activity(
        contract.name,
        value,
        result_type=contract.gives,
        summary=summary,
        **policy,
    )


def problem_of(error: BaseException) -> str:
    """The stable name of what refused: a domain fact's, a failed act's, or bad input's."""
    raised = error.cause if isinstance(error, ActivityError) else error
    if isinstance(raised, DomainError):
        return raised.problem
    return (raised.type if isinstance(raised, ApplicationError) else None) or "validation_failed"


def is_final(error: FailureError) -> bool:
    """Whether an act failed with a certain refusal, rather than by giving up on an answer.

    A local activity's failure arrives as it was raised, a regular one's inside an ActivityError.
    """
    raised = error.cause if isinstance(error, ActivityError) else error
    return isinstance(raised, ApplicationError) and raised.non_retryable
