"""The gateways an act may call, and whose keys it calls them with; keys are read by reference."""

import ssl
from functools import cache
from pathlib import Path

import httpx

from services.settings import Settings
from services.wechat.accounts import Account
from services.wechat.client import WechatPay

POOL = httpx.Limits(max_connections=50, max_keepalive_connections=20)


class Gateways:
    """One HTTP client towards all gateways, and the accounts of all payees."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._public_url = settings.public_url.rstrip("/")
        verify = ssl.create_default_context(cafile=settings.gateway_ca or None)
        self.http = httpx.AsyncClient(
            proxy=settings.gateway_proxy or None, verify=verify, limits=POOL, trust_env=False
        )
        self.wechat = WechatPay(self.http)
        self.account = cache(self._account)

    def _account(self, keys_ref: str) -> Account:
        return self.wechat.load_account(self._home / Path(keys_ref))

    def notify_url(self, account_id: str) -> str:
        """Where WeChat Pay sends what happens to this payee's payments and refunds."""
        return f"{self._public_url}/v1/notify/wechat/{account_id}"

    async def close(self) -> None:
        """Hang up."""
        await self.http.aclose()
