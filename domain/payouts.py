"""代付: what is owed, paid out of the platform's own revenue; two persons a batch."""

from enum import StrEnum

from domain.errors import ActionNotAllowed, DomainError

LINES_MAX = 1_000
"""Of a batch: as many as the bank takes."""


class SecondPersonNeeded(DomainError):
    """Who proposed a payout does not decide about it."""

    problem = "forbidden"


class BatchState(StrEnum):
    """Where a batch is."""

    PROPOSED = "proposed"
    """待复核: a second person must look."""
    DECLINED = "declined"
    """已驳回: over, and nothing was moved."""
    APPROVED = "approved"
    """已复核: its workflow will book it."""
    SENT = "sent"
    """付款中: booked; the bank may know of it."""
    FINISHED = "finished"
    """已完成: each of its lines has ended."""


class LineState(StrEnum):
    """Where one payee's payout is."""

    PROPOSED = "proposed"
    """待付: nothing was moved yet."""
    DROPPED = "dropped"
    """未付: the batch was declined, or its payee is no longer owed as much."""
    SENT = "sent"
    """付款中: on its way, or in doubt."""
    SUCCESS = "success"
    """已到账"""
    FAILED = "failed"
    """付款失败: for certain; the payee is owed again."""


def decided(*, state: str, proposed_by: str, decided_by: str, actor: str, approve: bool) -> bool:
    """Whether this very decision was made before; a second person's first one is False.

    Raises:
        SecondPersonNeeded: they proposed it themselves.
        ActionNotAllowed: it was decided otherwise, or by somebody else.
    """
    if actor == proposed_by:
        raise SecondPersonNeeded
    if state == BatchState.PROPOSED:
        return False
    if decided_by == actor and approve != (state == BatchState.DECLINED):
        return True
    raise ActionNotAllowed("this batch is decided", state=state)
