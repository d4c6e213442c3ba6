"""How a customer may pay a shop: what its merchant's channels can do, for this customer."""

from dataclasses import dataclass
from typing import Any

from api import schemas
from api.parts import Parts, utc_now
from domain.channels import Ability
from domain.errors import Invalid, PayerNotLinked, Unavailable
from services import payments, personal
from services.channel import AccountUnreadable
from services.db import Reader
from services.identity import Identity
from services.payments import Paying


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A channel that this customer may pay by."""

    channel: str
    methods: tuple[str, ...]
    """Best first: those that know the payer already."""
    instalments: tuple[int, ...]
    can_be_saved: bool


async def ways(parts: Parts, reader: Reader, who: Identity, merchant_id: str) -> list[Way]:
    """Every way to pay this merchant, WeChat first."""
    offered = await payments.channels(reader, who.site_id, merchant_id)
    linked = await personal.refs(
        reader, site_id=who.site_id, subject=f"customer:{who.subject}", kind="openid"
    )
    return [
        Way(
            channel=name,
            methods=_methods(channel.ability, known=name in linked),
            instalments=channel.ability.instalments,
            can_be_saved=channel.ability.saves,
        )
        for name, channel in parts.gateways.channels.items()
        if name in offered
    ]


def ensure_offered(found: list[Way], wanted: schemas.Paying) -> None:
    """Refuse a way that is not among them: Invalid, or PayerNotLinked with what is."""
    way = next((way for way in found if way.channel == wanted.channel), None)
    if way is None:
        raise Invalid("the shop does not take this channel", channels=[w.channel for w in found])
    if wanted.method not in way.methods:
        raise PayerNotLinked(payment_methods=list(way.methods))
    if wanted.instalments and wanted.instalments not in way.instalments:
        raise Invalid("no such instalments", instalments=list(way.instalments))


def parameters(parts: Parts, paying: Paying) -> dict[str, Any]:
    """What the customer's device needs to pay an open attempt."""
    try:
        account = parts.gateways.account(paying.channel, paying.keys_ref)
    except AccountUnreadable as error:
        raise Unavailable from error
    channel = parts.gateways.channel(paying.channel)
    given = channel.parameters(account, method=paying.method, handles=paying.handles, now=utc_now())
    told = {
        "payment_channel": paying.channel,
        "payment_method": paying.method,
        "payment_parameters": given,
    }
    return told | ({"code_url": given["code_url"]} if "code_url" in given else {})


def _methods(ability: Ability, *, known: bool) -> tuple[str, ...]:
    return tuple(
        method for method in ability.methods if known or method not in ability.payer_methods
    )
