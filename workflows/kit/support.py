"""Support's desk at one order: one envelope, by update or by signal, checked the same way."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from temporalio import workflow

from domain import interventions
from domain.contracts import orders
from domain.contracts.act import Act
from domain.contracts.life import Answer, Command, Intervene, Order
from domain.contracts.orders import ExtendStep, ReassignStep, RefundStep, Step
from domain.errors import ActionNotAllowed, IdempotencyConflict
from domain.orders import CloseReason, Intervention, Status
from workflows.kit.clock import Clock

SIGNAL_ACTOR = "support:temporal"
"""Who a signal's sender is: nobody has proved more."""
MAX_PENDING = 20
MAX_SHOWN_CHARS = 64


class Life(Protocol):
    """What the desk needs of an order's workflow."""

    order: Order
    status: Status
    placed: bool | None
    clock: Clock

    async def act(self, contract: Act[Any, Any], step: Any) -> None:  # noqa: ANN401
        """Do one step."""

    async def note(self, key: str, kind: str, data: dict[str, str], by: Command) -> None:
        """Write a line of the inner timeline."""

    async def ask_support(self, kind: str, key: str) -> None:
        """Open a ticket for people."""

    def wish_end(self, reason: CloseReason, actor: str, request_id: str, *, always: bool) -> None:
        """Have the order end."""

    async def end_answer(self) -> Answer:
        """Wait until the wish to end has come true."""


class Desk:
    """What support has done to an order, and what waits for a second person."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._pending: dict[str, Intervene] = {}
        self._handled: dict[str, Intervene] = {}
        self.held = False
        self._held_since: datetime | None = None

    def ensure(self, envelope: Intervene, *, signalled: bool = False) -> Intervention:
        """Refuse an envelope that makes no sense or is not allowed now."""
        life = self._life
        if not life.placed:
            raise ActionNotAllowed(status="not_placed")
        known = self._handled.get(envelope.request_id)
        if known is not None:
            if (known.action, known.args) != (envelope.action, envelope.args):
                raise IdempotencyConflict
            return Intervention(known.action)
        action = self._check(envelope)
        if action is Intervention.APPROVE:
            asked = self._pending.get(envelope.args["request_id"])
            if signalled or asked is None or asked.actor == envelope.actor:
                raise ActionNotAllowed(
                    "another person approves, and what was asked for", status=life.status.value
                )
        elif len(self._pending) >= MAX_PENDING:
            raise ActionNotAllowed("too much waits for approval", status=life.status.value)
        return action

    def _check(self, envelope: Intervene) -> Intervention:
        life = self._life
        return interventions.check(
            envelope, order_id=life.order.order_id, status=life.status, held=self.held
        )

    async def by_signal(self, data: Mapping[str, Any]) -> None:
        """An envelope sent by hand from the Temporal UI or command line."""
        envelope = interventions.from_json(data, actor=SIGNAL_ACTOR)
        await self.intervene(envelope, signalled=True)

    async def intervene(self, envelope: Intervene, *, signalled: bool = False) -> str:
        """Do it, once per request id; above the limit it only asks for approval."""
        action = self.ensure(envelope, signalled=signalled)
        if envelope.request_id in self._handled:
            return "done"
        self._handled[envelope.request_id] = envelope
        # Before the first await: of two approvals at once, one finds it.
        approved = (
            self._pending.pop(envelope.args["request_id"])
            if action is Intervention.APPROVE
            else None
        )
        order = self._life.order
        asks = interventions.needs_approval(
            action,
            envelope.args,
            total_fen=order.total_fen,
            limit_fen=order.approval_limit_fen,
        )
        await self._life.note(
            f"intervene:{envelope.request_id}",
            f"approval_requested.{action}" if asks else f"intervention.{action}",
            {"reason_code": envelope.reason_code}
            | {name: str(value)[:MAX_SHOWN_CHARS] for name, value in envelope.args.items()},
            Command(actor=envelope.actor, request_id=envelope.request_id),
        )
        if asks:
            self._pending[envelope.request_id] = envelope
            return "approval_requested"
        if approved is not None:
            return await self._do(self._check(approved), approved)
        return await self._do(action, envelope)

    async def _do(self, action: Intervention, envelope: Intervene) -> str:
        life, args = self._life, envelope.args
        match action:
            case Intervention.CANCEL_REFUND:
                life.wish_end(
                    CloseReason.SUPPORT_CANCELLED,
                    envelope.actor,
                    envelope.request_id,
                    always=True,
                )
                await life.end_answer()
            case Intervention.REFUND:
                await life.act(
                    orders.REFUND_PART,
                    RefundStep(
                        **self._who(envelope, "support_refund"),
                        amount_fen=args["amount_fen"],
                        reason=envelope.reason_code,
                    ),
                )
            case Intervention.REASSIGN:
                step = ReassignStep(
                    **self._who(envelope, "reassigned"), rider_id=args.get("rider_id", "")
                )
                await life.act(orders.REASSIGN, step)
            case Intervention.EXTEND:
                longer = ExtendStep(
                    **self._who(envelope, "extended"), extend_seconds=args["extend_seconds"]
                )
                await life.act(orders.EXTEND, longer)
                life.clock.shift(timedelta(seconds=args["extend_seconds"]))
            case Intervention.HOLD:
                await self._hold(envelope)
            case Intervention.RELEASE:
                await self._release(Command(actor=envelope.actor, request_id=envelope.request_id))
            case Intervention.NOTE | Intervention.APPROVE:
                pass  # the note above is all there is to do
        return "done"

    async def _hold(self, envelope: Intervene) -> None:
        life, timers, now = self._life, self._life.order.timers, workflow.now()
        await life.act(orders.HOLD, Step(**self._who(envelope, "held")))
        self.held, self._held_since = True, now

        async def remind() -> None:
            await life.ask_support("hold_reminder", f"hold_reminder:{envelope.request_id}")

        async def let_go() -> None:
            await self._release(Command(actor="system", request_id=envelope.request_id))

        remind_at = now + timedelta(seconds=timers.hold_remind_seconds)
        life.clock.set("remind support of its hold", remind_at, remind, while_held=True)
        free_at = now + timedelta(seconds=timers.hold_seconds)
        life.clock.set("support's hold ends", free_at, let_go, while_held=True)

    async def _release(self, by: Command) -> None:
        life = self._life
        step = Step(
            order_id=life.order.order_id,
            key=f"released:{by.request_id}",
            actor=by.actor,
            request_id=by.request_id,
        )
        await life.act(orders.RELEASE, step)
        life.clock.drop("remind support of its hold", "support's hold ends")
        if self._held_since is not None:
            life.clock.resume(self._held_since)
        self.held, self._held_since = False, None

    def _who(self, envelope: Intervene, what: str) -> dict[str, str]:
        return {
            "order_id": self._life.order.order_id,
            "key": f"{what}:{envelope.request_id}",
            "actor": envelope.actor,
            "request_id": envelope.request_id,
        }
