"""Why a payment failed, in words for the customer, and what to do: one table for all channels.

Codes are the channels' own (WeChat Pay v3 `code` and `trade_state`, Alipay `sub_code`, Stripe's
decline and error codes, the bank protocol's codes). Where a channel asks not to tell the customer
why (a lost, stolen or suspected card, Stripe's decline codes), the reason is `declined`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Advice(StrEnum):
    """What the customer should do next."""

    RETRY = "retry"
    """再试一次: the same way may work now."""
    OTHER_METHOD = "other_method"
    """换一种方式: this one will not work."""
    CONTACT_BANK = "contact_bank"
    """联系发卡行: only their bank can help."""
    WAIT = "wait"
    """稍后再试: the channel needs a moment."""
    SIGN_AGAIN = "sign_again"
    """重新授权: what was saved or linked is not valid any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A reason, its words and the advice."""

    reason: str
    chinese: str
    english: str
    advice: Advice


def _failure(reason: str, advice: Advice, chinese: str, english: str) -> Failure:
    return Failure(reason=reason, chinese=chinese, english=english, advice=advice)


DECLINED = _failure(
    "declined",
    Advice.OTHER_METHOD,
    "支付未成功，请换一种支付方式。",
    "The payment did not go through: please pay another way.",
)
"""Of codes nobody knows as well."""
NOT_COMPLETED = _failure(
    "not_completed",
    Advice.RETRY,
    "支付未完成，请重试或换一种支付方式。",
    "The payment was not completed: try again, or pay another way.",
)
NO_MONEY = _failure(
    "insufficient_funds",
    Advice.OTHER_METHOD,
    "余额不足，请换一种支付方式。",
    "There is not enough money there: please pay another way.",
)
OVER_LIMIT = _failure(
    "over_limit",
    Advice.OTHER_METHOD,
    "超出支付限额，请换一种支付方式。",
    "This is above a limit of the payment method: please pay another way.",
)
EXPIRED_CARD = _failure(
    "expired_card",
    Advice.OTHER_METHOD,
    "银行卡已过期，请换一张卡。",
    "The card has expired: please use another one.",
)
WRONG_DETAILS = _failure(
    "wrong_details",
    Advice.RETRY,
    "卡片信息有误，请核对后重试。",
    "Some details of the card are wrong: check them and try again.",
)
PROVE = _failure(
    "authentication_failed",
    Advice.RETRY,
    "身份验证未通过，请重试。",
    "Your bank could not verify that it is you: please try again.",
)
ASK_BANK = _failure(
    "refused_by_bank",
    Advice.CONTACT_BANK,
    "发卡行拒绝了这笔支付，请联系银行或换一种支付方式。",
    "Your bank refused the payment: ask your bank, or pay another way.",
)
NOT_SUPPORTED = _failure(
    "not_supported",
    Advice.OTHER_METHOD,
    "该支付方式不支持这笔订单，请换一种。",
    "This payment method can't be used here: please pay another way.",
)
ACCOUNT = _failure(
    "account_abnormal",
    Advice.OTHER_METHOD,
    "您的支付账户状态异常，请换一种支付方式。",
    "There is a problem with your account there: please pay another way.",
)
LINK_AGAIN = _failure(
    "authorisation_lost",
    Advice.SIGN_AGAIN,
    "授权已失效，请重新授权或换一种支付方式。",
    "Your authorisation is no longer valid: please give it again.",
)
OVER = _failure(
    "payment_over",
    Advice.RETRY,
    "支付已关闭，请重新发起支付。",
    "This payment was closed: please start again.",
)
BUSY = _failure(
    "channel_busy",
    Advice.WAIT,
    "支付渠道繁忙，请稍后再试。",
    "The payment channel is busy: please try again in a moment.",
)
SHOP = _failure(
    "shop_cannot_take_it",
    Advice.OTHER_METHOD,
    "商家暂时无法使用该渠道收款，请换一种支付方式。",
    "The shop can't be paid this way at the moment: please pay another way.",
)

WECHAT = {
    "PAYERROR": NOT_COMPLETED,
    "NOT_ENOUGH": NO_MONEY,
    "USER_ACCOUNT_ABNORMAL": ACCOUNT,
    "RULE_LIMIT": OVER_LIMIT,
    "TRADE_ERROR": DECLINED,
    "TRADE_OVERDUE": OVER,
    "ORDER_CLOSED": OVER,
    "OUT_TRADE_NO_USED": OVER,
    "FREQUENCY_LIMITED": BUSY,
    "RATELIMIT_EXCEEDED": BUSY,
    "SYSTEM_ERROR": BUSY,
    "SERVICE_UNAVAILABLE": BUSY,
    "PARAM_ERROR": SHOP,
    "INVALID_REQUEST": SHOP,
    "SIGN_ERROR": SHOP,
    "NO_AUTH": SHOP,
    "MCH_NOT_EXISTS": SHOP,
    "APPID_MCHID_NOT_MATCH": SHOP,
}
ALIPAY = {
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": NO_MONEY,
    "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH": NO_MONEY,
    "ACQ.ERROR_BALANCE_PAYMENT_DISABLE": NOT_SUPPORTED,
    "ACQ.NO_PAYMENT_INSTRUMENTS_AVAILABLE": NOT_SUPPORTED,
    "ACQ.BUYER_SELLER_EQUAL": NOT_SUPPORTED,
    "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": OVER_LIMIT,
    "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": OVER_LIMIT,
    "ACQ.TOTAL_FEE_EXCEED": OVER_LIMIT,
    "ACQ.BUYER_ENABLE_STATUS_FORBID": ACCOUNT,
    "ACQ.USER_FACE_PAYMENT_SWITCH_OFF": ACCOUNT,
    "ACQ.PAYMENT_FAIL": NOT_COMPLETED,
    "ACQ.PULL_MOBILE_CASHIER_FAIL": NOT_COMPLETED,
    "ACQ.PAYMENT_REQUEST_HAS_RISK": ASK_BANK,
    "ACQ.TRADE_BUYER_NOT_MATCH": LINK_AGAIN,
    "ACQ.PAYMENT_AUTH_CODE_INVALID": LINK_AGAIN,
    "ACQ.BUYER_NOT_EXIST": LINK_AGAIN,
    "ACQ.TRADE_HAS_CLOSE": OVER,
    "ACQ.TRADE_HAS_FINISHED": OVER,
    "ACQ.TRADE_STATUS_ERROR": OVER,
    "ACQ.CONTEXT_INCONSISTENT": OVER,
    "ACQ.SYSTEM_ERROR": BUSY,
    "40005": BUSY,
    "isv.app-call-limited": BUSY,
    "ACQ.INVALID_PARAMETER": SHOP,
    "ACQ.ACCESS_FORBIDDEN": SHOP,
    "ACQ.PARTNER_ERROR": SHOP,
    "isv.invalid-signature": SHOP,
    "isv.insufficient-isv-permissions": SHOP,
}
CARD = {
    **dict.fromkeys(("insufficient_funds", "withdrawal_count_limit_exceeded"), NO_MONEY),
    "card_velocity_exceeded": OVER_LIMIT,
    **dict.fromkeys(("expired_card", "new_account_information_available"), EXPIRED_CARD),
    **dict.fromkeys(
        (
            "incorrect_address",
            "incorrect_cvc",
            "incorrect_number",
            "incorrect_pin",
            "incorrect_zip",
            "invalid_cvc",
            "invalid_expiry_month",
            "invalid_expiry_year",
            "invalid_number",
            "invalid_pin",
        ),
        WRONG_DETAILS,
    ),
    **dict.fromkeys(
        (
            "authentication_not_handled",
            "authentication_required",
            "payment_intent_authentication_failure",
            "mobile_device_authentication_required",
            "offline_pin_required",
            "online_or_offline_pin_required",
        ),
        PROVE,
    ),
    **dict.fromkeys(
        (
            "call_issuer",
            "do_not_honor",
            "do_not_try_again",
            "invalid_account",
            "no_action_taken",
            "not_permitted",
            "pin_try_exceeded",
            "revocation_of_all_authorizations",
            "revocation_of_authorization",
            "security_violation",
            "service_not_allowed",
            "stop_payment_order",
            "transaction_not_allowed",
        ),
        ASK_BANK,
    ),
    **dict.fromkeys(
        (
            "card_declined",
            "fraudulent",
            "generic_decline",
            "lost_card",
            "merchant_blacklist",
            "pickup_card",
            "restricted_card",
            "stolen_card",
        ),
        DECLINED,
    ),
    **dict.fromkeys(
        (
            "card_not_supported",
            "currency_not_supported",
            "invalid_amount",
            "live_mode_test_card",
            "testmode_decline",
        ),
        NOT_SUPPORTED,
    ),
    **dict.fromkeys(
        ("approve_with_id", "duplicate_transaction", "reenter_transaction"), NOT_COMPLETED
    ),
    **dict.fromkeys(("issuer_not_available", "processing_error", "try_again_later"), BUSY),
    "resource_missing": LINK_AGAIN,
}
BANK = {
    "INSUFFICIENT_FUNDS": NO_MONEY,
    "DECLINED": ASK_BANK,
    "CONSENT_INVALID": LINK_AGAIN,
    "PAYER_UNKNOWN": LINK_AGAIN,
    "PAYMENT_PAID": OVER,
    "PAYMENT_CHANGED": OVER,
    "PARAMETER_WRONG": SHOP,
    "SIGNATURE_WRONG": SHOP,
    "DATE_STALE": BUSY,
}
CODES: Mapping[str, Mapping[str, Failure]] = {
    "wechat": WECHAT,
    "alipay": ALIPAY,
    "card": CARD,
    "bank": BANK,
}


def explain(channel: str, code: str) -> Failure:
    """What a channel's code means to the customer; a code nobody knows is `declined`."""
    return CODES.get(channel, {}).get(code, DECLINED)
