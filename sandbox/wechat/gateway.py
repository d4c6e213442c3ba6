"""The HTTP edge of WeChat Pay v3: who asks, is the request signed, and the signed answer."""

import asyncio
import gzip
import time
import uuid
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import BLEMISHES, Blemish, Fault, FaultScript, Meeting, Operation
from sandbox.gateways import cut, read_body
from sandbox.keys import is_signed
from sandbox.wechat.bills import Download
from sandbox.wechat.endpoints import Act, Call, Endpoint, endpoints
from sandbox.wechat.keys import Signer
from sandbox.wechat.merchants import Merchant
from sandbox.wechat.protocol import (
    CHANNEL,
    CLOCK_SKEW_SECONDS,
    WeChatError,
    parameter_error,
    parse_authorization,
    signed_lines,
)
from sandbox.wechat.service import WeChatPay
from sandbox.wire import Json, dump, texts

MAX_BODY_BYTES = 64 * 1024

_BREAKDOWNS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.HTTP_500: (500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
    Fault.SYSTEM_ERROR: (500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
    Fault.HTTP_502: (502, "SERVICE_UNAVAILABLE", "服务不可用，请稍后重试"),
    Fault.HTTP_429: (429, "FREQUENCY_LIMITED", "频率超限"),
}
_ACCEPTED = {"code": "ACCEPTED", "message": "请求已受理，请使用原参数重新调用"}


def create_gateway(wechat: WeChatPay) -> Starlette:
    """Make the application of `api.mch.weixin.qq.com` and `api.weixin.qq.com`."""
    gateway = _Gateway(wechat)
    return Starlette(
        routes=[
            *(gateway.route(endpoint) for endpoint in endpoints(wechat)),
            *wechat.mini_programs.routes(),
        ],
        exception_handlers={404: _empty, 405: _empty},
    )


class _Gateway:
    def __init__(self, wechat: WeChatPay) -> None:
        self._wechat = wechat

    def route(self, served: Endpoint) -> Route:
        """Wrap an act into authentication, faults and the signed answer."""
        operation, act = served.operation, served.act

        async def endpoint(request: Request) -> Response:
            try:
                call = await self._authenticated(request, operation)
                signer = self._signer(request, call.merchant)
            except WeChatError as error:
                return _refusal(error)
            fault = self._wechat.faults.draw(self._meeting(operation, call))
            if fault is None:
                return _answer(act, call, signer, None)
            return await _faulty_answer(request, act, call, signer, fault)

        # Starlette adds HEAD to GET by itself; the gateway has none.
        route = Route(served.path, endpoint, methods=[served.method])
        route.methods = {served.method}
        return route

    async def _authenticated(self, request: Request, operation: Operation) -> Call:
        """Check a request as §1.2 orders: headers, clock, serial number, then the signature."""
        strict = operation in {"certificates", "refund", "refund_query"}
        for name in ("User-Agent", "Accept"):
            if strict and not request.headers.get(name):
                raise parameter_error(name, None, "is required", "header")
        body = await _body(request)
        authorization = parse_authorization(request.headers.get("Authorization", ""))
        if authorization is None:
            raise _sign_error(
                "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
            )
        if abs(time.time() - int(authorization.timestamp)) > CLOCK_SKEW_SECONDS:
            raise _sign_error("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        merchant = self._wechat.merchants.find(authorization.mchid)
        if merchant is None or authorization.serial_no.upper() != merchant.serial_no:
            raise _sign_error("商户证书序列号有误。请使用签名私钥匹配的证书序列号")
        query: bytes = request.scope["query_string"]
        target: bytes = request.scope["raw_path"] + (b"?" + query if query else b"")
        message = signed_lines(
            request.method, target, authorization.timestamp, authorization.nonce_str, body
        )
        if not is_signed(merchant.public_key, message, authorization.signature):
            raise _sign_error("错误的签名，验签失败")
        return Call(
            merchant=merchant,
            path=request.path_params,
            query=request.query_params,
            body=body,
            serial=request.headers.get("Wechatpay-Serial", ""),
        )

    def _signer(self, request: Request, merchant: Merchant) -> Signer:
        """Return the key the client asked for by `Wechatpay-Serial` (§1.3)."""
        keys = self._wechat.keys
        wanted = request.headers.get("Wechatpay-Serial")
        if wanted == keys.public_key.serial or not merchant.certificates:
            return keys.public_key
        if wanted in {None, keys.certificate.serial}:
            return keys.certificate
        raise parameter_error("Wechatpay-Serial", wanted, "is no key of WeChat Pay", "header")

    def _meeting(self, operation: Operation, call: Call) -> Meeting:
        numbers = dict(call.query) | texts(call.body) | dict(call.path)
        mchid = numbers.get("sub_mchid", call.merchant.mchid)
        out_trade_no = numbers.get("out_trade_no")
        if out_trade_no is None and "transaction_id" in numbers:
            row = self._wechat.orders.find_paid(mchid, numbers["transaction_id"])
            out_trade_no = row["out_trade_no"] if row else None
        return Meeting(
            channel=CHANNEL,
            operation=operation,
            mchid=mchid,
            out_trade_no=out_trade_no,
            out_refund_no=numbers.get("out_refund_no"),
        )


def _answer(act: Act, call: Call, signer: Signer, fault: FaultScript | None) -> Response:
    try:
        result = act(call)
    except WeChatError as error:
        return _refusal(error)
    if isinstance(result, Download):
        return _file(result, fault)
    return _signed(200 if result is not None else 204, result, signer, fault)


def _file(download: Download, fault: FaultScript | None) -> Response:
    """A bill, which is not signed: its hash was. A blemish damages it."""
    blemish = BLEMISHES.get(fault.fault) if fault is not None else None
    content = download.content
    if blemish is Blemish.BAD_SIGNATURE:
        content = content.replace(b"\n", b"\n\n", 1)
    if download.gzipped:
        content = gzip.compress(content)
    if blemish not in {None, Blemish.BAD_SIGNATURE}:
        content = content[: len(content) // 2]
    return Response(content, headers={"Request-ID": _request_id()}, media_type="text/plain")


async def _faulty_answer(
    request: Request, act: Act, call: Call, signer: Signer, fault: FaultScript
) -> Response:
    await asyncio.sleep(fault.delay_seconds)
    answer = _answer(act, call, signer, fault) if fault.is_effective else Response()
    if fault.fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT}:
        return await cut(request)
    if fault.fault is Fault.HTTP_202:
        return _signed(202, _ACCEPTED, signer, fault)
    if fault.fault in _BREAKDOWNS:
        return _refusal(WeChatError(*_BREAKDOWNS[fault.fault]))
    return answer


def _signed(
    status: int, result: Json | None, signer: Signer, fault: FaultScript | None
) -> Response:
    body = b"" if result is None else dump(result)
    blemish = BLEMISHES.get(fault.fault) if fault is not None else None
    headers = {"Request-ID": _request_id(), **signer.headers(body, blemish)}
    media_type = None if result is None else "application/json; charset=utf-8"
    return Response(body, status, headers, media_type)


def _refusal(error: WeChatError) -> Response:
    content: Json = {"code": error.code, "message": error.message}
    if error.detail is not None:
        content["detail"] = dict(error.detail)
    headers = {"Request-ID": _request_id()}
    return Response(dump(content), error.status, headers, "application/json; charset=utf-8")


async def _empty(_: Request, error: Exception) -> Response:
    return Response(status_code=getattr(error, "status_code", 404))


async def _body(request: Request) -> bytes:
    refusal = WeChatError(400, "PARAM_ERROR", "请求体过大")
    return await read_body(request, max_bytes=MAX_BODY_BYTES, too_large=refusal)


def _sign_error(message: str) -> WeChatError:
    detail = {"field": "signature", "issue": "sign not match", "location": "authorization"}
    return WeChatError(401, "SIGN_ERROR", message, detail)


def _request_id() -> str:
    return uuid.uuid4().hex.upper()
