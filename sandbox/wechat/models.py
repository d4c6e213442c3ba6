"""Bodies that merchants send, with their field rules; a broken rule is a PARAM_ERROR."""

import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sandbox.wechat.protocol import WeChatError, parameter_error
from sandbox.wire import Json, NotifyUrl, OutTradeNo


def _rfc3339(text: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None and "T" in text
    except ValueError:
        aware = False
    if not aware:
        raise ValueError("is not an RFC 3339 time")
    return text


class _Body(BaseModel):
    # Strict: "1" is no amount. Unknown names are ignored, as the gateway ignores them.
    model_config = ConfigDict(strict=True, extra="ignore")


class OrderAmount(_Body):
    """What is to be paid."""

    total: int = Field(gt=0, le=10**11)
    currency: Literal["CNY"] = "CNY"


class Payer(_Body):
    """Who pays, as the appid knows them."""

    openid: str = Field(min_length=1, max_length=128)


class PartnerPayer(_Body):
    """Who pays, as the service provider's appid or the sub-merchant's knows them."""

    sp_openid: str | None = Field(default=None, min_length=1, max_length=128)
    sub_openid: str | None = Field(default=None, min_length=1, max_length=128)


class SettleInfo(_Body):
    """What becomes of the money."""

    profit_sharing: bool = False


class H5Info(_Body):
    """What kind of page it is."""

    type: str = Field(min_length=1, max_length=32)


class SceneInfo(_Body):
    """Where the customer is."""

    payer_client_ip: str = Field(min_length=1, max_length=45)
    h5_info: H5Info | None = None


class Placed(_Body):
    """What every way of placing an order says."""

    time_expire: Annotated[str, AfterValidator(_rfc3339)] | None = None
    notify_url: NotifyUrl
    scene_info: SceneInfo | None = None


class _Order(Placed):
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: OutTradeNo
    attach: str = Field(default="", max_length=128)
    amount: OrderAmount
    settle_info: SettleInfo = SettleInfo()


class OrderBody(_Order):
    """`POST /v3/pay/transactions/{jsapi|native|h5|app}`."""

    appid: str = Field(min_length=1, max_length=32)
    mchid: str = Field(min_length=1, max_length=32)
    payer: Payer | None = None


class PartnerOrderBody(_Order):
    """`POST /v3/pay/partner/transactions/{jsapi|native|h5|app}`."""

    sp_appid: str = Field(min_length=1, max_length=32)
    sp_mchid: str = Field(min_length=1, max_length=32)
    sub_appid: str | None = Field(default=None, min_length=1, max_length=32)
    sub_mchid: str = Field(min_length=1, max_length=32)
    payer: PartnerPayer | None = None


class SubOrderAmount(_Body):
    """What is to be paid of a combined order for one of its orders."""

    total_amount: int = Field(gt=0, le=10**11)
    currency: Literal["CNY"]


class SubOrder(_Body):
    """One of a combined order's orders."""

    mchid: str = Field(min_length=1, max_length=32)
    sub_mchid: str | None = Field(default=None, min_length=1, max_length=32)
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: OutTradeNo
    attach: str = Field(min_length=1, max_length=128)
    amount: SubOrderAmount
    settle_info: SettleInfo = SettleInfo()


class CombineBody(Placed):
    """`POST /v3/combine-transactions/{jsapi|native|h5|app}`."""

    combine_appid: str = Field(min_length=1, max_length=32)
    combine_mchid: str = Field(min_length=1, max_length=32)
    combine_out_trade_no: OutTradeNo
    sub_orders: list[SubOrder] = Field(min_length=2, max_length=50)
    combine_payer_info: Payer | None = None


class ClosedSubOrder(_Body):
    """One of the orders that are closed together."""

    mchid: str
    sub_mchid: str | None = None
    out_trade_no: OutTradeNo


class CombineCloseBody(_Body):
    """`POST /v3/combine-transactions/out-trade-no/{combine_out_trade_no}/close`."""

    combine_appid: str
    sub_orders: list[ClosedSubOrder]


class CloseBody(_Body):
    """`POST …/out-trade-no/{out_trade_no}/close`; a service provider's names two numbers."""

    mchid: str | None = None
    sp_mchid: str | None = None
    sub_mchid: str | None = None


class RefundAmount(_Body):
    """What goes back, and of how much."""

    refund: int = Field(gt=0)
    total: int = Field(gt=0)
    currency: Literal["CNY"]


class RefundBody(_Body):
    """`POST /v3/refund/domestic/refunds`."""

    sub_mchid: str | None = None
    transaction_id: str | None = Field(default=None, min_length=1, max_length=32)
    out_trade_no: OutTradeNo | None = None
    out_refund_no: str = Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")
    reason: str | None = Field(default=None, max_length=80)
    notify_url: NotifyUrl | None = None
    amount: RefundAmount


class AbnormalRefundBody(_Body):
    """`POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund`."""

    sub_mchid: str | None = None
    out_refund_no: str
    type: Literal["USER_BANK_CARD", "MERCHANT_BANK_CARD"]
    bank_type: str | None = None
    bank_account: str | None = None
    real_name: str | None = None


SplitNo = Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")]
ReceiverType = Literal["MERCHANT_ID", "PERSONAL_OPENID", "PERSONAL_SUB_OPENID"]


class ReceiverBody(_Body):
    """`POST /v3/profitsharing/receivers/{add|delete}`."""

    sub_mchid: str | None = None
    appid: str
    type: ReceiverType
    account: str = Field(min_length=1, max_length=64)
    name: str | None = None
    relation_type: str = Field(default="", max_length=32)


class ShareBody(_Body):
    """One receiver's share."""

    type: ReceiverType
    account: str = Field(min_length=1, max_length=64)
    amount: int = Field(gt=0)
    description: str = Field(min_length=1, max_length=80)
    name: str | None = None


class SplitBody(_Body):
    """`POST /v3/profitsharing/orders`."""

    sub_mchid: str | None = None
    appid: str
    transaction_id: str = Field(min_length=1, max_length=32)
    out_order_no: SplitNo
    receivers: list[ShareBody] = Field(min_length=1, max_length=50)
    unfreeze_unsplit: bool


class UnfreezeBody(_Body):
    """`POST /v3/profitsharing/orders/unfreeze`."""

    sub_mchid: str | None = None
    transaction_id: str = Field(min_length=1, max_length=32)
    out_order_no: SplitNo
    description: str = Field(min_length=1, max_length=80)


class ReturnBody(_Body):
    """`POST /v3/profitsharing/return-orders`."""

    sub_mchid: str | None = None
    order_id: str | None = None
    out_order_no: SplitNo | None = None
    out_return_no: SplitNo
    return_mchid: str
    amount: int = Field(gt=0)
    description: str = Field(min_length=1, max_length=80)


class ComplaintUrlBody(_Body):
    """`POST`, `PUT /v3/merchant-service/complaint-notifications`."""

    url: NotifyUrl


class ComplaintBody(_Body):
    """`POST /v3/merchant-service/complaints-v2/{complaint_id}/…`."""

    complainted_mchid: str


class ComplaintResponseBody(ComplaintBody):
    """`…/response`."""

    response_content: str = Field(min_length=1, max_length=200)


class RefundProgressBody(_Body):
    """`…/update-refund-progress`."""

    action: Literal["APPROVE", "REJECT"]
    launch_refund_day: int | None = Field(default=None, ge=0)
    reject_reason: str | None = Field(default=None, max_length=200)


Body = TypeVar("Body", bound=_Body)


def parse(model: type[Body], raw: bytes) -> tuple[Body, Json]:
    """Return the checked body and the JSON it came from; `WeChatError` PARAM_ERROR."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WeChatError(400, "PARAM_ERROR", "请求体不是合法的 JSON") from error
    if not isinstance(parsed, dict):
        raise WeChatError(400, "PARAM_ERROR", "请求体不是 JSON 对象")
    try:
        return model.model_validate(parsed), parsed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        pointer = "/" + "/".join(str(step) for step in first["loc"])
        value = None if first["type"] == "missing" else first["input"]
        raise parameter_error(pointer, value, first["msg"]) from error
