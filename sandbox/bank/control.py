"""The bank's control interface under `/control/bank`: how tests and demos drive it."""

from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from sandbox.bank.customers import Cashier, Payment
from sandbox.bank.oracle import money_moved
from sandbox.bank.payments import PaymentRefused
from sandbox.bank.payouts import Resolution as TransferResolution
from sandbox.bank.payouts import TransferIsFinal
from sandbox.bank.protocol import BankError
from sandbox.bank.refunds import RefundIsFinal, Resolution
from sandbox.bank.service import Bank
from sandbox.wechat.protocol import Json

MAX_RESENDS = 200


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewMerchant(_Body):
    """A client to make, or to find again by `account`."""

    account: str | None = Field(default=None, pattern=r"^[0-9]{8,32}$")


class NewWallet(_Body):
    """A wallet to open or find, and what to put into it."""

    wallet: str | None = Field(default=None, pattern=r"^[0-9A-Za-z-]{2,64}$")
    top_up_fen: int = Field(default=0, ge=0, le=10**11)


class NewPayee(_Body):
    """Somebody to pay out to, and how every transfer to them ends; PROCESSING: by hand."""

    outcome: Literal["SUCCESS", "FAILED", "PROCESSING"] = "SUCCESS"
    reason: str = "ACCOUNT_CLOSED"


class Fund(_Body):
    """Money from outside onto a client's account."""

    account: str
    amount_fen: int = Field(gt=0, le=10**12)


class ResolveRefund(_Body):
    """How a refund ends by hand."""

    mchid: str
    status: Resolution


class ResolveTransfer(_Body):
    """How a transfer ends by hand."""

    account: str
    status: TransferResolution
    reason: str = "ACCOUNT_CLOSED"


class Resend(_Body):
    """Which callback to send again, and how often."""

    mchid: str
    out_trade_no: str | None = None
    out_refund_no: str | None = None
    count: int = Field(default=1, ge=1, le=MAX_RESENDS)
    concurrent: bool = False


def create_control(bank: Bank) -> APIRouter:
    """Make the routes under `/control/bank`."""
    router = APIRouter(prefix="/control/bank")
    router.include_router(_holder_routes(bank))
    router.include_router(_money_routes(bank))
    router.include_router(_oracle_routes(bank))
    return router


def _holder_routes(bank: Bank) -> APIRouter:
    router = APIRouter()

    @router.post("/merchants")
    async def make_merchant(body: NewMerchant) -> Json:
        client = await bank.accounts.ensure(body.account)
        return {
            "account": client.account,
            "client_id": client.client_id,
            "private_key_pem": client.private_key_pem,
            "bank_key_id": bank.key.key_id,
            "bank_public_key_pem": bank.key.public_key_pem,
        }

    @router.post("/merchants/{account}/close")
    async def close_account(account: str) -> Json:
        if not bank.accounts.close_account(account):
            raise HTTPException(404, "no_such_merchant")
        return {"account": account}

    @router.post("/wallets")
    async def open_wallet(body: NewWallet) -> Json:
        wallet, consent = bank.accounts.open_wallet(body.wallet)
        with bank.store.transaction():
            bank.accounts.move(wallet, "top_up", wallet, body.top_up_fen)
        balance_fen = bank.accounts.balance_fen(wallet)
        return {"wallet": wallet, "consent": consent, "balance_fen": balance_fen}

    @router.post("/payees")
    async def make_payee(body: NewPayee) -> Json:
        return {"payee": bank.accounts.add_payee(body.outcome, body.reason)}

    @router.post("/fund")
    async def fund(body: Fund) -> Json:
        if bank.accounts.find(body.account) is None:
            raise HTTPException(404, "no_such_merchant")
        with bank.store.transaction():
            bank.accounts.move(body.account, "deposit", body.account, body.amount_fen)
        return {"balance_fen": bank.accounts.balance_fen(body.account)}

    @router.get("/balances/{holder}")
    async def balance(holder: str) -> Json:
        return {"balance_fen": bank.accounts.balance_fen(holder)}

    return router


def _money_routes(bank: Bank) -> APIRouter:
    router = APIRouter()
    cashier = Cashier(payments=bank.payments, habits=bank.habits)

    @router.post("/pay")
    async def pay(payment: Payment) -> JSONResponse:
        try:
            trade_state, transaction_id = await cashier.pay_in_time(payment)
        except PaymentRefused as error:
            return JSONResponse({"reason": error.reason, "trade_state": error.state}, 409)
        return JSONResponse({"trade_state": trade_state, "transaction_id": transaction_id})

    @router.post("/refunds/{out_refund_no}/resolve")
    async def resolve_refund(out_refund_no: str, body: ResolveRefund) -> Json:
        try:
            return bank.refunds.resolve(body.mchid, out_refund_no, body.status)
        except BankError as error:
            raise HTTPException(404, error.code) from error
        except RefundIsFinal as error:
            raise HTTPException(409, "refund_is_final") from error

    @router.post("/transfers/{line_id}/resolve")
    async def resolve_transfer(line_id: str, body: ResolveTransfer) -> Json:
        try:
            return bank.payouts.resolve(body.account, line_id, body.status, body.reason)
        except BankError as error:
            raise HTTPException(404, error.code) from error
        except TransferIsFinal as error:
            raise HTTPException(409, "transfer_is_final") from error

    @router.post("/notifications/resend")
    async def resend(body: Resend) -> list[int | None]:
        number = body.out_refund_no or body.out_trade_no
        if number is None:
            raise HTTPException(422, "out_trade_no or out_refund_no is required")
        answers = await bank.notices.resend(
            account=body.mchid,
            number=number,
            is_refund=body.out_refund_no is not None,
            count=body.count,
            concurrent=body.concurrent,
        )
        if answers is None:
            raise HTTPException(404, "no_such_notification")
        return answers

    return router


def _oracle_routes(bank: Bank) -> APIRouter:
    router = APIRouter()

    @router.post("/statements/{day}/ready")
    async def make_ready(day: date) -> Json:
        bank.statements.make_ready(day)
        return {"day": day.isoformat()}

    @router.get("/oracle")
    async def oracle(
        mchid: str | None = None, out_trade_no: str | None = None, prefix: str | None = None
    ) -> JSONResponse:
        try:
            moved = money_moved(bank.store, mchid=mchid, out_trade_no=out_trade_no, prefix=prefix)
        except ValueError as error:
            raise HTTPException(413, str(error)) from error
        return JSONResponse(moved)

    @router.get("/payouts/oracle")
    async def payouts(account: str | None = None, prefix: str | None = None) -> dict[str, Any]:
        return bank.payouts.oracle(account, prefix)

    return router
