"""What merchants ask for in `biz_content`, with its field rules."""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sandbox.alipay.protocol import AlipayError, business_error, fen, seconds_of
from sandbox.wire import Json

MAX_RECEIVERS = 20


def _amount(value: object) -> int:
    # Amounts come as text or, from some SDKs, as JSON numbers.
    return fen(str(value))


def _moment(text: str) -> str:
    seconds_of(text)
    return text


Amount = Annotated[int, BeforeValidator(_amount), Field(gt=0, le=10**11)]
Moment = Annotated[str, AfterValidator(_moment)]
OutTradeNo = Annotated[str, Field(pattern=r"^[0-9A-Za-z_]{1,64}$")]


class _Body(BaseModel):
    # Unknown names are ignored, as the gateway ignores them.
    model_config = ConfigDict(extra="ignore")


class TradeExtension(_Body):
    """`extend_params` of a new trade: 花呗 instalments and money kept back for sharing."""

    hb_fq_num: Literal["3", "6", "12"] | None = None
    hb_fq_seller_percent: Literal["0", "100"] = "0"
    royalty_freeze: Literal["true", "false"] = "false"


class NewTrade(_Body):
    """`alipay.trade.create`, `precreate`, `wap.pay` and `page.pay`."""

    out_trade_no: OutTradeNo
    total_amount: Amount
    subject: str = Field(min_length=1, max_length=256)
    buyer_id: str | None = Field(default=None, pattern=r"^2088[0-9]{12}$")
    buyer_open_id: str | None = Field(default=None, min_length=1, max_length=128)
    time_expire: Moment | None = None
    extend_params: TradeExtension = TradeExtension()


class TradeName(_Body):
    """Which trade: by either number; `trade_no` wins where both are given."""

    out_trade_no: str | None = None
    trade_no: str | None = None


class NewRefund(TradeName):
    """`alipay.trade.refund`."""

    refund_amount: Amount
    out_request_no: str | None = Field(default=None, pattern=r"^[0-9A-Za-z_\-]{1,64}$")
    refund_reason: str | None = Field(default=None, max_length=256)


class RefundName(TradeName):
    """`alipay.trade.fastpay.refund.query`."""

    out_request_no: str


class Royalty(_Body):
    """One receiver's share."""

    trans_in: str = Field(pattern=r"^2088[0-9]{12}$")
    amount: Amount
    desc: str | None = Field(default=None, max_length=1000)


class SettleExtension(_Body):
    """`extend_params` of a settlement."""

    royalty_finish: Literal["true", "false"] = "false"


class NewSettlement(_Body):
    """`alipay.trade.order.settle`."""

    out_request_no: str = Field(pattern=r"^[0-9A-Za-z_\-]{1,64}$")
    trade_no: str
    royalty_parameters: list[Royalty] = Field(default=[], max_length=MAX_RECEIVERS)
    extend_params: SettleExtension = SettleExtension()


class SettlementName(_Body):
    """`alipay.trade.order.settle.query`."""

    settle_no: str | None = None
    out_request_no: str | None = None
    trade_no: str | None = None


class Receiver(_Body):
    """Somebody who may receive shares."""

    type: Literal["userId"] = "userId"
    account: str = Field(pattern=r"^2088[0-9]{12}$")


class Relation(_Body):
    """`alipay.trade.royalty.relation.bind` and `unbind`."""

    receiver_list: list[Receiver] = Field(min_length=1, max_length=MAX_RECEIVERS)
    out_request_no: str


class BillName(_Body):
    """`alipay.data.dataservice.bill.downloadurl.query`; days only."""

    bill_type: Literal["trade", "signcustomer"]
    bill_date: str = Field(pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}$")


Body = TypeVar("Body", bound=_Body)


def parse(model: type[Body], raw: str) -> tuple[Body, Json]:
    """Return the checked body and the JSON it came from; `AlipayError` INVALID_PARAMETER."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise AlipayError("40002", "isv.invalid-parameter", "biz_content 不是 JSON") from error
    if not isinstance(parsed, dict):
        raise AlipayError("40002", "isv.invalid-parameter", "biz_content 不是 JSON 对象")
    try:
        return model.model_validate(parsed), parsed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise business_error("INVALID_PARAMETER", f"参数无效：{where}") from error
