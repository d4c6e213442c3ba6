"""Callbacks to merchants: sealed, signed, sent and repeated on WeChat's retry table (§1.5)."""

import random
import sqlite3
import time
import uuid

from sandbox.callbacks import HOUR, MINUTE, Callbacks, Request
from sandbox.faults import Blemish, Faults
from sandbox.internet import PublicInternet
from sandbox.store import Store
from sandbox.wechat.keys import PlatformKeys
from sandbox.wechat.merchants import Merchants
from sandbox.wechat.protocol import CHANNEL, seal
from sandbox.wire import Json, china_time, dump

_SUMMARY = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
    "COMPLAINT.CREATE": "产生新投诉",
    "COMPLAINT.STATE_CHANGE": "投诉单状态变化",
    "SECURITY_ECHO.SUCCESS": "回调自检",
}


class Notices(Callbacks):
    """WeChat Pay's callbacks."""

    channel = CHANNEL
    table = "notices"
    payee = "mchid"
    of_payment = "event_type = 'TRANSACTION.SUCCESS'"
    retry_seconds = (
        *(15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
        *(60 * MINUTE, 3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR),
    )
    """15 retries in 24 h 4 min."""

    def __init__(
        self,
        *,
        store: Store,
        keys: PlatformKeys,
        merchants: Merchants,
        faults: Faults,
        internet: PublicInternet,
    ) -> None:
        """Seal with merchants' keys, sign with WeChat's."""
        super().__init__(store=store, habits=merchants.habits, faults=faults, internet=internet)
        self._keys = keys
        self._merchants = merchants

    def add(
        self,
        *,
        mchid: str,
        out_trade_no: str,
        out_refund_no: str | None = None,
        notify_url: str,
        event_type: str,
        resource: Json,
    ) -> None:
        """Owe a callback from now on; call it in the transaction of what it tells."""
        self._owe(
            {
                "id": str(uuid.uuid4()),
                "mchid": mchid,
                "out_trade_no": out_trade_no,
                "out_refund_no": out_refund_no,
                "notify_url": notify_url,
                "event_type": event_type,
                "create_time": time.time(),
                "resource": dump(resource).decode(),
            }
        )

    def _request(self, row: sqlite3.Row, blemish: Blemish | None) -> Request:
        merchant = self._merchants.keeper(row["mchid"])
        kind = row["event_type"].partition(".")[0].lower()
        sealed = seal(merchant.apiv3_key, row["resource"].encode(), kind)
        body = dump(
            {
                "id": row["id"],
                "create_time": china_time(row["create_time"]),
                "resource_type": "encrypt-resource",
                "event_type": row["event_type"],
                "summary": _SUMMARY[row["event_type"]],
                "resource": {"original_type": kind, **sealed},
            }
        )
        grey = self._merchants.habits().grey
        by_public_key = not merchant.certificates or random.random() < grey  # noqa: S311
        signer = self._keys.public_key if by_public_key else self._keys.certificate
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": "Mozilla/4.0",
            **signer.headers(body, blemish),
        }
        return Request(url=row["notify_url"], content=body, headers=headers)
