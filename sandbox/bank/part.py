"""The bank as a part of the outside world."""

from sandbox.bank.control import create_control
from sandbox.bank.gateway import create_gateway
from sandbox.bank.protocol import HOST
from sandbox.bank.service import Bank
from sandbox.faults import Faults
from sandbox.internet import Authority, PublicInternet
from sandbox.part import Part
from sandbox.settings import Settings
from sandbox.store import Store


def create_part(
    settings: Settings,
    store: Store,
    authority: Authority,  # noqa: ARG001 (every part is made alike; the bank issues nothing)
    internet: PublicInternet,
    faults: Faults,
) -> Part:
    """Make the bank; nothing runs until the part's `run`."""
    bank = Bank(settings, store, internet, faults)
    return Part(
        hosts=(HOST,),
        gateway=create_gateway(bank),
        controls=(create_control(bank),),
        run=bank.run,
    )
