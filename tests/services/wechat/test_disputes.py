"""Complaints: told, read without the customer, answered and completed."""

import pytest

from domain.channels import DisputeNotice, NoticeRefused
from domain.outcomes import Accepted, Refusal, Rejected
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from services.wechat.notices import read_notice
from tests.services.wechat.gateway import NOTIFY_URL, Gateway, NoticeEar
from tests.services.wechat.platform import NOW, Platform
from tests.services.wechat.steps import paid_order, queried, today

PHONE = "13812345678"


async def _told(pay: WechatPay, account: Account, ear: NoticeEar) -> DisputeNotice:
    heard = await ear.next()
    notice = await pay.notice(account, heard.headers, heard.body)
    assert isinstance(notice, DisputeNotice)
    return notice


async def test_a_complaint_is_told_answered_and_completed(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    assert await pay.notify_disputes_at(account, url=NOTIFY_URL) == Accepted(value=None)
    assert isinstance(await pay.notify_disputes_at(account, url=NOTIFY_URL), Rejected)
    out_trade_no = await paid_order(gateway, pay, account, ear)
    complaint = {"mchid": account.mchid, "out_trade_no": out_trade_no, "phone": PHONE}
    dispute_id = gateway.control("complaints", complaint)["complaint_id"]
    notice = await _told(pay, account, ear)
    paid = await queried(pay, account, out_trade_no)
    assert (notice.dispute_id, notice.kind, notice.state) == (dispute_id, "complaint", "open")
    assert (notice.out_trade_no, notice.transaction_id) == (out_trade_no, paid.transaction_id)
    assert notice.amount_fen == 2999
    assert notice.due_at is not None
    assert notice.data["action_type"] == "CREATE_COMPLAINT"

    read = await pay.dispute(account, dispute_id=dispute_id)
    assert isinstance(read, Accepted)
    assert (read.value.out_trade_no, read.value.due_at) == (out_trade_no, notice.due_at)
    listed = await pay.disputes(account, begin=today(), end=today())
    assert listed == Accepted(value=(read.value,))
    assert PHONE not in repr(listed) + repr(notice)

    early = await pay.complete_dispute(account, dispute_id=dispute_id)
    assert early == Rejected(code="INVALID_REQUEST", kind=Refusal.NEVER)
    for act, state in (
        (pay.respond_dispute(account, dispute_id=dispute_id, content="已联系骑手"), "under_review"),
        (pay.complete_dispute(account, dispute_id=dispute_id), "closed"),
    ):
        assert await act == Accepted(value=None)
        told = await _told(pay, account, ear)
        assert (told.state, told.due_at) == (state, None)
        assert told.event_id != notice.event_id


async def test_a_complaint_of_another_merchant_is_not_ours(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    out_trade_no = await paid_order(gateway, pay, account, ear)
    complaint = {"mchid": account.mchid, "out_trade_no": out_trade_no}
    dispute_id = gateway.control("complaints", complaint)["complaint_id"]
    stranger = gateway.merchant(certificates=True)
    refused = await pay.dispute(stranger, dispute_id=dispute_id)
    assert refused == Rejected(code="RESOURCE_NOT_EXISTS", kind=Refusal.NOT_FOUND)


def test_a_notice_may_say_no_more_than_which_complaint(platform: Platform) -> None:
    resource = {"complaint_id": "200201820200101080076610000", "action_type": "USER_RESPONSE"}
    body = platform.notice("COMPLAINT.STATE_CHANGE", resource)
    notice = read_notice(platform.account(), platform.headers(body), body, now=NOW)
    assert isinstance(notice, DisputeNotice)
    assert (notice.dispute_id, notice.state) == (resource["complaint_id"], "open")
    assert (notice.out_trade_no, notice.due_at) == ("", None)
    wrong = platform.notice("COMPLAINT.CREATE", {**resource, "complaint_state": "WON"})
    with pytest.raises(NoticeRefused, match="wrong_shape"):
        read_notice(platform.account(), platform.headers(wrong), wrong, now=NOW)
