"""Acts of reconciliation: a bill fetched and kept whole, a day compared, a person told."""

from collections.abc import Callable
from datetime import date
from typing import Any

from activities.act import act
from domain.channels import BillKind
from domain.contracts import reconciliation as contracts
from domain.contracts.reconciliation import (
    Accounts,
    AccountsAfter,
    BillOf,
    BillSaid,
    DayOf,
    DaySaid,
    NoBill,
)
from domain.errors import GatewayUnavailable, Invalid
from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services import reconciliation
from services.db import Database
from services.gateways import Gateways

DAMAGED = "bill_"
"""How a channel's client begins the reason when a bill came and is not whole."""


class ReconciliationActs:
    """The acts on bills, over one database and the gateways."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.ACCOUNTS)
    async def list_accounts(self, page: AccountsAfter) -> Accounts:
        """A page of all accounts, by id."""
        async with self.database.read() as reader:
            found = await reconciliation.payees(reader, after=page.after)
        return Accounts(account_ids=tuple(one.account_id for one in found))

    @act(contracts.IMPORT)
    async def import_bill(self, wanted: BillOf) -> BillSaid:
        """Fetch a bill and keep it whole, or nothing of it; a repeat changes nothing."""
        kind, day = BillKind(wanted.kind), date.fromisoformat(wanted.day)
        async with self.database.read() as reader:
            who = await reconciliation.payee(reader, wanted.account_id)
        channel = self.gateways.channel(who.channel)
        if not channel.ability.bills:
            return BillSaid(state="none")
        account = self.gateways.account(who.channel, who.keys_ref)
        try:
            outcome = await channel.bill(account, kind=kind, day=day)
        except NotImplementedError:
            return BillSaid(state="none")
        async with self.database.write() as writer:
            match outcome:
                case Accepted(value=bill):
                    try:
                        kept = await reconciliation.keep_bill(writer, who, day, bill)
                    except Invalid:
                        return BillSaid(state="damaged")
                case Rejected(kind=Refusal.NOT_FOUND):
                    kept = await reconciliation.keep_nothing(writer, who, day, kind)
                case Rejected(kind=Refusal.LATER):
                    return BillSaid(state="not_ready")
                case Rejected(code=code):
                    raise GatewayUnavailable(f"the payment channel said {code}")
                case Unknown(reason=reason) if reason.startswith(DAMAGED):
                    return BillSaid(state="damaged")
                case Unknown():
                    raise GatewayUnavailable("the payment channel gave no certain answer")
        return BillSaid(state="imported" if kept.fresh else "known")

    @act(contracts.GIVE_UP)
    async def give_up(self, missed: NoBill) -> BillSaid:
        """A ticket for a bill that did not come; none where nothing happened that we know of.

        Some channels don't tell a day without business from a bill that is not ready.
        """
        day = date.fromisoformat(missed.day)
        async with self.database.write() as writer:
            who = await reconciliation.payee(writer, missed.account_id)
            if missed.reason == "not_ready" and await reconciliation.is_quiet(writer, who, day):
                await reconciliation.keep_nothing(writer, who, day, BillKind(missed.kind))
                return BillSaid(state="imported")
            await reconciliation.ask_person(
                writer,
                who,
                kind="bill_missing",
                key=f"bill/{missed.account_id}/{missed.day}/{missed.kind}/{missed.reason}",
                data={"day": missed.day, "bill": missed.kind, "reason": missed.reason},
            )
        return BillSaid(state=missed.reason)

    @act(contracts.COMPARE)
    async def compare(self, day: DayOf) -> DaySaid:
        """Compare and open or resolve tickets; a repeat finds the same."""
        async with self.database.write() as writer:
            who = await reconciliation.payee(writer, day.account_id)
            found = await reconciliation.compare(writer, who, date.fromisoformat(day.day))
        return DaySaid(
            outcome=f"match {found.matches}, only ours {found.only_ours}, "
            f"only theirs {found.only_theirs}, differs {found.differs}"
        )


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = ReconciliationActs(database, gateways)
    return [acts.list_accounts, acts.import_bill, acts.give_up, acts.compare]
