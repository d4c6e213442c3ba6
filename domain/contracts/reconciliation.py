"""Contracts of reconciliation: a channel account's day."""

from dataclasses import dataclass

from domain.contracts.act import act


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileDay:
    """The input of the `Reconciliation` workflow; `day` is ISO, a business day of China."""

    account_id: str
    day: str
    again_seconds: float = 3_600
    """Between asks for a bill that is not ready."""
    patience_seconds: float = 6 * 3_600
    """From the first ask to the ticket: four hours beyond noon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileAll:
    """The input of `Reconciliations`: every account of `day`, empty for yesterday's."""

    day: str = ""
    after: str = ""
    """Goes on beyond this account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsAfter:
    """Asks for a page of accounts beyond one."""

    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """A page of accounts; empty: that was all."""

    account_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillOf:
    """One bill: `kind` is `trade` or `funds`."""

    account_id: str
    day: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillSaid:
    """What became of asking for a bill.

    `imported`, `known`, `none` (the channel makes none), `not_ready`, or `damaged`, of which
    nothing was kept.
    """

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBill:
    """A bill that did not come in time; `reason` is `not_ready` or `damaged`."""

    account_id: str
    day: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOf:
    """An account's day whose trade bill is there."""

    account_id: str
    day: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySaid:
    """Four results as a text of numbers for people, `not_compared` where there was no bill."""

    outcome: str


ACCOUNTS = act("reconciliation.list_accounts", AccountsAfter, Accounts)
IMPORT = act("reconciliation.import_bill", BillOf, BillSaid)
GIVE_UP = act("reconciliation.give_up", NoBill, BillSaid)
COMPARE = act("reconciliation.compare", DayOf, DaySaid)
