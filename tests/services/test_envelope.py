"""The schema of public events: as this code emits them, and a version never changes once out."""

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain import after_sale
from services import envelope
from services.events import EVENT_VERSION
from tests.envelopes import validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "events"
PUBLISHED = {
    1: "190b61bb96b55254d982cc6c9f5e9afc07a926e04cbd35d6bececa52b307c937",
    2: "8997be7847f1adb8cf2371762e170ee4f7ba4060fe57b2e55b9bcecaa7f5b173",
}
"""Each version's file by its SHA-256. Another schema is another version: raise `EVENT_VERSION`."""
BUILDERS = {"Event", "Change", "_append", "tell"}
FAMILIES = ("order.", "delivery.", "payment.", "after_sale.")
TOLD_WITH_MONEY = {after_sale.State.REFUNDED, after_sale.State.DELAYED}
"""States of a wish that come with the refund's own event."""
PLACED = {
    "schema": "paotui.order-event",
    "v": EVENT_VERSION,
    "site_id": "s",
    "order_id": "o",
    "seq": 2,
    "type": "delivery.assigned",
    "at": "2030-01-01T00:00:00.000000Z",
    "data": {"delivery": "assigned", "rider_id": "r"},
}


def test_the_committed_schema_is_what_the_code_publishes() -> None:
    """If not: a new `EVENT_VERSION`, then `python -m services.envelope > docs/events/….json`."""
    committed = json.loads((SCHEMAS / f"order.v{EVENT_VERSION}.json").read_text())
    assert committed == envelope.schema()


def test_a_version_that_is_out_never_changes() -> None:
    files = {path.name: path.read_bytes() for path in SCHEMAS.glob("*.json")}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in files.items()} == {
        f"order.v{version}.json": digest for version, digest in PUBLISHED.items()
    }
    assert max(PUBLISHED) == EVENT_VERSION


def named(call: ast.Call) -> Iterator[str]:
    """Every text in the arguments that name an event; of an f-string its beginning."""
    arguments = [*call.args, *(word.value for word in call.keywords if word.arg == "type")]
    for argument in arguments:
        if isinstance(argument, ast.Dict):
            continue
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def built() -> set[str]:
    """The types of events that the rooms build."""
    found: set[str] = set()
    for room in ("services", "activities"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name not in BUILDERS:
                    continue
                texts = list(named(node))
                found |= {text for text in texts if text.startswith(FAMILIES)}
                if name == "tell" and path.parent.name == "dispatch":
                    found |= {f"delivery.{text}" for text in texts}
    assert {"delivery.", "after_sale."} <= found, "families that are told by a variable"
    states = set(after_sale.State) - TOLD_WITH_MONEY
    return found - set(FAMILIES) | {f"after_sale.{state}" for state in states}


def test_every_event_that_is_built_is_in_the_schema() -> None:
    assert built() == set(envelope.EVENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "delivery.flown"},
        {"v": EVENT_VERSION + 1},
        {"seq": 0},
        {"customer_id": "c"},
        {"data": {"delivery": "assigned"}},
        {"data": {"delivery": "flying", "rider_id": "r"}},
        {"data": {"delivery": "assigned", "rider_id": "r", "phone": "13900000000"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_was_not_promised(change: dict[str, object]) -> None:
    check = validator()
    check.validate(PLACED)
    assert not check.is_valid(PLACED | change)
