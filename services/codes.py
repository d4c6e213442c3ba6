"""Which codes of gateways and reasons of ours may be a metric's label: others are one label."""

import re

OTHER = "other"
WECHAT = """
PARAM_ERROR INVALID_REQUEST APPID_MCHID_NOT_MATCH MCH_NOT_EXISTS ORDER_CLOSED ORDERPAID
NO_STATEMENT_EXIST STATEMENT_CREATING SIGN_ERROR NO_AUTH OUT_TRADE_NO_USED RULE_LIMIT TRADE_ERROR
NOT_ENOUGH USER_ACCOUNT_ABNORMAL ORDER_NOT_EXIST RESOURCE_NOT_EXISTS FREQUENCY_LIMITED
RATELIMIT_EXCEEDED SYSTEM_ERROR SERVICE_UNAVAILABLE TRADE_OVERDUE REFUND_FEE_MISMATCH
"""
ALIPAY = """
20000 20001 40001 40002 40005 40006 isv.invalid-signature isv.invalid-app-id
isp.bill_not_exist invalid_arguments no_such_refund AOP.ACQ.SYSTEM_ERROR
ACQ.SYSTEM_ERROR ACQ.TRADE_NOT_EXIST ACQ.TRADE_HAS_CLOSE ACQ.TRADE_HAS_SUCCESS
ACQ.TRADE_STATUS_ERROR ACQ.TRADE_HAS_FINISHED ACQ.SELLER_BALANCE_NOT_ENOUGH
ACQ.REFUND_AMT_NOT_EQUAL_TOTAL ACQ.DISCORDANT_REPEAT_REQUEST ACQ.REFUND_CHARGE_ERROR
ACQ.INVALID_PARAMETER ACQ.TRADE_SETTLE_ERROR ACQ.TRADE_SETTLE_NOT_EXIST
ACQ.ALLOC_AMOUNT_VALIDATE_ERROR
"""
CARD = """
card_declined generic_decline do_not_honor insufficient_funds lost_card stolen_card expired_card
incorrect_cvc incorrect_number processing_error fraudulent authentication_required
transaction_not_allowed card_not_supported currency_not_supported card_velocity_exceeded
try_again_later
payment_intent_unexpected_state payment_intent_authentication_failure resource_missing
amount_too_large charge_already_refunded charge_disputed rate_limit idempotency_error
api_key_expired invalid_request_error unknown_code
"""
BANK = """
PARAMETER_WRONG PAYMENT_NOT_FOUND PAYMENT_PAID PAYMENT_NOT_PAID PAYMENT_NOT_FROZEN PAYMENT_CHANGED
REFUND_NOT_FOUND REFUND_TOO_MUCH REFUND_TOO_LATE REFUND_CHANGED REFUNDS_TOO_MANY INSUFFICIENT_FUNDS
CONSENT_INVALID CONSENT_NOT_FOUND PAYER_UNKNOWN PAYEE_UNKNOWN ACCOUNT_CLOSED SIGNATURE_WRONG
DATE_STALE REQUEST_ID_REUSED STATEMENT_NOT_READY STATEMENT_UNKNOWN SPLIT_NOT_FOUND SPLIT_TOO_MUCH
SPLIT_CHANGED SHARE_NOT_FOUND RETURN_NOT_FOUND RETURN_TOO_MUCH RETURN_CHANGED RECEIVER_WRONG
TOO_MANY_REQUESTS
"""
OURS = """
timeout answer_too_large wrong_shape missing_header stale_timestamp signtest unknown_serial
unknown_key bad_signature other_request no_key replayed_error too_many_payments
bill_damaged bill_too_long bill_currency bill_wrong_shape bill_elsewhere bill_cut bill_not_gzip
bill_wrong_hash bill_wrong_sums
ConnectError ConnectTimeout ReadError ReadTimeout WriteError WriteTimeout CloseError PoolTimeout
ProxyError RemoteProtocolError LocalProtocolError
"""
KNOWN = frozenset(f"{WECHAT} {ALIPAY} {CARD} {BANK} {OURS}".split())
_STATUS = re.compile(r"http_([1-5])\d\d")


def bounded(code: str) -> str:
    """The code if it is listed here, an HTTP status as its class (`http_5xx`), else `other`."""
    status = _STATUS.fullmatch(code)
    if status:
        return f"http_{status[1]}xx"
    return code if code in KNOWN else OTHER
