"""What WeChat Pay tells us, read strictly out of its JSON; whether it is signed is not asked here.

Everything raises ValueError where the JSON isn't what the protocol describes.
"""

from collections.abc import Mapping

from domain.channels import Opened, RefundSaid, TradeState, Transaction
from services.channel_json import Json, fen, optional_moment, optional_text, section, text

CURRENCY = "CNY"
HANDLES = ("prepay_id", "code_url", "h5_url")
TRADE_STATES: Mapping[str, TradeState] = {
    "NOTPAY": TradeState.OPEN,
    "PAYERROR": TradeState.OPEN,
    "USERPAYING": TradeState.CHECKING,
    "ACCEPT": TradeState.CHECKING,
    "SUCCESS": TradeState.PAID,
    "REFUND": TradeState.PAID,
    "CLOSED": TradeState.CLOSED,
    "REVOKED": TradeState.CLOSED,
}
REFUND_STATES = frozenset({"PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"})


def read_opened(data: Json) -> Opened:
    """The answer to a create."""
    handles = {name: text(data, name) for name in HANDLES if data.get(name)}
    if not handles:
        raise ValueError("nothing to pay with")
    return Opened(handles=handles)


def read_transaction(data: Json) -> Transaction:
    """The answer to a query, or the opened resource of a payment notice.

    Through a service provider the payee is the sub-merchant.
    """
    said = text(data, "trade_state")
    state = TRADE_STATES.get(said)
    if state is None:
        raise ValueError("trade_state is none we know")
    paid = state is TradeState.PAID
    amount = section(data, "amount") if paid or "amount" in data else {}
    partner = "sub_mchid" in data
    return Transaction(
        mchid=text(data, "sub_mchid" if partner else "mchid"),
        appid=(partner and optional_text(data, "sub_appid"))
        or text(data, "sp_appid" if partner else "appid"),
        out_trade_no=text(data, "out_trade_no"),
        transaction_id=(text if paid else optional_text)(data, "transaction_id"),
        state=state,
        amount_fen=fen(amount, "total") if paid or amount else 0,
        currency=optional_text(amount, "currency") or CURRENCY,
        success_time=optional_moment(data, "success_time"),
        failure_code=said if said == "PAYERROR" else "",
    )


def read_refund(data: Json, *, status_field: str = "status") -> RefundSaid:
    """The answer to a refund or its query; notices call the status `refund_status`."""
    amount = section(data, "amount")
    status = text(data, status_field)
    if status not in REFUND_STATES:
        raise ValueError("a status we do not know")
    return RefundSaid(
        out_refund_no=text(data, "out_refund_no"),
        refund_id=text(data, "refund_id"),
        state=status.lower(),
        refund_fen=fen(amount, "refund"),
        total_fen=fen(amount, "total"),
    )
