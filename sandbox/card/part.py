"""Stripe as a part of the outside world."""

from sandbox.card.control import create_control
from sandbox.card.gateway import create_gateway
from sandbox.card.service import Stripe
from sandbox.card.wire import HOSTS
from sandbox.faults import Faults
from sandbox.internet import Authority, PublicInternet
from sandbox.part import Part
from sandbox.settings import Settings
from sandbox.store import Store


def create_part(
    settings: Settings,
    store: Store,
    authority: Authority,  # noqa: ARG001 (Stripe signs with shared secrets, not certificates)
    internet: PublicInternet,
    faults: Faults,
) -> Part:
    """Make `api.stripe.com` and its control interface."""
    stripe = Stripe(settings, store, internet, faults)
    return Part(
        hosts=HOSTS,
        gateway=create_gateway(stripe),
        controls=(create_control(stripe),),
        run=stripe.run,
    )
