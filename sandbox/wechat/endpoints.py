"""What `api.mch.weixin.qq.com` answers to: path by path, which act of WeChat Pay's parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.faults import Operation
from sandbox.wechat.bills import Download
from sandbox.wechat.merchants import Merchant
from sandbox.wechat.orders import require_own_mchid
from sandbox.wechat.protocol import WeChatError, parameter_error, seal
from sandbox.wechat.service import WeChatPay
from sandbox.wire import Json, china_time, texts

ORDERS = "/v3/pay/transactions"
PARTNER_ORDERS = "/v3/pay/partner/transactions"
COMBINED = "/v3/combine-transactions"
REFUNDS = "/v3/refund/domestic/refunds"
SPLITS = "/v3/profitsharing"
COMPLAINTS = "/v3/merchant-service/complaints-v2"
COMPLAINT_URL = "/v3/merchant-service/complaint-notifications"
TRADE_TYPES = {"jsapi": "JSAPI", "native": "NATIVE", "h5": "MWEB", "app": "APP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated request."""

    merchant: Merchant
    """Who signed it."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    serial: str = ""
    """Which of WeChat's keys personal fields are encrypted for."""

    def required(self, name: str) -> str:
        """A parameter of the query; PARAM_ERROR."""
        value = self.query.get(name)
        if not value:
            raise parameter_error(f"/query/{name}", None, "is required", "query")
        return value


Act = Callable[[Call], Json | Download | None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path, what faults call it, and what it does."""

    method: str
    path: str
    operation: Operation
    act: Act


def endpoints(wechat: WeChatPay) -> list[Endpoint]:
    """Everything the gateway answers to."""
    return [
        *_orders(wechat),
        *_combined(wechat),
        *_refunds(wechat),
        *_splits(wechat),
        *_bills(wechat),
        *_complaints(wechat),
        Endpoint("GET", "/v3/certificates", "certificates", lambda c: _certificates(wechat, c)),
    ]


def _orders(wechat: WeChatPay) -> list[Endpoint]:
    orders = wechat.orders

    def create(trade_type: str) -> Act:
        return lambda c: orders.create(c.merchant, trade_type, c.body)

    def create_for_partner(trade_type: str) -> Act:
        return lambda c: orders.create_for_partner(c.merchant, trade_type, c.body)

    def payee(call: Call) -> Merchant:
        partner = "sp_mchid" in call.query
        require_own_mchid(call.merchant, call.required("sp_mchid" if partner else "mchid"))
        return orders.payee(call.merchant, call.required("sub_mchid") if partner else None)

    def query(call: Call) -> Json:
        return orders.query(payee(call), call.path["out_trade_no"])

    def query_by_id(call: Call) -> Json:
        return orders.query_by_transaction_id(payee(call), call.path["transaction_id"])

    def close(call: Call) -> None:
        orders.close(call.merchant, call.path["out_trade_no"], call.body)

    served = []
    for base, make in ((ORDERS, create), (PARTNER_ORDERS, create_for_partner)):
        served += [
            *(
                Endpoint("POST", f"{base}/{kind}", "create", make(trade_type))
                for kind, trade_type in TRADE_TYPES.items()
            ),
            Endpoint("GET", f"{base}/out-trade-no/{{out_trade_no}}", "query", query),
            Endpoint("GET", f"{base}/id/{{transaction_id}}", "query", query_by_id),
            Endpoint("POST", f"{base}/out-trade-no/{{out_trade_no}}/close", "close", close),
        ]
    return served


def _combined(wechat: WeChatPay) -> list[Endpoint]:
    combined = wechat.combined

    def create(trade_type: str) -> Act:
        return lambda c: combined.create(c.merchant, trade_type, c.body)

    one = f"{COMBINED}/out-trade-no/{{out_trade_no}}"
    return [
        *(
            Endpoint("POST", f"{COMBINED}/{kind}", "create", create(trade_type))
            for kind, trade_type in TRADE_TYPES.items()
        ),
        Endpoint("GET", one, "query", lambda c: combined.query(c.merchant, c.path["out_trade_no"])),
        Endpoint(
            "POST",
            f"{one}/close",
            "close",
            lambda c: combined.close(c.merchant, c.path["out_trade_no"], c.body),
        ),
    ]


def _refunds(wechat: WeChatPay) -> list[Endpoint]:
    refunds = wechat.refunds

    def query(call: Call) -> Json:
        payee = wechat.orders.payee(call.merchant, call.query.get("sub_mchid"))
        return refunds.query(payee, call.path["out_refund_no"])

    return [
        Endpoint("POST", REFUNDS, "refund", lambda c: refunds.create(c.merchant, c.body)),
        Endpoint("GET", f"{REFUNDS}/{{out_refund_no}}", "refund_query", query),
        Endpoint(
            "POST",
            f"{REFUNDS}/{{refund_id}}/apply-abnormal-refund",
            "refund",
            _with_personal(
                wechat,
                lambda c: refunds.retry_abnormal(c.merchant, c.path["refund_id"], c.body),
                "bank_account",
                "real_name",
            ),
        ),
    ]


def _splits(wechat: WeChatPay) -> list[Endpoint]:
    splits, returns = wechat.splits, wechat.split_returns

    def payee(call: Call) -> Merchant:
        return wechat.orders.payee(call.merchant, call.query.get("sub_mchid"))

    def query(call: Call) -> Json:
        call.required("transaction_id")
        return splits.query(payee(call), call.path["out_order_no"])

    def query_return(call: Call) -> Json:
        number = call.required("out_order_no")
        return returns.query(payee(call), number, call.path["out_return_no"])

    def amounts(call: Call) -> Json:
        return splits.amounts(payee(call), call.path["transaction_id"])

    def configs(call: Call) -> Json:
        return splits.configs(wechat.orders.payee(call.merchant, call.path["sub_mchid"]))

    return [
        Endpoint(
            "POST",
            f"{SPLITS}/receivers/add",
            "receivers",
            _with_personal(wechat, lambda c: splits.add_receiver(c.merchant, c.body), "name"),
        ),
        Endpoint(
            "POST",
            f"{SPLITS}/receivers/delete",
            "receivers",
            lambda c: splits.delete_receiver(c.merchant, c.body),
        ),
        Endpoint("POST", f"{SPLITS}/orders", "split", lambda c: splits.create(c.merchant, c.body)),
        Endpoint(
            "POST",
            f"{SPLITS}/orders/unfreeze",
            "unfreeze",
            lambda c: splits.unfreeze(c.merchant, c.body),
        ),
        Endpoint("GET", f"{SPLITS}/orders/{{out_order_no}}", "split_query", query),
        Endpoint(
            "POST",
            f"{SPLITS}/return-orders",
            "split_return",
            lambda c: returns.create(c.merchant, c.body),
        ),
        Endpoint(
            "GET", f"{SPLITS}/return-orders/{{out_return_no}}", "split_return_query", query_return
        ),
        Endpoint(
            "GET", f"{SPLITS}/transactions/{{transaction_id}}/amounts", "split_query", amounts
        ),
        Endpoint("GET", f"{SPLITS}/merchant-configs/{{sub_mchid}}", "split_query", configs),
    ]


def _bills(wechat: WeChatPay) -> list[Endpoint]:
    bills = wechat.bills

    def trade(call: Call) -> Json:
        sub_mchid = call.query.get("sub_mchid")
        own = wechat.merchants.of_partner(call.merchant.mchid)
        payees = [wechat.orders.payee(call.merchant, sub_mchid)] if sub_mchid else own
        return bills.trade(call.merchant, payees or [call.merchant], dict(call.query))

    return [
        Endpoint("GET", "/v3/bill/tradebill", "bill", trade),
        Endpoint(
            "GET",
            "/v3/bill/fundflowbill",
            "bill",
            lambda c: bills.funds(c.merchant, dict(c.query)),
        ),
        Endpoint(
            "GET",
            "/v3/billdownload/file",
            "bill_download",
            lambda c: bills.download(c.merchant, c.required("token")),
        ),
    ]


def _complaints(wechat: WeChatPay) -> list[Endpoint]:
    complaints = wechat.complaints

    def listed(call: Call) -> Json:
        mchid = call.query.get("complainted_mchid", call.merchant.mchid)
        own = mchid == call.merchant.mchid
        payee = wechat.orders.payee(call.merchant, None if own else mchid)
        return complaints.list(payee, dict(call.query))

    def one(act: Callable[[Merchant, str], Json]) -> Act:
        return lambda c: act(c.merchant, c.path["complaint_id"])

    def change(act: Callable[[Merchant, str, bytes], None]) -> Act:
        return lambda c: act(c.merchant, c.path["complaint_id"], c.body)

    def notify_at(*, new: bool) -> Act:
        return lambda c: complaints.notify_at(c.merchant, c.body, new=new)

    path = f"{COMPLAINTS}/{{complaint_id}}"
    acts: list[tuple[str, str, Act]] = [
        ("GET", COMPLAINTS, listed),
        ("GET", path, one(complaints.query)),
        ("GET", f"{path}/negotiation-historys", one(complaints.history)),
        ("POST", f"{path}/response", change(complaints.respond)),
        ("POST", f"{path}/complete", change(complaints.complete)),
        ("POST", f"{path}/update-refund-progress", change(complaints.refund_progress)),
        ("POST", COMPLAINT_URL, notify_at(new=True)),
        ("PUT", COMPLAINT_URL, notify_at(new=False)),
        ("GET", COMPLAINT_URL, lambda c: complaints.notified_at(c.merchant)),
        ("DELETE", COMPLAINT_URL, lambda c: complaints.notify_no_more(c.merchant)),
    ]
    return [Endpoint(method, path, "disputes", act) for method, path, act in acts]


def _with_personal(wechat: WeChatPay, act: Act, *names: str) -> Act:
    """An act whose body has fields that only WeChat can read; PARAM_ERROR if it can't."""

    def checked(call: Call) -> Json | Download | None:
        given = texts(call.body)
        for name in names:
            if name in given and not wechat.keys.opens(call.serial, given[name]):
                raise parameter_error(f"/{name}", given[name], "does not decrypt")
        return act(call)

    return checked


def _certificates(wechat: WeChatPay, call: Call) -> Json:
    if not call.merchant.certificates:
        text = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥"
        raise WeChatError(404, "RESOURCE_NOT_EXISTS", text)
    keys = wechat.keys
    sealed = seal(call.merchant.apiv3_key, keys.certificate_pem, "certificate")
    return {
        "data": [
            {
                "serial_no": keys.certificate.serial,
                "effective_time": china_time(keys.not_before.timestamp()),
                "expire_time": china_time(keys.not_after.timestamp()),
                "encrypt_certificate": sealed,
            }
        ]
    }
