"""The port to every payment channel; its clients are packages beside this file."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from domain.channels import (
    Ability,
    BankCard,
    Bill,
    BillKind,
    Create,
    Notice,
    Opened,
    RefundSaid,
    SavedMethod,
    Share,
    SplitSaid,
    Transaction,
)
from domain.outcomes import Outcome

Keys = TypeVar("Keys")


class AccountUnreadable(ValueError):
    """A payee's folder lacks a file or field, or a key in it is not one."""


class Channel(Protocol, Generic[Keys]):
    """One channel as its payees see it; holds no state of its own and never decides.

    Every call is one request within `TOTAL_TIMEOUT_SECONDS` and gives one of three results. A
    create or refund is repeated under the same number with the same parameters; a repeated create
    whose refusal says nothing about the first one is `Unknown`. `handles` are those of the create,
    where they are known: some channels then need not look a payment up. A call that a channel's
    `ability` does not name raises NotImplementedError.
    """

    name: str
    ability: Ability

    def load_account(self, folder: Path) -> Keys:
        """A payee's keys; raises AccountUnreadable, whose text names the folder and no key."""
        ...

    async def create(self, account: Keys, order: Create) -> Outcome[Opened]:
        """Open a payment."""
        ...

    def parameters(
        self, account: Keys, *, method: str, handles: Mapping[str, str], now: datetime
    ) -> dict[str, Any]:
        """What the customer's device needs to pay, signed where the channel wants it."""
        ...

    async def query(
        self, account: Keys, *, out_trade_no: str, handles: Mapping[str, str] | None = None
    ) -> Outcome[Transaction]:
        """Ask for a payment by our number; `not_found` if it was never made there."""
        ...

    async def close(
        self, account: Keys, *, out_trade_no: str, handles: Mapping[str, str] | None = None
    ) -> Outcome[None]:
        """Close an unpaid payment, void a held one; repeatable. Query next."""
        ...

    async def capture(
        self,
        account: Keys,
        *,
        out_trade_no: str,
        amount_fen: int,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[Transaction]:
        """Take what is held, or less of it; the rest is released. Repeatable."""
        ...

    async def refund(
        self,
        account: Keys,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str,
        notify_url: str,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; accepted is not refunded: follow its state."""
        ...

    async def query_refund(
        self,
        account: Keys,
        *,
        out_trade_no: str,
        out_refund_no: str,
        handles: Mapping[str, str] | None = None,
    ) -> Outcome[RefundSaid]:
        """Ask for a refund; after `not_found` repeat it under the same number."""
        ...

    async def ensure_receiver(
        self, account: Keys, *, receiver: str, name: str = ""
    ) -> Outcome[None]:
        """Let a receiver be given shares; repeatable. `name`: as it is registered there."""
        ...

    async def split(
        self,
        account: Keys,
        *,
        transaction_id: str,
        out_order_no: str,
        shares: Sequence[Share],
        finish: bool,
    ) -> Outcome[SplitSaid]:
        """Share out a payment (分账); `finish` gives what is left to the payee."""
        ...

    async def query_split(
        self, account: Keys, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """Each receiver's result."""
        ...

    async def unfreeze(
        self, account: Keys, *, transaction_id: str, out_order_no: str
    ) -> Outcome[SplitSaid]:
        """End the sharing: what is left goes to the payee. A number of its own."""
        ...

    async def return_split(
        self, account: Keys, *, out_order_no: str, out_return_no: str, share: Share
    ) -> Outcome[SplitSaid]:
        """Take a share back from its receiver, before a refund."""
        ...

    async def query_return(
        self, account: Keys, *, out_order_no: str, out_return_no: str
    ) -> Outcome[SplitSaid]:
        """What became of a return."""
        ...

    async def upload_shipping(
        self, account: Keys, *, transaction_id: str, payer: str, description: str
    ) -> Outcome[None]:
        """Tell of a delivery, where money is frozen until then (`ability.ships`)."""
        ...

    async def bill(self, account: Keys, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """A business day's bill; `LATER` while it is not ready, `Unknown("bill_…")` if damaged."""
        ...

    async def notice(self, account: Keys, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify, open and read a notice, body as received; raises only NoticeRefused."""
        ...


@runtime_checkable
class Answerer(Protocol):
    """A channel that hears what we say of a dispute (`ability.answers_disputes` characters)."""

    async def respond_dispute(
        self,
        account: Any,  # noqa: ANN401
        *,
        dispute_id: str,
        content: str,
    ) -> Outcome[None]:
        """Answer the customer, or their bank; repeated it may be heard twice."""
        ...

    async def complete_dispute(
        self,
        account: Any,  # noqa: ANN401
        *,
        dispute_id: str,
    ) -> Outcome[None]:
        """Say that a complaint is done with, or that a dispute is lost."""
        ...


@runtime_checkable
class Resender(Protocol):
    """A channel that sends an abnormal refund on its way again (`ability.retries_refunds`)."""

    async def retry_refund(
        self,
        account: Any,  # noqa: ANN401
        *,
        out_refund_no: str,
        refund_id: str,
        card: BankCard,
    ) -> Outcome[RefundSaid]:
        """To another card, under its old number; query first whether it is abnormal (still)."""
        ...


@runtime_checkable
class Keeper(Protocol):
    """A channel that keeps a customer's cards for one-tap paying, by their consent."""

    async def make_customer(self, account: Any, *, reference: str) -> Outcome[str]:  # noqa: ANN401
        """The id that cards are kept under; `reference` is ours, and the same gives the same."""
        ...

    async def saved_methods(
        self,
        account: Any,  # noqa: ANN401
        *,
        payer: str,
    ) -> Outcome[list[SavedMethod]]:
        """What is kept for a customer, newest first."""
        ...

    async def forget_method(self, account: Any, *, token: str) -> Outcome[None]:  # noqa: ANN401
        """Keep it no longer; repeatable."""
        ...
