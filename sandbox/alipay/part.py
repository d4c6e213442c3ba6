"""Alipay as a part of the outside world."""

from sandbox.alipay.control import create_control
from sandbox.alipay.gateway import create_gateway
from sandbox.alipay.protocol import BILL_HOST, GATEWAY_HOST
from sandbox.alipay.service import Alipay
from sandbox.faults import Faults
from sandbox.internet import Authority, PublicInternet
from sandbox.part import Part
from sandbox.settings import Settings
from sandbox.store import Store


def create_part(
    settings: Settings,
    store: Store,
    authority: Authority,  # noqa: ARG001 (every part's maker is called alike)
    internet: PublicInternet,
    faults: Faults,
) -> Part:
    """Make Alipay; nothing runs until its `run`."""
    alipay = Alipay(settings, store, internet, faults)
    return Part(
        hosts=(GATEWAY_HOST, BILL_HOST),
        gateway=create_gateway(alipay),
        controls=(create_control(alipay),),
        run=alipay.run,
    )
