"""The bank's control interface under `/control/bank`: how tests and demos drive it."""

from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field

from sandbox.bank.customers import Cashier, Payment
from sandbox.bank.oracle import orders_moved
from sandbox.bank.payments import PaymentRefused
from sandbox.bank.payouts import Resolution as TransferResolution
from sandbox.bank.payouts import TransferIsFinal
from sandbox.bank.protocol import BankError
from sandbox.bank.refunds import RefundIsFinal, Resolution
from sandbox.bank.service import Bank
from sandbox.routes import Body, common_routes
from sandbox.wire import Json


class NewMerchant(Body):
    """A client to make, or to find again by `account`."""

    account: str | None = Field(default=None, pattern=r"^[0-9]{8,32}$")


class NewWallet(Body):
    """A wallet to open or find, and what to put into it."""

    wallet: str | None = Field(default=None, pattern=r"^[0-9A-Za-z-]{2,64}$")
    top_up_fen: int = Field(default=0, ge=0, le=10**11)


class NewPayee(Body):
    """Somebody to pay out to, and how every transfer to them ends; PROCESSING: by hand."""

    outcome: Literal["SUCCESS", "FAILED", "PROCESSING"] = "SUCCESS"
    reason: str = "ACCOUNT_CLOSED"


class Fund(Body):
    """Money from outside onto a client's account."""

    account: str
    amount_fen: int = Field(gt=0, le=10**12)


class ResolveRefund(Body):
    """How a refund ends by hand."""

    mchid: str
    status: Resolution


class ResolveTransfer(Body):
    """How a transfer ends by hand."""

    account: str
    status: TransferResolution
    reason: str = "ACCOUNT_CLOSED"


def create_control(bank: Bank) -> APIRouter:
    """Make the routes under `/control/bank`."""
    router = APIRouter(prefix="/control/bank")
    router.include_router(_holder_routes(bank))
    router.include_router(_money_routes(bank))
    router.include_router(_oracle_routes(bank))
    router.include_router(common_routes(bank.store, bank.notices, orders_moved))
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

    return router


def _oracle_routes(bank: Bank) -> APIRouter:
    router = APIRouter()

    @router.post("/statements/{day}/ready")
    async def make_ready(day: date) -> Json:
        bank.statements.make_ready(day)
        return {"day": day.isoformat()}

    @router.get("/payouts/oracle")
    async def payouts(account: str | None = None, prefix: str | None = None) -> dict[str, Any]:
        return bank.payouts.oracle(account, prefix)

    return router
