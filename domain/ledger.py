"""Double entry: accounts and journals that balance; which event books what is `domain.books`'s."""

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import IdempotencyConflict

CURRENCY = "CNY"


class JournalKeyReused(IdempotencyConflict):
    """This event is booked already, with other accounts or amounts."""


class Side(StrEnum):
    """The two sides of double entry."""

    DEBIT = "D"
    """借: left."""
    CREDIT = "C"
    """贷: right."""


class Keeping(StrEnum):
    """How an account's balance is known."""

    LOCKED = "locked"
    """A running balance on the account's row: people and merchants, whose limits must hold."""
    DERIVED = "derived"
    """The sum of its entries: hot platform and channel accounts, where a row lock would queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of a site; its balance is counted on its normal side."""

    code: str
    normal: Side
    keeping: Keeping = Keeping.DERIVED
    may_go_negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One leg of a journal."""

    account: Account
    side: Side
    amount_fen: int

    def __post_init__(self) -> None:
        if self.amount_fen <= 0:
            raise ValueError(f"a posting moves money: {self.amount_fen} fen on {self.account.code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What one event moved; the key names the event, so that it is booked once."""

    key: str
    event: str
    site_id: str
    order_id: str
    postings: tuple[Posting, ...]
    currency: str = CURRENCY

    def __post_init__(self) -> None:
        if not self.postings or self.total_fen(Side.DEBIT) != self.total_fen(Side.CREDIT):
            raise ValueError(f"journal {self.key} does not balance")

    def total_fen(self, side: Side) -> int:
        """Sum of one side."""
        return sum(posting.amount_fen for posting in self.postings if posting.side is side)
