"""Customers' complaints (消费者投诉): listed, read, answered and completed; nothing personal."""

from datetime import date, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

import httpx

from domain.channels import DisputeNotice
from domain.outcomes import Outcome
from services.channel_json import Json, fen, optional_moment, optional_text, sections, text
from services.wechat.accounts import Account
from services.wechat.wire import Wire, expect

PATH = "/v3/merchant-service/complaints-v2"
NOTICES = "/v3/merchant-service/complaint-notifications"
PAGE = 50
ANSWER_WITHIN = timedelta(hours=24)
STATES = {"PENDING": "open", "PROCESSING": "under_review", "PROCESSED": "closed"}

T = TypeVar("T")


class Disputes(Wire):
    """The calls about complaints."""

    async def disputes(
        self, account: Account, *, begin: date, end: date, offset: int = 0
    ) -> Outcome[tuple[DisputeNotice, ...]]:
        """At most `PAGE` complaints of at most 30 days, from `offset` on, newest first."""
        query = {
            "begin_date": begin.isoformat(),
            "end_date": end.isoformat(),
            "limit": str(PAGE),
            "offset": str(offset),
            "complainted_mchid": account.payee,
        }
        return await self._ask(
            account,
            "GET",
            f"{PATH}?{httpx.QueryParams(query)}",
            read=lambda data: tuple(map(read_complaint, sections(data, "data"))),
        )

    async def dispute(self, account: Account, *, dispute_id: str) -> Outcome[DisputeNotice]:
        """One complaint."""
        return await self._ask(
            account,
            "GET",
            _path(dispute_id),
            read=lambda data: expect(read_complaint(data), dispute_id=dispute_id),
        )

    async def respond_dispute(
        self, account: Account, *, dispute_id: str, content: str
    ) -> Outcome[None]:
        """Answer the customer, in at most 200 characters."""
        answer = {"complainted_mchid": account.payee, "response_content": content}
        return await self._do(account, "POST", f"{_path(dispute_id)}/response", answer)

    async def complete_dispute(self, account: Account, *, dispute_id: str) -> Outcome[None]:
        """Say that a complaint, once answered, is done with."""
        done = {"complainted_mchid": account.payee}
        return await self._do(account, "POST", f"{_path(dispute_id)}/complete", done)

    async def notify_disputes_at(self, account: Account, *, url: str) -> Outcome[None]:
        """Say where complaints are to be told; refused as PARAM_ERROR where one is set."""
        return await self._do(account, "POST", NOTICES, {"url": url})


def _path(dispute_id: str) -> str:
    return f"{PATH}/{quote(dispute_id, safe='')}"


def read_complaint(data: Json, *, event_id: str = "") -> DisputeNotice:
    """A complaint, or the opened resource of its notice, which may say less; ValueError."""
    orders = sections(data, "complaint_order_info") if "complaint_order_info" in data else []
    order = orders[0] if orders else data
    said = optional_text(data, "complaint_state") or "PENDING"
    if said not in STATES:
        raise ValueError("a state we do not know")
    filed_at = optional_moment(data, "complaint_time")
    codes = {name: optional_text(data, name) for name in ("action_type", "problem_type")}
    return DisputeNotice(
        event_id=event_id,
        dispute_id=text(data, "complaint_id"),
        kind="complaint",
        state=STATES[said],
        out_trade_no=optional_text(order, "out_trade_no") or "",
        transaction_id=optional_text(order, "transaction_id") or "",
        amount_fen=fen(order, "amount") if "amount" in order else 0,
        due_at=_due(filed_at) if said == "PENDING" else None,
        data={name: code for name, code in codes.items() if code is not None},
    )


def _due(filed_at: datetime | None) -> datetime | None:
    return filed_at + ANSWER_WITHIN if filed_at else None
