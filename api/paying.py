"""How a customer may pay a shop: what its merchant's channels can do, for this customer."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from api import payers, schemas
from api.parts import Parts, utc_now
from domain.channels import Ability, SavedMethod
from domain.errors import Invalid, PayerNotLinked, PaymentRefused, Unavailable
from domain.payment_failures import explain
from services import payees, personal
from services.channel import AccountUnreadable, Keeper
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
    """Every way to pay this merchant, WeChat first; a channel that gave no answer comes last."""
    offered = await payees.of_merchant(reader, who.site_id, merchant_id)
    doubtful = await payees.doubtful(reader, who.site_id, merchant_id)
    linked = await personal.refs(
        reader, site_id=who.site_id, subject=f"customer:{who.subject}", kind="openid"
    )
    found = [
        Way(
            channel=name,
            methods=_methods(channel.ability, known=name in linked),
            instalments=channel.ability.instalments,
            can_be_saved=isinstance(channel, Keeper),
        )
        for name, channel in parts.gateways.channels.items()
        if name in offered
    ]
    return sorted(found, key=lambda way: way.channel in doubtful)


async def usual(parts: Parts, who: Identity, merchant_id: str, found: list[Way]) -> schemas.Paying:
    """One tap: the way last used that this merchant offers, by the card kept there, if any.

    Who has never paid takes the first way; raises Invalid where there is none.
    """
    async with parts.database.read() as reader:
        used = await payees.used(reader, who.site_id, who.subject)
        there = await payees.of_merchant(reader, who.site_id, merchant_id)
    offered = {(way.channel, method) for way in found for method in way.methods}
    last = next((one for one in used if (one.channel, one.method) in offered), None)
    if last is None:
        way = next((way for way in found if way.methods), None)
        if way is None:
            raise Invalid("the shop can't be paid")
        return schemas.Paying(channel=way.channel, method=way.methods[0])
    kept: list[SavedMethod] = []
    if last.kept:
        # Without the channel's answer they are asked for their card again.
        with suppress(Unavailable):
            kept = await payers.kept_at(parts, who, there[last.channel])
    card = kept[0].token if kept else None
    return schemas.Paying(channel=last.channel, method=last.method, saved_method=card)


def ensure_offered(found: list[Way], wanted: schemas.Paying) -> None:
    """Refuse a way that is not among them: Invalid, or PayerNotLinked with what is."""
    way = next((way for way in found if way.channel == wanted.channel), None)
    if way is None:
        raise Invalid("the shop does not take this channel", channels=[w.channel for w in found])
    if wanted.method not in way.methods:
        raise PayerNotLinked(payment_methods=list(way.methods))
    if wanted.instalments and wanted.instalments not in way.instalments:
        raise Invalid("no such instalments", instalments=list(way.instalments))
    if (wanted.save or wanted.saved_method) and not way.can_be_saved:
        raise Invalid("this channel keeps no methods")


def explained(paying: Paying) -> dict[str, Any]:
    """Why an attempt failed and what to do, for the customer."""
    return asdict(explain(paying.channel, paying.failure_code))


def refusal(paying: Paying, found: list[Way]) -> PaymentRefused:
    """An attempt's refusal, with what to do and the ways that are left."""
    return PaymentRefused(
        order_id=paying.order_id,
        code=paying.failure_code,
        failure=explained(paying),
        payments=[asdict(way) for way in sorted(found, key=lambda w: w.channel == paying.channel)],
    )


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
