"""Payees of a service provider (服务商), pages outside WeChat (H5), and abnormal refunds."""

from dataclasses import replace

import httpx
import pytest

from domain.channels import BankCard, BillKind, PaymentNotice, RefundNotice, TradeState
from domain.outcomes import Accepted, Refusal, Rejected
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.services.wechat.gateway import Gateway, NoticeEar
from tests.services.wechat.steps import (
    ended_refund,
    new_number,
    new_order,
    new_refund,
    paid_order,
    queried,
    today,
)


@pytest.mark.parametrize("own_appid", [False, True], ids=["sp_openid", "sub_openid"])
async def test_a_service_providers_merchant_is_paid_and_gives_back(
    *, gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, own_appid: bool
) -> None:
    shop = gateway.sub_merchant(account, appid=f"wx{new_number('')[:16]}" if own_appid else "")
    order = new_order(new_number(), method="jsapi", payer="o-customer", split=True)
    opened = await pay.create(shop, order)
    assert isinstance(opened, Accepted)
    given = pay.parameters(shop, method="jsapi", handles=opened.value.handles, now=order.expires_at)
    gateway.control("pay", {"parameters": given, "openid": "o-customer"})
    heard = await ear.next()
    notice = await pay.notice(shop, heard.headers, heard.body)
    assert isinstance(notice, PaymentNotice)
    transaction = await queried(pay, shop, order.out_trade_no)
    assert notice.transaction == transaction
    assert (transaction.mchid, transaction.appid) == (shop.sub_mchid, shop.appid)
    assert transaction.state is TradeState.PAID

    back = new_refund(order.out_trade_no, new_number("R"))
    assert isinstance(await pay.refund(shop, **back), Accepted)
    ended = await ended_refund(pay, shop, order.out_trade_no, back["out_refund_no"])
    heard = await ear.next()
    assert await pay.notice(shop, heard.headers, heard.body) == RefundNotice(
        event_id=notice_id(heard.body), refund=ended
    )
    gateway.habits(account, bills_ready=True)
    bill = await pay.bill(shop, kind=BillKind.TRADE, day=today())
    assert isinstance(bill, Accepted)
    assert [row.kind for row in bill.value.trades] == ["payment", "refund"]
    with pytest.raises(NotImplementedError):
        await pay.bill(shop, kind=BillKind.FUNDS, day=today())


def notice_id(body: bytes) -> str:
    """What the gateway calls a notice."""
    return str(httpx.Response(200, content=body).json()["id"])


async def test_a_stranger_is_not_a_service_providers_merchant(
    gateway: Gateway, pay: WechatPay, certificate_account: Account, ear: NoticeEar
) -> None:
    shop = gateway.sub_merchant(certificate_account)
    stranger = replace(shop, sub_mchid=gateway.merchant(certificates=True).mchid)
    assert await pay.create(stranger, new_order(new_number())) == Rejected(code="NO_AUTH")
    order = new_order(new_number())
    assert isinstance(await pay.create(shop, order), Accepted)
    closed = await pay.close(shop, out_trade_no=order.out_trade_no)
    assert closed == Accepted(value=None)
    unknown = await pay.query(certificate_account, out_trade_no=order.out_trade_no)
    assert unknown == Rejected(code="ORDER_NOT_EXIST", kind=Refusal.NOT_FOUND)
    other = gateway.sub_merchant(certificate_account)
    paid = await paid_order(gateway, pay, other, ear)
    assert (await queried(pay, other, paid)).mchid == other.sub_mchid


async def test_a_page_outside_wechat_pays(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    order = new_order(new_number(), method="h5", client_ip="203.0.113.7")
    opened = await pay.create(account, order)
    assert isinstance(opened, Accepted)
    url = pay.parameters(account, method="h5", handles=opened.value.handles, now=order.expires_at)
    assert list(url) == ["h5_url"]
    back = "&redirect_url=https%3A%2F%2Fpaotui.example%2Forders"
    gateway.control("pay", {"h5_url": url["h5_url"] + back})
    await ear.next()
    assert (await queried(pay, account, order.out_trade_no)).state is TradeState.PAID
    nowhere = replace(order, out_trade_no=new_number(), client_ip="")
    assert await pay.create(account, nowhere) == Rejected(
        code="PARAM_ERROR", message="/scene_info/payer_client_ip", kind=Refusal.NEVER
    )


@pytest.mark.parametrize(
    "card", [None, BankCard(bank_type="CMB_DEBIT", number="6225880000000000", name="李四")]
)
async def test_an_abnormal_refund_is_sent_on_its_way_again(
    *, gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, card: BankCard | None
) -> None:
    gateway.habits(account, refund_outcome="ABNORMAL")
    out_trade_no, out_refund_no = await paid_order(gateway, pay, account, ear), new_number("R")
    asked = await pay.refund(account, **new_refund(out_trade_no, out_refund_no))
    assert isinstance(asked, Accepted)
    numbers = {"out_refund_no": out_refund_no, "refund_id": asked.value.refund_id}
    assert (await ended_refund(pay, account, out_trade_no, out_refund_no)).state == "abnormal"
    await ear.next()
    again = await pay.retry_refund(account, **numbers, card=card)
    assert isinstance(again, Accepted)
    assert again.value.state == "processing"
    assert (await ended_refund(pay, account, out_trade_no, out_refund_no)).state == "success"
    await ear.next()
    refused = await pay.retry_refund(account, **numbers, card=card)
    assert isinstance(refused, Rejected)
    assert card is None or card.number not in repr(card)


async def test_a_delivery_is_told_once_it_is_paid(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    order = new_order(new_number(), method="jsapi", payer="o-customer")
    assert isinstance(await pay.create(account, order), Accepted)
    shipped = {"transaction_id": "4200", "payer": "o-customer", "description": "外卖"}
    assert await pay.upload_shipping(account, **shipped) == Rejected(code="10060001")
    gateway.pay(account, order.out_trade_no)
    await ear.next()
    transaction = await queried(pay, account, order.out_trade_no)
    shipped["transaction_id"] = transaction.transaction_id or ""
    assert await pay.upload_shipping(account, **shipped) == Accepted(value=None)
    stranger = replace(account, app_secret="wrong")
    assert await pay.upload_shipping(stranger, **shipped) == Rejected(code="40125")
