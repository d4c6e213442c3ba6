"""Every payment channel there is, over one HTTP client, and the keys of every payee.

Which channel an order takes is data; nothing outside `services` names a client class.
"""

import ssl
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from domain.channels import Ability
from domain.errors import NotFound
from services.alipay.client import Alipay
from services.bank.client import Bank
from services.bank.payouts import Payouts
from services.card.client import Cards
from services.channel import Channel
from services.measuring import measure, note_clock
from services.settings import Settings
from services.wechat.client import WechatPay

POOL = httpx.Limits(max_connections=50, max_keepalive_connections=20)
CHANNELS = (WechatPay, Alipay, Cards, Bank)


class Gateways:
    """One HTTP client towards all gateways; a payee's keys are read once per process."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._public_url = settings.public_url.rstrip("/")
        verify = ssl.create_default_context(cafile=settings.gateway_ca or None)
        self.http = httpx.AsyncClient(
            proxy=settings.gateway_proxy or None,
            verify=verify,
            limits=POOL,
            trust_env=False,
            event_hooks={"response": [note_clock]},
        )
        made: list[Channel[Any]] = [measure(channel(self.http)) for channel in CHANNELS]
        self.channels: dict[str, Channel[Any]] = {channel.name: channel for channel in made}
        self.payouts = Payouts(self.http)
        self.account = cache(self._account)

    @property
    def abilities(self) -> dict[str, Ability]:
        """What each channel can do."""
        return {name: channel.ability for name, channel in self.channels.items()}

    def channel(self, name: str) -> Channel[Any]:
        """The client of a channel; raises NotFound."""
        found = self.channels.get(name)
        if found is None:
            raise NotFound("there is no such payment channel")
        return found

    def _account(self, channel: str, keys_ref: str) -> Any:  # noqa: ANN401 - each channel's own
        """A payee's keys at a channel; raises AccountUnreadable."""
        return self.channel(channel).load_account(self._home / Path(keys_ref))

    def notify_url(self, channel: str, account_id: str) -> str:
        """Where a channel sends what happens to this payee's payments and refunds."""
        return f"{self._public_url}/v1/notify/{channel}/{account_id}"

    async def close(self) -> None:
        """Hang up."""
        await self.http.aclose()
