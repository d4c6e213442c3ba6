"""Forged notices, generated: every kind of notice with every kind of forgery, none believed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from domain.channels import NoticeRefused
from services.wechat.accounts import Account
from services.wechat.notices import read_notice
from services.wechat.signing import Fault
from tests.services.wechat.forgeries import FORGERIES, NOTICES, PARTNER
from tests.services.wechat.platform import NOW, Platform


def _corpus() -> Iterator[Any]:
    for notice in NOTICES:
        for forgery in FORGERIES:
            yield pytest.param(notice, forgery, id=f"{notice}, {forgery}")


def _account(platform: Platform, notice: str) -> Account:
    account = platform.account()
    if not notice.startswith("partner"):
        return account
    return replace(account, sub_mchid=PARTNER["sub_mchid"], sp_appid=PARTNER["sp_appid"])


@pytest.mark.parametrize(("notice", "forgery"), list(_corpus()))
def test_a_forgery_is_refused_for_what_it_is(platform: Platform, notice: str, forgery: str) -> None:
    body = platform.notice(*NOTICES[notice])
    account = _account(platform, notice)
    assert read_notice(account, platform.headers(body), body, now=NOW)
    forge, fault = FORGERIES[forgery]
    headers, forged = forge(platform, platform.headers(body), body)
    with pytest.raises(NoticeRefused) as caught:
        read_notice(account, headers, forged, now=NOW)
    assert caught.value.reason == fault


@pytest.mark.parametrize("notice", [name for name in NOTICES if name != "complaint"])
def test_a_true_notice_of_another_payee_is_refused(platform: Platform, notice: str) -> None:
    body = platform.notice(*NOTICES[notice])
    account = _account(platform, notice)
    other = "" if account.sub_mchid else PARTNER["sub_mchid"]
    for stranger in (replace(account, sub_mchid=other), replace(account, mchid="1600000002")):
        with pytest.raises(NoticeRefused, match=Fault.WRONG_PAYEE):
            read_notice(stranger, platform.headers(body), body, now=NOW)
