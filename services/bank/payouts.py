"""Paying out from the platform's own account at the bank, in batches; who is owed is not known."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

import httpx

from domain.outcomes import Outcome
from services.bank.accounts import Account
from services.bank.answers import CURRENCY, expect, fen_of
from services.bank.wire import Wire
from services.channel_json import Json, optional_text, sections, text

MAX_LINES = 1000
"""Transfers of one batch."""


class TransferState(StrEnum):
    """Where one transfer of a batch is."""

    PROCESSING = "processing"
    """On its way; ask again."""
    SUCCESS = "success"
    """The payee has it."""
    FAILED = "failed"
    """The payee's bank refused it; the money is back on our account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One line of a batch; its id is never used again, in whatever batch."""

    line_id: str
    payee: str
    """The token that stands for their account number, which we do not know."""
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be paid out together; the same id always comes with the same lines."""

    batch_id: str
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSaid:
    """A transfer as the bank sees it."""

    transfer: Transfer
    transfer_id: str
    state: TransferState
    reason: str = ""
    """The bank's code, where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSaid:
    """A batch as the bank sees it; finished says nothing about any line."""

    batch_id: str
    finished: bool
    transfers: tuple[TransferSaid, ...]


class Payouts:
    """The bank as who pays out for us; holds no state of its own."""

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._wire = Wire(http, now)

    async def submit(self, account: Account, batch: Batch) -> Outcome[BatchSaid]:
        """Hand a batch in; accepted is not paid: follow its lines.

        Refused whole (`INSUFFICIENT_FUNDS`: later) or taken whole. `Unknown`: query, and after
        `not_found` submit again under the same id.
        """
        body: Json = {
            "batch_id": batch.batch_id,
            "lines": [
                {
                    "line_id": transfer.line_id,
                    "payee": transfer.payee,
                    "amount": {"value": transfer.amount_fen, "currency": CURRENCY},
                }
                for transfer in batch.transfers
            ],
        }
        return await self._wire.ask(
            account,
            "POST",
            "/v1/payout-batches",
            body,
            read=lambda data: _read(data, account, batch),
        )

    async def query(self, account: Account, batch: Batch) -> Outcome[BatchSaid]:
        """Ask what became of a batch; an answer with other lines than ours is `Unknown`."""
        path = f"/v1/payout-batches/{quote(batch.batch_id, safe='')}"
        return await self._wire.ask(
            account, "GET", path, read=lambda data: _read(data, account, batch)
        )

    async def query_transfer(self, account: Account, transfer: Transfer) -> Outcome[TransferSaid]:
        """Ask what became of one line."""

        def read(data: Json) -> TransferSaid:
            expect(data, account=account.account)
            said = _read_line(data)
            if said.transfer != transfer:
                raise ValueError("another transfer than ours")
            return said

        path = f"/v1/payout-lines/{quote(transfer.line_id, safe='')}"
        return await self._wire.ask(account, "GET", path, read=read)


def _read(data: Json, account: Account, batch: Batch) -> BatchSaid:
    expect(data, account=account.account, batch_id=batch.batch_id)
    said = BatchSaid(
        batch_id=batch.batch_id,
        finished=text(data, "state") == "FINISHED",
        transfers=tuple(_read_line(line) for line in sections(data, "lines")),
    )
    if tuple(line.transfer for line in said.transfers) != batch.transfers:
        raise ValueError("other lines than ours")
    return said


def _read_line(line: Json) -> TransferSaid:
    return TransferSaid(
        transfer=Transfer(
            line_id=text(line, "line_id"),
            payee=text(line, "payee"),
            amount_fen=fen_of(line, "amount"),
        ),
        transfer_id=text(line, "transfer_id"),
        state=TransferState(text(line, "state").lower()),
        reason=optional_text(line, "reason") or "",
    )
