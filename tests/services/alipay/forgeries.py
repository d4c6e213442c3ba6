"""Forgeries of Alipay's notices: every way in which one thing of a true one is wrong."""

from urllib.parse import quote_plus, urlencode

from cryptography.hazmat.primitives.asymmetric import rsa

from services.alipay.notices import MAX_FIELDS
from services.alipay.signing import sign, signed_text
from tests.services.alipay.conftest import Keys

PAYMENT = {
    "notify_time": "2026-11-23 12:05:06",
    "notify_type": "trade_status_sync",
    "notify_id": "2026112300222120506000001",
    "app_id": "2021000000000010",
    "charset": "utf-8",
    "version": "1.0",
    "trade_no": "2026112322001400000000000001",
    "out_trade_no": "T1",
    "buyer_id": "2088000000000001",
    "seller_id": "2088000000000010",
    "trade_status": "TRADE_SUCCESS",
    "subject": "外卖 + 两份 & 更多=",
    "total_amount": "29.99",
    "receipt_amount": "29.99",
    "gmt_create": "2026-11-23 12:05:00",
    "gmt_payment": "2026-11-23 12:05:05",
}
REFUNDED = {
    "out_biz_no": "R1",
    "gmt_refund": "2026-11-23 12:06:00.143",
    "refund_fee": "10.00",
}
"""What makes a notice one of a refund."""
REFUND = PAYMENT | REFUNDED


def forgeries(keys: Keys, payment: dict[str, str]) -> dict[str, bytes]:
    """By name, bodies in which one thing of this payment's notice is wrong."""
    refund = payment | REFUNDED
    right = keys.signed(payment)
    own = sign(keys.account.private_key, signed_text(payment))
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    fields: dict[str, dict[str, str]] = {
        f"changed {name}": right | {name: right[name] + "0"} for name in right
    }
    fields |= {f"without {name}": {k: v for k, v in right.items() if k != name} for name in right}
    fields |= {
        "an extra field": right | {"passback_params": "x"},
        "an empty extra field": right | {"passback_params": ""},
        "made a refund": right | {"refund_fee": "1.00", "out_biz_no": "R1"},
        "a refund made a payment": {
            k: v for k, v in keys.signed(refund).items() if k not in {"refund_fee", "out_biz_no"}
        },
        "old signature type": right | {"sign_type": "RSA"},
        "signed by a stranger": right | {"sign": sign(stranger, signed_text(payment))},
        "signed by ourselves": right | {"sign": own},
        "of another notice": right | {"sign": keys.signed(refund)["sign"]},
        "signature over sign_type": right
        | {"sign": sign(keys.alipay_key, signed_text(payment | {"sign_type": "RSA2"}))},
        "no base64": right | {"sign": "???"},
        "short base64": right | {"sign": "YWJj"},
        "not ascii": right | {"sign": "签名"},
    }
    bodies = {name: urlencode(value).encode() for name, value in fields.items()}
    whole = urlencode(right).encode()
    return bodies | {
        "empty": b"",
        "json": b'{"trade_status":"TRADE_SUCCESS"}',
        "bytes": b"\xff\xfe",
        "bad utf-8": whole + b"&x=%ff",
        "twice the same": whole + b"&out_trade_no=T1",
        "another number first": b"out_trade_no=T2&" + whole,
        "encoded twice": quote_plus(whole.decode()).encode(),
        "plus lost": whole.replace(b"%2B", b"+"),
        "cut": whole[:-10],
        "too many": whole + b"".join(b"&x%d=1" % n for n in range(MAX_FIELDS)),
        "no value": whole + b"&x",
        "gbk": urlencode(right, encoding="gbk").encode(),
    }
