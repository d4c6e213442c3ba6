"""Every code that a customer may meet has words and advice; the table is one and whole."""

import pytest

from domain.payment_failures import CODES, DECLINED, Advice, explain
from services.alipay import client as alipay
from services.alipay import wire as alipay_wire
from services.bank import wire as bank_wire
from services.card import answers as card
from services.gateways import CHANNELS
from services.wechat import answers as wechat
from services.wechat import wire as wechat_wire

ABOUT_MONEY_BACK = ("REFUND", "ALLOC", "SETTLE", "MCH_NOT", "REPEAT", "RETURN", "SPLIT", "BATCH")
"""Codes of refunds, shares and payouts, which no payer meets."""


def known() -> set[tuple[str, str]]:
    """What the channels' own readers know of refusals that a payment can meet."""
    found = {("wechat", state) for state in wechat.TRADE_STATES if state.endswith("ERROR")}
    found |= {("wechat", one) for one in wechat_wire.NEVER_CODES | wechat_wire.AMBIGUOUS_CODES}
    alipays = set(alipay_wire.KINDS) | alipay_wire.AMBIGUOUS | alipay.MADE_BEFORE
    found |= {("alipay", one) for one in alipays if one.startswith("ACQ.")}
    found |= {("bank", one) for one in bank_wire.SAYS_NOTHING}
    asked_about = {"ACQ.TRADE_NOT_EXIST", "ACQ.TRADE_HAS_SUCCESS", "REQUEST_ID_REUSED"}
    return {
        (channel, code)
        for channel, code in found
        if code not in asked_about and not any(word in code for word in ABOUT_MONEY_BACK)
    }


def test_every_channel_and_every_code_its_readers_know_is_there() -> None:
    assert set(CODES) == {channel.name for channel in CHANNELS}
    missing = {(channel, code) for channel, code in known() if code not in CODES[channel]}
    assert not missing


def test_what_is_told_is_whole_and_every_advice_is_given() -> None:
    told = {failure for codes in CODES.values() for failure in codes.values()}
    assert {failure.advice for failure in told} == set(Advice)
    assert len({failure.reason for failure in told}) == len(told)
    for failure in told:
        assert failure.chinese.endswith("。")
        assert failure.english.endswith(".")


@pytest.mark.parametrize("code", ["lost_card", "stolen_card", "fraudulent", "merchant_blacklist"])
def test_a_suspicion_is_not_told(code: str) -> None:
    """Stripe's documentation: show these as a generic decline."""
    assert explain("card", code) == DECLINED


def test_codes_nobody_knows_are_a_decline_with_another_way_out() -> None:
    for channel, code in (("card", "a_new_code"), ("wechat", ""), ("elsewhere", "X")):
        assert explain(channel, code) == DECLINED
    assert explain("card", card.UNEXPECTED_STATE).advice is Advice.OTHER_METHOD
