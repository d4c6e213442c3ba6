"""The ledger against a model: whatever is posted, retried or rolled back, both tell the same."""

import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from domain.ledger import JournalKeyReused
from services.db import Database, Writer
from services.ledger import post
from tests.services.test_ledger import RolledBackError, earn, of_site


class Model:
    """What a ledger of merchants is: outcomes by key, balances that never go below zero."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[tuple[int, int, int], str]] = {}
        self.fen: dict[int, int] = {}

    def copy(self) -> "Model":
        """A twin that a transaction may spoil."""
        twin = Model()
        twin.known, twin.fen = dict(self.known), dict(self.fen)
        return twin

    async def step(self, writer: Writer, site_id: str, step: tuple[int, int, int]) -> None:
        """Post it, and compare the answer with what the model says; raises JournalKeyReused."""
        key, merchant, fen = step
        journal = earn(site_id, str(key), str(merchant), fen)
        if key in self.known and self.known[key][0] != step:
            with pytest.raises(JournalKeyReused) as reused:
                await post(writer, journal)
            raise reused.value
        status = (await post(writer, journal)).status
        if key in self.known:
            assert status == self.known[key][1].replace("applied", "already")
            return
        after_fen = self.fen.get(merchant, 0) + fen
        assert status == ("applied" if after_fen >= 0 else "declined")
        self.known[key] = (step, status)
        if status == "applied":
            self.fen[merchant] = after_fen


STEP = st.tuples(
    st.integers(0, 7),  # key
    st.integers(0, 1),  # merchant
    st.sampled_from((-60, -25, 25, 100)),  # fen
)
TRANSACTION = st.tuples(st.lists(STEP, min_size=1, max_size=4), st.booleans())


@examples(max_examples=60, deadline=None)
@given(transactions=st.lists(TRANSACTION, max_size=8))
async def test_the_ledger_agrees_with_its_model(
    database: Database, transactions: list[tuple[list[tuple[int, int, int]], bool]]
) -> None:
    """Keys reused, overdrawn, rolled back, spoiled: a dictionary of balances tells the same."""
    site_id = f"site-{uuid.uuid4().hex[:12]}"
    model = Model()
    for steps, commits in transactions:
        trial = model.copy()
        with suppress(RolledBackError, JournalKeyReused):
            async with database.write() as writer:
                for step in steps:
                    await trial.step(writer, site_id, step)
                if not commits:
                    raise RolledBackError
            model = trial
    found = await of_site(database, site_id)
    payable = {code: fen for code, fen in found.items() if code.startswith("merchant:")}
    assert payable == {f"merchant:{number}:payable": fen for number, fen in model.fen.items()}
