"""What channels must know of who pays: their device's address, and the cards they keep there."""

import asyncio
import ipaddress
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Request

from api.parts import Parts, of
from api.schemas import Paying
from domain import ids
from domain.channels import SavedMethod
from domain.contracts.life import PayWishes
from domain.errors import Invalid, NotFound, Unavailable
from domain.outcomes import Accepted, Outcome
from services import payees, personal
from services.channel import AccountUnreadable, Keeper
from services.identity import Identity
from services.payees import Payee

PAYER = "payer"
DEVICE = "device"


def address_of(client: str, forwarded: str, *, trusted: int) -> str:
    """The address of who asks, past as many proxies as are trusted to have told it."""
    hops = [hop.strip() for hop in forwarded.split(",")]
    told = hops[-trusted] if 0 < trusted <= len(hops) else client
    try:
        return ipaddress.ip_address(told).compressed
    except ValueError:
        return client


async def _device(request: Request) -> str:
    client = request.client.host if request.client else ""
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    return address_of(client, forwarded, trusted=of(request).settings.trusted_proxies)


Device = Annotated[str, Depends(_device)]


async def prepare(
    parts: Parts, who: Identity, merchant_id: str, paying: Paying, *, ref: str, device: str
) -> PayWishes:
    """The wishes of an attempt, once what its channel needs of the payer is there.

    `ref` names the attempt's personal row. Raises NotFound for a saved method of somebody else.
    """
    wishes = paying.wishes()
    channel = parts.gateways.channel(paying.channel)
    if wishes.save or wishes.saved_method:
        async with parts.database.read() as reader:
            there = await payees.of_merchant(reader, who.site_id, merchant_id)
        keeper, keys = _keeper(parts, there[paying.channel])
        account_id = there[paying.channel].account_id
        if wishes.saved_method:
            kept = await kept_at(parts, who, there[paying.channel])
            if wishes.saved_method not in {one.token for one in kept}:
                raise NotFound("there is no such saved method")
        else:
            await _ensure_payer(parts, who, account_id, keeper, keys)
    if paying.method not in channel.ability.address_methods:
        return wishes
    async with parts.database.write() as writer:
        await personal.put(writer, **_row(who, DEVICE, ref), value={"address": device})
    return replace(wishes, device_ref=ref)


async def kept_at(parts: Parts, who: Identity, payee: Payee) -> list[SavedMethod]:
    """A customer's cards at one payee, newest first; raises Unavailable without its answer."""
    async with parts.database.read() as reader:
        payer = await personal.get(reader, **_row(who, PAYER, payee.account_id))
    if payer is None:
        return []
    keeper, keys = _keeper(parts, payee)
    found: list[SavedMethod] = _value(await keeper.saved_methods(keys, payer=payer["openid"]))
    return found


async def kept(parts: Parts, who: Identity) -> tuple[list[tuple[Payee, SavedMethod]], bool]:
    """A customer's cards at every payee, and whether all of those have answered."""
    async with parts.database.read() as reader:
        accounts = await personal.refs(
            reader, site_id=who.site_id, subject=f"customer:{who.subject}", kind=PAYER
        )
        there = await payees.of_accounts(reader, who.site_id, accounts)
    answers = await asyncio.gather(
        *(kept_at(parts, who, payee) for payee in there), return_exceptions=True
    )
    found = [
        (payee, one)
        for payee, answer in zip(there, answers, strict=True)
        if isinstance(answer, list)
        for one in answer
    ]
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
            raise answer
    return found, all(isinstance(answer, list) for answer in answers)


async def forget(parts: Parts, who: Identity, token: str) -> None:
    """Have a card of the customer's kept no longer; raises NotFound if it is not theirs."""
    found, complete = await kept(parts, who)
    payee = next((payee for payee, one in found if one.token == token), None)
    if payee is None:
        raise NotFound("there is no such saved method") if complete else Unavailable
    keeper, keys = _keeper(parts, payee)
    _value(await keeper.forget_method(keys, token=token))


async def _ensure_payer(
    parts: Parts,
    who: Identity,
    account_id: str,
    keeper: Keeper,
    keys: Any,  # noqa: ANN401 - each channel's own
) -> None:
    """The customer's id at this payee, made once; the same reference gives the same again."""
    row = _row(who, PAYER, account_id)
    async with parts.database.read() as reader:
        known = await personal.get(reader, **row)
    if known is not None:
        return
    reference = ids.derive(PAYER, who.site_id, who.subject, account_id)
    made = _value(await keeper.make_customer(keys, reference=reference))
    async with parts.database.write() as writer:
        await personal.put(writer, **row, value={"openid": made})


def _keeper(parts: Parts, payee: Payee) -> tuple[Keeper, Any]:
    channel = parts.gateways.channel(payee.channel)
    if not isinstance(channel, Keeper):
        raise Invalid("nothing is kept at this channel")
    try:
        return channel, parts.gateways.account(payee.channel, payee.keys_ref)
    except AccountUnreadable as error:
        raise Unavailable from error


def _value(outcome: Outcome[Any]) -> Any:  # noqa: ANN401 - the outcome's
    if not isinstance(outcome, Accepted):
        raise Unavailable("the payment channel does not answer")
    return outcome.value


def _row(who: Identity, kind: str, ref: str) -> dict[str, str]:
    return {
        "site_id": who.site_id,
        "subject": f"customer:{who.subject}",
        "kind": kind,
        "ref": ref,
    }
