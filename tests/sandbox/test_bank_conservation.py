"""No fen appears or vanishes in the bank, whatever its clients and their customers do."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.bank.accounts import Client
from sandbox.bank.payments import PaymentRefused
from sandbox.bank.payouts import TransferIsFinal
from sandbox.bank.protocol import BankError
from sandbox.bank.refunds import RefundIsFinal
from sandbox.bank.service import Bank
from sandbox.faults import Faults
from sandbox.internet import Authority, PublicInternet
from sandbox.settings import Settings
from sandbox.store import Store

LATER_SECONDS = 3600.0
TOP_UP_FEN = 500
NO_ACT = (BankError, PaymentRefused, RefundIsFinal, TransferIsFinal)
NUMBERS = st.integers(0, 2)
FEN = st.sampled_from((1, 40, 100))
STEP = st.one_of(
    st.tuples(st.just("pay"), NUMBERS, st.booleans(), st.booleans()),
    st.tuples(st.just("refund"), NUMBERS, NUMBERS, FEN),
    st.tuples(st.just("resolve_refund"), NUMBERS, st.sampled_from(("SUCCESS", "CLOSED"))),
    st.tuples(st.just("split"), NUMBERS, NUMBERS, FEN, st.booleans()),
    st.tuples(st.just("unfreeze"), NUMBERS, NUMBERS),
    st.tuples(st.just("give_back"), NUMBERS, NUMBERS, FEN),
    st.tuples(st.just("pay_out"), NUMBERS, NUMBERS, FEN),
    st.tuples(st.just("resolve_transfer"), NUMBERS, st.sampled_from(("SUCCESS", "FAILED"))),
    st.tuples(st.just("settle"), st.sampled_from(("SUCCESS", "ABNORMAL", "CLOSED"))),
)

LIFE = st.sampled_from(
    [
        [("refund", 0, 0, 40), ("resolve_refund", 0, "CLOSED")],
        [("split", 0, 0, 40, False), ("settle", "CLOSED"), ("give_back", 0, 0, 1)],
        [("split", 1, 0, 1, False), ("unfreeze", 1, 0), ("settle", "SUCCESS")],
        [("pay_out", 0, 1, 40), ("settle", "SUCCESS")],
    ]
)
"""What chance alone seldom puts together."""
STEPS = st.lists(st.one_of(LIFE, STEP.map(lambda step: [step])), min_size=6, max_size=20)


def fen(amount_fen: int) -> dict[str, Any]:
    return {"value": amount_fen, "currency": "CNY"}


class Town:
    """One bank with three clients, one of them closed, a wallet, and payees of every kind."""

    def __init__(self, bank: Bank, clients: list[Client]) -> None:
        self.bank, self.client, self.receivers = bank, clients[0], clients[1:]
        bank.accounts.close_account(self.receivers[1].account)
        self.wallet, _ = bank.accounts.open_wallet(None)
        outcomes = ("SUCCESS", "FAILED", "PROCESSING")
        self.payees = [bank.accounts.add_payee(outcome, "x") for outcome in outcomes]

    def begin(self) -> None:
        """Use numbers that nobody has used, and a wallet with money in it."""
        self.life = uuid.uuid4().hex[:8]
        with self.bank.store.transaction():
            self.bank.accounts.move(self.wallet, "top_up", self.wallet, TOP_UP_FEN)

    def pay(self, number: int, by_wallet: bool, split: bool) -> None:  # noqa: FBT001
        body = {
            "method": "wallet" if by_wallet else "ecny",
            "out_trade_no": f"{self.life}-{number}",
            "amount": fen(100),
            "description": "x",
            "notify_url": "https://pay.paotui.example/x",
            "expires_at": "2100-01-01T00:00:00Z",
            "split": split,
        }
        self.bank.payments.create(self.client, json.dumps(body).encode())
        row = self.bank.payments.find(self.client.account, f"{self.life}-{number}")
        assert row is not None
        self.bank.payments.pay(row, self.wallet, None, cleared_late=False)

    def refund(self, number: int, payment: int, amount_fen: int) -> None:
        body = {
            "out_trade_no": f"{self.life}-{payment}",
            "out_refund_no": f"{self.life}-r{number}",
            "amount": fen(amount_fen),
            "total": fen(100),
            "notify_url": "https://pay.paotui.example/x",
        }
        self.bank.refunds.create(self.client, json.dumps(body).encode())

    def resolve_refund(self, number: int, status: Any) -> None:
        self.bank.refunds.resolve(self.client.account, f"{self.life}-r{number}", status)

    def split(self, number: int, payment: int, amount_fen: int, finish: bool) -> None:  # noqa: FBT001
        share = {"amount": fen(amount_fen), "description": "x"}
        receivers = [{"account": one.account, **share} for one in self.receivers]
        body = self._shared(number, payment) | {"receivers": receivers, "finish": finish}
        self.bank.splits.create(self.client, json.dumps(body).encode())

    def unfreeze(self, number: int, payment: int) -> None:
        body = self._shared(number + 10, payment)
        self.bank.splits.unfreeze(self.client, json.dumps(body).encode())

    def give_back(self, number: int, split: int, amount_fen: int) -> None:
        account = self.receivers[0].account
        receiver = {"account": account, "amount": fen(amount_fen), "description": "x"}
        body = {
            "out_order_no": f"{self.life}-s{split}",
            "out_return_no": f"{self.life}-b{number}",
            "receiver": receiver,
        }
        self.bank.splits.give_back(self.client, json.dumps(body).encode())

    def pay_out(self, number: int, payee: int, amount_fen: int) -> None:
        line = {
            "line_id": f"{self.life}-l{number}",
            "payee": self.payees[payee],
            "amount": fen(amount_fen),
        }
        body = {"batch_id": f"{self.life}-{number}", "lines": [line]}
        self.bank.payouts.create(self.client, json.dumps(body).encode())

    def resolve_transfer(self, number: int, state: Any) -> None:
        self.bank.payouts.resolve(self.client.account, f"{self.life}-l{number}", state, "x")

    def settle(self, outcome: str) -> None:
        """Let all that is on its way come to its end."""
        habits = json.dumps({"refund_outcome": outcome})
        self.bank.store.run("INSERT OR REPLACE INTO settings VALUES ('habits', :h)", h=habits)
        for part in (self.bank.refunds, self.bank.splits, self.bank.payouts):
            part.settle_due(time.time() + LATER_SECONDS)

    def _shared(self, number: int, payment: int) -> dict[str, Any]:
        row = self.bank.payments.find(self.client.account, f"{self.life}-{payment}")
        transaction_id = row["transaction_id"] if row is not None else None
        return {
            "transaction_id": transaction_id or "none",
            "out_order_no": f"{self.life}-s{number}",
        }

    def inside_fen(self) -> int:
        """All that the bank keeps, for whomever."""
        return self._sum(
            "SELECT sum(amount_fen) FROM bank_flows",
            "SELECT sum(frozen_fen) FROM bank_payments",
            "SELECT sum(amount_fen) FROM bank_shares WHERE state = 'PENDING'",
            "SELECT sum(amount_fen) FROM bank_transfers WHERE state = 'PROCESSING'",
            "SELECT sum(amount_fen) FROM bank_refunds WHERE status IN ('PROCESSING', 'ABNORMAL')",
        )

    def from_outside_fen(self) -> int:
        """What came in from other banks and has not gone back there."""
        came = self._sum("SELECT sum(paid_fen) FROM bank_payments WHERE method = 'ecny'")
        gone = self._sum(
            "SELECT sum(r.amount_fen) FROM bank_refunds r JOIN bank_payments p"
            " USING (account, out_trade_no) WHERE p.method = 'ecny' AND r.status = 'SUCCESS'"
        )
        added = self._sum("SELECT sum(amount_fen) FROM bank_flows WHERE kind = 'top_up'")
        return added + came - gone

    def stuck_fen(self) -> int:
        """What is frozen though the sharing has ended."""
        return self._sum("SELECT sum(frozen_fen) FROM bank_payments WHERE finished")

    def _sum(self, *queries: str) -> int:
        rows = [self.bank.store.one(query) for query in queries]
        return sum(row[0] or 0 for row in rows if row is not None)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One bank for every example, whose clients sign with its own key: keys take too long."""
    home = tmp_path_factory.mktemp("bank")
    store = Store(home / "sandbox.sqlite3")
    authority = Authority(home)
    internet = PublicInternet(ca_path=authority.certificate_path, public_map={})
    place = Settings(home=home, control_port=1, tls_port=1, proxy_port=1)
    bank = Bank(place, store, internet, Faults(store))
    pem = (home / "bank" / "signing.key").read_text()
    clients = []
    for number in ("62280001", "62280002", "62280003"):
        row = {"account": number, "client_id": f"client-{number}", "private_key_pem": pem}
        store.insert("bank_clients", row)
        client = bank.accounts.find(number)
        assert client is not None
        clients.append(client)
    yield Town(bank, clients)
    store.close()


@settings(max_examples=80, deadline=None)
@given(lives=STEPS, splits=st.booleans())
def test_no_fen_appears_or_vanishes(
    town: Town,
    lives: list[list[tuple[Any, ...]]],
    splits: bool,  # noqa: FBT001
) -> None:
    """Every step is taken, possible or not; the books agree after each."""
    town.begin()
    steps = [step for life in lives for step in life]
    for name, *args in [("pay", 0, True, splits), *steps, ("settle", "SUCCESS")]:
        act: Callable[..., None] = getattr(town, name)
        with suppress(*NO_ACT):
            act(*args)
        assert town.inside_fen() == town.from_outside_fen(), (name, args)
        assert not town.stuck_fen(), (name, args)
