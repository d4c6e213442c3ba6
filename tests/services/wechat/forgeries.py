"""Forgeries of WeChat Pay's notices: every way in which one thing of a true one is wrong."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from services.wechat.signing import Fault, lines, sign
from tests.services.wechat.platform import REFUND, TRANSACTION, Platform

PARTNER = {"sp_mchid": "1600000001", "sp_appid": "wx0000000000000001", "sub_mchid": "1700000001"}
COMPLAINT = {"complaint_id": "200201820200101080076610000", "action_type": "CREATE_COMPLAINT"}


def _of_partner(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in resource.items() if k not in {"mchid", "appid"}} | PARTNER


Resources = Mapping[str, tuple[str, Mapping[str, Any]]]

NOTICES: Resources = {
    "payment": ("TRANSACTION.SUCCESS", TRANSACTION),
    "refund": ("REFUND.SUCCESS", REFUND),
    "complaint": ("COMPLAINT.CREATE", COMPLAINT),
    "partner payment": ("TRANSACTION.SUCCESS", _of_partner(TRANSACTION)),
    "partner refund": ("REFUND.SUCCESS", _of_partner(REFUND)),
}
Notice = tuple[dict[str, str], bytes]
Forgery = Callable[[Platform, dict[str, str], bytes], Notice]


def _header(name: str, change: Callable[[str], str]) -> Forgery:
    return lambda _, headers, body: (headers | {name: change(headers[name])}, body)


def _resource(**changes: Any) -> Forgery:
    def forge(platform: Platform, _: dict[str, str], body: bytes) -> Notice:
        envelope = orjson.loads(body)
        envelope["resource"] |= changes
        changed = orjson.dumps(envelope)
        return platform.headers(changed), changed

    return forge


def _flipped(share: float) -> Forgery:
    def forge(_: Platform, headers: dict[str, str], body: bytes) -> Notice:
        at = int(share * (len(body) - 1))
        return headers, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]

    return forge


def _signed_by_merchant(platform: Platform, headers: dict[str, str], body: bytes) -> Notice:
    message = lines(
        headers["Wechatpay-Timestamp"].encode(), headers["Wechatpay-Nonce"].encode(), body
    )
    return headers | {"Wechatpay-Signature": sign(platform.merchant_key, message)}, body


def _other_key(platform: Platform, headers: dict[str, str], body: bytes) -> Notice:
    return headers | {"Wechatpay-Serial": platform.public_key_id}, body


def _at(seconds: int) -> Forgery:
    return lambda platform, _, body: (
        platform.headers(body, at=platform.now + timedelta(seconds=seconds)),
        body,
    )


def _resealed(platform: Platform, _: dict[str, str], body: bytes) -> Notice:
    envelope = orjson.loads(body)
    stranger = replace(platform, apiv3_key=b"f" * 32)
    envelope["resource"] |= stranger.seal(orjson.dumps(dict(TRANSACTION)))
    changed = orjson.dumps(envelope)
    return platform.headers(changed), changed


def _renamed(event_type: str) -> Forgery:
    def forge(platform: Platform, _: dict[str, str], body: bytes) -> Notice:
        changed = orjson.dumps(orjson.loads(body) | {"event_type": event_type})
        return platform.headers(changed), changed

    return forge


def _urlsafe(signature: str) -> str:
    return base64.urlsafe_b64encode(base64.b64decode(signature)).decode().rstrip("=") + "-"


SIGNATURE, SERIAL_HEADER = "Wechatpay-Signature", "Wechatpay-Serial"
FORGERIES: dict[str, tuple[Forgery, Fault]] = {
    **{
        f"no {name}": (_header(f"Wechatpay-{name}", lambda _: ""), Fault.MISSING_HEADER)
        for name in ("Timestamp", "Nonce", "Signature", "Serial")
    },
    **{
        f"a bit at {share}": (_flipped(share), Fault.BAD_SIGNATURE)
        for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    },
    **{
        f"signed {seconds} s away": (_at(seconds), Fault.STALE_TIMESTAMP)
        for seconds in (-86_400, -300, 1_800, 86_400)
    },
    "another scheme": (
        _header("Wechatpay-Signature-Type", lambda _: "WECHATPAY2-SM2-WITH-SM3"),
        Fault.MISSING_HEADER,
    ),
    "a moment later": (
        _header("Wechatpay-Timestamp", lambda given: str(int(given) + 1)),
        Fault.BAD_SIGNATURE,
    ),
    "another nonce": (_header("Wechatpay-Nonce", lambda given: given[::-1]), Fault.BAD_SIGNATURE),
    "half a signature": (_header(SIGNATURE, lambda given: given[:172]), Fault.BAD_SIGNATURE),
    "another base64": (_header(SIGNATURE, _urlsafe), Fault.BAD_SIGNATURE),
    "a probe": (_header(SIGNATURE, lambda given: f"WECHATPAY/SIGNTEST/{given}"), Fault.SIGNTEST),
    "the other key": (_other_key, Fault.BAD_SIGNATURE),
    "a nearly known key": (_header(SERIAL_HEADER, lambda given: given[:-1]), Fault.UNKNOWN_SERIAL),
    "the merchant's own key": (_signed_by_merchant, Fault.BAD_SIGNATURE),
    "somebody else's seal": (_resealed, Fault.BAD_ENCRYPTION),
    "another algorithm": (_resource(algorithm="AEAD_SM4_GCM"), Fault.BAD_ENCRYPTION),
    "another context": (_resource(associated_data="other"), Fault.BAD_ENCRYPTION),
    "another event": (_renamed("SECURITY_ECHO.FAILED"), Fault.UNKNOWN_EVENT),
    "an event in small letters": (_renamed("transaction.success"), Fault.UNKNOWN_EVENT),
}


def forgeries(
    platform: Platform, notices: Resources
) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Every forgery of each of these notices: its name, headers and body."""
    for notice, resource in notices.items():
        body = platform.notice(*resource)
        for name, (forge, _) in FORGERIES.items():
            yield f"{notice}, {name}", *forge(platform, platform.headers(body), body)
