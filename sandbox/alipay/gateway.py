"""The HTTP edge of Alipay's open gateway: who asks, is it signed, and the signed answer."""

import asyncio
import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sandbox.alipay.merchants import Merchant
from sandbox.alipay.models import (
    BillName,
    NewRefund,
    NewSettlement,
    NewTrade,
    RefundName,
    Relation,
    SettlementName,
    TradeName,
    parse,
)
from sandbox.alipay.protocol import (
    CHANNEL,
    CLOCK_SKEW_SECONDS,
    AlipayError,
    business_error,
    dump,
    seconds_of,
    signed_text,
    yuan,
)
from sandbox.alipay.service import Alipay
from sandbox.faults import BLEMISHES, Fault, FaultScript, Meeting, Operation
from sandbox.gateways import cut, read_body
from sandbox.keys import is_signed, sign
from sandbox.wire import Json

MAX_BODY_BYTES = 64 * 1024
PAGES = frozenset({"alipay.trade.wap.pay", "alipay.trade.page.pay"})

_BROKEN = {Fault.HTTP_500: 500, Fault.HTTP_502: 502}
_DOUBTS = {
    Fault.HTTP_202: AlipayError("20000", "aop.unknow-error", "系统繁忙"),
    Fault.HTTP_429: AlipayError("40005", "isv.app-call-limited", "应用调用次数超限"),
    Fault.SYSTEM_ERROR: business_error("SYSTEM_ERROR", "系统错误，请用原参数重试"),
}
"""What Alipay says with HTTP 200 where others have a status for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One authenticated request."""

    merchant: Merchant
    method: str
    notify_url: str
    content: str


_Act = Callable[[_Call], Json]


def create_gateway(alipay: Alipay) -> Starlette:
    """Make the application of `openapi.alipay.com` and of the host of bills."""
    gateway = _Gateway(alipay)
    return Starlette(
        routes=[
            Route("/gateway.do", gateway.answer, methods=["GET", "POST"]),
            Route("/downloadBillFile.resource", gateway.download, methods=["GET"]),
        ]
    )


class _Gateway:
    def __init__(self, alipay: Alipay) -> None:
        self._alipay = alipay
        self._acts: dict[str, tuple[Operation, _Act]] = {
            "alipay.trade.create": ("create", self._create),
            "alipay.trade.precreate": ("create", self._precreate),
            "alipay.trade.query": ("query", self._query),
            "alipay.trade.close": ("close", self._close),
            "alipay.trade.cancel": ("close", self._cancel),
            "alipay.trade.refund": ("refund", self._refund),
            "alipay.trade.fastpay.refund.query": ("refund_query", self._query_refund),
            "alipay.trade.order.settle": ("split", self._settle),
            "alipay.trade.order.settle.query": ("split_query", self._query_settlement),
            "alipay.trade.royalty.relation.bind": ("receivers", self._bind),
            "alipay.trade.royalty.relation.unbind": ("receivers", self._unbind),
            "alipay.data.dataservice.bill.downloadurl.query": ("bill", self._bill),
        }

    def _create(self, call: _Call) -> Json:
        body, asked = parse(NewTrade, call.content)
        return self._alipay.trades.create(call.merchant, body, asked, call.notify_url)

    def _precreate(self, call: _Call) -> Json:
        body, asked = parse(NewTrade, call.content)
        return self._alipay.trades.precreate(call.merchant, body, asked, call.notify_url)

    def _query(self, call: _Call) -> Json:
        return self._alipay.trades.query(call.merchant, parse(TradeName, call.content)[0])

    def _close(self, call: _Call) -> Json:
        return self._alipay.trades.close(call.merchant, parse(TradeName, call.content)[0])

    def _cancel(self, call: _Call) -> Json:
        return self._alipay.refunds.cancel(call.merchant, parse(TradeName, call.content)[0])

    def _refund(self, call: _Call) -> Json:
        return self._alipay.refunds.create(call.merchant, parse(NewRefund, call.content)[0])

    def _query_refund(self, call: _Call) -> Json:
        return self._alipay.refunds.query(call.merchant, parse(RefundName, call.content)[0])

    def _settle(self, call: _Call) -> Json:
        return self._alipay.royalties.settle(call.merchant, *parse(NewSettlement, call.content))

    def _query_settlement(self, call: _Call) -> Json:
        return self._alipay.royalties.query(call.merchant, parse(SettlementName, call.content)[0])

    def _bind(self, call: _Call) -> Json:
        return self._alipay.royalties.bind(call.merchant, parse(Relation, call.content)[0])

    def _unbind(self, call: _Call) -> Json:
        return self._alipay.royalties.unbind(call.merchant, parse(Relation, call.content)[0])

    def _bill(self, call: _Call) -> Json:
        return self._alipay.bills.address(call.merchant, parse(BillName, call.content)[0])

    async def answer(self, request: Request) -> Response:
        """Answer one call; gateway refusals come without a signature, as in life."""
        try:
            call = self._authenticated(await _parameters(request))
        except AlipayError as error:
            return _text(dump({"error_response": error.node}))
        if call.method in PAGES:
            return self._page(call)
        operation, act = self._acts[call.method]
        fault = self._alipay.faults.draw(self._meeting(operation, call))
        if fault is None:
            return _signed(call, _outcome(act, call))
        return await _faulty_answer(request, act, call, fault)

    async def download(self, request: Request) -> Response:
        """Give a bill to whoever holds a fresh address; an old one is an ordinary page."""
        found = self._alipay.bills.download(request.query_params)
        if found is None:
            return HTMLResponse("<html><body>下载链接已失效</body></html>")
        seller_id, content = found
        fault = self._alipay.faults.draw(
            Meeting(channel=CHANNEL, operation="bill_download", mchid=seller_id)
        )
        if fault is not None:
            await asyncio.sleep(fault.delay_seconds)
            if fault.fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT}:
                return await cut(request)
            if fault.fault in _BROKEN:
                return Response(status_code=_BROKEN[fault.fault])
            if fault.fault in BLEMISHES:
                content = content[: len(content) // 2]
        return Response(content, media_type="application/zip")

    def _authenticated(self, parameters: Mapping[str, str]) -> _Call:
        """Check a request's public parameters, then its signature."""
        for name in ("app_id", "method", "timestamp", "sign"):
            if not parameters.get(name):
                wrong = "signature" if name == "sign" else name.replace("_", "-")
                raise AlipayError("40001", f"isv.missing-{wrong}", f"缺少 {name} 参数")
        merchant = self._alipay.merchants.find_app(parameters["app_id"])
        if merchant is None:
            raise _invalid("app-id", "无效的 AppID 参数")
        method = parameters["method"]
        if method not in self._acts and method not in PAGES:
            raise _invalid("method", "不存在的方法名")
        if parameters.get("sign_type") != "RSA2":
            raise _invalid("signature-type", "无效的签名类型")
        if parameters.get("charset", "").lower() != "utf-8":
            raise _invalid("charset", "无效的字符集")
        try:
            skew = abs(time.time() - seconds_of(parameters["timestamp"]))
        except ValueError as error:
            raise _invalid("timestamp", "非法的时间戳参数") from error
        if skew > CLOCK_SKEW_SECONDS:
            raise _invalid("timestamp", "时间戳与北京时间相差过大")
        covered = {name: value for name, value in parameters.items() if name != "sign"}
        if not is_signed(merchant.app_public_key, signed_text(covered), parameters["sign"]):
            raise _invalid("signature", "验签出错，请确认私钥与应用公钥匹配")
        return _Call(
            merchant=merchant,
            method=method,
            notify_url=parameters.get("notify_url", ""),
            content=parameters.get("biz_content", "{}"),
        )

    def _page(self, call: _Call) -> Response:
        try:
            body, asked = parse(NewTrade, call.content)
            row = self._alipay.trades.open_page(call.merchant, body, asked, call.notify_url)
        except AlipayError as error:
            return HTMLResponse(f"<html><body>{html.escape(error.sub_code)}</body></html>")
        shown = f"{html.escape(row['subject'])} ¥{yuan(row['amount_fen'])} {row['trade_no']}"
        return HTMLResponse(f"<html><body>{shown}</body></html>")

    def _meeting(self, operation: Operation, call: _Call) -> Meeting:
        try:
            named = parse(RefundName, call.content)[0]
        except AlipayError:
            try:
                name = parse(TradeName, call.content)[0]
            except AlipayError:
                name = TradeName()
            named = RefundName(**name.model_dump(), out_request_no="")
        out_trade_no = named.out_trade_no
        if named.trade_no:
            row = self._alipay.trades.named(call.merchant.seller_id, named)
            out_trade_no = row["out_trade_no"] if row else None
        return Meeting(
            channel=CHANNEL,
            operation=operation,
            mchid=call.merchant.seller_id,
            out_trade_no=out_trade_no,
            out_refund_no=named.out_request_no or None,
        )


async def _parameters(request: Request) -> dict[str, str]:
    """Return the parameters of query and form, each once; SDKs spread them as they like."""
    refusal = _invalid("parameter", "请求体过大")
    body = await read_body(request, max_bytes=MAX_BODY_BYTES, too_large=refusal)
    try:
        query: bytes = request.scope["query_string"]
        pairs = parse_qsl(query.decode("ascii"), errors="strict")
        pairs += parse_qsl(body.decode("ascii"), errors="strict")
    except ValueError as error:
        raise _invalid("encoding", "参数编码错误") from error
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise _invalid("parameter", "参数重复")
    return parameters


def _outcome(act: _Act, call: _Call) -> Json:
    try:
        return act(call)
    except AlipayError as error:
        return error.node


async def _faulty_answer(request: Request, act: _Act, call: _Call, fault: FaultScript) -> Response:
    await asyncio.sleep(fault.delay_seconds)
    node = _outcome(act, call) if fault.is_effective else {}
    if fault.fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT}:
        return await cut(request)
    if fault.fault in _BROKEN:
        return Response(status_code=_BROKEN[fault.fault])
    if fault.fault in _DOUBTS:
        return _signed(call, _DOUBTS[fault.fault].node)
    return _signed(call, node, is_spoiled=fault.fault in BLEMISHES)


def _signed(call: _Call, node: Json, *, is_spoiled: bool = False) -> Response:
    content = dump(node)
    signature = sign(call.merchant.alipay_key, b"other" if is_spoiled else content.encode())
    name = call.method.replace(".", "_") + "_response"
    return _text(f'{{"{name}":{content},"sign":"{signature}"}}')


def _text(content: str) -> Response:
    return Response(content, media_type="text/html;charset=utf-8")


def _invalid(name: str, text: str) -> AlipayError:
    return AlipayError("40002", f"isv.invalid-{name}", text)
